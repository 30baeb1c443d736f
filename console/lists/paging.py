"""Keyset pages: a cursor names the row a page begins after or ends before, so pages stay put while rows arrive."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import F, Q, QuerySet

from console.lists.fields import Unreadable

PAGE_SIZE = 40

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BIGINT = 2**63

# What descending and ascending are called.
_WAYS = {
    "moment": ("newest first", "oldest first"),
    "number": ("highest first", "lowest first"),
    "text": ("Z to A", "A to Z"),
}

Row = TypeVar("Row")


@dataclass(frozen=True)
class Sort:
    """An order of a list, `key` in the address.

    `column` may follow relations; the primary key breaks ties in the same direction, so an index should hold both.
    With `is_nullable` rows without a value come last in either direction, and the index must say NULLS LAST.
    """

    key: str
    label: str
    column: str
    descending: bool = True
    kind: str = "moment"  # or "number", "text"
    is_nullable: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """A sort and the direction it was asked for in."""

    sort: Sort
    descending: bool

    @property
    def text(self) -> str:
        """As the address holds it: `-last` is newest first."""
        return f"-{self.sort.key}" if self.descending else self.sort.key

    @property
    def words(self) -> str:
        """As people read it."""
        return f"{self.sort.label}, {_WAYS[self.sort.kind][0 if self.descending else 1]}"


@dataclass(frozen=True, slots=True)
class Place:
    """The row a page begins after, or with `is_backwards` ends before."""

    value: Any
    pk: Any
    is_backwards: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows in their order, and the cursors of the pages around them, empty where there is none."""

    rows: Sequence[Row]
    following: str
    preceding: str

    @property
    def is_first(self) -> bool:
        return not self.preceding


def read_page(rows: QuerySet[Any], order: Order, place: Place | None, *, size: int = PAGE_SIZE) -> Page[Any]:
    """The page of `rows` at a place; going back to before the first full page shows the first page."""
    if place and place.is_backwards:
        found = list(ordered(rows.filter(beyond(order, place)), order, backwards=True)[: size + 1])
        if len(found) > size:
            shown = found[size - 1 :: -1]
            return Page(shown, _cursor(order, shown[-1]), _cursor(order, shown[0], backwards=True))
        place = None
    if place:
        rows = rows.filter(beyond(order, place))
    found = list(ordered(rows, order)[: size + 1])
    shown = found[:size]
    following = _cursor(order, shown[-1]) if len(found) > size else ""
    if place is None:
        return Page(shown, following, "")
    before = _cursor(order, shown[0], backwards=True) if shown else _text(order, place, backwards=True)
    return Page(shown, following, before)


def ordered(rows: QuerySet[Any], order: Order, *, backwards: bool = False) -> QuerySet[Any]:
    """The rows in this order, or in its reverse."""
    descending = order.descending != backwards
    column, pk = F(order.sort.column), F("pk")
    if not order.sort.is_nullable:
        return rows.order_by(column.desc() if descending else column.asc(), pk.desc() if descending else pk.asc())
    nulls = {"nulls_first": True} if backwards else {"nulls_last": True}
    first = column.desc(**nulls) if descending else column.asc(**nulls)
    return rows.order_by(first, pk.desc() if descending else pk.asc())


def beyond(order: Order, place: Place) -> Q:
    """Rows after a place, or before it.

    `c <= x AND (c < x OR pk < y)` is a single range of the index on (c, pk); the plain OR form reads it all.
    """
    column = order.sort.column
    side = "lt" if order.descending != place.is_backwards else "gt"
    beside = Q(**{f"pk__{side}": place.pk})
    empty = Q(**{f"{column}__isnull": True})
    if place.value is None:
        within = empty & beside
        return within | ~empty if place.is_backwards else within
    further = Q(**{f"{column}__{side}e": place.value}) & (Q(**{f"{column}__{side}": place.value}) | beside)
    return further | empty if order.sort.is_nullable and not place.is_backwards else further


def read_cursor(text: str, order: Order, model: Any) -> Place:
    """The place that a cursor names in this order; raises `Unreadable` for one of another order, or of none."""
    try:
        direction, sort, value, pk = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
        if sort != order.text or direction not in {"after", "before"}:
            raise Unreadable("belongs to another order of the list")
        if value is None and not order.sort.is_nullable:
            raise Unreadable("cannot be read")
        return Place(_decoded(order.sort, value), _key(model, pk), is_backwards=direction == "before")
    except Unreadable:
        raise
    except (ValueError, TypeError, OverflowError, binascii.Error, ValidationError, RecursionError) as odd:
        raise Unreadable("cannot be read") from odd


def _cursor(order: Order, row: Any, *, backwards: bool = False) -> str:
    return _text(order, Place(value_of(row, order.sort.column), row.pk), backwards=backwards)


def _text(order: Order, place: Place, *, backwards: bool) -> str:
    value = place.value
    if isinstance(value, datetime):
        value = (value - _EPOCH) // _MICROSECOND
    named = ["before" if backwards else "after", order.text, value, str(place.pk)]
    return base64.urlsafe_b64encode(json.dumps(named, separators=(",", ":")).encode()).decode()


def value_of(row: Any, path: str) -> Any:
    """The value at the end of a lookup path of plain columns and single relations; None where the path ends early."""
    for name in path.split("__"):
        row = getattr(row, name, None)
    return row


def _decoded(sort: Sort, value: Any) -> Any:
    if value is None:
        return None
    if sort.kind == "moment":
        return _EPOCH + timedelta(microseconds=_whole(value))
    if sort.kind == "number":
        return value if isinstance(value, float) else _whole(value)
    if not isinstance(value, str) or "\x00" in value:
        raise Unreadable("cannot be read")
    value.encode()  # PostgreSQL takes no lone surrogates
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or not -_BIGINT <= value < _BIGINT:
        raise Unreadable("cannot be read")
    return value


def _key(model: Any, text: Any) -> Any:
    key = model._meta.pk.to_python(str(text))
    return _whole(key) if isinstance(key, int) else key
