"""A conversation as it stood at a moment, told by what is kept: rows with our clock's times, and frozen events.

Rows are set back in memory and never saved. What no row keeps in time (a state, an error, the service, an
attachment's facts) is read from the events, whose data is frozen.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet, prefetch_related_objects

from events.models import Event
from imessage.models import (
    Connection,
    Conversation,
    DeliveryStep,
    Direction,
    Message,
    Participant,
    Tapback,
    TapbackChange,
)

# What `message_shape` freezes and later reports may change.
_FILE_EVENTS = ("media.stored", "media.stored.blocked")


def live_and_kept(messages: QuerySet[Message], *, at: datetime | None = None) -> QuerySet[Message]:
    """Fetch along what is shown of each message: parts, steps, live tapbacks, every change of one; now or then."""
    steps = DeliveryStep.objects.order_by("id")
    tapbacks = Tapback.objects.all()
    changes = TapbackChange.objects.order_by("id")
    if at is None:
        tapbacks = tapbacks.live()
    else:
        steps, changes = steps.filter(noted_at__lte=at), changes.filter(noted_at__lte=at)
        tapbacks = tapbacks.filter(Q(ended_at=None) | Q(ended_at__gt=at), created_at__lte=at)
    return messages.prefetch_related(
        "parts",
        Prefetch("delivery_steps", queryset=steps),
        Prefetch("tapbacks", queryset=tapbacks),
        Prefetch("tapback_changes", queryset=changes),
    )


def set_back(conversation: Conversation, messages: Iterable[Message], at: datetime) -> None:
    """Set messages of one conversation back to what they were; fetched by `live_and_kept` for the same moment."""
    rows = list(messages)
    frozen = _frozen(conversation, rows, at)
    stored = _stored_files(conversation, rows, at)
    for message in rows:
        if message.is_read and message.read_at and message.read_at > at:
            message.is_read, message.read_at = False, None
        if message.released_at and message.released_at > at:
            message.is_blocked, message.released_at, message.release = True, None, None
        if message.reviewed_at and message.reviewed_at > at:
            message.reviewed_at = message.reviewed_by = None
        if message.is_outbound:
            _set_back_outbound(message, frozen.get(str(message.id)))
        _set_back_files(message, stored)


def set_back_conversation(conversation: Conversation, at: datetime) -> None:
    """Set a conversation's connection, or who is in a group, and its counters back; `connection` is the one of then,
    or the first of all."""
    if conversation.is_group:
        _set_back_group(conversation, at)
    else:
        _set_back_connection(conversation, at)
    _set_back_kept(conversation, at)
    said = Message.objects.filter(conversation=conversation, created_at__lte=at)
    blocked = said.filter(Q(is_blocked=True) | Q(released_at__gt=at))
    visible = said.filter(is_blocked=False).exclude(released_at__gt=at)
    unread = visible.filter(Q(is_read=False) | Q(read_at__gt=at), direction=Direction.INBOUND)
    last = said.order_by("-position").values_list("position", flat=True).first()
    conversation.next_position = (last or 0) + 1
    conversation.blocked_total, conversation.visible_total = blocked.count(), visible.count()
    conversation.visible_unread = unread.count()


def _set_back_connection(conversation: Conversation, at: datetime) -> None:
    pair = Connection.objects.filter(
        identity_id=conversation.identity_id, human=conversation.human, owned_line_id=conversation.owned_line_id
    )
    then = pair.filter(created_at__lte=at).order_by("-created_at", "-id") or pair.order_by("created_at", "id")
    connection = then.select_related("line").first()
    if connection:
        if connection.released_at and connection.released_at > at:
            connection.status, connection.released_at, connection.released_by = Connection.Status.ACTIVE, None, ""
        conversation.connection = connection


def _set_back_group(conversation: Conversation, at: datetime) -> None:
    """Whoever had come stays among its participants, as they were; nobody had left later."""
    prefetch_related_objects([conversation], Prefetch("participants", Participant.objects.filter(joined_at__lte=at)))
    for one in conversation.participants.all():
        if one.left_at and one.left_at > at:
            one.left_at = None


def _set_back_kept(conversation: Conversation, at: datetime) -> None:
    """What the agent keeps with the thread, told by the events of its changes; what never changed stands."""
    events = Event.objects.filter(conversation_id=conversation.id).order_by("number")
    states = events.filter(type="conversation.metadata_changed")
    if known := states.filter(at__lte=at).last():
        conversation.metadata = known.data["after"]
    elif later := states.first():
        conversation.metadata = later.data["before"]
    pictures = events.filter(type__startswith="conversation.background_")
    if pictures.exists():
        shown = pictures.filter(at__lte=at).last()
        file_id = shown.data.get("file_id") if shown else None
        conversation.background_id = UUID(file_id) if file_id else None
        conversation.background_version = shown.data["version"] if shown else 0
    if conversation.is_group:
        told = Q(type__startswith="message.", data__has_key="conversation") | Q(type="group.changed")
        named = events.filter(told, at__lte=at).last()
        conversation.group_name = _name_in(named) if named else conversation.group_name


def _name_in(event: Event) -> str:
    if event.type.startswith("message."):
        return event.data["conversation"]["group_name"] or ""
    return str(event.data["name"])


def events_of(rows: QuerySet[Event], conversation: Conversation) -> QuerySet[Event]:
    """A conversation's events, oldest first; `rows` are those the reader may see."""
    return rows.filter(conversation_id=conversation.id).order_by("number")


def _frozen(conversation: Conversation, messages: list[Message], at: datetime) -> dict[str, dict[str, Any]]:
    """The last frozen shape of each of the agent's messages; only events written under the message's lock count."""
    ids = [str(message.id) for message in messages if message.is_outbound]
    if not ids:
        return {}
    events = Event.objects.filter(
        conversation_id=conversation.id, at__lte=at, subject_id__in=ids, type__startswith="message."
    )
    newest = events.order_by("subject_id", "-number").distinct("subject_id")
    return dict(newest.values_list("subject_id", "data__message"))


def _set_back_outbound(message: Message, shape: dict[str, Any] | None) -> None:
    read = next((step for step in message.delivery_steps.all() if step.state == "read"), None)
    message.peer_read_at = read.at if read else None
    if shape is None:
        return  # kept without its events: it stands as it is
    error = cast(dict[str, str], shape["error"] or {})
    message.status, message.service = shape["status"], shape["service"]
    message.was_downgraded = shape["was_downgraded"]
    message.reply_unresolved = shape.get("reply_unresolved")
    message.error_code, message.error_reason = error.get("code", ""), error.get("reason", "")
    message.error_message, message.error_detail = error.get("message", ""), error.get("detail", "")


def _stored_files(conversation: Conversation, messages: list[Message], at: datetime) -> set[UUID] | None:
    """The files that had come by then; None when no message holds one of ours."""
    holding = [str(m.id) for m in messages if any(part.media_id for part in m.parts.all())]
    if not holding:
        return None
    events = Event.objects.filter(
        conversation_id=conversation.id, at__lte=at, subject_id__in=holding, type__in=_FILE_EVENTS
    )
    return {UUID(file_id) for file_id in events.values_list("data__file_id", flat=True)}


def _set_back_files(message: Message, stored: set[UUID] | None) -> None:
    for part in message.parts.all():
        # What a human sent is known once it was fetched; what an agent sent was known from the first.
        if stored is not None and part.media_id and not message.is_outbound and part.media_id not in stored:
            part.content_type, part.size = "", None
