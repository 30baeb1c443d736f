"""The two ways in which AgentPhone's lists are read: by offset, and by a cursor in time."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpResponse
from pydantic import BaseModel, Field

from api.agentphone.finding import key_in, messages
from api.parsing import TEXT, Documented, respond
from core.actor import Actor
from core.errors import Invalid, NotFound
from dialects import agentphone
from imessage.listing import message_shapes
from imessage.models import Message, MessageQuerySet
from lines.showing import addresses_of

Row = TypeVar("Row", bound=Model)

_YEARS = range(1900, 3000)

Cursor = Annotated[
    str,
    Field(min_length=1, max_length=60, description="A time in ISO 8601, or the id of a message."),
    *TEXT,
    Documented(format="cursor"),
]


class Window(BaseModel):
    """Which part of a list is asked for."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0


class Windowed(Protocol):
    """What such a query has."""

    limit: int
    offset: int


class History(BaseModel):
    """Which messages are asked for: strictly before, strictly after, or between; the newest first."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    before: Cursor | None = None
    after: Cursor | None = None


def answer_window(rows: QuerySet[Row], window: Windowed, shown: Callable[[Row], dict[str, Any]]) -> HttpResponse:
    """The part of the rows that was asked for, with how many there are in all."""
    return answer_whole_window(rows, window, lambda page: [shown(row) for row in page])


def answer_whole_window(
    rows: QuerySet[Row], window: Windowed, shown: Callable[[list[Row]], list[dict[str, Any]]]
) -> HttpResponse:
    """The same of rows that are shown together."""
    total = rows.count()
    page = list(rows[window.offset : window.offset + window.limit])
    more = window.offset + len(page) < total
    return respond(agentphone.page(shown(page), has_more=more, total=total))


def answer_history(
    actor: Actor, rows: MessageQuerySet, history: History, shown: Callable[..., list[dict[str, Any]]]
) -> HttpResponse:
    """The messages that were asked for, each as the rows that `shown` makes of it."""
    rows = _between(actor, rows, history).order_by("-created_at", "-id")
    found, more = rows_of(actor, rows, limit=history.limit, shown=shown)
    return respond(agentphone.page(found, has_more=more))


def rows_of(
    actor: Actor,
    rows: MessageQuerySet,
    *,
    limit: int,
    shown: Callable[..., list[dict[str, Any]]] = agentphone.messages,
) -> tuple[list[dict[str, Any]], bool]:
    """At most `limit` rows of these messages, and whether there are more. No carousel is cut in two."""
    shapes = message_shapes(rows[: limit + 1])
    addresses = addresses_of({shape["line_id"] for shape in shapes})
    parents = _parents(actor, shapes)
    found: list[dict[str, Any]] = []
    for shape in shapes:
        parent = parents.get(shape["reply_to"]["message_id"]) if shape["reply_to"] else None
        new = shown(shape, address=addresses[shape["line_id"]], parent=parent)
        if found and len(found) + len(new) > limit:
            return found, True
        found += new
    return found, False


def _between(actor: Actor, rows: MessageQuerySet, history: History) -> MessageQuerySet:
    for name, lookup in (("before", "lt"), ("after", "gt")):
        if (text := getattr(history, name)) is not None:
            rows = rows.filter(**{f"created_at__{lookup}": _moment(actor, text, name=name)})
    return rows


def _moment(actor: Actor, text: str, *, name: str) -> datetime:
    """A time, or that of the message that is named; a client may have lost a plus on the way."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        return _moment_of(actor, text, name=name)
    if moment.year not in _YEARS:
        raise Invalid("The year must lie between 1900 and 2999.", loc=["query", name])
    # PostgreSQL reads fewer offsets than ISO 8601 can write.
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment_of(actor: Actor, text: str, *, name: str) -> datetime:
    try:
        key = key_in(agentphone.MESSAGE, text)
    except NotFound as odd:
        raise Invalid("Must be an ISO 8601 time or the id of a message.", loc=["query", name]) from odd
    rows = messages(actor)
    message: Message | None = rows.filter(pk=key).first() or rows.filter(parts__id=key).first()
    if message is None:
        raise NotFound()
    return message.created_at


def _parents(actor: Actor, shapes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What these messages reply to, by id; most pages hold it already."""
    known = {shape["id"]: shape for shape in shapes}
    missing = {shape["reply_to"]["message_id"] for shape in shapes if shape["reply_to"]} - known.keys()
    if missing:
        known |= {shape["id"]: shape for shape in message_shapes(messages(actor).filter(pk__in=missing))}
    return known
