"""Waking a job by its task's name, in the caller's transaction: how an app reaches a higher one."""

import json
from datetime import datetime
from typing import Any

from django.db import connection

from core import notices

# What Procrastinate's workers listen to; one word wakes them for all jobs of a transaction.
CHANNEL = "procrastinate_any_queue_v1"
_INSERTED = json.dumps({"type": "job_inserted", "job_id": 0})

# Into the library's own table: its function would need a savepoint against the unique violation of a waiting twin,
# three round trips for one. A twin that was scheduled ahead runs now.
_QUEUE = """
WITH queued AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
    VALUES ('default', %(task)s, 0, %(lock)s, %(once)s, %(args)s::jsonb, %(at)s)
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
    RETURNING id
), hurried AS (
    UPDATE procrastinate_jobs SET scheduled_at = NULL
    WHERE queueing_lock = %(once)s AND status = 'todo' AND scheduled_at > now()
        AND %(at)s::timestamptz IS NULL AND NOT EXISTS (SELECT FROM queued)
    RETURNING id
)
SELECT id FROM queued UNION ALL SELECT id FROM hurried
"""


def wake(
    task: str, *, lock: str | None = None, once: str | None = None, at: datetime | None = None, **args: Any
) -> None:
    """Queue the task's job; it runs only if the transaction commits.

    `lock`: jobs of one lock run one after the other, in order. `once`: nothing happens when a job with this
    word waits already. Workers hear of it after the commit, and poll besides.
    """
    with connection.cursor() as cursor:
        cursor.execute(_QUEUE, {"task": task, "lock": lock, "once": once, "args": json.dumps(args), "at": at})
        is_due = cursor.fetchone() is not None and at is None
    if is_due:
        notices.after_commit(CHANNEL, _INSERTED)
