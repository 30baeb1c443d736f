"""The router: the number that humans text to connect (contract/inkbox.md, section 7)."""

from django.http import HttpRequest, HttpResponse
from ninja import Router

from api.auth import key_of
from api.inkbox.answers import TriageNumber, answers
from api.parsing import respond
from dialects import inkbox
from imessage.connecting import connect_command, router_line

router = Router(tags=["Router"])


@router.get("/triage-number", response=answers(200, TriageNumber, 404))
def triage_number(request: HttpRequest) -> HttpResponse:
    """The active router number, and the command with the caller's handle; admin keys get a placeholder."""
    command = connect_command(key_of(request).identity)
    return respond(inkbox.triage_number(number=router_line().address, connect_command=command))
