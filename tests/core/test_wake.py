"""A job is queued in the transaction of whoever wakes it, in a worker too."""

import pytest
from django.db import transaction
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob

from core.wake import wake

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("once", [None, "word"])
def test_a_worker_queues_nothing_when_the_transaction_is_undone(once: str | None) -> None:
    # A running worker has put its own connector into the app: its connections know nothing of our transaction.
    with app.replace_connector(app.connector.get_worker_connector()):
        with transaction.atomic():
            wake("lines.probe_all", once=once, timestamp=0)
            assert ProcrastinateJob.objects.filter(task_name="lines.probe_all").exists()
            transaction.set_rollback(True)
    assert not ProcrastinateJob.objects.filter(task_name="lines.probe_all").exists()
