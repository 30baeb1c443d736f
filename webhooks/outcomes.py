"""What became of a delivery, in one word, as lists and filters say it."""

from collections.abc import Callable
from datetime import datetime

from django.db.models import Q

from accounts.models import Identity
from webhooks.models import Delivery

WAITING, RETRYING, DELIVERED = "waiting", "retrying", "delivered"
FAILED, DROPPED, GONE, CANCELLED = "failed", "dropped", "gone", "cancelled"

_State, _Ending = Delivery.State, Delivery.Ending

_CONDITIONS: dict[str, Callable[[], Q]] = {
    WAITING: lambda: Q(state=_State.PENDING, attempts_made=0),
    RETRYING: lambda: Q(state=_State.PENDING, attempts_made__gt=0),
    DELIVERED: lambda: Q(state=_State.DELIVERED),
    FAILED: lambda: Q(state=_State.FAILED, ending=""),
    DROPPED: lambda: Q(state=_State.FAILED, ending=_Ending.DROPPED),
    GONE: lambda: Q(state=_State.FAILED, ending=_Ending.GONE),
    CANCELLED: lambda: Q(state=_State.CANCELLED),
}
OUTCOMES = tuple(_CONDITIONS)


def is_outcome(word: str) -> Q:
    """Deliveries of which this word is true."""
    return _CONDITIONS[word]()


def is_of_identity(handle: str) -> Q:
    """Deliveries of the identity with this handle; by its key, so that the index of its newest is used."""
    key = Identity.objects.filter(handle=handle).values_list("pk", flat=True).first()
    return Q(identity_id=key) if key else Q(pk=None)


def outcome_of(delivery: Delivery) -> str:
    """The word for a delivery."""
    if delivery.state == _State.PENDING:
        return RETRYING if delivery.attempts_made else WAITING
    if delivery.state == _State.FAILED:
        return delivery.ending or FAILED
    return delivery.state


def next_try_at(delivery: Delivery) -> datetime | None:
    """When it is tried next, not before its endpoint wants to hear from us; None when it will not be.

    Needs its subscription.
    """
    if delivery.state != _State.PENDING:
        return None
    held_until = delivery.subscription.held_until
    return max(delivery.next_attempt_at, held_until) if held_until else delivery.next_attempt_at
