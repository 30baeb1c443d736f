"""Webhook subscriptions and what can be subscribed to (contract/inkbox.md, section 13)."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from accounts.models import Identity
from api.auth import actor_of
from api.idempotency import IDEMPOTENT, Answer, create_once
from api.inkbox.answers import Catalog, CreatedSubscription, Subscriptions, answers
from api.inkbox.answers import Subscription as SubscriptionAnswer
from api.inkbox.finding import id_in_path, identity_with, subscription_with
from api.parsing import TEXT, Body, Documented, respond, said_by
from api.shapes import subscription_shape
from core.actor import Actor
from core.errors import Invalid, NotFound
from dialects import inkbox
from webhooks.models import Subscription
from webhooks.subscribing import create_subscription, delete_subscription, update_subscription

router = Router(tags=["Webhooks"])

_SUBSCRIPTIONS = "/webhooks/subscriptions"
_SUBSCRIPTION = _SUBSCRIPTIONS + "/{subscription_id}"


def _amount(mode: str, unit: str, most: int) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"mode": {"const": mode}, unit: {"type": "integer", "minimum": 1, "maximum": most}},
        "required": ["mode", unit],
        "additionalProperties": False,
    }


# How much of the conversation goes along with an event (contract/inkbox.md 15.5).
_WANTED = {"anyOf": [_amount("count", "count", 50), _amount("window", "hours", 168), {"type": "null"}]}
_CONTEXT: dict[str, Any] = {
    "properties": {"email": _WANTED, "texts": _WANTED, "calls": _WANTED},
    "additionalProperties": False,
}
_OWNERS = ("agent_identity_id", "mailbox_id", "phone_number_id")
_ONE_OWNER: dict[str, Any] = {
    "oneOf": [
        {
            "required": [owner],
            "properties": {name: {"type": "string" if name == owner else "null"} for name in _OWNERS},
        }
        for owner in _OWNERS
    ]
}


def _our_event_type(word: str) -> str:
    ours = inkbox.event_type_of(word)
    if ours is None:
        raise Invalid(f"Unknown event type; choose among {', '.join(inkbox.WEBHOOK_EVENTS.values())}.")
    return ours


EventType = Annotated[
    str, Field(max_length=60), said_by(_our_event_type), Documented(enum=list(inkbox.WEBHOOK_EVENTS.values()))
]
EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=20), Documented(uniqueItems=True)]
Url = Annotated[str, Field(min_length=1, max_length=2000), *TEXT, Documented(format="endpoint-url")]
Token = Annotated[str, Field(min_length=1, max_length=2000), *TEXT, Documented(pattern="^[!-~]+$")]
Context = Annotated[dict[str, Any], Documented(**_CONTEXT)]


class NewSubscription(Body):
    model_config = ConfigDict(json_schema_extra=_ONE_OWNER)

    url: Url
    event_types: EventTypes
    agent_identity_id: UUID | None = None
    mailbox_id: UUID | None = None
    phone_number_id: UUID | None = None
    context_config: Context | None = None
    auth_token: Token | None = None

    @model_validator(mode="after")
    def _one_owner(self) -> Self:
        if _named(self) != 1:
            raise PydanticCustomError("owner", "Name exactly one of agent_identity_id, mailbox_id and phone_number_id.")
        return self


class SubscriptionChanges(Body):
    """Fields that are left out stay as they are; null clears `context_config` and `auth_token`."""

    url: Url = ""
    event_types: EventTypes = []
    context_config: Context | None = None
    auth_token: Token | None = None


class Scope(BaseModel):
    """Newer clients say so when they mean every family of events; here there is one."""

    scope: Literal["identity"] | None = None


class SubscriptionFilter(Scope):
    agent_identity_id: UUID | None = None
    mailbox_id: UUID | None = None
    phone_number_id: UUID | None = None
    url: Annotated[str, Field(max_length=2000), *TEXT] | None = None
    event_type: Annotated[str, Field(max_length=60), *TEXT] | None = None

    @model_validator(mode="after")
    def _one_owner(self) -> Self:
        if _named(self) > 1:
            raise PydanticCustomError("owner", "Name at most one of agent_identity_id, mailbox_id and phone_number_id.")
        return self


def _named(owner: NewSubscription | SubscriptionFilter) -> int:
    return sum(getattr(owner, name) is not None for name in _OWNERS)


@router.get("/webhooks/catalog", response=answers(200, Catalog))
def catalog(request: HttpRequest) -> HttpResponse:
    """The events that can be subscribed to, and the headers that sign them."""
    return respond(inkbox.webhook_catalog())


@router.get(_SUBSCRIPTIONS, response=answers(200, Subscriptions, 404))
def list_subscriptions(request: HttpRequest, query: Query[SubscriptionFilter]) -> HttpResponse:
    """The subscriptions that the caller may see, newest first."""
    rows = _filtered(actor_of(request), query)
    return respond({"subscriptions": [_shown(subscription) for subscription in rows]})


@router.post(_SUBSCRIPTIONS, openapi_extra=IDEMPOTENT, response=answers(201, CreatedSubscription, 403, 404, 409))
def create(request: HttpRequest, body: NewSubscription) -> HttpResponse:
    """Have a URL told of an identity's events; the first one shows the identity's new signing key, this once."""
    actor = actor_of(request)
    return create_once(
        request, operation="subscription.create", asked=body, deed=lambda: _created(actor, body), sealed=True
    )


@router.get(_SUBSCRIPTION, response=answers(200, SubscriptionAnswer, 404))
def get(request: HttpRequest, subscription_id: str) -> HttpResponse:
    """One subscription."""
    return respond(_shown(subscription_with(actor_of(request), id_in_path(subscription_id))))


@router.patch(_SUBSCRIPTION, response=answers(200, SubscriptionAnswer, 403, 404, 409))
def update(request: HttpRequest, subscription_id: str, body: SubscriptionChanges, query: Query[Scope]) -> HttpResponse:
    """Change what is given; from then on nothing goes to a former address."""
    actor = actor_of(request)
    subscription = subscription_with(actor, id_in_path(subscription_id))
    return respond(_shown(update_subscription(actor, subscription, changes=body.model_dump(exclude_unset=True))))


@router.delete(_SUBSCRIPTION, response=answers(204, None, 403, 404))
def delete(request: HttpRequest, subscription_id: str) -> HttpResponse:
    """End a subscription; nothing goes there any more."""
    actor = actor_of(request)
    delete_subscription(actor, subscription_with(actor, id_in_path(subscription_id)))
    return HttpResponse(status=204)


def _filtered(actor: Actor, query: SubscriptionFilter) -> list[Subscription]:
    if query.mailbox_id or query.phone_number_id:
        return []
    rows = Subscription.objects.visible_to(actor).kept().of_dialect("inkbox")
    if query.agent_identity_id:
        rows = rows.filter(identity=identity_with(actor, query.agent_identity_id))
    if query.url is not None:
        rows = rows.filter(url=query.url)
    if query.event_type is not None:
        rows = rows.filter(event_types__contains=[inkbox.event_type_of(query.event_type) or ""])
    return list(rows.order_by("-created_at", "-id"))


def _created(actor: Actor, body: NewSubscription) -> Answer:
    subscription, key = create_subscription(
        actor,
        _owner(actor, body),
        url=body.url,
        event_types=body.event_types,
        context_config=body.context_config,
        auth_token=body.auth_token,
    )
    return Answer.created({**_shown(subscription), "signing_key": key}, subscription.id)


def _owner(actor: Actor, body: NewSubscription) -> Identity:
    """The owning identity; there are no mailboxes and phone numbers here, so those are not found."""
    if body.agent_identity_id is None:
        raise NotFound()
    return identity_with(actor, body.agent_identity_id)


def _shown(subscription: Subscription) -> dict[str, Any]:
    return inkbox.subscription(subscription_shape(subscription))
