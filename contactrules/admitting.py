"""Letting one number through, or shutting it out, whatever rules name it now; and putting back what was.

Each deed changes as little as it can and tells, in plain values, which rules there were, so that it can be undone.
"""

from collections.abc import Sequence

from django.db import transaction

from accounts.models import Identity
from contactrules.models import ContactRule
from contactrules.rules import create_rule, delete_rule, lock_reach, update_rule
from core.actor import Actor, Role
from core.phones import e164

# Of a rule: its action, status and direction.
Former = list[dict[str, str]]

_Action, _Status, _Direction = ContactRule.Action, ContactRule.Status, ContactRule.Direction


def let_through(actor: Actor, identity: Identity, number: str, *, reason: str = "") -> Former:
    """Make the number reachable in both directions; the rules that named it before.

    Where everyone but blocked numbers is let through, its active block rules go; where only allowed numbers are, one
    active allow rule for both directions stays. Raises `Forbidden` unless an admin, `NotE164`.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity, rules = _locked(identity, e164(number))
        former = _frozen(rules)
        modes = {identity.imessage_filter_mode, identity.outbound_filter_mode}
        if Identity.FilterMode.WHITELIST in modes:
            _leave_one(actor, identity, number, _Action.ALLOW, rules, reason=reason)
        else:
            for rule in rules:
                if (rule.action, rule.status) == (_Action.BLOCK, _Status.ACTIVE):
                    delete_rule(actor, rule, reason=reason)
        return former


def shut_out(actor: Actor, identity: Identity, number: str, *, reason: str = "") -> Former:
    """Block the number in both directions and in either mode, by one rule; the rules that named it before.

    One-sided, paused and contrary rules for the number become that one. Raises as `let_through` does.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity, rules = _locked(identity, e164(number))
        former = _frozen(rules)
        _leave_one(actor, identity, number, _Action.BLOCK, rules, reason=reason)
        return former


def put_back(actor: Actor, identity: Identity, number: str, *, former: Former, reason: str = "") -> None:
    """Have the number named by the rules that `let_through` or `shut_out` told of, and by no others."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity, rules = _locked(identity, e164(number))
        missing = list(former)
        for rule in rules:
            if (facts := _frozen([rule])[0]) in missing:
                missing.remove(facts)
            else:
                delete_rule(actor, rule, reason=reason)
        for facts in missing:
            words = {"action": facts["action"], "direction": facts["direction"]}
            rule = create_rule(actor, identity, match_target=number, reason=reason, seen=None, **words)
            if facts["status"] != rule.status:
                update_rule(actor, rule, changes={"status": facts["status"]}, reason=reason)


def _locked(identity: Identity, number: str) -> tuple[Identity, list[ContactRule]]:
    """The identity, locked against other changes of its reach, and the rules that name the number, oldest first."""
    identity = lock_reach(identity)
    rules = ContactRule.objects.filter(identity=identity, match_target=number).order_by("created_at", "id")
    return identity, list(rules)


def _leave_one(
    actor: Actor, identity: Identity, number: str, action: str, rules: Sequence[ContactRule], *, reason: str
) -> None:
    """One active rule with this action for both directions and no other: an old one if there is any."""
    kept = next((rule for rule in rules if rule.action == action), rules[0] if rules else None)
    for rule in rules:
        if rule is not kept:
            delete_rule(actor, rule, reason=reason)
    if kept is None:
        create_rule(actor, identity, action=action, match_target=number, reason=reason)
    else:
        changes = {"action": str(action), "status": str(_Status.ACTIVE), "direction": str(_Direction.BOTH)}
        update_rule(actor, kept, changes=changes, reason=reason)


def _frozen(rules: Sequence[ContactRule]) -> Former:
    return [{"action": rule.action, "status": rule.status, "direction": rule.direction} for rule in rules]
