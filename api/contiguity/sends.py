"""Sending iMessages and texts (contract/contiguity.md, section 4)."""

from typing import Annotated, Self

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from api.auth import actor_of
from api.contiguity.answers import Sent, answers
from api.contiguity.chats import Sender, Words
from api.contiguity.envelopes import told
from api.contiguity.finding import is_text_line
from api.parsing import Body, PhoneNumber, WebUrl
from core.actor import Actor
from dialects import contiguity
from dialects.contiguity import FallbackWord
from imessage.errors import FallbackImpossible, NoSender
from imessage.models import Message
from imessage.senders import choose_sender
from imessage.sending import send_message
from lines.models import Line

router = Router(tags=["Sending"])

_FALLBACKS: dict[frozenset[FallbackWord], Message.Fallback] = {
    frozenset(): Message.Fallback.NEVER,
    frozenset({"imessage_unsupported"}): Message.Fallback.IF_UNSUPPORTED,
    frozenset({"imessage_fails"}): Message.Fallback.IF_FAILED,
    frozenset({"imessage_unsupported", "imessage_fails"}): Message.Fallback.IF_UNSUPPORTED_OR_FAILED,
}

# Without a fallback a text stays what it is; two words of each kind are the most that there is to say.
Causes = Annotated[list[FallbackWord], Field(max_length=4)]


class Fallback(Body):
    when: Causes
    sender: Sender = None


class Text(Body):
    to: PhoneNumber
    message: Words = ""
    sender: Sender = None
    attachments: Annotated[list[WebUrl], Field(max_length=10)] | None = None
    fast_track: StrictBool | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.message.strip() and not self.attachments:
            raise PydanticCustomError("empty_message", "A message needs words in message, or attachments.")
        return self


class Send(Text):
    """The Python client says in `fallback_when` and `fallback_number` what the published API has in `fallback`."""

    fallback: Fallback | None = None
    fallback_when: Causes | None = None
    fallback_number: PhoneNumber | None = None

    @property
    def chosen_fallback(self) -> Message.Fallback:
        """When it may leave as SMS: never, unless the request says so."""
        return _FALLBACKS[frozenset(self.fallback.when if self.fallback else self.fallback_when or [])]

    @property
    def chosen_fallback_number(self) -> str | None:
        return self.fallback.sender if self.fallback else self.fallback_number


@router.post("/imessage", include_in_schema=False)
@router.post("/send/imessage", response=answers(Sent, 403, 404, 429))
def send_imessage(request: HttpRequest, body: Send) -> HttpResponse:
    """Accept a message; without `from` it leaves from a number of the caller's.

    That is the one of the latest chat with the human, else the one with the least to carry.
    """
    actor = actor_of(request)
    sender = choose_sender(actor, number=body.sender, to=body.to, service=Line.Service.IMESSAGE)
    message = send_message(
        actor,
        identity=sender.identity,
        to=body.to,
        line=sender.line,
        text=contiguity.plain_text(body.message) or None,
        media_urls=body.attachments or (),
        fallback=body.chosen_fallback,
        fallback_line=_fallback_line(actor, body.chosen_fallback_number),
        require_fallback=body.chosen_fallback != Message.Fallback.NEVER,
        is_fast=bool(body.fast_track),
        substitution=sender.substitution,
    )
    return _accepted(message)


@router.post("/send/text", response=answers(Sent, 403, 404, 429))
def send_text(request: HttpRequest, body: Text) -> HttpResponse:
    """Accept a text for SMS or MMS; without `from` it leaves from a number of the caller's that carries texts."""
    actor = actor_of(request)
    sender = choose_sender(actor, number=body.sender, to=body.to, service=Line.Service.SMS)
    if sender.line is None or not is_text_line(sender.line):
        raise NoSender(f"{body.sender} sends iMessages; texts leave from a number for SMS.")
    message = send_message(
        actor,
        identity=sender.identity,
        to=body.to,
        line=sender.line,
        text=contiguity.plain_text(body.message) or None,
        media_urls=body.attachments or (),
        is_fast=bool(body.fast_track),
        substitution=sender.substitution,
    )
    return _accepted(message)


def _accepted(message: Message) -> HttpResponse:
    return told(contiguity.sent(message.id, on_text_line=is_text_line(message.conversation.line)))


def _fallback_line(actor: Actor, number: str | None) -> Line | None:
    """The caller's number that SMS is to leave from; raises `FallbackImpossible` for another's."""
    line = Line.objects.visible_to(actor).filter(address=number).first() if number else None
    if number and line is None:
        raise FallbackImpossible()
    return line
