"""Our canonical shapes: what a row looks like outside, in JSON's own types.

Built once per event and frozen into it; `dialects` turns a shape into each vendor's words, whether it comes
from a row or from an event.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from accounts.contacts import names_of
from imessage.models import Conversation, Message, Part, Participant, Tapback
from lines.models import Line

# What humans are called, by their numbers.
Names = Mapping[str, str]


class Seen(StrEnum):
    """Which messages of a conversation are looked at (contract/inkbox.md 10.1)."""

    ALL = "all"
    VISIBLE = "visible"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Counts:
    """A conversation's counters over the messages looked at, and the newest of them."""

    total: int
    unread: int
    latest: Message | None


def counts(conversation: Conversation, seen: Seen) -> Counts:
    """From the conversation's own counters; *all* is the sum of both sides and the later of both lasts."""
    visible = Counts(conversation.visible_total, conversation.visible_unread, conversation.visible_last)
    blocked = Counts(conversation.blocked_total, conversation.blocked_unread, conversation.blocked_last)
    if seen is not Seen.ALL:
        return visible if seen is Seen.VISIBLE else blocked
    lasts = [side.latest for side in (visible, blocked) if side.latest]
    return Counts(
        total=visible.total + blocked.total,
        unread=visible.unread + blocked.unread,
        latest=max(lasts, key=lambda message: message.position, default=None),
    )


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with Z, to the microsecond when there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def message_shape(message: Message) -> dict[str, Any]:
    """A message with its media and live tapbacks, oldest first.

    Reads `message.parts` and `message.tapbacks`: prefetch them (`tapbacks` narrowed by `.live()`) for lists.
    """
    return {
        "id": str(message.id),
        "organization_id": str(message.organization_id),
        "identity_id": str(message.identity_id),
        "conversation_id": str(message.conversation_id),
        "connection_id": _text(message.connection_id),
        "line_id": str(message.line_id),
        "direction": message.direction,
        "human": message.human,
        "is_group": message.is_group,
        "sender": message.human or None if message.is_group else None,
        "participants": _roster(message) if message.is_group else None,
        "position": message.position,
        "text": message.text,
        "message_type": message.message_type,
        "service": message.service,
        "send_style": message.send_style or None,
        "is_fast": message.is_fast,
        "reply_to": _reply_shape(message),
        "reply_unresolved": message.reply_unresolved,
        "thread_root_id": _text(message.thread_root_id),
        "media": [_media_shape(part) for part in message.parts.all() if part.kind == Part.Kind.MEDIA],
        "was_downgraded": message.was_downgraded,
        "status": message.status,
        "error": _error_shape(message),
        "is_read": message.is_read,
        "is_blocked": message.is_blocked,
        "is_late": message.is_late,
        "tapbacks": [tapback_shape(tapback, message) for tapback in message.tapbacks.all() if tapback.ended_at is None],
        "created_at": iso(message.created_at),
        "updated_at": iso(message.updated_at),
        "sent_at": iso(message.sent_at),
        "delivered_at": iso(message.delivered_at),
        "failed_at": iso(message.failed_at),
        "peer_read_at": iso(message.peer_read_at),
    }


def tapback_shape(tapback: Tapback, message: Message) -> dict[str, Any]:
    """A tapback on `message`, the one it targets."""
    return {
        "id": str(tapback.id),
        "conversation_id": str(message.conversation_id),
        "connection_id": _text(tapback.connection_id),
        "message_id": str(tapback.message_id),
        "direction": tapback.direction,
        "kind": tapback.kind,
        "emoji": tapback.emoji or None,
        "human": tapback.human,
        "part_index": tapback.part_index,
        "created_at": iso(tapback.created_at),
        "updated_at": iso(tapback.updated_at),
    }


def conversation_shape(conversation: Conversation, names: Names | None = None) -> dict[str, Any]:
    """Reads `conversation.connection`, and a group's participants; for `names` see `group_shape`."""
    return {
        "id": str(conversation.id),
        "connection_id": _text(conversation.connection_id),
        "connection_status": conversation.connection.status if conversation.connection else None,
        "identity_id": str(conversation.identity_id),
        "human": conversation.human,
        **group_shape(conversation, names),
        "created_at": iso(conversation.created_at),
        "updated_at": iso(conversation.updated_at),
    }


def group_shape(conversation: Conversation, names: Names | None = None) -> dict[str, Any]:
    """Who a thread is with, and what the agent's program keeps with it; reads a group's participants.

    The organization's contact book names them before the provider does. For lists prefetch `participants`, narrowed
    by `.present()`, and hand over the `names` of all (`names_in`), or none where nobody is called by name.
    """
    present = _present(conversation)
    if names is None:
        names = names_in([conversation])
    return {
        "is_group": conversation.is_group,
        "group_name": conversation.group_name or None,
        "participants": [{"human": one.human, "name": names.get(one.human) or one.name or None} for one in present],
        "metadata": conversation.metadata,
    }


def names_in(conversations: Iterable[Conversation]) -> dict[str, str]:
    """What an organization's contact book calls everybody in its groups, in one question; none without a group."""
    humans = {one.human: one.organization_id for found in conversations for one in _present(found)}
    return names_of(next(iter(humans.values())), humans) if humans else {}


def line_shape(line: Line) -> dict[str, Any]:
    """The number that carries a thread, for dialects that show it."""
    return {"id": str(line.id), "address": line.address, "kind": line.kind, "service": line.service}


def conversation_summary_shape(conversation: Conversation, seen: Seen, names: Names | None = None) -> dict[str, Any]:
    """A conversation with its counters and the preview of its newest message; prefetch the parts of both lasts."""
    found = counts(conversation, seen)
    return {
        **conversation_shape(conversation, names),
        "total": found.total,
        "unread": found.unread,
        "latest": _preview_shape(found.latest) if found.latest else None,
    }


def _present(conversation: Conversation) -> list[Participant]:
    if not conversation.is_group:
        return []
    return [one for one in conversation.participants.all() if one.left_at is None]


def _roster(message: Message) -> list[str]:
    return [one.human for one in _present(message.conversation)]


def _reply_shape(message: Message) -> dict[str, Any] | None:
    if message.reply_to_id is None:
        return None
    return {"message_id": str(message.reply_to_id), "part_index": message.reply_to_part}


def _text(key: UUID | None) -> str | None:
    return str(key) if key else None


def _media_shape(part: Part) -> dict[str, Any]:
    return {
        "id": str(part.id),
        "url": part.link,
        "content_type": part.content_type or None,
        "size": part.size,
        "part_index": part.index,
    }


def _error_shape(message: Message) -> dict[str, str] | None:
    if message.status not in {Message.Status.ERROR, Message.Status.DECLINED}:
        return None
    return {
        "code": message.error_code,
        "reason": message.error_reason,
        "message": message.error_message,
        "detail": message.error_detail,
    }


def _preview_shape(message: Message) -> dict[str, Any]:
    return {
        "text": message.text,
        "direction": message.direction,
        "created_at": iso(message.created_at),
        "has_media": any(part.kind == Part.Kind.MEDIA for part in message.parts.all()),
    }
