"""Deliveries as they stood at a moment, told by the times of their attempts; rows are set back in memory, never saved.

What no attempt tells is not known afterwards: that an endpoint was disabled, when its deliveries were queued again
later on.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from webhooks.models import Attempt, Delivery
from webhooks.schedule import Schedule
from webhooks.vendors import schedule_of


def set_back(deliveries: Iterable[Delivery], at: datetime) -> None:
    """Give deliveries that existed at a moment, with their endpoints, the state they had then."""
    # What was settled by then has not changed since, or it would have been settled later.
    open_then = [row for row in deliveries if row.settled_at is None or row.settled_at > at]
    made: defaultdict[UUID, list[Attempt]] = defaultdict(list)
    for attempt in Attempt.objects.filter(delivery__in=open_then).order_by("at", "id"):
        made[attempt.delivery_id].append(attempt)
    for delivery in open_then:
        delivery.state = _state(made[delivery.id], at, schedule_of(delivery.subscription.dialect))
        delivery.settled_at = None


def _state(attempts: list[Attempt], at: datetime, schedule: Schedule) -> Delivery.State:
    by_then = [attempt for attempt in attempts if _ended(attempt) <= at]
    if any(attempt.succeeded for attempt in by_then):
        return Delivery.State.DELIVERED
    if by_then and _was_last(by_then[-1], schedule, following=attempts[len(by_then) :]):
        return Delivery.State.FAILED
    return Delivery.State.PENDING


def _was_last(attempt: Attempt, schedule: Schedule, *, following: list[Attempt]) -> bool:
    """Whether its schedule ended with a failure, so that only a replay came after it."""
    is_at_end = schedule.is_final(attempt.response_status) or attempt.number >= schedule.attempts
    return is_at_end and (not following or following[0].is_replay)


def _ended(attempt: Attempt) -> datetime:
    return attempt.at + timedelta(milliseconds=attempt.duration_ms or 0)
