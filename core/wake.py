"""Waking a job by its task's name, in the caller's transaction: how an app reaches a higher one."""

from datetime import datetime
from typing import Any

from django.db import connection, transaction
from procrastinate import exceptions
from procrastinate.contrib.django import app


def wake(
    task: str, *, lock: str | None = None, once: str | None = None, at: datetime | None = None, **args: Any
) -> None:
    """Queue the task's job; it runs only if the transaction commits.

    `lock`: jobs of one lock run one after the other, in order. `once`: nothing happens when a job with this
    word waits already. The nested `atomic` is what saves the outer transaction: an `AlreadyEnqueued` caught
    without a savepoint rolls it back without an exception (stack.md, section 2).
    """
    job = app.configure_task(task, lock=lock, queueing_lock=once, schedule_at=at)
    if once is None:
        job.defer(**args)
        return
    try:
        with transaction.atomic():
            job.defer(**args)
    except exceptions.AlreadyEnqueued:
        if at is None and once is not None:
            _hurry(once)


def _hurry(once: str) -> None:
    """Let a twin that was scheduled ahead run now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_jobs SET scheduled_at = NULL"
            " WHERE queueing_lock = %s AND status = 'todo' AND scheduled_at > now()",
            [once],
        )
