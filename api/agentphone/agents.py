"""Agents: our identities (contract/agentphone.md, section 9)."""

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, Field

from accounts.models import Identity
from api.agentphone.answers import Agent, Agents, answers
from api.auth import actor_of
from api.parsing import respond
from core.errors import NotFound
from core.ids import from_prefixed
from dialects import agentphone
from imessage.shapes import iso

router = Router(tags=["Agents"])


class Window(BaseModel):
    """Which part of a list is asked for."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0


@router.get("/agents", response=answers(200, Agents))
def list_agents(request: HttpRequest, query: Query[Window]) -> HttpResponse:
    """The organization's agents, newest first."""
    rows = Identity.objects.visible_to(actor_of(request)).live().order_by("-created_at", "-id")
    page = list(rows[query.offset : query.offset + query.limit])
    total = rows.count()
    shown = [_shown(identity) for identity in page]
    return respond(agentphone.page(shown, total=total, has_more=query.offset + len(page) < total))


@router.get("/agents/{agent_id}", response=answers(200, Agent, 404))
def get(request: HttpRequest, agent_id: str) -> HttpResponse:
    """One agent with its numbers."""
    key = from_prefixed("agt", agent_id)
    identity = Identity.objects.visible_to(actor_of(request)).live().filter(pk=key).first() if key else None
    if identity is None:
        raise NotFound()
    return respond(_shown(identity))


def _shown(identity: Identity) -> dict[str, Any]:
    shape = {
        "id": identity.id,
        "display_name": identity.display_name,
        "description": identity.description,
        "imessage_enabled": identity.imessage_enabled,
        "lines": [],
        "created_at": iso(identity.created_at),
    }
    return agentphone.agent(shape)
