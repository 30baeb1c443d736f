"""Agents: our identities, and the numbers that are attached to them (contract/agentphone.md, section 9)."""

from typing import Annotated, Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import Field, StrictBool

from accounts.identities import create_identity, free_handle, update_identity
from accounts.models import Identity
from api.agentphone.answers import Agent, Agents, Attached, DeletedAgent, Done, answers
from api.agentphone.finding import agent_with, number_with
from api.agentphone.lists import Window, answer_window
from api.agentphone.messages import NamedId
from api.agentphone.shapes import agent_shape, number_shape
from api.auth import actor_of, key_of
from api.parsing import TEXT, Body, respond
from core.errors import NotFound
from dialects import agentphone
from imessage.connecting import delete_identity
from imessage.owning import attach, detach
from imessage.senders import numbers_of
from lines.showing import owners_of

router = Router(tags=["Agents"])

Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"\S"), *TEXT]
Description = Annotated[str, Field(max_length=10_000), *TEXT]


class NewAgent(Body):
    """What concerns voice is ignored."""

    name: Name
    description: Description | None = None
    enableMessaging: StrictBool | None = None  # noqa: N815 - the vendor's words


class AgentChanges(Body):
    """Fields that are left out, or null, stay as they are."""

    name: Name | None = None
    description: Description | None = None
    enableMessaging: StrictBool | None = None  # noqa: N815


class Attach(Body):
    numberId: NamedId  # noqa: N815


# Ours by its words.
_OURS = {"name": "display_name", "description": "description", "enableMessaging": "imessage_enabled"}


@router.get("/agents", response=answers(200, Agents))
def list_agents(request: HttpRequest, query: Query[Window]) -> HttpResponse:
    """The organization's agents, newest first."""
    rows = Identity.objects.visible_to(actor_of(request)).live().order_by("-created_at", "-id")
    return answer_window(rows, query, _shown)


@router.post("/agents", response=answers(200, Agent, 403))
def create(request: HttpRequest, body: NewAgent) -> HttpResponse:
    """A new agent; its handle is made of its name. Admin keys only."""
    identity = create_identity(
        actor_of(request),
        organization=key_of(request).organization,
        handle=free_handle(body.name),
        display_name=body.name,
        description=body.description,
        imessage_enabled=body.enableMessaging is not False,
    )
    return respond(_shown(identity))


@router.get("/agents/{agent_id}", response=answers(200, Agent, 404))
def get(request: HttpRequest, agent_id: str) -> HttpResponse:
    """One agent with its numbers."""
    return respond(_shown(agent_with(actor_of(request), agent_id)))


@router.patch("/agents/{agent_id}", response=answers(200, Agent, 403, 404))
def update(request: HttpRequest, agent_id: str, body: AgentChanges) -> HttpResponse:
    """Change what is given."""
    actor = actor_of(request)
    changes = {_OURS[name]: value for name, value in body.model_dump(exclude_none=True).items()}
    return respond(_shown(update_identity(actor, agent_with(actor, agent_id), changes=changes)))


@router.delete("/agents/{agent_id}", response=answers(200, DeletedAgent, 403, 404))
def delete(request: HttpRequest, agent_id: str) -> HttpResponse:
    """End an agent; its numbers stay the organization's and its conversations readable. Admin keys only."""
    actor = actor_of(request)
    identity = agent_with(actor, agent_id)
    delete_identity(actor, identity)
    return respond({"success": True, "id": agent_id, "name": identity.display_name})


@router.post("/agents/{agent_id}/numbers", response=answers(200, Attached, 403, 404, 409))
def attach_number(request: HttpRequest, agent_id: str, body: Attach) -> HttpResponse:
    """Attach a number to an agent: it speaks over it from now on. Admin keys only."""
    actor = actor_of(request)
    identity = agent_with(actor, agent_id)
    line = attach(actor, number_with(actor, body.numberId), identity)
    return respond({"agentId": agent_id, "number": agentphone.agents_number(number_shape(line))})


@router.delete("/agents/{agent_id}/numbers/{number_id}", response=answers(200, Done, 403, 404))
def detach_number(request: HttpRequest, agent_id: str, number_id: str) -> HttpResponse:
    """Take a number from an agent; it stays the organization's. Admin keys only."""
    actor = actor_of(request)
    identity, line = agent_with(actor, agent_id), number_with(actor, number_id)
    with transaction.atomic():
        if owners_of([line.id]).get(line.id) != str(identity.id):
            raise NotFound()
        detach(actor, line)
    return respond({"success": True})


def _shown(identity: Identity) -> dict[str, Any]:
    return agentphone.agent(agent_shape(identity, numbers_of(identity)))
