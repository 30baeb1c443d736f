"""Telling what happened to a message or a thread, in the same transaction; a message is carried as it is now."""

from typing import Any

from core.actor import Actor
from events.models import Event
from events.record import record
from imessage.models import Conversation, Message
from imessage.shapes import group_shape, line_shape, message_shape


def tell(actor: Actor, type: str, message: Message, **more: Any) -> Event:
    """Record an event of this type about the message, in the caller's transaction; `more` goes with its shape.

    With it go the line and the thread as they are now: whoever tells the world needs no more (webhooks/fanout.py).
    """
    conversation = message.conversation
    return record(
        actor,
        type,
        organization_id=message.organization_id,
        identity_id=message.identity_id,
        conversation_id=message.conversation_id,
        subject_id=message.id,
        data={
            "message": message_shape(message),
            "line": line_shape(message.line),
            "conversation": {"id": str(conversation.id), **group_shape(conversation)},
            **more,
        },
    )


def tell_of_thread(actor: Actor, type: str, conversation: Conversation, **data: Any) -> Event:
    """Record an event of this type about a conversation, in the caller's transaction."""
    return record(
        actor,
        type,
        organization_id=conversation.organization_id,
        identity_id=conversation.identity_id,
        conversation_id=conversation.id,
        subject_id=conversation.id,
        data=data,
    )
