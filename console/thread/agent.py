"""A thread exactly as its agent's key receives it, in the API's own words; nothing here reads more than the key may."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from console.thread.window import MOST
from core.actor import Actor, Role
from dialects import inkbox
from imessage.groups import making_of
from imessage.listing import message_shapes
from imessage.models import Conversation, Message, TapbackChange
from imessage.shapes import Seen, conversation_shape, conversation_summary_shape


@dataclass(frozen=True, slots=True)
class AgentView:
    """What the API answers to the identity's key: the conversation, its counters, and messages oldest first.

    `conversation` is None when the answer is 404: the agent may see nothing of the thread yet.
    """

    conversation: Mapping[str, Any] | None
    summary: Mapping[str, Any]
    messages: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hidden:
    """What the reader may see and the agent may not."""

    texts: int
    tapbacks: int


def agent_of(thread: Conversation) -> Actor:
    """The key of the thread's identity, as an actor that reads."""
    return Actor(
        role=Role.AGENT,
        kind="api_key",
        id="",
        label=f"@{thread.identity.handle}",
        organization_id=thread.organization_id,
        identity_id=thread.identity_id,
    )


def seen_by_agent(thread: Conversation, *, first: int) -> AgentView:
    """What the agent's key gets from position `first` on."""
    agent = agent_of(thread)
    rows = Conversation.objects.visible_to(agent).filter(pk=thread.pk, visible_total__gt=0)
    rows = rows.select_related("connection", "visible_last").prefetch_related("visible_last__parts", "participants")
    found = rows.first()
    if found is None:
        return AgentView(conversation=None, summary={})
    making = {"group_state": making_of(found)}
    messages = Message.objects.visible_to(agent).filter(conversation=found, position__gte=first).order_by("position")
    return AgentView(
        conversation=inkbox.conversation({**conversation_shape(found), **making}),
        summary=inkbox.conversation_summary({**conversation_summary_shape(found, Seen.VISIBLE), **making}),
        messages=[inkbox.message(shape) for shape in message_shapes(messages[:MOST])],
    )


def hidden_from_agent(actor: Actor, thread: Conversation) -> Hidden:
    """How much of the thread its agent never hears of."""
    held = TapbackChange.objects.visible_to(actor).blocked().filter(conversation=thread)
    return Hidden(texts=thread.blocked_total, tapbacks=held.count())
