"""Typing, read receipts and reactions (contract/contiguity.md, section 5)."""

from typing import Annotated, Self

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from api.auth import actor_of
from api.contiguity.answers import Done, Sent, TypingStatus, answers
from api.contiguity.envelopes import told
from api.contiguity.finding import NoSuchMessage, chat_between, is_text_line, message_called
from api.parsing import TEXT, Body, PhoneNumber
from core.actor import Actor
from core.errors import Invalid, NotFound
from core.texts import MESSAGE_LIMIT
from dialects import contiguity
from dialects.contiguity import ActionWord, TypingWord
from imessage.models import Message
from imessage.receipts import mark_read, send_typing
from imessage.tapbacks import newest_with_text, send_tapback, take_back_own
from lines.direct import answered_within

router = Router(tags=["Chats"])

# The Python client gives up after 5 seconds, and could not say what became of it.
PATIENCE = 4.0

Sender = Annotated[PhoneNumber | None, Field(alias="from")]
Words = Annotated[str, Field(max_length=MESSAGE_LIMIT), *TEXT]
Word = Annotated[str, Field(max_length=64), *TEXT]
Id = Annotated[str, Field(max_length=64), *TEXT]


class NothingToTakeOff(NotFound):
    """There is no such reaction of yours on this message."""


class Typing(Body):
    to: PhoneNumber
    action: TypingWord
    sender: Sender = None


class Read(Body):
    to: PhoneNumber
    sender: Annotated[PhoneNumber, Field(alias="from")]


class Reaction(Body):
    """The message is named by its id, or by its whole text and who it is with; the newest one counts."""

    action: ActionWord
    to: PhoneNumber | None = None
    sender: Sender = None
    message: Words | None = None
    message_id: Id | None = None
    tapback: Word | None = None
    reaction: Word | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.message_id and (not self.to or not self.message):
            raise PydanticCustomError("target", "Name the message by message_id, or by to and its text in message.")
        if not (self.tapback or self.reaction):
            raise PydanticCustomError("tapback", "Say which tapback.")
        return self

    @property
    def put(self) -> tuple[str, str]:
        """Our kind and emoji; raises `Invalid` for an unknown word."""
        found = contiguity.tapback_of(self.tapback or self.reaction or "")
        if found is None:
            raise Invalid(f"A tapback is one of {', '.join(sorted(contiguity.TAPBACKS))}, or an emoji.")
        return found


@router.post("/imessage/typing", include_in_schema=False)
@router.post("/send/imessage/typing", response=answers(TypingStatus, 403, 404, 502))
def type_to(request: HttpRequest, body: Typing) -> HttpResponse:
    """Show the typing bubble on the human's phone, or end it."""
    actor = actor_of(request)
    on = body.action == "start"
    with answered_within(PATIENCE):
        send_typing(actor, chat_between(actor, human=body.to, line=body.sender), on=on)
    return told(contiguity.typing(on=on))


@router.post("/imessage/read", include_in_schema=False)
@router.post("/send/imessage/read", response=answers(Done, 403, 404, 502))
def read(request: HttpRequest, body: Read) -> HttpResponse:
    """Mark a whole chat read, with a read receipt."""
    actor = actor_of(request)
    with answered_within(PATIENCE):
        count = mark_read(actor, chat_between(actor, human=body.to, line=body.sender))
    return told(contiguity.read(count))


@router.post("/imessage/reactions", include_in_schema=False)
@router.post("/send/imessage/reactions", response=answers(Done, 403, 404, 502))
def react(request: HttpRequest, body: Reaction) -> HttpResponse:
    """Put a tapback on a message or take it off."""
    _reacted(actor_of(request), body)
    return told(contiguity.reacted(body.action))


@router.post("/send/text/reactions", response=answers(Sent, 403, 404, 502))
def react_to_text(request: HttpRequest, body: Reaction) -> HttpResponse:
    """The same in the words for texts: love, thumbsup, thumbsdown, haha, emphasized, questioned."""
    message = _reacted(actor_of(request), body)
    return told(contiguity.sent(message.id, on_text_line=is_text_line(message.conversation.line)))


def _reacted(actor: Actor, body: Reaction) -> Message:
    kind, emoji = body.put
    message = _target(actor, body)
    with answered_within(PATIENCE):
        if body.action == "add":
            send_tapback(actor, message, kind=kind, emoji=emoji)
        elif take_back_own(actor, message, kind=emoji or kind) is None:
            raise NothingToTakeOff()
    return message


def _target(actor: Actor, body: Reaction) -> Message:
    if body.message_id:
        return message_called(actor, body.message_id)
    chat = chat_between(actor, human=body.to or "", line=body.sender)
    words = body.message or ""
    # Whoever sent it with markup names it so.
    found = newest_with_text(chat, words) or newest_with_text(chat, contiguity.plain_text(words))
    if found is None:
        raise NoSuchMessage()
    return found
