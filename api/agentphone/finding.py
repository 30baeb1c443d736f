"""Finding the rows that a request names. What the caller may not see is missing: the same 404 as for no such id.

Nothing blocked exists here, for no key: neither a message nor a conversation of which nothing else was said.
"""

from typing import TypeVar
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from accounts.models import Contact, Identity
from core.actor import Actor
from core.errors import NotFound
from core.ids import from_prefixed
from dialects import agentphone
from imessage.models import Conversation, Message, MessageQuerySet, Participant
from lines.models import Line
from lines.showing import numbers_ever_of

Row = TypeVar("Row")


def key_in(prefix: str, text: str) -> UUID:
    """The key inside an id of this kind; raises `NotFound` for what cannot be one."""
    key = from_prefixed(prefix, text)
    if key is None:
        raise NotFound()
    return key


def agent_with(actor: Actor, agent_id: str) -> Identity:
    """The live identity with this id; raises `NotFound`."""
    rows = Identity.objects.visible_to(actor).live()
    return _found(rows.filter(pk=key_in(agentphone.AGENT, agent_id)).first())


def number_with(actor: Actor, number_id: str) -> Line:
    """The organization's number with this id, released ones too; raises `NotFound`."""
    return _found(numbers_ever_of(actor).filter(pk=key_in(agentphone.NUMBER, number_id)).first())


def conversations(actor: Actor) -> QuerySet[Conversation]:
    """What the actor may see, with all that a conversation is shown by, the latest first."""
    rows = Conversation.objects.visible_to(actor).filter(visible_total__gt=0)
    rows = rows.select_related("identity", "connection__line__account", "owned_line__account", "visible_last")
    present = Prefetch("participants", Participant.objects.visible_to(actor).present())
    return rows.prefetch_related(present, "visible_last__parts").order_by("-visible_last_at", "-id")


def conversation_with(actor: Actor, conversation_id: str) -> Conversation:
    """The conversation with this id; raises `NotFound`."""
    return _found(conversations(actor).filter(pk=key_in(agentphone.CONVERSATION, conversation_id)).first())


def group_with(actor: Actor, group_id: str) -> Conversation:
    """The group with this id; raises `NotFound`."""
    rows = conversations(actor).filter(is_group=True)
    return _found(rows.filter(pk=key_in(agentphone.GROUP, group_id)).first())


def messages(actor: Actor) -> MessageQuerySet:
    """The messages that the actor may see."""
    return Message.objects.visible_to(actor).filter(is_blocked=False)


def message_with(actor: Actor, message_id: str) -> tuple[Message, int, UUID]:
    """The message that an id names, and of it the part, which may have an id of its own; raises `NotFound`.

    Some clients take it out of a delivery's id, where it has no prefix (contract/agentphone.md, section 11).
    """
    key = key_in(agentphone.MESSAGE, message_id if "_" in message_id else f"{agentphone.MESSAGE}_{message_id}")
    rows = messages(actor).select_related("conversation", "line__account").prefetch_related("parts")
    message = rows.filter(pk=key).first()
    if message is not None:
        return message, 0, key
    message = _found(rows.filter(parts__id=key).first())
    return message, next(part.index for part in message.parts.all() if part.id == key), key


def contact_with(actor: Actor, contact_id: str) -> Contact:
    """The entry of the contact book with this id; raises `NotFound`."""
    return _found(Contact.objects.visible_to(actor).filter(pk=key_in(agentphone.CONTACT, contact_id)).first())


def _found(row: Row | None) -> Row:
    if row is None:
        raise NotFound()
    return row
