"""Conversations, their history and what is kept with them; typing (contract/agentphone.md, section 6)."""

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, Field

from api.agentphone.answers import (
    ConversationDetail,
    Conversations,
    Messages,
    Typing,
    answers,
)
from api.agentphone.finding import agent_with, conversation_with, conversations, messages
from api.agentphone.lists import History, Window, answer_history, answer_whole_window, rows_of
from api.agentphone.shapes import thread_shape
from api.auth import actor_of
from api.parsing import TEXT, Body, respond
from core.actor import Actor
from dialects import agentphone
from imessage.keeping import keep_metadata, rename_group
from imessage.models import Conversation
from imessage.receipts import send_typing
from imessage.shapes import names_in

router = Router(tags=["Conversations"])


class Recent(BaseModel):
    message_limit: Annotated[int, Field(ge=1, le=100)] = 50


class ConversationChanges(Body):
    """Fields that are left out stay as they are; `metadata` is replaced whole, null clears it."""

    metadata: dict[str, Any] | None = None
    group_name: Annotated[str, Field(min_length=1, max_length=200), *TEXT] | None = None


@router.get("/conversations", response=answers(200, Conversations))
def list_conversations(request: HttpRequest, query: Query[Window]) -> HttpResponse:
    """Conversations, the one that spoke last first."""
    return answer_whole_window(conversations(actor_of(request)), query, _shown)


@router.get("/agents/{agent_id}/conversations", response=answers(200, Conversations, 404))
def list_conversations_of_agent(request: HttpRequest, agent_id: str, query: Query[Window]) -> HttpResponse:
    """An agent's conversations, the one that spoke last first."""
    actor = actor_of(request)
    rows = conversations(actor).filter(identity=agent_with(actor, agent_id))
    return answer_whole_window(rows, query, _shown)


@router.get("/conversations/{conversation_id}", response=answers(200, ConversationDetail, 404))
def get(request: HttpRequest, conversation_id: str, query: Query[Recent]) -> HttpResponse:
    """One conversation with its newest messages."""
    actor = actor_of(request)
    return respond(detail(actor, conversation_with(actor, conversation_id), query.message_limit))


@router.patch("/conversations/{conversation_id}", response=answers(200, ConversationDetail, 403, 404, 409, 502))
def update(request: HttpRequest, conversation_id: str, query: Query[Recent], body: ConversationChanges) -> HttpResponse:
    """Keep state with a conversation, or rename a group on everybody's phone."""
    actor = actor_of(request)
    conversation = conversation_with(actor, conversation_id)
    if body.group_name is not None:
        rename_group(actor, conversation, body.group_name)
    if "metadata" in body.model_fields_set:
        keep_metadata(actor, conversation, body.metadata)
    return respond(detail(actor, conversation_with(actor, conversation_id), query.message_limit))


@router.get("/conversations/{conversation_id}/messages", response=answers(200, Messages, 404))
def list_messages(request: HttpRequest, conversation_id: str, query: Query[History]) -> HttpResponse:
    """A conversation's messages, newest first; of an inbound carousel one for each image."""
    actor = actor_of(request)
    rows = messages(actor).filter(conversation=conversation_with(actor, conversation_id))
    return answer_history(actor, rows, query, agentphone.messages)


@router.post("/conversations/{conversation_id}/typing", response=answers(200, Typing, 403, 404, 409, 502))
def typing(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Show the typing bubble; it ends by itself. Where there is none, as on SMS, nothing is done."""
    actor = actor_of(request)
    conversation = conversation_with(actor, conversation_id)
    shown = send_typing(actor, conversation)
    return respond(agentphone.typing(thread_shape(conversation), shown=shown))


def detail(actor: Actor, conversation: Conversation, limit: int) -> dict[str, Any]:
    """A conversation with its newest messages, as `finding.conversations` reads it."""
    newest = messages(actor).filter(conversation=conversation).order_by("-position")
    rows, _ = rows_of(actor, newest, limit=limit)
    return agentphone.conversation_detail(thread_shape(conversation), rows)


def _shown(page: list[Conversation]) -> list[dict[str, Any]]:
    names = names_in(page)
    return [agentphone.conversation(thread_shape(conversation, names)) for conversation in page]
