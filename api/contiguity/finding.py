"""Finding what a request names by a pair of numbers. Groups, blocked rows and chats of nothing else do not exist."""

from django.db.models import QuerySet

from core.actor import Actor
from core.errors import NotFound
from dialects import contiguity
from imessage.models import Conversation, Message, MessageQuerySet
from lines.models import Line


class NoSuchChat(NotFound):
    """There is no chat between these numbers."""


class NoSuchMessage(NotFound):
    """There is no such message."""


def chat_between(actor: Actor, *, human: str, line: str | None) -> Conversation:
    """The chat of a human with one of the caller's numbers; without `line` their latest. Raises `NoSuchChat`."""
    rows = _chats(actor).filter(human=human)
    if line:
        rows = rows.filter(connection__line__address=line)
    chat = rows.order_by("-visible_last_at", "-id").first()
    if chat is None:
        raise NoSuchChat()
    return chat


def messages_of(actor: Actor) -> MessageQuerySet:
    """The messages there are for the caller, with their lines."""
    rows: MessageQuerySet = Message.objects.visible_to(actor).filter(is_blocked=False, conversation__is_group=False)
    return rows.select_related("line", "conversation__connection__line")


def message_called(actor: Actor, message_id: str) -> Message:
    """The message with this id of either kind; raises `NoSuchMessage`."""
    key = contiguity.message_key(message_id)
    message = messages_of(actor).filter(pk=key).first() if key else None
    if message is None:
        raise NoSuchMessage()
    return message


def is_text_line(line: Line) -> bool:
    """Whether the line knows texts alone."""
    return line.service == Line.Service.SMS


def _chats(actor: Actor) -> QuerySet[Conversation]:
    rows = Conversation.objects.visible_to(actor).filter(is_group=False, visible_total__gt=0)
    return rows.select_related("identity", "connection__line")
