"""Keyset pages: a cursor names the last row shown, so pages stay where they are while rows arrive above."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db.models import Q, QuerySet

PAGE_SIZE = 40

Row = TypeVar("Row")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows, newest first, and the cursor of the next page, empty at the end."""

    rows: Sequence[Row]
    older: str
    is_first: bool


def keyset_page(rows: QuerySet[Any], *, time_field: str, before: str, size: int = PAGE_SIZE) -> Page[Any]:
    """The page of `rows` that begins after the row named by `before`; a cursor that cannot be read begins anew."""
    place = _place(before)
    if place:
        at, pk = place
        rows = rows.filter(**{f"{time_field}__lte": at}).filter(Q(**{f"{time_field}__lt": at}) | Q(pk__lt=pk))
    found = list(rows.order_by(f"-{time_field}", "-pk")[: size + 1])
    shown = found[:size]
    more = len(found) > size
    return Page(rows=shown, older=_cursor(shown[-1], time_field) if more else "", is_first=place is None)


def _cursor(row: Any, time_field: str) -> str:
    microseconds = (getattr(row, time_field) - _EPOCH) // timedelta(microseconds=1)
    return f"{microseconds}.{row.pk.hex}"


def _place(cursor: str) -> tuple[datetime, UUID] | None:
    microseconds, _, key = cursor.partition(".")
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds)), UUID(key)
    except (ValueError, OverflowError):
        return None
