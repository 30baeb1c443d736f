"""Webhooks of the project and of each agent, their deliveries and a way to try them
(contract/agentphone.md, section 10)."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router
from pydantic import BaseModel, Field

from accounts.models import Identity, Organization
from api.agentphone.answers import (
    AllTimeStats,
    Deliveries,
    Delivery,
    DeliveryStats,
    Done,
    Tested,
    Webhook,
    answers,
)
from api.agentphone.finding import agent_with
from api.agentphone.messages import NamedId, Number
from api.agentphone.shapes import delivery_shape, tally_shape, trial_shape, webhook_shape
from api.auth import actor_of, key_of
from api.parsing import TEXT, Body, Documented, respond
from core.actor import Actor, Role
from core.errors import NotFound
from core.texts import MESSAGE_LIMIT
from dialects import agentphone
from webhooks.catalog import Sample
from webhooks.delivering import send_test
from webhooks.models import Delivery as DeliveryRow
from webhooks.models import Subscription
from webhooks.subscribing import CONTEXT_LIMIT, TIMEOUT, delete_subscription, hook_of, save_hook, secret_of
from webhooks.tallies import FATES, Tally, deliveries_to, tally_of

router = Router(tags=["Webhooks"])

EndpointUrl = Annotated[str, Field(min_length=1, max_length=2083), *TEXT, Documented(format="endpoint-url")]
Hours = Annotated[int, Field(ge=1, le=168)]


class SavedWebhook(Body):
    url: EndpointUrl
    contextLimit: Annotated[int, Field(ge=0, le=50)] | None = None  # noqa: N815 - the vendor's words
    timeout: Annotated[int, Field(ge=5, le=120)] | None = None


class Example(Body):
    """What stands in the event that is sent to try a webhook."""

    sender: Annotated[Number | None, Field(alias="from")] = None
    to: Number | None = None
    message: Annotated[str, Field(max_length=MESSAGE_LIMIT), *TEXT] | None = None
    channel: Literal["sms", "imessage", "mms", "whatsapp", "rcs"] | None = None


class Whose(BaseModel):
    agentId: NamedId | None = None  # noqa: N815


class DeliveryWindow(BaseModel):
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    hours: Hours | None = None


class DeliveryLimit(BaseModel):
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class Lately(BaseModel):
    hours: Hours = 24


NO_TALLY = Tally(dict.fromkeys(FATES, 0), {}, [])


@router.get("/webhooks", response=answers(200, Webhook | None, 403))
def get(request: HttpRequest) -> HttpResponse:
    """The project's webhook with its secret; null while there is none. Admin keys only."""
    return _shown(actor_of(request), hook_of(_project(request)))


@router.post("/webhooks", response=answers(200, Webhook, 403))
def save(request: HttpRequest, body: SavedWebhook) -> HttpResponse:
    """Make the project's webhook or change it; its secret is new every time. Admin keys only.

    It hears of every agent that has no webhook of its own.
    """
    return _saved(actor_of(request), _project(request), body)


@router.delete("/webhooks", response=answers(200, Done, 403, 404))
def delete(request: HttpRequest) -> HttpResponse:
    """End the project's webhook. Admin keys only."""
    return _deleted(actor_of(request), _project(request))


@router.get("/webhooks/deliveries", response=answers(200, Deliveries, 403))
def list_deliveries(request: HttpRequest, query: Query[DeliveryWindow]) -> HttpResponse:
    """What went, or goes, to the project's webhook, newest first. Admin keys only."""
    hook, items, total = hook_of(_project(request)), [], 0
    if hook:
        rows = deliveries_to(actor_of(request), hook, since=_since(query.hours))
        items, total = _rows(rows[query.offset : query.offset + query.limit]), rows.count()
    return respond({"items": items, "total": total, "offset": query.offset, "limit": query.limit})


@router.get("/webhooks/deliveries/stats", response=answers(200, DeliveryStats, 403))
def stats(request: HttpRequest, query: Query[Lately]) -> HttpResponse:
    """How the deliveries of the last hours fared, in all, by event and by hour. Admin keys only."""
    return respond(agentphone.delivery_stats(tally_shape(_tally(request, _since(query.hours)))))


@router.get("/webhooks/deliveries/all-time", response=answers(200, AllTimeStats, 403))
def all_time_stats(request: HttpRequest) -> HttpResponse:
    """How all deliveries that are kept fared. Admin keys only."""
    return respond(agentphone.all_time_stats(tally_shape(_tally(request, None))))


@router.post("/webhooks/test", response=answers(200, Tested, 403, 404, 409))
def try_it(request: HttpRequest, query: Query[Whose], body: Example | None = None) -> HttpResponse:
    """Send an example to the project's webhook, of an agent if one is named. Admin keys only."""
    actor, hook = actor_of(request), hook_of(_project(request))
    identity = agent_with(actor, query.agentId) if query.agentId else None
    return _tested(actor, hook, identity, body)


@router.get("/agents/{agent_id}/webhook", response=answers(200, Webhook | None, 403, 404))
def get_of_agent(request: HttpRequest, agent_id: str) -> HttpResponse:
    """An agent's own webhook with its secret; null while it has none."""
    actor = actor_of(request)
    return _shown(actor, hook_of(agent_with(actor, agent_id)))


@router.post("/agents/{agent_id}/webhook", response=answers(200, Webhook, 403, 404))
def save_of_agent(request: HttpRequest, agent_id: str, body: SavedWebhook) -> HttpResponse:
    """Make an agent's own webhook or change it; it takes the place of the project's, its secret is new every time."""
    actor = actor_of(request)
    return _saved(actor, agent_with(actor, agent_id), body)


@router.delete("/agents/{agent_id}/webhook", response=answers(200, Done, 403, 404))
def delete_of_agent(request: HttpRequest, agent_id: str) -> HttpResponse:
    """End an agent's own webhook; the project's hears of it again."""
    actor = actor_of(request)
    return _deleted(actor, agent_with(actor, agent_id))


@router.get("/agents/{agent_id}/webhook/deliveries", response=answers(200, list[Delivery], 404))
def list_deliveries_of_agent(request: HttpRequest, agent_id: str, query: Query[DeliveryLimit]) -> HttpResponse:
    """What went, or goes, to an agent's own webhook, newest first."""
    actor = actor_of(request)
    hook = hook_of(agent_with(actor, agent_id))
    return respond(_rows(deliveries_to(actor, hook)[: query.limit]) if hook else [])


@router.post("/agents/{agent_id}/webhook/test", response=answers(200, Tested, 403, 404, 409))
def try_it_of_agent(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Send an example to an agent's own webhook."""
    actor = actor_of(request)
    return _tested(actor, hook_of(agent_with(actor, agent_id)), None, None)


def _project(request: HttpRequest) -> Organization:
    actor_of(request).require(Role.ADMIN)
    return key_of(request).organization


def _shown(actor: Actor, hook: Subscription | None) -> HttpResponse:
    return respond(agentphone.webhook(webhook_shape(hook, secret_of(actor, hook))) if hook else None)


def _saved(actor: Actor, owner: Identity | Organization, body: SavedWebhook) -> HttpResponse:
    hook, secret = save_hook(
        actor,
        owner,
        url=body.url,
        context_limit=CONTEXT_LIMIT if body.contextLimit is None else body.contextLimit,
        timeout=TIMEOUT if body.timeout is None else body.timeout,
    )
    return respond(agentphone.webhook(webhook_shape(hook, secret)))


def _deleted(actor: Actor, owner: Identity | Organization) -> HttpResponse:
    hook = hook_of(owner)
    if hook is None:
        raise NotFound()
    delete_subscription(actor, hook)
    return respond({"success": True})


def _tested(actor: Actor, hook: Subscription | None, identity: Identity | None, body: Example | None) -> HttpResponse:
    if hook is None:
        raise NotFound()
    attempt = send_test(actor, hook, event_type="message.received", identity=identity, sample=_sample(body))
    return respond(agentphone.tested(trial_shape(attempt)))


def _sample(body: Example | None) -> Sample:
    """What the client asked to stand in the example; the rest is the usual."""
    if body is None:
        return Sample()
    service = {"mms": "sms", "whatsapp": "imessage"}.get(body.channel or "", body.channel)
    given = {"human": body.sender, "line": body.to, "text": body.message, "service": service}
    return Sample(**{name: value for name, value in given.items() if value is not None})


def _tally(request: HttpRequest, since: datetime | None) -> Tally:
    hook = hook_of(_project(request))
    return tally_of(actor_of(request), hook, since=since) if hook else NO_TALLY


def _since(hours: int | None) -> datetime | None:
    return timezone.now() - timedelta(hours=hours) if hours else None


def _rows(deliveries: Iterable[DeliveryRow]) -> list[dict[str, Any]]:
    return [agentphone.delivery(delivery_shape(delivery)) for delivery in deliveries]
