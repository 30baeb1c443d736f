"""Messages sent, and tapbacks put on them (contract/agentphone.md, section 5)."""

from typing import Annotated, Any, Self

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from api.agentphone.answers import PutReaction, SentMessage, answers
from api.agentphone.errors import BadRequest
from api.agentphone.finding import (
    agent_with,
    conversation_with,
    group_with,
    key_in,
    message_with,
)
from api.auth import actor_of
from api.parsing import TEXT, Body, Documented, WebUrl, respond, said_by
from core.actor import Actor
from core.errors import NotFound
from core.phones import any_notation
from core.texts import MESSAGE_LIMIT, is_emoji
from dialects import agentphone
from dialects.agentphone import StyleWord
from imessage.errors import ReplyTargetNotFound
from imessage.models import Conversation, Message
from imessage.senders import Sender, choose_sender
from imessage.sending import send_message
from imessage.shapes import line_shape, message_shape, tapback_shape
from imessage.tapbacks import send_tapback
from lines.models import Line
from lines.showing import addresses_of

router = Router(tags=["Messages"])

# A line's card may allow fewer.
MOST_MEDIA = 20
LEAST_RECIPIENTS, MOST_RECIPIENTS = 2, 32

# What a WhatsApp message is made of there.
_WHATSAPP = ("channel", "buttons", "list", "cta", "template")

Number = Annotated[str, said_by(any_notation), Documented(format="e164")]
NamedId = Annotated[str, Field(min_length=1, max_length=100), *TEXT]


def _nothing_of_whatsapp(data: Any) -> Any:
    """Without these the message would be another one, so they are not ignored."""
    if isinstance(data, dict) and any(data.get(name) is not None for name in _WHATSAPP):
        raise PydanticCustomError("not_supported", "This server carries no WhatsApp messages.")
    return data


def _reaction(word: Any) -> Any:
    """One of six words, or one emoji."""
    if not isinstance(word, str) or word in agentphone.REACTIONS or is_emoji(word):
        return word
    six = ", ".join(sorted(agentphone.REACTIONS))
    raise PydanticCustomError("reaction", "Must be one of {words}, or an emoji.", {"words": six})


def _given(name: str, *others: str) -> dict[str, Any]:
    """In the document: this field is there, and the others are not."""
    kind = "array" if name in {"recipients", "media_urls"} else "string"
    absent: dict[str, Any] = {other: {"type": "null"} for other in others}
    return {"required": [name], "properties": {name: {"type": kind}, **absent}}


_TARGETS = ("to_number", "recipients", "conversation_id")
_SENDERS = ("from_number", "number_id", "agent_id", "conversation_id")
_CONTENTS = ("body", "media_url", "media_urls")
_RULES: dict[str, Any] = {
    "oneOf": [_given(name, *(other for other in _TARGETS if other != name)) for name in _TARGETS],
    "allOf": [{"anyOf": [_given(name) for name in names]} for names in (_SENDERS, _CONTENTS)],
}


class Send(Body):
    model_config = ConfigDict(json_schema_extra=_RULES)

    agent_id: NamedId | None = None
    number_id: NamedId | None = None
    from_number: Annotated[str, Field(max_length=100), *TEXT] | None = None
    to_number: NamedId | None = None
    recipients: Annotated[list[Number], Field(min_length=LEAST_RECIPIENTS, max_length=MOST_RECIPIENTS)] | None = None
    conversation_id: NamedId | None = None
    body: Annotated[str, Field(max_length=MESSAGE_LIMIT), *TEXT] | None = None
    media_url: WebUrl | None = None
    media_urls: Annotated[list[WebUrl], Field(max_length=MOST_MEDIA)] | None = None
    reply_to_message_id: NamedId | None = None
    send_style: StyleWord | None = None

    _whatsapp = model_validator(mode="before")(_nothing_of_whatsapp)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if sum(target is not None for target in (self.to_number, self.recipients, self.conversation_id)) != 1:
            raise PydanticCustomError("recipient", "Name whom it is for by exactly one of to_number and recipients.")
        if not (self.body or "").strip() and not self.media:
            raise PydanticCustomError("empty_message", "A message needs a body or media.")
        return self

    @property
    def media(self) -> list[str]:
        """The files that go with it, however they were named."""
        return [self.media_url] if self.media_url else self.media_urls or []


class React(Body):
    reaction: Annotated[
        str,
        Field(min_length=1, max_length=64, description="One of six words, or an emoji where the line can send one."),
        BeforeValidator(_reaction),
        *TEXT,
        Documented(format="reaction"),
    ]


@router.post("/messages", response=answers(200, SentMessage, 403, 404, 409, 429))
def send(request: HttpRequest, body: Send) -> HttpResponse:
    """Send a text, files or both to a number, into a group, or to several people as a new group.

    Of `from_number`, `number_id` and `agent_id` the first that is given names the sender.
    """
    _check(body)
    actor = actor_of(request)
    message = _sent(actor, body)
    return respond(agentphone.sent_message(message_shape(message), line=line_shape(message.line)))


@router.post("/messages/{message_id}/reactions", response=answers(200, PutReaction, 403, 404, 409, 502))
def react(request: HttpRequest, message_id: str, body: React) -> HttpResponse:
    """Put a tapback on a message, or on one image of a carousel; it replaces the agent's earlier one there."""
    actor = actor_of(request)
    message, part_index, key = message_with(actor, message_id)
    kind, emoji = agentphone.tapback_of(body.reaction)
    tapback = send_tapback(actor, message, kind=kind, emoji=emoji, part_index=part_index)
    shape = tapback_shape(tapback, message)
    return respond(agentphone.reaction(shape, message=message_shape(message), part_id=str(key)))


def _check(body: Send) -> None:
    """What is well formed and still asks for two things at once (section 13)."""
    if body.media_url and body.media_urls:
        raise BadRequest("Give media_url or media_urls, not both.")
    if not (body.from_number or body.number_id or body.agent_id or body.conversation_id):
        raise BadRequest("Name the sender by one of from_number, number_id and agent_id.")


def _sent(actor: Actor, body: Send) -> Message:
    if body.recipients:
        sender = _sender(actor, body)
        return _send(actor, body, sender, sender.line, recipients=body.recipients)
    if body.conversation_id or (body.to_number or "").startswith(f"{agentphone.GROUP}_"):
        conversation = _thread(actor, body)
        sender = Sender(conversation.identity, conversation.owned_line)
        return _send(actor, body, sender, conversation.line, conversation_id=conversation.id)
    to = any_notation(body.to_number or "")
    sender = _sender(actor, body, to=to)
    return _send(actor, body, sender, sender.line, to=to)


def _sender(actor: Actor, body: Send, *, to: str | None = None) -> Sender:
    """The number before its id, that before an agent; the others are not even read."""
    if body.from_number:
        return choose_sender(actor, number=body.from_number, to=to)
    if body.number_id:
        return choose_sender(actor, number=_address(body.number_id), to=to)
    return choose_sender(actor, identity=agent_with(actor, body.agent_id or ""), to=to)


def _address(number_id: str) -> str:
    """By its number a shared line is found, too, whose id stands on the conversations that it carries."""
    key = str(key_in(agentphone.NUMBER, number_id))
    return addresses_of([key]).get(key, "")


def _thread(actor: Actor, body: Send) -> Conversation:
    """The conversation that is named, if the sender that is named is in it; raises `NotFound`."""
    if body.conversation_id:
        found = conversation_with(actor, body.conversation_id)
    else:
        found = group_with(actor, body.to_number or "")
    line = found.line
    if body.from_number:
        named = body.from_number == line.address
    elif body.number_id:
        named = key_in(agentphone.NUMBER, body.number_id) == line.id
    else:
        named = not body.agent_id or key_in(agentphone.AGENT, body.agent_id) == found.identity_id
    if not named:
        raise NotFound()
    return found


def _send(actor: Actor, body: Send, sender: Sender, line: Line | None, **target: Any) -> Message:
    on_imessage = line is None or line.service == Line.Service.IMESSAGE
    if on_imessage and len(body.media) > 1 and (body.body or "").strip():
        raise BadRequest("A carousel has no body; send the text as a message of its own.")
    reply_to, part_index = _reply(actor, body)
    return send_message(
        actor,
        identity=sender.identity,
        line=sender.line,
        text=body.body,
        media_urls=body.media,
        send_style=body.send_style or "",
        reply_to=reply_to,
        reply_to_part=part_index,
        substitution=sender.substitution,
        **target,
    )


def _reply(actor: Actor, body: Send) -> tuple[Any, int]:
    """The message that is replied to, and which part of it; raises `ReplyTargetNotFound`."""
    if body.reply_to_message_id is None:
        return None, 0
    try:
        message, part_index, _ = message_with(actor, body.reply_to_message_id)
    except NotFound as missing:
        raise ReplyTargetNotFound() from missing
    return message.id, part_index
