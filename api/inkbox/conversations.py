"""Conversations and connections, read receipts and typing (contract/inkbox.md, section 10)."""

from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from accounts.models import Identity
from api.auth import actor_of
from api.inkbox.answers import Assignment, ConversationSummary, MarkedRead, Typing, answers
from api.inkbox.answers import Conversation as ConversationAnswer
from api.inkbox.finding import Owner, active_connection_with, conversation_with, id_in_path, narrowing_identity
from api.moments import Span
from api.parsing import Body, Page, QueryBool, respond
from api.shapes import connection_shape
from core.actor import Actor, Role
from core.errors import Conflict, NotFound
from dialects import inkbox
from imessage.connecting import release
from imessage.errors import ConnectionReleased
from imessage.groups import making_of
from imessage.models import Connection, Conversation
from imessage.receipts import mark_read, send_typing
from imessage.shapes import Seen, conversation_shape, conversation_summary_shape

router = Router(tags=["Conversations"])


class NotInGroups(Conflict):
    """This is for conversations with one human; groups know no read receipts and no typing here."""

    code = "not_in_groups"


class ConversationFilter(Span, Page):
    agent_identity_id: UUID | None = None
    is_blocked: QueryBool | None = None
    include_groups: QueryBool = False


class ConnectionFilter(Page):
    agent_identity_id: UUID | None = None


class Named(Body):
    conversation_id: UUID


@router.get("/conversations", response=answers(200, list[ConversationSummary], 403, 404))
def list_conversations(request: HttpRequest, query: Query[ConversationFilter]) -> HttpResponse:
    """Conversations with previews and counters over the messages looked at, the latest first."""
    actor = actor_of(request)
    identity = narrowing_identity(actor, query.agent_identity_id)
    if actor.is_agent and query.is_blocked:
        return respond([])
    seen = _seen(actor, query.is_blocked)
    rows = _latest_first(actor, identity, seen).filter(**query.conditions())
    if not query.include_groups:
        rows = rows.filter(is_group=False)
    page = rows[query.offset : query.offset + query.limit]
    return respond(
        [
            inkbox.conversation_summary(
                # These clients call nobody by name.
                {**conversation_summary_shape(found, seen, names={}), "group_state": making_of(found)}
            )
            for found in page
        ]
    )


@router.get("/conversations/{conversation_id}", response=answers(200, ConversationAnswer, 404))
def get_conversation(request: HttpRequest, conversation_id: str, query: Query[Owner]) -> HttpResponse:
    """One conversation; naming an identity asserts that it is the owner."""
    conversation = conversation_with(actor_of(request), id_in_path(conversation_id))
    query.require(conversation.identity_id)
    return respond(inkbox.conversation({**conversation_shape(conversation), "group_state": making_of(conversation)}))


@router.get("/assignments", response=answers(200, list[Assignment], 403, 404))
def list_assignments(request: HttpRequest, query: Query[ConnectionFilter]) -> HttpResponse:
    """Who is connected through the router now, the newest first."""
    actor = actor_of(request)
    identity = narrowing_identity(actor, query.agent_identity_id)
    rows = Connection.objects.visible_to(actor).pooled().filter(status=Connection.Status.ACTIVE)
    if identity:
        rows = rows.filter(identity=identity)
    page = rows.order_by("-created_at", "-id")[query.offset : query.offset + query.limit]
    return respond([inkbox.assignment(connection_shape(connection)) for connection in page])


@router.delete("/assignments/{assignment_id}", response=answers(204, None, 403, 404))
def release_assignment(request: HttpRequest, assignment_id: str) -> HttpResponse:
    """End a connection; admin keys only. The human is not told and may connect again through the router."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    connection = active_connection_with(actor, id_in_path(assignment_id))
    try:
        release(actor, connection)
    except ConnectionReleased as ended:
        raise NotFound() from ended
    return HttpResponse(status=204)


@router.post("/mark-read", response=answers(200, MarkedRead, 403, 404, 409, 502))
def mark_conversation_read(request: HttpRequest, body: Named) -> HttpResponse:
    """Send a read receipt and mark the human's messages read."""
    actor = actor_of(request)
    conversation = _of_one_human(conversation_with(actor, body.conversation_id))
    return respond({"conversation_id": str(conversation.id), "updated_count": mark_read(actor, conversation)})


@router.post("/typing", response=answers(200, Typing, 403, 404, 409, 502))
def typing(request: HttpRequest, body: Named) -> HttpResponse:
    """Show the typing bubble on the human's phone; it ends by itself."""
    actor = actor_of(request)
    send_typing(actor, _of_one_human(conversation_with(actor, body.conversation_id)))
    return respond({"status": "sent"})


def _of_one_human(conversation: Conversation) -> Conversation:
    """The conversation; raises `NotInGroups` for a group."""
    if conversation.is_group:
        raise NotInGroups()
    return conversation


def _seen(actor: Actor, is_blocked: bool | None) -> Seen:
    """What a list is computed over: an agent never sees anything blocked, an admin by default sees all."""
    if actor.is_agent or is_blocked is False:
        return Seen.VISIBLE
    return Seen.BLOCKED if is_blocked else Seen.ALL


def _latest_first(actor: Actor, identity: Identity | None, seen: Seen) -> QuerySet[Conversation]:
    """Conversations with at least one message to look at, by the time of the newest of those."""
    rows = Conversation.objects.visible_to(actor).select_related("connection", "visible_last", "blocked_last")
    rows = rows.prefetch_related("visible_last__parts", "blocked_last__parts", "participants")
    if identity:
        rows = rows.filter(identity=identity)
    if seen is Seen.VISIBLE:
        return rows.filter(visible_total__gt=0).order_by("-visible_last_at", "-id")
    if seen is Seen.BLOCKED:
        return rows.filter(blocked_total__gt=0).order_by("-blocked_last_at", "-id")
    return rows.exclude(visible_total=0, blocked_total=0).order_by("-last_at", "-id")
