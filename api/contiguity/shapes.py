"""Our canonical shapes with what this dialect shows beside them: the number of a chat, times of reading, timelines."""

from typing import Any

from django.db.models import prefetch_related_objects
from django.utils import timezone

from imessage.fallback import can_send_sms
from imessage.models import Conversation, Message, TapbackChange
from imessage.shapes import iso, message_shape
from lines.health.states import public_word, shown
from lines.models import Line


def shown_message(message: Message, chat: Conversation) -> dict[str, Any]:
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


def number_shape(line: Line, *, is_ours: bool) -> dict[str, Any]:
    """A dedicated line, free or the caller's own; reads `line.account`."""
    now = timezone.now()
    return {
        "id": str(line.id),
        "address": line.address,
        "service": line.service,
        "sends_texts": can_send_sms(line),
        "region": line.region or line.account.region,
        "in_service": public_word(shown(wanted=line.wanted, seen=line.seen, allowance=line.allowance)) == "active",
        "is_free": not is_ours,
        "is_ours": is_ours,
        "is_expired": line.expires_at is not None and line.expires_at <= now,
        "failover": line.failover or None,
        "created_at": iso(line.created_at),
        "claimed_at": iso(line.claimed_at),
        "expires_at": iso(line.expires_at),
    }


def _steps(message: Message) -> list[dict[str, Any]]:
    steps = sorted(message.delivery_steps.all(), key=lambda step: (step.at, step.id))
    return [{"state": step.state, "at": iso(step.at)} for step in steps]


def _end(line: Line) -> dict[str, str]:
    return {"address": line.address, "service": line.service}
