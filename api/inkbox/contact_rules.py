"""Contact rules of an identity, and of a whole organization (contract/inkbox.md, section 12)."""

from typing import Any, Literal, Self
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from accounts.models import Identity
from api.auth import actor_of
from api.idempotency import IDEMPOTENT, Answer, create_once
from api.inkbox.answers import ContactRule as ContactRuleAnswer
from api.inkbox.answers import answers
from api.inkbox.finding import id_in_path, identity_with, owned_identity, rule_with
from api.parsing import Body, Page, PhoneNumber, respond
from api.shapes import rule_shape
from contactrules.models import ContactRule
from contactrules.rules import create_rule, delete_rule, set_action_of_side, update_rule
from core.actor import Actor, Role
from dialects import inkbox

router = Router(tags=["Contact rules"])

_RULES = "/identities/{handle}/contact-rules"
_RULE = _RULES + "/{rule_id}"

Action = Literal["allow", "block"]
Direction = Literal["inbound", "outbound", "both"]


class RuleFilter(Page):
    action: Action | None = None
    match_type: Literal["exact_number"] | None = None
    direction: Direction | None = None


class OrganizationRuleFilter(RuleFilter):
    agent_identity_id: UUID | None = None


class NewRule(Body):
    action: Action
    match_target: PhoneNumber
    match_type: Literal["exact_number"] = "exact_number"
    direction: Direction = "both"


def _given(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"type": "string"}, "apply_to": {"type": "null"}}}


_CHANGES: dict[str, Any] = {
    "anyOf": [
        *(_given(name) for name in ("action", "status", "direction")),
        {
            "required": ["action", "apply_to"],
            "properties": {
                "action": {"type": "string"},
                "apply_to": {"type": "string"},
                "direction": {"type": "null"},
                "status": {"type": "null"},
            },
        },
    ]
}


class RuleChanges(Body):
    model_config = ConfigDict(json_schema_extra=_CHANGES)

    action: Action | None = None
    status: Literal["active", "paused"] | None = None
    direction: Direction | None = None
    apply_to: Literal["inbound", "outbound"] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.words() and self.apply_to is None:
            raise PydanticCustomError("empty_update", "Give at least one of action, status and direction.")
        if self.apply_to and (self.action is None or self.direction or self.status):
            raise PydanticCustomError("apply_to", "apply_to goes with action, and with nothing else.")
        return self

    def words(self) -> dict[str, str]:
        """The changes that `update_rule` makes."""
        return self.model_dump(include={"action", "status", "direction"}, exclude_none=True)


@router.get("/contact-rules", response=answers(200, list[ContactRuleAnswer], 403, 404))
def list_all(request: HttpRequest, query: Query[OrganizationRuleFilter]) -> HttpResponse:
    """The rules of every identity of the organization, newest first; admin keys only."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    identity = identity_with(actor, query.agent_identity_id) if query.agent_identity_id else None
    return _page(actor, identity, query)


@router.get(_RULES, response=answers(200, list[ContactRuleAnswer], 403, 404))
def list_rules(request: HttpRequest, handle: str, query: Query[RuleFilter]) -> HttpResponse:
    """The identity's rules, active and paused, newest first."""
    actor, identity = owned_identity(request, handle)
    return _page(actor, identity, query)


@router.post(_RULES, openapi_extra=IDEMPOTENT, response=answers(201, ContactRuleAnswer, 403, 404, 409))
def create(request: HttpRequest, handle: str, body: NewRule) -> HttpResponse:
    """A new active rule for one number."""
    actor, identity = owned_identity(request, handle)
    return create_once(
        request, operation="contact_rule.create", asked=body, deed=lambda: _created(actor, identity, body)
    )


@router.get(_RULE, response=answers(200, ContactRuleAnswer, 403, 404))
def get(request: HttpRequest, handle: str, rule_id: str) -> HttpResponse:
    """One rule."""
    actor, identity = owned_identity(request, handle)
    return respond(_shown(rule_with(actor, identity, id_in_path(rule_id))))


@router.patch(_RULE, response=answers(200, ContactRuleAnswer, 403, 404, 409))
def update(request: HttpRequest, handle: str, rule_id: str, body: RuleChanges) -> HttpResponse:
    """Change a rule, or with `apply_to` what it does in one direction; admin keys only."""
    actor, identity = owned_identity(request, handle)
    return respond(_shown(_changed(actor, rule_with(actor, identity, id_in_path(rule_id)), body)))


@router.delete(_RULE, response=answers(204, None, 403, 404))
def delete(request: HttpRequest, handle: str, rule_id: str) -> HttpResponse:
    """Take a rule away; admin keys only."""
    actor, identity = owned_identity(request, handle)
    delete_rule(actor, rule_with(actor, identity, id_in_path(rule_id)))
    return HttpResponse(status=204)


def _page(actor: Actor, identity: Identity | None, query: RuleFilter) -> HttpResponse:
    rows = _filtered(ContactRule.objects.visible_to(actor), identity, query)
    page = rows.order_by("-created_at", "-id")[query.offset : query.offset + query.limit]
    return respond([_shown(rule) for rule in page])


def _filtered(rows: QuerySet[ContactRule], identity: Identity | None, query: RuleFilter) -> QuerySet[ContactRule]:
    """One direction also finds rules for both; `both` finds those alone (12.2)."""
    if identity:
        rows = rows.filter(identity=identity)
    if query.action:
        rows = rows.filter(action=query.action)
    if query.direction:
        rows = rows.filter(direction__in={query.direction, ContactRule.Direction.BOTH})
    return rows


def _created(actor: Actor, identity: Identity, body: NewRule) -> Answer:
    rule = create_rule(actor, identity, action=body.action, match_target=body.match_target, direction=body.direction)
    return Answer.created(_shown(rule), rule.id)


def _changed(actor: Actor, rule: ContactRule, body: RuleChanges) -> ContactRule:
    if body.apply_to and body.action:
        return set_action_of_side(actor, rule, action=body.action, side=body.apply_to)
    return update_rule(actor, rule, changes=body.words())


def _shown(rule: ContactRule) -> dict[str, Any]:
    return inkbox.contact_rule(rule_shape(rule))
