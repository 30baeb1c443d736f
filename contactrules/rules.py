"""Contact rules and filter modes: changed one numbered revision at a time, and asked for verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import Identity
from contactrules.models import ContactRule, ContactRuleQuerySet, Decision, RuleRevision
from core import gate
from core.actor import Actor, Role
from core.compiled import Compiled
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.phones import e164
from events.record import record_all


class DuplicateRule(Conflict):
    """A rule for this number already exists on the identity. Field: `existing_rule_id`."""

    code = "duplicate_rule"


class ReachChanged(Conflict):
    """Somebody else changed who can reach this identity meanwhile; nothing was done. Fields: `seen`, `revision`."""

    code = "reach_changed"


_identity_locked = Compiled(lambda key: Identity.objects.select_for_update(no_key=True).filter(pk=key), key=UUID(int=1))


def _deciding_in(direction: str) -> Compiled[tuple[UUID]]:
    """The id of the rule for a number that judges one direction, by the action that decides."""
    return Compiled(
        lambda identity_id, human, action: (
            ContactRule.objects.active()
            .covering(direction)
            .filter(identity_id=identity_id, match_target=human, action=action)
            .order_by("id")
            .values_list("id")[:1]
        ),
        identity_id=UUID(int=1),
        human="sample human",
        action="sample action",
    )


_deciding = {str(direction): _deciding_in(str(direction)) for direction in ContactRule.Direction.values}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a human and an identity may reach each other, and what decided it."""

    allowed: bool
    mode: str
    revision: int
    rule_id: UUID | None

    @property
    def reason(self) -> str:
        """The decision in words, for whoever may know of it; never for the human."""
        if self.allowed:
            return "Allowed by a contact rule." if self.rule_id else "Nothing blocks this number."
        if self.rule_id:
            return "A contact rule blocks this number."
        return "This identity accepts only numbers with an allow rule."


def verdict(identity: Identity, human: str, *, direction: str = ContactRule.Direction.INBOUND) -> Verdict:
    """What the identity's rules say of this number now, in one direction (contract/inkbox.md 12.3).

    Blacklist: blocked only by an active block rule. Whitelist: allowed only by an active allow rule. Callers
    that act on it hold the identity's lock, which every change of rules or mode takes too.
    """
    outbound = direction == ContactRule.Direction.OUTBOUND
    mode = identity.outbound_filter_mode if outbound else identity.imessage_filter_mode
    deciding = ContactRule.Action.BLOCK if mode == Identity.FilterMode.BLACKLIST else ContactRule.Action.ALLOW
    rule = _deciding[direction].first(identity_id=identity.id, human=human, action=str(deciding.value))
    rule_id: UUID | None = rule[0] if rule else None
    blacklist = deciding == ContactRule.Action.BLOCK
    return Verdict(
        allowed=(rule_id is None) if blacklist else (rule_id is not None),
        mode=mode,
        revision=identity.reach_revision,
        rule_id=rule_id,
    )


def connecting_verdict(identity: Identity, human: str) -> Verdict:
    """Whether they may be connected: that needs permission in both directions (contract/inkbox.md 16.1)."""
    inbound = verdict(identity, human)
    return verdict(identity, human, direction=ContactRule.Direction.OUTBOUND) if inbound.allowed else inbound


def note_decision(
    identity: Identity, human: str, given: Verdict, *, direction: str, subject: str, message_id: UUID | None = None
) -> None:
    """Keep a verdict that was acted on, so that changes of rules can be rehearsed against it."""
    Decision.objects.create(
        organization_id=identity.organization_id,
        identity_id=identity.id,
        human=human,
        direction=direction,
        subject=subject,
        allowed=given.allowed,
        mode=given.mode,
        revision=given.revision,
        rule_id=given.rule_id,
        message_id=message_id,
    )


def create_rule(
    actor: Actor,
    identity: Identity,
    *,
    action: str,
    match_target: str,
    direction: str = ContactRule.Direction.BOTH,
    reason: str = "",
    seen: int | None = None,
) -> ContactRule:
    """A new active rule for one number; in force for everything after this returns.

    Raises `NotE164`, `Invalid` for an unknown action or direction, `DuplicateRule` when a rule covers one of its
    directions for the number, paused ones included, and `Forbidden` for viewers. A key bound to the identity may
    add rules to it (architecture.md, 10). Here and below: `seen` is the revision that the actor looked at; when
    somebody else changed the set after it, `ReachChanged`.
    """
    _require_reach(actor, identity)
    _check_words(action=action, direction=direction)
    target = e164(match_target)
    with transaction.atomic():
        identity = lock_reach(identity)
        require_unchanged(actor, identity, seen)
        _require_free(identity, target, direction)
        rule = ContactRule.objects.create(
            organization_id=identity.organization_id,
            identity=identity,
            action=action,
            match_target=target,
            direction=direction,
            created_by=actor.frozen(),
        )
        _revise(actor, identity, "rule_created", {"rule_id": rule.id, "after": _frozen(rule)}, reason=reason)
    return rule


def update_rule(
    actor: Actor, rule: ContactRule, *, changes: dict[str, str], reason: str = "", seen: int | None = None
) -> ContactRule:
    """Change a rule's `action`, `status` or `direction`; absent ones stay, the id stays.

    Raises `Forbidden` unless the actor is an admin, `Invalid`, `NotFound` when it is gone, and `DuplicateRule` when
    another rule covers a direction that this one is to cover.
    """
    actor.require(Role.ADMIN)
    _check_words(**changes)
    with transaction.atomic():
        rule = _locked(rule)
        require_unchanged(actor, rule.identity, seen)
        if "direction" in changes:
            _require_free(rule.identity, rule.match_target, changes["direction"], besides=rule)
        _change(actor, rule, changes, reason=reason)
    return rule


def set_action_of_side(actor: Actor, rule: ContactRule, *, action: str, side: str, reason: str = "") -> ContactRule:
    """Change what a rule does in one direction alone; a rule for both is split.

    The rule keeps its id and the named side; a new rule keeps the other side as it was. Raises as `update_rule`
    does, and `Conflict` when the rule does not cover that side.
    """
    actor.require(Role.ADMIN)
    _check_words(action=action, direction=side)
    with transaction.atomic():
        rule = _locked(rule)
        if rule.direction not in {side, ContactRule.Direction.BOTH} or side == ContactRule.Direction.BOTH:
            raise Conflict(f"This rule does not cover the {side} side.")
        if rule.direction == side or rule.action == action:
            _change(actor, rule, {"action": action}, reason=reason)
            return rule
        _change(actor, rule, {"action": action, "direction": side}, reason=reason)
        _split_off(actor, rule, reason=reason)
    return rule


def delete_rule(actor: Actor, rule: ContactRule, *, reason: str = "", seen: int | None = None) -> None:
    """Take a rule away, if it is still there; raises `Forbidden` unless the actor is an admin."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity = lock_reach(rule.identity)
        require_unchanged(actor, identity, seen)
        found = ContactRule.objects.filter(pk=rule.pk).first()
        if found:
            ContactRule.objects.filter(pk=rule.pk).delete()
            _revise(actor, identity, "rule_deleted", {"rule_id": rule.id, "before": _frozen(found)}, reason=reason)


def set_status_of_all(
    actor: Actor, identity: Identity, rules: Sequence[ContactRule], *, status: str, reason: str = ""
) -> set[UUID]:
    """Pause or resume many rules of one identity, a revision each; the ids of those that it changed.

    Raises `Forbidden` unless the actor is an admin, `Invalid`.
    """
    actor.require(Role.ADMIN)
    _check_words(status=status)
    with transaction.atomic():
        identity = lock_reach(identity)
        found = list(_of_identity(identity, rules).exclude(status=status))
        each = [{"rule_id": rule.id, "before": _frozen(rule)} for rule in found]
        for rule, facts in zip(found, each, strict=True):
            rule.status = status
            facts["after"] = _frozen(rule)
        ContactRule.objects.filter(pk__in=[rule.pk for rule in found]).update(status=status, updated_at=timezone.now())
        if each:
            _revise(actor, identity, "rule_updated", *each, reason=reason)
    return {rule.pk for rule in found}


def delete_rules(actor: Actor, identity: Identity, rules: Sequence[ContactRule], *, reason: str = "") -> None:
    """Take many rules of one identity away, a revision each; raises `Forbidden` unless the actor is an admin."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity = lock_reach(identity)
        found = list(_of_identity(identity, rules))
        ContactRule.objects.filter(pk__in=[rule.pk for rule in found]).delete()
        each = [{"rule_id": rule.id, "before": _frozen(rule)} for rule in found]
        if each:
            _revise(actor, identity, "rule_deleted", *each, reason=reason)


def restore_rule(actor: Actor, identity: Identity, *, rule_id: UUID, frozen: dict[str, str], reason: str = "") -> None:
    """Bring a deleted rule back under its id, as `frozen` by the revision that took it away.

    Raises `DuplicateRule` when another has its place, `Conflict` when it is there, `Forbidden` unless an admin.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity = lock_reach(identity)
        if ContactRule.objects.filter(pk=rule_id).exists():
            raise Conflict("This rule is there already.")
        direction = frozen.get("direction", ContactRule.Direction.BOTH)
        _require_free(identity, frozen["match_target"], direction)
        rule = ContactRule.objects.create(
            id=rule_id,
            organization_id=identity.organization_id,
            identity=identity,
            created_by=actor.frozen(),
            **(frozen | {"direction": direction}),
        )
        _revise(actor, identity, "rule_created", {"rule_id": rule.id, "after": _frozen(rule)}, reason=reason)


def set_filter_mode(
    actor: Actor,
    identity: Identity,
    *,
    mode: str,
    direction: str = ContactRule.Direction.BOTH,
    reason: str = "",
    seen: int | None = None,
) -> Identity:
    """Flip between blacklist and whitelist, in both directions or one; rules stay as they are.

    Raises `Forbidden` unless the actor is an admin, `Invalid`.
    """
    actor.require(Role.ADMIN)
    if mode not in Identity.FilterMode.values:
        raise Invalid("A filter mode is 'blacklist' or 'whitelist'.")
    _check_words(direction=direction)
    with transaction.atomic():
        identity = lock_reach(identity)
        require_unchanged(actor, identity, seen)
        before = _modes(identity)
        outbound = identity.outbound_filter_mode if direction == ContactRule.Direction.INBOUND else mode
        if direction != ContactRule.Direction.OUTBOUND:
            identity.imessage_filter_mode = mode
        identity.imessage_outbound_filter_mode = "" if outbound == identity.imessage_filter_mode else outbound
        if _modes(identity) != before:
            identity.updated_at = timezone.now()
            identity.save(update_fields=["imessage_filter_mode", "imessage_outbound_filter_mode", "updated_at"])
            _revise(actor, identity, "mode_changed", {"before": before, "after": _modes(identity)}, reason=reason)
    return identity


def lock_reach(identity: Identity) -> Identity:
    """The identity, locked against every other change of its reach and every send, until the transaction ends.

    First of the locks: identity, conversation, message, always in that order (architecture.md, section 7).
    """
    locked = _identity_locked.first(key=identity.pk)
    if locked is None:
        raise Identity.DoesNotExist()
    return locked


def require_unchanged(actor: Actor, identity: Identity, seen: int | None) -> None:
    """Raise `ReachChanged` if anybody but the actor changed the locked identity's reach after revision `seen`."""
    if seen is None or identity.reach_revision == seen:
        return
    since = RuleRevision.objects.filter(identity=identity, number__gt=seen).values_list("actor", flat=True)
    me = (actor.kind, actor.id)
    if seen > identity.reach_revision or any((other["kind"], other["id"]) != me for other in since):
        raise ReachChanged(seen=seen, revision=identity.reach_revision)


def _require_reach(actor: Actor, identity: Identity) -> None:
    if actor.is_agent:
        if actor.identity_id != identity.id:
            raise Forbidden("This key is bound to another identity.")
    else:
        actor.require(Role.ADMIN)


def _check_words(**words: str) -> None:
    known = {
        "action": ContactRule.Action.values,
        "status": ContactRule.Status.values,
        "direction": ContactRule.Direction.values,
    }
    for name, word in words.items():
        if word not in known.get(name, []):
            raise Invalid(f"A rule's {name} is one of {', '.join(known.get(name, []))}.")


def _require_free(identity: Identity, target: str, direction: str, *, besides: ContactRule | None = None) -> None:
    rules = ContactRule.objects.covering(direction).filter(identity=identity, match_target=target)
    existing = (rules.exclude(pk=besides.pk) if besides else rules).first()
    if existing:
        raise DuplicateRule(
            f"A rule for {target} already exists on @{identity.handle}; change or delete that one.",
            existing_rule_id=existing.id,
        )


def _locked(rule: ContactRule) -> ContactRule:
    """The rule as it is now, with its identity locked; raises `NotFound` when it was deleted meanwhile."""
    identity = lock_reach(rule.identity)
    found = ContactRule.objects.filter(pk=rule.pk).first()
    if found is None:
        raise NotFound()
    found.identity = identity
    return found


def _of_identity(identity: Identity, rules: Sequence[ContactRule]) -> ContactRuleQuerySet:
    """Those of these rules that are there now, oldest first; the caller holds the identity's lock."""
    return ContactRule.objects.filter(identity=identity, pk__in=[rule.pk for rule in rules]).order_by("pk")


def _change(actor: Actor, rule: ContactRule, changes: dict[str, str], *, reason: str) -> None:
    before = _frozen(rule)
    for name, word in changes.items():
        setattr(rule, name, word)
    if _frozen(rule) != before:
        rule.updated_at = timezone.now()
        rule.save(update_fields=[*changes, "updated_at"])
        facts = {"rule_id": rule.id, "before": before, "after": _frozen(rule)}
        _revise(actor, rule.identity, "rule_updated", facts, reason=reason)


def _split_off(actor: Actor, rule: ContactRule, *, reason: str) -> None:
    """The other side of a rule that has just been narrowed to one, still doing what the rule did."""
    side = ContactRule.Direction
    other = ContactRule.objects.create(
        organization_id=rule.organization_id,
        identity=rule.identity,
        action=next(action for action in ContactRule.Action.values if action != rule.action),
        match_target=rule.match_target,
        status=rule.status,
        direction=side.OUTBOUND if rule.direction == side.INBOUND else side.INBOUND,
        created_by=actor.frozen(),
    )
    _revise(actor, rule.identity, "rule_created", {"rule_id": other.id, "after": _frozen(other)}, reason=reason)


def _modes(identity: Identity) -> dict[str, str]:
    """Both modes; that of what goes out only where it differs."""
    modes = {"mode": identity.imessage_filter_mode}
    if identity.imessage_outbound_filter_mode:
        modes["outbound_mode"] = identity.imessage_outbound_filter_mode
    return modes


def _revise(actor: Actor, identity: Identity, change: str, *each: dict[str, Any], reason: str) -> None:
    """Number each change; what was decided before them has left when this returns (reliability.md, F7)."""
    gate.shut(identity.id)
    first = identity.reach_revision + 1
    identity.reach_revision += len(each)
    identity.save(update_fields=["reach_revision"])
    RuleRevision.objects.bulk_create(
        RuleRevision(
            organization_id=identity.organization_id,
            identity=identity,
            number=number,
            change=change,
            mode=identity.imessage_filter_mode,
            outbound_mode=identity.imessage_outbound_filter_mode,
            actor=actor.frozen(),
            reason=reason,
            **facts,
        )
        for number, facts in enumerate(each, start=first)
    )
    told = [
        {
            "organization_id": identity.organization_id,
            "identity_id": identity.id,
            "subject_id": facts.get("rule_id") or identity.id,
            "data": {
                "revision": number,
                **_modes(identity),
                "before": facts.get("before"),
                "after": facts.get("after"),
                "reason": reason,
            },
        }
        for number, facts in enumerate(each, start=first)
    ]
    record_all(actor, f"reach.{change}", told)


def _frozen(rule: ContactRule) -> dict[str, str]:
    return {
        "action": rule.action,
        "match_type": rule.match_type,
        "match_target": rule.match_target,
        "status": rule.status,
        "direction": rule.direction,
    }
