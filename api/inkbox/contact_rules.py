"""Contact rules of an identity (contract/inkbox.md, section 12)."""

from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from accounts.models import Identity
from api.auth import actor_of, key_of
from api.inkbox.finding import id_in_path, identity_named, rule_with
from api.parsing import Body, Page, PhoneNumber, respond
from api.shapes import rule_shape
from contactrules.models import ContactRule
from contactrules.rules import create_rule, delete_rule
from core.actor import Actor
from core.errors import Forbidden
from dialects import inkbox

router = Router()

_RULES = "/identities/{handle}/contact-rules"
_RULE = _RULES + "/{rule_id}"


class RuleFilter(Page):
    action: Literal["allow", "block"] | None = None
    match_type: Literal["exact_number"] | None = None


class NewRule(Body):
    action: Literal["allow", "block"]
    match_target: PhoneNumber
    match_type: Literal["exact_number"] = "exact_number"


@router.get(_RULES)
def list_rules(request: HttpRequest, handle: str, query: Query[RuleFilter]) -> list[dict[str, Any]]:
    """The identity's rules, active and paused, newest first."""
    actor, identity = _owner(request, handle)
    rows = ContactRule.objects.visible_to(actor).filter(identity=identity)
    if query.action:
        rows = rows.filter(action=query.action)
    page = rows.order_by("-created_at", "-id")[query.offset : query.offset + query.limit]
    return [_shown(rule) for rule in page]


@router.post(_RULES)
def create(request: HttpRequest, handle: str, body: NewRule) -> HttpResponse:
    """A new active rule for one number."""
    actor, identity = _owner(request, handle)
    rule = create_rule(actor, identity, action=body.action, match_target=body.match_target)
    return respond(_shown(rule), status=201)


@router.get(_RULE)
def get(request: HttpRequest, handle: str, rule_id: str) -> dict[str, Any]:
    """One rule."""
    actor, identity = _owner(request, handle)
    return _shown(rule_with(actor, identity, id_in_path(rule_id)))


@router.delete(_RULE)
def delete(request: HttpRequest, handle: str, rule_id: str) -> HttpResponse:
    """Take a rule away; admin keys only."""
    actor, identity = _owner(request, handle)
    delete_rule(actor, rule_with(actor, identity, id_in_path(rule_id)))
    return HttpResponse(status=204)


def _owner(request: HttpRequest, handle: str) -> tuple[Actor, Identity]:
    """Who asks, and the identity whose rules these are; a bound key may name only its own, else `Forbidden`."""
    actor = actor_of(request)
    own = key_of(request).identity
    if own and handle.removeprefix("@").lower() != own.handle:
        raise Forbidden("This key is bound to another identity.")
    return actor, identity_named(actor, handle)


def _shown(rule: ContactRule) -> dict[str, Any]:
    return inkbox.contact_rule(rule_shape(rule))
