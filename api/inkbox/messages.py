"""Sending and listing messages (contract/inkbox.md, section 8)."""

from typing import Annotated, Any, Self
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from accounts.models import Identity
from api.auth import actor_of, own_identity
from api.idempotency import IDEMPOTENT, Answer, key_of, once
from api.inkbox.answers import Message as MessageAnswer
from api.inkbox.answers import SentMessage, Thread, answers
from api.inkbox.finding import (
    Owner,
    conversation_with,
    id_in_path,
    identity_with,
    message_with,
    narrowing_identity,
)
from api.moments import Span
from api.parsing import TEXT, Body, Page, PhoneNumber, QueryBool, WebUrl, respond
from core.actor import Actor
from core.errors import Invalid, NotFound
from core.ids import from_prefixed
from core.texts import MESSAGE_LIMIT
from dialects import inkbox
from imessage.errors import ReplyTargetNotFound, ReplyTargetUnavailable
from imessage.listing import conversation_page, message_shapes
from imessage.models import Message, MessageQuerySet, SendStyle
from imessage.sending import send_message
from imessage.shapes import message_shape

router = Router(tags=["Messages"])

OPERATION = "imessage.send"

_NUMBER = {"type": "string", "format": "e164"}


def _one_recipient(to: Any) -> Any:
    """Newer clients may send a list; here it holds one number."""
    if isinstance(to, list) and len(to) > 1:
        raise PydanticCustomError("not_supported", "This server has no group conversations; name one recipient.")
    return to[0] if isinstance(to, list) and to else to


# What the document says of `to`: a number, or a list, which here holds one.
_RECIPIENT = {"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER, "minItems": 1, "maxItems": 1}, {"type": "null"}]}


_RULES: dict[str, Any] = {
    "oneOf": [
        {
            "required": ["to"],
            "properties": {
                "to": {"type": ["string", "array"]},
                "conversation_id": {"type": "null"},
                "reply_to_message_id": {"type": "null"},
            },
        },
        {
            "required": ["conversation_id"],
            "properties": {"conversation_id": {"type": "string"}, "to": {"type": "null"}},
        },
    ],
    "anyOf": [
        {"required": ["text"], "properties": {"text": {"type": "string", "pattern": "\\S"}}},
        {"required": ["media_urls"], "properties": {"media_urls": {"type": "array", "minItems": 1}}},
    ],
}


class Send(Body):
    model_config = ConfigDict(json_schema_extra=_RULES)

    to: Annotated[PhoneNumber | None, BeforeValidator(_one_recipient), WithJsonSchema(_RECIPIENT)] = None
    conversation_id: UUID | None = None
    text: Annotated[str, Field(max_length=MESSAGE_LIMIT), *TEXT] | None = None
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
        if self.reply_to_message_id and self.conversation_id is None:
            raise PydanticCustomError("reply_target", "reply_to_message_id goes with conversation_id, not with to.")
        return self


class Sender(BaseModel):
    agent_identity_id: UUID | None = None


class MessageFilter(Span, Page):
    agent_identity_id: UUID | None = None
    conversation_id: UUID | None = None
    thread_id: UUID | None = None
    is_read: QueryBool | None = None
    is_blocked: QueryBool | None = None
    include_groups: QueryBool = False


# What is asked most, and needs no query to be put together.
_PAGE_OF_ONE = {"conversation_id", "limit", "offset"}

_CURSOR = "cur"
Cursor = Annotated[str, Field(pattern=r"^cur_[a-z2-7]{26}$", description="`next_cursor` of the page before.")]


class ThreadPage(Owner):
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Cursor | None = None

    def after(self) -> UUID | None:
        """The message that the page before ended with."""
        return from_prefixed(_CURSOR, self.cursor) if self.cursor else None


@router.post("/messages", openapi_extra=IDEMPOTENT, response=answers(201, SentMessage, 403, 404, 409, 429))
def send(request: HttpRequest, body: Send, query: Query[Sender]) -> HttpResponse:
    """Accept a message; the same `Idempotency-Key` gives the first answer again."""
    actor = actor_of(request)
    key = key_of(request)
    identity = own_identity(request) or _sender(actor, body, query.agent_identity_id)
    answer = once(
        scope=identity.id,
        operation=OPERATION,
        key=key,
        asked=body.model_dump(mode="json"),
        deed=lambda: _sent(actor, identity, body),
    )
    return HttpResponse(answer.body, status=answer.status, content_type="application/json")


@router.get("/messages", response=answers(200, list[MessageAnswer], 403, 404))
def list_messages(request: HttpRequest, query: Query[MessageFilter]) -> HttpResponse:
    """Messages that the caller may see, newest first."""
    actor = actor_of(request)
    if query.conversation_id and query.model_fields_set <= _PAGE_OF_ONE:
        shapes = conversation_page(actor, query.conversation_id, limit=query.limit, offset=query.offset)
    else:
        identity = narrowing_identity(actor, query.agent_identity_id)
        shapes = message_shapes(_filtered(actor, identity, query))
    return respond([inkbox.message(shape) for shape in shapes])


@router.get("/messages/{message_id}", response=answers(200, MessageAnswer, 404))
def get_message(request: HttpRequest, message_id: str, query: Query[Owner]) -> HttpResponse:
    """One message as it is now; naming an identity asserts that it is the owner."""
    message = message_with(actor_of(request), id_in_path(message_id))
    query.require(message.identity_id)
    return respond(inkbox.message(message_shape(message)))


@router.get("/messages/{message_id}/thread", response=answers(200, Thread, 404))
def get_thread(request: HttpRequest, message_id: str, query: Query[ThreadPage]) -> HttpResponse:
    """The thread of inline replies that a message belongs to, oldest first; by itself it is a thread of one."""
    message = message_with(actor_of(request), id_in_path(message_id))
    return respond(_thread(message, query))


@router.get("/conversations/{conversation_id}/threads/{thread_id}", response=answers(200, Thread, 404))
def get_conversation_thread(
    request: HttpRequest, conversation_id: str, thread_id: str, query: Query[ThreadPage]
) -> HttpResponse:
    """A thread by its id, which is the id of the message that began it."""
    message = message_with(actor_of(request), id_in_path(thread_id))
    if message.conversation_id != id_in_path(conversation_id):
        raise NotFound()
    return respond(_thread(message, query))


def _thread(message: Message, query: ThreadPage) -> dict[str, Any]:
    """A page of the message by itself, which is all of the thread, so that no page has a next one."""
    query.require(message.identity_id)
    after = query.after()
    shape = {
        "root_id": str(message.id),
        "conversation_id": str(message.conversation_id),
        "messages": [message_shape(message)] if after is None or after < message.id else [],
        "next_cursor": None,
    }
    return inkbox.thread(shape)


def _sender(actor: Actor, body: Send, named: UUID | None) -> Identity:
    """Whom an admin key sends as: the conversation's identity; to send by number it must name one.

    A bound key sends as its own identity whatever it names.
    """
    if body.conversation_id:
        conversation = conversation_with(actor, body.conversation_id)
        if named not in {None, conversation.identity_id}:
            raise NotFound()
        return conversation.identity
    if named:
        return identity_with(actor, named)
    raise Invalid(
        "An admin key that sends by number must name the sending identity in agent_identity_id.",
        loc=["query", "agent_identity_id"],
    )


def _check_reply(actor: Actor, body: Send) -> None:
    """Inline replies leave as ordinary messages; raises `ReplyTargetNotFound`, and for a native one alone
    `ReplyTargetUnavailable`."""
    if body.reply_to_message_id is None or body.conversation_id is None:
        return
    target = Message.objects.visible_to(actor).filter(conversation=body.conversation_id, pk=body.reply_to_message_id)
    if not target.exists():
        # What may not be seen is missing before what is said of it.
        conversation_with(actor, body.conversation_id)
        raise ReplyTargetNotFound()
    if not body.plain_reply_fallback:
        raise ReplyTargetUnavailable()


def _sent(actor: Actor, identity: Identity, body: Send) -> Answer:
    _check_reply(actor, body)
    message = send_message(
        actor,
        identity=identity,
        to=body.to,
        conversation_id=body.conversation_id,
        text=body.text,
        media_urls=body.media_urls or (),
        send_style=body.send_style or "",
    )
    return Answer.created({"message": inkbox.message(message_shape(message))}, message.id)


def _filtered(actor: Actor, identity: Identity | None, query: MessageFilter) -> MessageQuerySet:
    """One page. Inside one conversation its own order holds; across several the time of storing."""
    rows = Message.objects.visible_to(actor)
    if identity:
        rows = rows.filter(identity=identity)
    if query.is_read is not None:
        rows = rows.filter(is_read=query.is_read)
    if query.is_blocked is not None:
        rows = rows.filter(is_blocked=query.is_blocked)
    rows = rows.filter(**query.conditions())
    if query.thread_id:
        rows = rows.filter(pk=query.thread_id)
    if query.conversation_id:
        rows = rows.filter(conversation_id=query.conversation_id).order_by("-position")
    else:
        rows = rows.order_by("-created_at", "-id")
    return rows[query.offset : query.offset + query.limit]
