"""Figures of endpoints and of deliveries over time, always from so many of the newest rows: fast at any size."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.utils import timezone

from webhooks.models import Delivery

# An endpoint's figures are made of so many of its newest attempts within a week.
MOST_ATTEMPTS = 1_000
# Bars are made of so many of the newest deliveries that match.
MOST_DELIVERIES = 20_000

DAY, WEEK = timedelta(hours=24), timedelta(days=7)

# What a bar is divided into: the words of `outcomes` in groups that people act on.
GROUPS = {
    "delivered": ("delivered",),
    "under way": ("waiting", "retrying"),
    "failed": ("failed", "dropped", "gone"),
    "cancelled": ("cancelled",),
}


@dataclass(frozen=True, slots=True)
class Times:
    """How long an endpoint took to answer, in milliseconds, in the middle and at the slow end of so many attempts."""

    attempts: int
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """How an endpoint does: a day, a week, and so many successes or failures in a row, the newest first."""

    day: Times
    week: Times
    failures_in_a_row: int
    successes_in_a_row: int


NO_FIGURES = Figures(Times(0, None, None), Times(0, None, None), 0, 0)

# What was sent again by hand, and tests, say nothing of how the endpoint does.
_FIGURES = """
SELECT endpoint.id, figures.*
FROM unnest(%(ids)s::uuid[]) endpoint (id)
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE at >= %(day)s) AS day_count,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY ms) FILTER (WHERE at >= %(day)s) AS day_times,
           count(*) AS week_count,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY ms) AS week_times,
           coalesce(min(place) FILTER (WHERE succeeded) - 1, count(*)) AS failures,
           coalesce(min(place) FILTER (WHERE NOT succeeded) - 1, count(*)) AS successes
    FROM (
        SELECT attempt.at, attempt.duration_ms AS ms, row_number() OVER (ORDER BY attempt.at DESC) AS place,
               coalesce(attempt.response_status BETWEEN 200 AND 299, false) AS succeeded
        FROM webhooks_attempt attempt
        JOIN webhooks_delivery delivery ON delivery.id = attempt.delivery_id
        WHERE attempt.subscription_id = endpoint.id AND attempt.at >= %(week)s
          AND NOT attempt.is_replay AND delivery.kind = 'event'
        ORDER BY attempt.at DESC, attempt.id DESC
        LIMIT %(most)s
    ) newest
) figures
"""


def figures_of(subscription_ids: Iterable[UUID]) -> dict[UUID, Figures]:
    """The figures of each of these endpoints; those of one that was never called are `NO_FIGURES`."""
    now = timezone.now()
    given: dict[str, Any] = {
        "ids": list(subscription_ids),
        "day": now - DAY,
        "week": now - WEEK,
        "most": MOST_ATTEMPTS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES, given)
        rows = cursor.fetchall()
    return {
        key: Figures(_times(day_count, day), _times(week_count, week), failures, successes)
        for key, day_count, day, week_count, week, failures, successes in rows
    }


def _times(count: int, quantiles: list[float] | None) -> Times:
    p50, p95 = quantiles or (None, None)
    return Times(count, p50, p95)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of time and how many deliveries of each group began in it."""

    begins: datetime
    ends: datetime
    counts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Bars:
    """Buckets from the oldest on; `is_partial` when there were more deliveries than are looked at."""

    buckets: list[Bucket]
    is_partial: bool


_OUTCOME = """
CASE state WHEN 'pending' THEN 'under way' ELSE state END
"""


def outcomes_over_time(
    deliveries: models.QuerySet[Delivery], *, begins: datetime, ends: datetime, count: int = 48
) -> Bars:
    """How these deliveries fared, by when they began, in `count` buckets of the stretch of time."""
    within = deliveries.filter(created_at__gte=begins, created_at__lt=ends)
    newest = within.order_by("-created_at", "-id").values("created_at", "state")[:MOST_DELIVERIES]
    sql, parameters = newest.query.sql_with_params()
    step = (ends - begins) / count
    grouped = (
        f"SELECT floor(extract(epoch FROM created_at - %s) / %s)::int AS bucket, {_OUTCOME} AS outcome, count(*)"  # noqa: S608 - our own words
        f" FROM ({sql}) newest GROUP BY 1, 2"
    )
    with connection.cursor() as cursor:
        cursor.execute(grouped, [begins, step.total_seconds(), *parameters])
        found = cursor.fetchall()
    counts: list[dict[str, int]] = [dict.fromkeys(GROUPS, 0) for _ in range(count)]
    for place, outcome, number in found:
        counts[min(place, count - 1)][outcome] += number
    buckets = [Bucket(begins + step * place, begins + step * (place + 1), given) for place, given in enumerate(counts)]
    return Bars(buckets, is_partial=sum(bucket.total for bucket in buckets) >= MOST_DELIVERIES)
