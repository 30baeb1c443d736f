"""The live feed: after commit, an event's number goes out by NOTIFY; whoever missed it reads the table.

Nothing here may harm the work it reports: a failed publish is counted and logged, never raised.
"""

import json
import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection
from django.db.models import Func, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast

from core import notices
from events.models import Event, Xid8Field

logger = logging.getLogger(__name__)

CHANNEL = "cordboard"

# A lower number may commit after a higher one; catching up reads so far back and drops what was seen.
MARGIN = 200

_COLUMNS = ("number", "type", "organization_id", "identity_id", "conversation_id", "subject_id")
_HORIZON = Func(Func(function="pg_current_snapshot"), function="pg_snapshot_xmin", output_field=Xid8Field())


@dataclass(frozen=True, slots=True)
class FeedItem:
    """What a page needs to know of an event to decide whether to re-fetch; never any text."""

    number: int
    type: str
    organization_id: UUID | None
    identity_id: UUID | None
    conversation_id: UUID | None
    subject_id: str = ""


def publish_after_commit(number: int) -> None:
    """Once the current transaction has committed, send the event's number to every web process."""
    notices.after_commit(CHANNEL, json.dumps({"number": number}))


def publish_signal(signal: dict[str, Any]) -> None:
    """Send something that is shown and never stored to every web process, now: a typing bubble, progress of a job.

    What the kinds are and which pages hear them: `console/topics.py`.
    """
    _notify({"signal": signal})


def publish_topics(organization_id: UUID | None, topics: list[str]) -> None:
    """Once the current transaction has committed, have every page that shows one of these topics fetch it anew.

    Pages of the organization and of operators; without one, of operators alone. For what changes too often to be an
    event; stored nowhere, so a page that was away fetches everything anyway.
    """
    signal = {"kind": "topics", "organization_id": str(organization_id or ""), "topics": topics}
    notices.after_commit(CHANNEL, json.dumps({"signal": signal}))


def _notify(payload: dict[str, Any]) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, json.dumps(payload)])
    except DatabaseError:
        # Sockets catch up from the table: every listener also polls it.
        logger.warning("Could not publish to the live feed", exc_info=True)


def last_number() -> int:
    """The highest number given so far, 0 when there is none."""
    return Event.objects.order_by("-number").values_list("number", flat=True).first() or 0


def items_since(number: int, *, limit: int = 500) -> list[FeedItem]:
    """Events after `number`, and those of the margin before it, in the order of their numbers.

    At most `limit` beyond the margin: a reader that gets so many should start afresh.
    """
    rows = _after(number - MARGIN).values_list(*_COLUMNS)
    return [FeedItem(*row) for row in rows[: limit + MARGIN]]


class Reader:
    """`items_since` for one who reads over and over: of the margin only what may not have been there at the last time.

    Whoever has read and then could not make use of it begins with a new one.
    """

    def __init__(self) -> None:
        # What transactions below this one wrote was there already.
        self._known_below = "0"

    def items_since(self, number: int, *, limit: int = 500) -> list[FeedItem]:
        """Events after `number`, and those of the margin before it that a slower transaction may have added."""
        known_below = Cast(Value(self._known_below), Xid8Field())
        rows = _after(number - MARGIN).filter(Q(number__gt=number) | Q(xid__gte=known_below))
        found = list(rows.values_list(*_COLUMNS, Cast(_HORIZON, TextField()))[: limit + MARGIN])
        if found:
            self._known_below = found[0][-1]
        return [FeedItem(*row[:-1]) for row in found]


def _after(number: int) -> QuerySet[Event]:
    return Event.objects.filter(number__gt=number).order_by("number")
