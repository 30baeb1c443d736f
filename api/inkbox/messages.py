"""Sending and listing messages (contract/inkbox.md, section 8)."""

from typing import Annotated, Any, Self, TypedDict
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from accounts.models import Identity
from api.auth import actor_of, own_identity
from api.idempotency import IDEMPOTENT, Answer, key_of, once
from api.inkbox.answers import Message as MessageAnswer
from api.inkbox.answers import SentMessage, Thread, answers
from api.inkbox.finding import (
    Owner,
    conversation_with,
    group_of,
    id_in_path,
    identity_with,
    message_with,
    narrowing_identity,
    own_lines,
)
from api.moments import Span
from api.parsing import TEXT, Body, Page, PhoneNumber, QueryBool, WebUrl, respond
from core.actor import Actor
from core.errors import Invalid, NotFound
from core.ids import from_prefixed, prefixed
from core.texts import MESSAGE_LIMIT
from dialects import inkbox
from imessage.errors import GroupsUnsupported
from imessage.listing import conversation_page, message_shapes
from imessage.models import Connection, Conversation, Message, MessageQuerySet, SendStyle
from imessage.sending import send_message
from imessage.shapes import message_shape
from lines.models import Line

router = Router(tags=["Messages"])

OPERATION = "imessage.send"

# Beyond that a group is more than its clients ever make.
MOST_RECIPIENTS = 8


_ONE = TypeAdapter(PhoneNumber)


def _one_or_many(to: Any, many: ValidatorFunctionWrapHandler) -> Any:
    # What is wrong with a single number is said of the field itself.
    return [_ONE.validate_python(to)] if isinstance(to, str) else many(to)


def _distinct(numbers: list[str] | None) -> list[str] | None:
    if numbers and len(set(numbers)) < len(numbers):
        raise PydanticCustomError("recipient_twice", "Each recipient is named once.")
    return numbers


_NUMBER = {"type": "string", "format": "e164"}
_RECIPIENTS = {
    "anyOf": [
        _NUMBER,
        {"type": "array", "items": _NUMBER, "minItems": 1, "maxItems": MOST_RECIPIENTS, "uniqueItems": True},
        {"type": "null"},
    ]
}
Recipients = Annotated[
    Annotated[list[PhoneNumber], Field(min_length=1, max_length=MOST_RECIPIENTS)] | None,
    WrapValidator(_one_or_many),
    AfterValidator(_distinct),
    WithJsonSchema(_RECIPIENTS),
]


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

    to: Recipients = None
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


class Recipient(TypedDict, total=False):
    """By what `send_message` knows whom it is for."""

    conversation_id: UUID | None
    to: str
    recipients: list[str]
    line: Line | None


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

    def after(self) -> int:
        """The position that the page before ended at."""
        key = from_prefixed(_CURSOR, self.cursor) if self.cursor else None
        return key.int if key else 0


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
    actor = actor_of(request)
    message = message_with(actor, id_in_path(message_id))
    query.require(message.identity_id)
    root_id = message.id if message.reply_unresolved else message.thread_id
    return respond(_thread(actor, message.conversation_id, root_id, query))


@router.get("/conversations/{conversation_id}/threads/{thread_id}", response=answers(200, Thread, 404))
def get_conversation_thread(
    request: HttpRequest, conversation_id: str, thread_id: str, query: Query[ThreadPage]
) -> HttpResponse:
    """A thread by its id, which is the id of the message that began it."""
    actor = actor_of(request)
    conversation = conversation_with(actor, id_in_path(conversation_id))
    query.require(conversation.identity_id)
    return respond(_thread(actor, conversation.id, id_in_path(thread_id), query))


def _thread(actor: Actor, conversation_id: UUID, root_id: UUID, query: ThreadPage) -> dict[str, Any]:
    """One page; raises `NotFound` for a thread of which the actor sees nothing."""
    rows = Message.objects.visible_to(actor).filter(_in_thread(root_id), conversation_id=conversation_id)
    if not rows.exists():
        raise NotFound()
    found = rows.filter(position__gt=query.after()).order_by("position")
    shapes = message_shapes(found[: query.limit + 1])
    page, goes_on = shapes[: query.limit], len(shapes) > query.limit
    return inkbox.thread(
        {
            "root_id": str(root_id),
            "conversation_id": str(conversation_id),
            "messages": page,
            "next_cursor": prefixed(_CURSOR, UUID(int=page[-1]["position"])) if goes_on else None,
        }
    )


def _in_thread(root_id: UUID) -> Q:
    """The message that began it and its replies, but not those that had to leave as ordinary messages."""
    return Q(pk=root_id) | (Q(thread_root_id=root_id) & ~Q(reply_unresolved=True))


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


def _sent(actor: Actor, identity: Identity, body: Send) -> Answer:
    message = send_message(
        actor,
        identity=identity,
        text=body.text,
        media_urls=body.media_urls or (),
        send_style=body.send_style or "",
        reply_to=body.reply_to_message_id,
        require_native_reply=not body.plain_reply_fallback,
        **_recipient(actor, identity, body),
    )
    return Answer.created({"message": inkbox.message(message_shape(message))}, message.id)


def _recipient(actor: Actor, identity: Identity, body: Send) -> Recipient:
    """Whom the message is for: a conversation, one human, or a group, known by who is in it or yet to be made."""
    if body.to is None:
        return {"conversation_id": body.conversation_id}
    lines = own_lines(actor, [identity])[identity.id]
    if len(body.to) == 1:
        return {"to": body.to[0], "line": _line_to(actor, identity, lines, body.to[0])}
    if group := group_of(actor, identity, lines, body.to):
        return {"conversation_id": group.id}
    if not lines:
        raise GroupsUnsupported("Groups need a dedicated line; attach one to this identity.")
    return {"recipients": body.to, "line": lines[0]}


def _line_to(actor: Actor, identity: Identity, lines: list[Line], human: str) -> Line | None:
    """A line of the identity's own, over which it may write first; None for a human it talks with over a shared one."""
    shared = Conversation.objects.visible_to(actor).filter(identity=identity, human=human, owned_line=None)
    talking = shared.filter(connection__status=Connection.Status.ACTIVE, visible_total__gt=0)
    return None if not lines or talking.exists() else lines[0]


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
        rows = rows.filter(_in_thread(query.thread_id))
    if not query.include_groups and not query.conversation_id:
        rows = rows.exclude(connection=None)
    if query.conversation_id:
        rows = rows.filter(conversation_id=query.conversation_id).order_by("-position")
    else:
        rows = rows.order_by("-created_at", "-id")
    return rows[query.offset : query.offset + query.limit]
