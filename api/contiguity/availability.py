"""Who can be reached (contract/contiguity.md, section 6)."""

from django.http import HttpRequest, HttpResponse
from ninja import Router

from api.auth import actor_of, key_of
from api.contiguity.answers import Available, answers
from api.contiguity.envelopes import told
from core.phones import e164
from dialects import contiguity
from imessage.availability import availability_of

router = Router(tags=["Conversations"])


@router.get("/conversations/availability/imessage/{to}", response=answers(Available, 403))
def availability(request: HttpRequest, to: str) -> HttpResponse:
    """Whether a number can be reached by iMessage."""
    found = availability_of(actor_of(request), organization_id=key_of(request).organization_id, human=e164(to))
    return told(contiguity.availability(available=found.imessage))
