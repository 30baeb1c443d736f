"""What was posted to webhook endpoints, one row per attempt (contract/inkbox.md 13.4)."""

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, Field

from api.auth import actor_of
from api.inkbox.answers import Deliveries, Delivery, answers
from api.inkbox.finding import attempt_with, id_in_path
from api.parsing import TEXT, QueryBool, respond
from api.shapes import attempt_shape
from core.actor import Actor
from dialects import inkbox
from webhooks.delivering import replay as replay_attempt
from webhooks.models import Attempt

router = Router(tags=["Webhooks"])

_MOST = 200


class DeliveryFilter(BaseModel):
    subscription_id: UUID | None = None
    phone_number_id: UUID | None = None
    event_type: Annotated[str, Field(max_length=60), *TEXT] | None = None
    success: QueryBool | None = None
    limit: Annotated[int, Field(description="Brought into 1 to 200.")] = 50
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0

    def page(self) -> slice:
        """The rows asked for; a limit outside of the range is brought into it."""
        return slice(self.offset, self.offset + min(max(self.limit, 1), _MOST))


@router.get("/webhooks/deliveries", response=answers(200, Deliveries))
def list_deliveries(request: HttpRequest, query: Query[DeliveryFilter]) -> HttpResponse:
    """Attempts that the caller may see, newest first."""
    rows = _filtered(actor_of(request), query)
    return respond({"deliveries": [_shown(attempt) for attempt in rows]})


@router.post("/webhooks/deliveries/{delivery_id}/replay", response=answers(200, Delivery, 403, 404, 409))
def replay(request: HttpRequest, delivery_id: str) -> HttpResponse:
    """Send an event again now, to the subscription's present URL with the same event id; the new attempt."""
    actor = actor_of(request)
    attempt = replay_attempt(actor, attempt_with(actor, id_in_path(delivery_id)))
    return respond(_shown(attempt_with(actor, attempt.id)))


def _filtered(actor: Actor, query: DeliveryFilter) -> list[Attempt]:
    if query.phone_number_id:
        return []
    rows = Attempt.objects.visible_to(actor).of_dialect("inkbox").select_related("delivery", "subscription")
    if query.subscription_id:
        rows = rows.filter(subscription_id=query.subscription_id)
    if query.event_type is not None:
        rows = rows.filter(delivery__event_type=inkbox.event_type_of(query.event_type) or "")
    if query.success is not None:
        rows = rows.succeeded() if query.success else rows.unsuccessful()
    return list(rows.order_by("-at", "-id")[query.page()])


def _shown(attempt: Attempt) -> dict[str, Any]:
    return inkbox.delivery(attempt_shape(attempt))
