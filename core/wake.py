"""Waking a job by its task's name, in the caller's transaction: how an app reaches a higher one."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from core import notices

# What Procrastinate's workers listen to; one word wakes them for all jobs of a transaction.
CHANNEL = "procrastinate_any_queue_v1"
_INSERTED = json.dumps({"type": "job_inserted", "job_id": 0})

# CTEs for a statement that does more than queue; in `due` is a row when a worker has something to do now.
# Into the library's own table: its function would need a savepoint against the unique violation of a waiting twin,
# three round trips for one. A twin that was scheduled ahead runs now.
QUEUE = """
queued AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
    VALUES ('default', %(job_task)s, %(job_priority)s, %(job_lock)s, %(job_once)s, %(job_args)s::jsonb, %(job_at)s)
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
    RETURNING id
), hurried AS (
    UPDATE procrastinate_jobs SET scheduled_at = NULL
    WHERE queueing_lock = %(job_once)s AND status = 'todo' AND scheduled_at > now()
        AND %(job_at)s::timestamptz IS NULL AND NOT EXISTS (SELECT FROM queued)
    RETURNING id
), due AS (
    SELECT id FROM queued WHERE %(job_at)s::timestamptz IS NULL UNION ALL SELECT id FROM hurried
)
"""
_QUEUE = f"WITH {QUEUE} SELECT id FROM due"  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Job:
    """A task with its arguments. `lock`: jobs of one lock run one after the other, in order. `once`: nothing happens
    when a job with this word waits already. `at`: not before then. `priority`: before all others of a lower one."""

    task: str
    args: dict[str, Any]
    lock: str | None = None
    once: str | None = None
    at: datetime | None = None
    priority: int = 0

    def values(self) -> dict[str, Any]:
        """What `QUEUE` is executed with."""
        return {
            "job_task": self.task,
            "job_lock": self.lock,
            "job_once": self.once,
            "job_args": json.dumps(self.args),
            "job_at": self.at,
            "job_priority": self.priority,
        }


def wake(
    task: str, *, lock: str | None = None, once: str | None = None, at: datetime | None = None, **args: Any
) -> None:
    """Queue the task's job; it runs only if the transaction commits. See `Job` for `lock`, `once` and `at`.

    Workers hear of it after the commit, and poll besides.
    """
    with connection.cursor() as cursor:
        cursor.execute(_QUEUE, Job(task, args, lock=lock, once=once, at=at).values())
        is_due = cursor.fetchone() is not None
    if is_due:
        tell_workers()


def tell_workers() -> None:
    """Once the transaction has committed, have the workers look at the queue."""
    notices.after_commit(CHANNEL, _INSERTED)
