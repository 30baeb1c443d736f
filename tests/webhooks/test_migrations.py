"""What the migrations of webhooks make of rows that were there before."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Identity
from tests.webhooks.endpoints import subscribe
from tests.webhooks.test_statistics import attempt, make_delivery
from webhooks.models import Attempt, Delivery

pytestmark = pytest.mark.django_db


def test_deliveries_learn_from_their_attempts_how_the_last_one_went(identity: Identity) -> None:
    fill = import_module("webhooks.migrations.0003_fill_outcomes")
    delivery = make_delivery(subscribe(identity, "https://agent.example.com"), state="failed")
    attempt(delivery, 200, 40, age=timedelta(hours=2))
    last = attempt(delivery, 503, 25, age=timedelta(hours=1), is_replay=True)
    untried = make_delivery(subscribe(identity, "https://agent.example.com/2", status="disabled"), state="failed")
    Attempt.objects.update(cause="")
    with connection.cursor() as cursor:
        cursor.execute(fill._CAUSES)
        cursor.execute(fill._DELIVERIES)
    delivery.refresh_from_db()
    untried.refresh_from_db()
    assert (delivery.tries, delivery.last_try_at, delivery.last_status, delivery.last_ms, delivery.cause) == (
        2,
        last.at,
        503,
        25,
        "server",
    )
    assert (delivery.identity_id, delivery.replayed_at, delivery.ending) == (identity.id, last.at, "")
    assert (untried.tries, untried.last_try_at, untried.ending) == (0, None, "dropped")
    assert Delivery.objects.count() == 2
    assert last.at < timezone.now()
