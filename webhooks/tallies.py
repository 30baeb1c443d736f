"""An endpoint's deliveries as its owner reads them through an API: rows newest first, and how many fared how."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import TruncHour

from core.actor import Actor
from webhooks import causes
from webhooks.models import Attempt, Delivery, DeliveryQuerySet, Subscription

# What was cancelled or dropped did not arrive either.
Fate = Literal["pending", "delivered", "failed"]
FATES: tuple[Fate, ...] = ("pending", "delivered", "failed")


@dataclass(frozen=True, slots=True)
class Tally:
    """How many deliveries fared how: in all, by event type, and by the hour they began in, the oldest first."""

    counts: dict[Fate, int]
    by_type: dict[str, dict[Fate, int]]
    by_hour: list[tuple[datetime, dict[Fate, int]]]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def success_rate(self) -> float:
        """The share of what is settled that arrived, from 0 to 1; 1 when nothing is settled."""
        settled = self.counts["delivered"] + self.counts["failed"]
        return self.counts["delivered"] / settled if settled else 1.0


def deliveries_to(actor: Actor, subscription: Subscription, *, since: datetime | None = None) -> DeliveryQuerySet:
    """What went, or goes, to an endpoint, tests included, newest first; each with its last answer's `answer_body`."""
    rows = Delivery.objects.visible_to(actor).filter(subscription=subscription)
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    last = Attempt.objects.filter(delivery=OuterRef("pk")).order_by("-at", "-id")
    return rows.annotate(answer_body=Subquery(last.values("response_body")[:1])).order_by("-created_at", "-id")


def fate_of(delivery: Delivery) -> Fate:
    """Whether a delivery arrived, will be tried on, or did not."""
    return _fate(delivery.state)


def trouble_of(delivery: Delivery) -> str | None:
    """Why its last request failed, in words for its owner; None when it did not."""
    return causes.in_words(delivery.cause) or None


def next_try_of(delivery: Delivery) -> datetime | None:
    """When it is tried next; None when it is settled."""
    return delivery.next_attempt_at if delivery.state == Delivery.State.PENDING else None


def tally_of(actor: Actor, subscription: Subscription, *, since: datetime | None = None) -> Tally:
    """How an endpoint's deliveries fared since a moment, or all that are kept (30 days)."""
    rows = Delivery.objects.visible_to(actor).filter(subscription=subscription)
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    found = rows.order_by().annotate(hour=TruncHour("created_at")).values("hour", "event_type", "state")
    counts = _none()
    by_type: defaultdict[str, dict[Fate, int]] = defaultdict(_none)
    by_hour: defaultdict[datetime, dict[Fate, int]] = defaultdict(_none)
    for row in found.annotate(many=Count("id")):
        for place in (counts, by_type[row["event_type"]], by_hour[row["hour"]]):
            place[_fate(row["state"])] += row["many"]
    return Tally(counts, dict(by_type), sorted(by_hour.items()))


def _none() -> dict[Fate, int]:
    return dict.fromkeys(FATES, 0)


def _fate(state: str) -> Fate:
    if state == Delivery.State.PENDING:
        return "pending"
    return "delivered" if state == Delivery.State.DELIVERED else "failed"
