"""Contact rules and filter modes: changed one numbered revision at a time, and asked for verdicts."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import Identity
from contactrules.models import ContactRule, Decision, RuleRevision
from core import gate
from core.actor import Actor, Role
from core.errors import Conflict, Forbidden, Invalid
from core.phones import e164
from events.record import record


class DuplicateRule(Conflict):
    """A rule for this number already exists on the identity. Field: `existing_rule_id`."""

    code = "duplicate_rule"


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


def verdict(identity: Identity, human: str) -> Verdict:
    """What the identity's rules say of this number now (contract/inkbox.md 12.3).

    Blacklist: blocked only by an active block rule. Whitelist: allowed only by an active allow rule. Callers
    that act on it hold the identity's lock, which every change of rules or mode takes too.
    """
    deciding = (
        ContactRule.Action.BLOCK
        if identity.imessage_filter_mode == Identity.FilterMode.BLACKLIST
        else ContactRule.Action.ALLOW
    )
    rule_id = (
        ContactRule.objects.active()
        .filter(identity=identity, match_target=human, action=deciding)
        .values_list("id", flat=True)
        .first()
    )
    blacklist = deciding == ContactRule.Action.BLOCK
    return Verdict(
        allowed=(rule_id is None) if blacklist else (rule_id is not None),
        mode=identity.imessage_filter_mode,
        revision=identity.reach_revision,
        rule_id=rule_id,
    )


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


def create_rule(actor: Actor, identity: Identity, *, action: str, match_target: str, reason: str = "") -> ContactRule:
    """A new active rule for one number; in force for everything after this returns.

    Raises `NotE164`, `Invalid` for an unknown action, `DuplicateRule` when the number has a rule, paused ones
    included, and `Forbidden` for viewers. A key bound to the identity may add rules to it (architecture.md, 10).
    """
    _require_reach(actor, identity)
    if action not in ContactRule.Action.values:
        raise Invalid("A rule's action is 'allow' or 'block'.")
    target = e164(match_target)
    with transaction.atomic():
        identity = lock_reach(identity)
        existing = ContactRule.objects.filter(identity=identity, match_target=target).first()
        if existing:
            raise DuplicateRule(
                f"A rule for {target} already exists on @{identity.handle}; change or delete that one.",
                existing_rule_id=existing.id,
            )
        rule = ContactRule.objects.create(
            organization_id=identity.organization_id,
            identity=identity,
            action=action,
            match_target=target,
            created_by=actor.frozen(),
        )
        _revise(actor, identity, "rule_created", rule_id=rule.id, after=_frozen(rule), reason=reason)
    return rule


def delete_rule(actor: Actor, rule: ContactRule, *, reason: str = "") -> None:
    """Take a rule away; raises `Forbidden` unless the actor is an admin."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity = lock_reach(rule.identity)
        deleted, _ = ContactRule.objects.filter(pk=rule.pk).delete()
        if deleted:
            _revise(actor, identity, "rule_deleted", rule_id=rule.id, before=_frozen(rule), reason=reason)


def set_filter_mode(actor: Actor, identity: Identity, *, mode: str, reason: str = "") -> Identity:
    """Flip between blacklist and whitelist; rules stay as they are. Raises `Forbidden` unless an admin."""
    actor.require(Role.ADMIN)
    if mode not in Identity.FilterMode.values:
        raise Invalid("A filter mode is 'blacklist' or 'whitelist'.")
    with transaction.atomic():
        identity = lock_reach(identity)
        before = identity.imessage_filter_mode
        if before != mode:
            identity.imessage_filter_mode = mode
            identity.updated_at = timezone.now()
            identity.save(update_fields=["imessage_filter_mode", "updated_at"])
            _revise(actor, identity, "mode_changed", before={"mode": before}, after={"mode": mode}, reason=reason)
    return identity


def lock_reach(identity: Identity) -> Identity:
    """The identity, locked against every other change of its reach and every send, until the transaction ends.

    First of the locks: identity, conversation, message, always in that order (architecture.md, section 7).
    """
    return Identity.objects.select_for_update(no_key=True).get(pk=identity.pk)


def _require_reach(actor: Actor, identity: Identity) -> None:
    if actor.is_agent:
        if actor.identity_id != identity.id:
            raise Forbidden("This key is bound to another identity.")
    else:
        actor.require(Role.ADMIN)


def _revise(actor: Actor, identity: Identity, change: str, *, reason: str, **facts: Any) -> None:
    """Number the change; what was decided before it has left when this returns (reliability.md, F7)."""
    gate.shut(identity.id)
    identity.reach_revision += 1
    identity.save(update_fields=["reach_revision"])
    RuleRevision.objects.create(
        organization_id=identity.organization_id,
        identity=identity,
        number=identity.reach_revision,
        change=change,
        mode=identity.imessage_filter_mode,
        actor=actor.frozen(),
        reason=reason,
        **facts,
    )
    record(
        actor,
        f"reach.{change}",
        organization_id=identity.organization_id,
        identity_id=identity.id,
        subject_id=facts.get("rule_id") or identity.id,
        data={
            "revision": identity.reach_revision,
            "mode": identity.imessage_filter_mode,
            "before": facts.get("before"),
            "after": facts.get("after"),
            "reason": reason,
        },
    )


def _frozen(rule: ContactRule) -> dict[str, str]:
    return {
        "action": rule.action,
        "match_type": rule.match_type,
        "match_target": rule.match_target,
        "status": rule.status,
    }
