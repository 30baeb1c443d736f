"""Figures of endpoints, and outcomes over time."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Identity
from core.ids import uuid7
from tests.webhooks.endpoints import subscribe
from webhooks.models import Attempt, Delivery, Subscription
from webhooks.outcomes import OUTCOMES, is_outcome, outcome_of
from webhooks.statistics import figures_of, outcomes_over_time

pytestmark = pytest.mark.django_db


def make_delivery(subscription: Subscription, **fields: Any) -> Delivery:
    return Delivery.objects.create(
        organization_id=subscription.organization_id,
        identity_id=subscription.identity_id,
        subscription=subscription,
        **{"event_id": uuid7(), "event_type": "message.received", "body": "{}", **fields},
    )


def attempt(delivery: Delivery, status: int | None, ms: int, *, age: timedelta, **fields: Any) -> Attempt:
    return Attempt.objects.create(
        organization_id=delivery.organization_id,
        identity_id=delivery.identity_id,
        subscription_id=delivery.subscription_id,
        delivery=delivery,
        number=1,
        url="https://agent.example.com",
        request_headers={},
        response_status=status,
        duration_ms=ms,
        at=timezone.now() - age,
        **fields,
    )


def test_quantiles_of_a_day_and_a_week_and_the_run_of_failures(identity: Identity) -> None:
    delivery = make_delivery(subscribe(identity, "https://agent.example.com"))
    for hours, status, ms in [(50, 200, 1000), (3, 200, 100), (2, None, 300), (1, 500, 200)]:
        attempt(delivery, status, ms, age=timedelta(hours=hours))
    attempt(delivery, 200, 9999, age=timedelta(0), is_replay=True)
    attempt(make_delivery(delivery.subscription, kind="test"), 200, 9999, age=timedelta(0))
    attempt(delivery, 200, 9999, age=timedelta(days=8))
    found = figures_of([delivery.subscription_id])[delivery.subscription_id]
    assert (found.day.attempts, found.day.p50, found.day.p95) == (3, 200, 290)
    assert (found.week.attempts, found.week.p50) == (4, 250)
    assert (found.failures_in_a_row, found.successes_in_a_row) == (2, 0)


def test_an_endpoint_that_was_never_called_has_none(identity: Identity) -> None:
    subscription = subscribe(identity, "https://agent.example.com")
    found = figures_of([subscription.id])[subscription.id]
    assert (found.day.attempts, found.day.p50, found.failures_in_a_row) == (0, None, 0)


@pytest.mark.parametrize(
    ("word", "fields"),
    [
        ("waiting", {"state": "pending"}),
        ("retrying", {"state": "pending", "attempts_made": 1}),
        ("delivered", {"state": "delivered"}),
        ("failed", {"state": "failed"}),
        ("dropped", {"state": "failed", "ending": "dropped"}),
        ("gone", {"state": "failed", "ending": "gone"}),
        ("cancelled", {"state": "cancelled"}),
    ],
)
def test_each_delivery_has_one_word(word: str, fields: dict[str, Any], identity: Identity) -> None:
    delivery = make_delivery(subscribe(identity, "https://agent.example.com"), **fields)
    assert outcome_of(delivery) == word
    assert [other for other in OUTCOMES if Delivery.objects.filter(is_outcome(other)).exists()] == [word]


def test_outcomes_stand_in_the_bucket_in_which_their_delivery_began(identity: Identity) -> None:
    subscription = subscribe(identity, "https://agent.example.com")
    now = timezone.now()
    make_delivery(subscription, state="delivered", created_at=now - timedelta(hours=5))
    make_delivery(subscription, state="failed", created_at=now - timedelta(minutes=30))
    make_delivery(subscription, created_at=now - timedelta(minutes=20))
    make_delivery(subscription, created_at=now - timedelta(hours=7))
    bars = outcomes_over_time(Delivery.objects.all(), begins=now - timedelta(hours=6), ends=now, count=6)
    assert [bucket.total for bucket in bars.buckets] == [0, 1, 0, 0, 0, 2]
    assert bars.buckets[5].counts == {"delivered": 0, "under way": 1, "failed": 1, "cancelled": 0}
    assert not bars.is_partial
