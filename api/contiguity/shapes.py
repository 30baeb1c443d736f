"""Our canonical shapes with what this dialect shows beside them: the number of a chat, times of reading, timelines."""

from typing import Any

from django.db.models import prefetch_related_objects

from imessage.models import Conversation, Message, TapbackChange
from imessage.shapes import iso, message_shape
from lines.models import Line


def shown(message: Message, chat: Conversation) -> dict[str, Any]:
    """A message as one of this chat, whose number it shows whatever line carried it."""
    return {**message_shape(message), "line": _end(chat.line), "read_at": iso(message.read_at)}


def steps_of(messages: list[Message]) -> dict[str, list[dict[str, Any]]]:
    """The timelines of messages by their ids."""
    prefetch_related_objects(messages, "delivery_steps")
    return {str(message.id): _steps(message) for message in messages}


def reaction_shape(change: TapbackChange, chat: Conversation) -> dict[str, Any]:
    """One line of the log of tapbacks; reads `change.message`."""
    return {
        "kind": change.kind,
        "emoji": change.emoji,
        "on": change.message.text,
        "action": change.action,
        "direction": change.direction,
        "human": chat.human,
        "line": _end(chat.line),
        "at": iso(change.at),
    }


def _steps(message: Message) -> list[dict[str, Any]]:
    steps = sorted(message.delivery_steps.all(), key=lambda step: (step.at, step.id))
    return [{"state": step.state, "at": iso(step.at)} for step in steps]


def _end(line: Line) -> dict[str, str]:
    return {"address": line.address, "service": line.service}
