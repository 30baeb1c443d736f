"""A stretch of time in an address: the last hours (`range=24h`), or fixed bounds in UTC (`from`, `to`)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from console.lists.fields import Unreadable
from core.errors import Invalid
from core.moments import moment_of

KEYS = ("range", "from", "to")

_UNITS = {"m": ("minutes", "minute"), "h": ("hours", "hour"), "d": ("days", "day"), "w": ("weeks", "week")}
_LENGTH = re.compile(r"([1-9][0-9]{0,4})([mhdw])")


@dataclass(frozen=True, kw_only=True)
class Range:
    """The column of time that a list's stretch is about, and what its name is: *Last activity*."""

    column: str
    label: str
    presets: tuple[str, ...] = ("1h", "24h", "7d", "30d")

    def narrow(self, rows: QuerySet[Any], key: str, value: str | datetime, *, now: datetime) -> QuerySet[Any]:
        """The rows within one bound."""
        bound = begin_of(value, now) if isinstance(value, str) else value
        return rows.filter(**{f"{self.column}__{'lt' if key == 'to' else 'gte'}": bound})


def read_bound(key: str, text: str) -> str | datetime:
    """The value of `range`, `from` or `to`; raises `Unreadable`."""
    if key == "range":
        length_of(text)
        return text
    try:
        return moment_of(text).astimezone(UTC)
    except (Invalid, OverflowError) as odd:
        raise Unreadable("is no moment in ISO 8601") from odd


def length_of(text: str) -> timedelta:
    """How long `24h` is; raises `Unreadable`."""
    found = _LENGTH.fullmatch(text) if text.isascii() else None
    if not found:
        raise Unreadable("is no length of time, such as 24h or 7d")
    return timedelta(**{_UNITS[found[2]][0]: int(found[1])})


def begin_of(text: str, now: datetime) -> datetime:
    """Where a moving stretch begins at a moment."""
    return now - length_of(text)


def bound_text(value: str | datetime) -> str:
    """A bound as the address holds it, UTC with Z."""
    return value if isinstance(value, str) else value.isoformat().replace("+00:00", "Z")


def bound_words(key: str, value: str | datetime) -> str:
    """A bound in words: *last 24 hours*, *since 3 Nov 2026, 10:00 UTC*."""
    if isinstance(value, str):
        number, unit = value[:-1], _UNITS[value[-1]]
        return f"last {unit[1]}" if number == "1" else f"last {number} {unit[0]}"
    return f"{'until' if key == 'to' else 'since'} {value.day} {value:%b %Y, %H:%M} UTC"
