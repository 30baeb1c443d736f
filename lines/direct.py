"""Calls that a request waits for: typing, read receipts, tapbacks; bounded, so that a slow provider stops nobody."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, replace
from uuid import UUID

from django.conf import settings

from core.errors import Busy, Upstream
from lines.models import Line
from lines.providers import driver_of, opened
from lines.providers.base import Account, Deadlines, Driver, ErrorClass, ProviderCallFailed

# Per web process; eight slow direct calls once stopped a whole site (architecture.md, section 7).
MOST_PER_LINE = 2

_lock = threading.Lock()
_in_flight: Counter[UUID] = Counter()

_patience: ContextVar[float | None] = ContextVar("patience", default=None)


@contextlib.contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    """For a caller that waits no longer: no direct call of this request takes more than so many seconds."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


@contextlib.contextmanager
def direct_call(line: Line) -> Iterator[tuple[Driver, Account]]:
    """The line's driver and account for one call, outside any transaction.

    Raises `Busy` when too many are under way, `Upstream` when the provider did not do it: nothing was recorded,
    and these calls are safe to repeat.
    """
    if line.holds_queue:
        raise Upstream("The line is not available just now; repeat later.")
    _enter(line)
    try:
        yield driver_of(line.account), _hurried(opened(line.account))
    except ProviderCallFailed as failed:
        raise Upstream(_sentence(failed)) from failed
    finally:
        _leave(line)


def _hurried(account: Account) -> Account:
    most = _patience.get()
    if most is None:
        return account
    waits = {name: min(wait, most) for name, wait in asdict(account.deadlines).items()}
    return replace(account, deadlines=Deadlines(**waits))


def _enter(line: Line) -> None:
    with _lock:
        if _in_flight[line.id] >= MOST_PER_LINE or _in_flight.total() >= max(1, settings.WEB_THREADS // 2):
            raise Busy(retry_after=1)
        _in_flight[line.id] += 1


def _leave(line: Line) -> None:
    with _lock:
        _in_flight[line.id] -= 1
        if not _in_flight[line.id]:
            del _in_flight[line.id]


def _sentence(failed: ProviderCallFailed) -> str:
    if failed.error and failed.error.error_class is ErrorClass.PERMANENT:
        return f"The provider refused: {failed.error.text or failed.error.code}"
    return "The provider did not take the call; it is safe to repeat."
