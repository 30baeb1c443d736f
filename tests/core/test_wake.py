"""Waking jobs inside a transaction."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import Organization
from core.wake import wake
from tests.providers.scripted import forget_jobs, waiting_jobs

pytestmark = pytest.mark.django_db


def test_a_twin_does_not_destroy_the_outer_transaction() -> None:
    wake("imessage.sweep", once="same", timestamp=0)
    with transaction.atomic():
        Organization.objects.create(name="Kept")
        wake("imessage.sweep", once="same", timestamp=0)
        Organization.objects.create(name="Kept too")
    assert Organization.objects.count() == 2
    assert len(waiting_jobs("imessage.sweep")) == 1


def test_a_job_goes_back_with_its_transaction() -> None:
    with transaction.atomic():
        wake("imessage.sweep", timestamp=0)
        transaction.set_rollback(True)
    assert waiting_jobs() == []


def test_a_wake_up_hurries_a_twin_that_was_planned_for_later() -> None:
    wake("imessage.sweep", once="same", at=timezone.now() + timedelta(hours=1), timestamp=0)
    wake("imessage.sweep", once="same", timestamp=0)
    assert [job["at"] for job in waiting_jobs()] == [None]


def test_a_plan_for_later_does_not_hold_up_a_twin_that_is_due() -> None:
    wake("imessage.sweep", once="same", timestamp=0)
    wake("imessage.sweep", once="same", at=timezone.now() + timedelta(hours=1), timestamp=0)
    assert [job["at"] for job in waiting_jobs()] == [None]
    forget_jobs()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("once", [None, "word"])
def test_a_worker_queues_nothing_when_the_transaction_is_undone(once: str | None) -> None:
    # A running worker has put its own connector into the app: its connections know nothing of our transaction.
    with app.replace_connector(app.connector.get_worker_connector()):
        with transaction.atomic():
            wake("lines.probe_all", once=once, timestamp=0)
            assert ProcrastinateJob.objects.filter(task_name="lines.probe_all").exists()
            transaction.set_rollback(True)
    assert not ProcrastinateJob.objects.filter(task_name="lines.probe_all").exists()
