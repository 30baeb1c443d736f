"""Short words to other processes by NOTIFY, once their transaction has committed.

Never inside it: a NOTIFY makes every commit of the database wait for one lock (architecture.md, section 8).
"""

import logging

from django.db import DatabaseError, connection, transaction

logger = logging.getLogger(__name__)


def after_commit(channel: str, payload: str) -> None:
    """Say it once the current transaction has committed, at once outside of any; never twice in one transaction.

    All that a transaction has to say goes in one statement. A failure is logged, never raised: whoever listens also
    polls. What a rolled back savepoint had to say may be said all the same, and must do no harm.
    """
    # On the connection, for each thread has its own; a dict, for it keeps the order.
    unsaid = connection.__dict__.setdefault("unsaid_notices", {})
    unsaid[channel, payload] = None
    transaction.on_commit(_say, robust=True)


def _say() -> None:
    """Say all that waits; of a transaction's callbacks the first finds it, the others nothing."""
    unsaid = connection.__dict__.pop("unsaid_notices", {})
    if not unsaid:
        return
    channels, payloads = map(list, zip(*unsaid, strict=True))
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS notice (channel, payload)",
                [channels, payloads],
            )
    except DatabaseError:
        logger.warning("Could not notify other processes", exc_info=True)
