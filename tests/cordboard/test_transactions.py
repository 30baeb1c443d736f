"""In a worker, too, a job belongs to the transaction that wakes it."""

import pytest
from django.db import connection, transaction
from procrastinate.contrib.django import app

from core.wake import wake


@pytest.mark.django_db(transaction=True)
def test_a_job_that_a_worker_wakes_is_gone_with_the_rollback() -> None:
    with app.replace_connector(app.connector.get_worker_connector()), transaction.atomic():
        wake("imessage.sweep", once="rolled back", timestamp=0)
        transaction.set_rollback(True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE queueing_lock = 'rolled back'")
        assert cursor.fetchone() == (0,)
