"""Dedicated lines of an organization (contract/inkbox.md, section 19)."""

from typing import Literal

from django.http import HttpRequest, HttpResponse
from ninja import Router

from api.auth import actor_of, key_of
from api.idempotency import KEYED, Answer, create_once, required_key_of
from api.inkbox.answers import DedicatedNumber, answers
from api.parsing import Body, respond
from api.shapes import line_shape
from dialects import inkbox
from lines.claiming import claim_line
from lines.models import Line

router = Router(tags=["Dedicated lines"])


class Claim(Body):
    type: Literal["dedicated_outbound", "dedicated_inbound"] | None = None


@router.get("/numbers", response=answers(200, list[DedicatedNumber]))
def list_numbers(request: HttpRequest) -> HttpResponse:
    """The organization's dedicated lines, oldest first; those of a bound key's identity for that key."""
    rows = Line.objects.visible_to(actor_of(request)).filter(service=Line.Service.IMESSAGE)
    rows = rows.prefetch_related("routes__identity").order_by("created_at", "id")
    return respond([inkbox.number(line_shape(line)) for line in rows])


@router.post("/numbers", openapi_extra=KEYED, response=answers(201, DedicatedNumber, 402, 403, 409))
def claim(request: HttpRequest, body: Claim) -> HttpResponse:
    """Claim a dedicated line for the organization; needs an `Idempotency-Key`, and an admin key."""
    required_key_of(request)
    return create_once(request, operation="line.claim", asked=body, deed=lambda: _claimed(request))


def _claimed(request: HttpRequest) -> Answer:
    line = claim_line(actor_of(request), organization=key_of(request).organization)
    return Answer.created(inkbox.number(line_shape(line)), line.id)
