"""A gate for what leaves an identity: whoever shuts it waits until the calls that went through it have ended.

A drain decides under the identity's lock and calls the provider after the lock is gone, since no network call may
lie in a transaction. Without the gate a rule could be answered while a text decided before it is still leaving.
"""

import contextlib
from collections.abc import Callable, Iterator
from uuid import UUID

from django.db import Error, OperationalError, connection, transaction

# A hung provider must not hold up a rule for ever; what was under way for so long left before the rule.
LONGEST_WAIT = 3_000  # milliseconds


@contextlib.contextmanager
def passage() -> Iterator[Callable[[UUID], None]]:
    """Gives a function to go through an identity's gate with, under its lock; the block's end leaves again.

    The lock is the database session's, not the transaction's: a dead process leaves with its connection.
    """
    entered: list[UUID] = []

    def enter(identity_id: UUID) -> None:
        _lock("pg_advisory_lock_shared", identity_id)
        entered.append(identity_id)

    try:
        yield enter
    finally:
        for identity_id in entered:
            # A lost connection has left by itself, and must not hide what the call came to.
            with contextlib.suppress(Error):
                _lock("pg_advisory_unlock_shared", identity_id)


def shut(identity_id: UUID) -> None:
    """Wait, inside the caller's transaction and under the identity's lock, until nothing is leaving any more."""
    # A failure undoes the savepoint and its timeout; anything worse shows at the caller's next statement.
    with contextlib.suppress(OperationalError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LONGEST_WAIT}ms"])
        _lock("pg_advisory_xact_lock", identity_id)
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")


def _lock(function: str, identity_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtext('leaving'), hashtext(%s))", [str(identity_id)])
