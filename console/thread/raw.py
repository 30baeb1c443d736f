"""A thread's events as JSON lines, and one message as JSON: what is stored, for whoever wants to see it bare."""

from collections.abc import Iterator
from typing import Any

import orjson

from console.masking import masked_within, sees_numbers
from core.actor import Actor, Role
from events.models import Event
from imessage.history import events_of
from imessage.models import Conversation, Message
from imessage.shapes import iso, message_shape
from lines.models import Line

HIDDEN = "Text hidden from viewers"
_CHUNK = 500


def event_lines(actor: Actor, thread: Conversation) -> Iterator[bytes]:
    """One line per event that the reader may see, oldest first; read as they are sent. Numbers are masked
    for whom pages mask them."""
    for event in events_of(Event.objects.visible_to(actor), thread).iterator(chunk_size=_CHUNK):
        yield orjson.dumps(_readable(actor, _event(event)), default=str) + b"\n"


def message_json(actor: Actor, message: Message) -> dict[str, Any]:
    """A message in our canonical shape, with the verdict it was given and its steps."""
    shape = message_shape(message) | {
        "verdict": {
            "filter_mode": message.filter_mode,
            "rule_id": message.rule_id,
            "rule_revision": message.rule_revision,
            "released_at": iso(message.released_at),
        },
        "provider_at": iso(message.provider_at),
        "steps": [
            {"state": step.state, "detail": step.detail, "at": iso(step.at), "noted_at": iso(step.noted_at)}
            for step in message.delivery_steps.all()
        ],
    }
    told: dict[str, Any] = _readable(actor, {"message": shape})["message"]
    return told


def _readable(actor: Actor, told: dict[str, Any]) -> dict[str, Any]:
    """As this reader may see it: numbers masked, no names, and nothing that a blocked human wrote, for viewers; whose
    humans a line of the pool carries is the operators' business."""
    if actor.role is not Role.OPERATOR:
        _without_pool_line(told.get("data") or {})
    if sees_numbers(actor):
        return told
    for holder in (told, told.get("data") or {}):
        message = holder.get("message")
        if message and message.get("is_blocked"):
            holder["message"] = message | {"text": HIDDEN, "media": []}
        for member in (holder.get("conversation") or {}).get("participants") or ():
            member["name"] = None
    masked: dict[str, Any] = masked_within(actor, told)
    return masked


def _without_pool_line(data: dict[str, Any]) -> None:
    line = data.get("line")
    if isinstance(line, dict) and line.get("kind") != Line.Kind.DEDICATED:
        data["line"] = line | {"address": None}


def _event(event: Event) -> dict[str, Any]:
    return {
        "number": event.number,
        "id": event.public_id,
        "type": event.type,
        "at": iso(event.at),
        "actor": event.actor,
        "subject_id": event.subject_id,
        "data": event.data,
    }
