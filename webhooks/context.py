"""What went before an inbound text, for endpoints that ask for it: read from the events, never from messages.

Texts are all there is here; the classes of other channels are answered empty (contract/inkbox.md 15.5).
"""

from datetime import timedelta
from typing import Any

from django.db import models

from dialects.inkbox import webhook_context_item
from events.models import Event

_TOLD = ("message.received", "message.sent")
MOST_ITEMS = 50


def before(event: Event, config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Per class that the endpoint asks for, its history before the event; None when it asks for none."""
    wanted = {name: given for name, given in (config or {}).items() if given}
    if not wanted:
        return None
    return {name: _history(event, given) if name == "texts" else _empty(given) for name, given in wanted.items()}


def messages_before(event: Event, most: int) -> list[dict[str, Any]]:
    """The last so many messages of the conversation before the event, as they were told, oldest first."""
    if not most or event.conversation_id is None:
        return []
    found = list(_earlier(event)[:most])
    return [row.data["message"] for row in reversed(found)]


def _earlier(event: Event) -> models.QuerySet[Event]:
    rows = Event.objects.filter(conversation_id=event.conversation_id, number__lt=event.number, type__in=_TOLD)
    return rows.order_by("-number")


def _history(event: Event, wanted: dict[str, Any]) -> dict[str, Any]:
    earlier = _earlier(event)
    most = wanted.get("count", MOST_ITEMS)
    if hours := wanted.get("hours"):
        earlier = earlier.filter(at__gte=event.at - timedelta(hours=hours))
    found = list(earlier[: most + 1])
    # Newest first out of the table, oldest first to the reader.
    items = [webhook_context_item(row.data["message"]) for row in reversed(found[:most])]
    return _answer(wanted, items, truncated=len(found) > most)


def _empty(wanted: dict[str, Any]) -> dict[str, Any]:
    return _answer(wanted, [], truncated=False)


def _answer(wanted: dict[str, Any], items: list[dict[str, Any]], *, truncated: bool) -> dict[str, Any]:
    asked = {"requested": wanted["count"]} if wanted["mode"] == "count" else {"hours": wanted["hours"]}
    return {"scope": "conversation", "items": items, "truncated": truncated, "mode": wanted["mode"], **asked}
