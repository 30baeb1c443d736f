"""Who holds a key (contract/inkbox.md, section 4)."""

from django.http import HttpRequest, HttpResponse
from ninja import Router

from api.auth import key_of
from api.inkbox.answers import Caller, answers
from api.parsing import respond
from api.shapes import key_shape
from dialects import inkbox

router = Router(tags=["Keys"])


@router.get("/whoami", response=answers(200, Caller))
@router.get("/v1/whoami", include_in_schema=False)
def whoami(request: HttpRequest) -> HttpResponse:
    """The calling key, its organization and, when it is bound to one, its identity."""
    return respond(inkbox.caller(key_shape(key_of(request))))
