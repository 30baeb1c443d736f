"""Sending and listing messages (contract/inkbox.md, section 8)."""

from typing import Annotated, Any, Self
from uuid import UUID

import orjson
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, BeforeValidator, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from accounts.models import Identity
from api.auth import actor_of
from api.idempotency import Answer, key_of, once
from api.inkbox.finding import conversation_with, identity_with, narrowing_identity
from api.parsing import Body, Page, PhoneNumber, QueryBool, WebUrl, said_by
from core.actor import Actor
from core.errors import Invalid, NotFound
from core.texts import MESSAGE_LIMIT, storable
from dialects import inkbox
from imessage.models import Conversation, Message, SendStyle, Tapback
from imessage.sending import send_message
from imessage.shapes import message_shape

router = Router()

OPERATION = "imessage.send"


def _one_recipient(to: Any) -> Any:
    """Newer clients may send a list; here it holds one number."""
    if isinstance(to, list) and len(to) > 1:
        raise PydanticCustomError("not_supported", "This server has no group conversations; name one recipient.")
    return to[0] if isinstance(to, list) and to else to


class Send(Body):
    to: Annotated[PhoneNumber | None, BeforeValidator(_one_recipient)] = None
    conversation_id: UUID | None = None
    text: Annotated[str, Field(max_length=MESSAGE_LIMIT), said_by(storable)] | None = None
    media_urls: Annotated[list[WebUrl], Field(max_length=1)] | None = None
    send_style: SendStyle | None = None
    reply_to_message_id: UUID | None = None
    plain_reply_fallback: StrictBool = True

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.to is None) == (self.conversation_id is None):
            raise PydanticCustomError("recipient", "Name the recipient by exactly one of to and conversation_id.")
        if not (self.text or "").strip() and not self.media_urls:
            raise PydanticCustomError("empty_message", "A message needs text, or one URL in media_urls.")
        if self.reply_to_message_id and not self.plain_reply_fallback:
            raise PydanticCustomError(
                "not_supported", "This server sends no threaded replies; leave plain_reply_fallback true."
            )
        return self


class Sender(BaseModel):
    agent_identity_id: UUID | None = None


class MessageFilter(Page):
    agent_identity_id: UUID | None = None
    conversation_id: UUID | None = None
    is_read: QueryBool | None = None
    is_blocked: QueryBool | None = None


@router.post("/messages")
def send(request: HttpRequest, body: Send, query: Query[Sender]) -> HttpResponse:
    """Accept a message; the same `Idempotency-Key` gives the first answer again."""
    actor = actor_of(request)
    key = key_of(request)
    identity, conversation = _addressed(actor, body, query.agent_identity_id)
    answer = once(
        scope=identity.id,
        operation=OPERATION,
        key=key,
        asked=body.model_dump(mode="json"),
        deed=lambda: _sent(actor, identity, conversation, body),
    )
    return HttpResponse(answer.body, status=answer.status, content_type="application/json")


@router.get("/messages")
def list_messages(request: HttpRequest, query: Query[MessageFilter]) -> list[dict[str, Any]]:
    """Messages that the caller may see, newest first."""
    actor = actor_of(request)
    identity = narrowing_identity(actor, query.agent_identity_id)
    rows = _filtered(actor, identity, query)
    return [inkbox.message(message_shape(message)) for message in rows]


def _addressed(actor: Actor, body: Send, named: UUID | None) -> tuple[Identity, Conversation | None]:
    """The sending identity, and the conversation when that is how the recipient is named.

    A bound key sends as its own identity whatever it names; an admin key must name one to send by number.
    """
    if actor.is_agent:
        named = None
    if body.conversation_id:
        conversation = conversation_with(actor, body.conversation_id)
        if named not in {None, conversation.identity_id}:
            raise NotFound()
        return conversation.identity, conversation
    if sender_id := named or actor.identity_id:
        return identity_with(actor, sender_id), None
    raise Invalid(
        "An admin key that sends by number must name the sending identity in agent_identity_id.",
        loc=["query", "agent_identity_id"],
    )


def _sent(actor: Actor, identity: Identity, conversation: Conversation | None, body: Send) -> Answer:
    message = send_message(
        actor,
        identity=None if conversation else identity,
        to=body.to,
        conversation=conversation,
        text=body.text,
        media_urls=body.media_urls or (),
        send_style=body.send_style or "",
    )
    shown = {"message": inkbox.message(message_shape(message))}
    return Answer(status=201, body=orjson.dumps(shown).decode(), subject_id=str(message.id))


def _filtered(actor: Actor, identity: Identity | None, query: MessageFilter) -> list[Message]:
    """One page. Inside one conversation its own order holds; across several the time of storing."""
    rows = Message.objects.visible_to(actor)
    if identity:
        rows = rows.filter(identity=identity)
    if query.is_read is not None:
        rows = rows.filter(is_read=query.is_read)
    if query.is_blocked is not None:
        rows = rows.filter(is_blocked=query.is_blocked)
    if query.conversation_id:
        rows = rows.filter(conversation_id=query.conversation_id).order_by("-position")
    else:
        rows = rows.order_by("-created_at", "-id")
    with_all = rows.prefetch_related("parts", Prefetch("tapbacks", Tapback.objects.visible_to(actor).live()))
    return list(with_all[query.offset : query.offset + query.limit])
