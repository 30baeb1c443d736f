"""The router: the number that humans text to connect (contract/inkbox.md, section 7)."""

from django.http import HttpRequest
from ninja import Router

from api.auth import key_of
from dialects import inkbox
from imessage.connecting import connect_command, router_line

router = Router()


@router.get("/triage-number")
def triage_number(request: HttpRequest) -> dict[str, str]:
    """The active router number, and the command with the caller's handle; admin keys get a placeholder."""
    return inkbox.triage_number(number=router_line().address, connect_command=connect_command(key_of(request).identity))
