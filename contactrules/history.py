"""How an identity's reach stood at a moment, told by its numbered revisions; nothing is guessed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.models import Identity
from contactrules.models import ContactRule, RuleRevision
from contactrules.rules import Verdict


@dataclass(frozen=True, slots=True)
class Reach:
    """The modes, the revision, and the rules that named one number, as they were; the rules are not for saving."""

    mode: str
    outbound_mode: str
    revision: int
    rules: list[ContactRule]

    def verdict(self, direction: str = ContactRule.Direction.INBOUND) -> Verdict:
        """What `contactrules.rules.verdict` said then (contract/inkbox.md 12.3)."""
        mode = self.outbound_mode if direction == ContactRule.Direction.OUTBOUND else self.mode
        blacklist = mode == Identity.FilterMode.BLACKLIST
        deciding = ContactRule.Action.BLOCK if blacklist else ContactRule.Action.ALLOW
        rule = next((rule for rule in self.rules if rule.action == deciding and _judges(rule, direction)), None)
        return Verdict(
            allowed=(rule is None) if blacklist else (rule is not None),
            mode=mode,
            revision=self.revision,
            rule_id=rule.id if rule else None,
        )


def reach_at(identity: Identity, human: str, at: datetime) -> Reach:
    """The reach of an identity for one number at a moment."""
    known = RuleRevision.objects.filter(identity=identity)
    last = known.filter(at__lte=at).order_by("-number").first()
    mode, outbound = (last.mode, last.outbound_mode) if last else _first_modes(identity)
    about = known.filter(Q(before__match_target=human) | Q(after__match_target=human), at__lte=at).order_by("number")
    return Reach(
        mode=mode,
        outbound_mode=outbound or mode,
        revision=last.number if last else 0,
        rules=_fold(identity, list(about)),
    )


def rules_at(identity: Identity, rule_ids: set[UUID], at: datetime) -> dict[UUID, ContactRule]:
    """Those of these rules that existed at a moment, as they were."""
    about = RuleRevision.objects.filter(identity=identity, rule_id__in=rule_ids, at__lte=at).order_by("number")
    return {rule.id: rule for rule in _fold(identity, list(about))} if rule_ids else {}


def _first_modes(identity: Identity) -> tuple[str, str]:
    """Before the first revision: what the first change of a mode found, else what still is."""
    first = RuleRevision.objects.filter(identity=identity, change="mode_changed").order_by("number").first()
    if first is None or not first.before:
        return identity.imessage_filter_mode, identity.imessage_outbound_filter_mode
    return first.before["mode"], first.before.get("outbound_mode", "")


def _fold(identity: Identity, revisions: list[RuleRevision]) -> list[ContactRule]:
    """The rules that a run of revisions leaves, oldest first."""
    rules: dict[UUID, ContactRule] = {}
    for revision in revisions:
        if revision.rule_id is None:
            continue
        if revision.after is None:
            rules.pop(revision.rule_id, None)
            continue
        made = rules.get(revision.rule_id)
        rules[revision.rule_id] = _rule(identity, revision, revision.after, made)
    return list(rules.values())


def _rule(identity: Identity, revision: RuleRevision, frozen: dict[str, Any], made: ContactRule | None) -> ContactRule:
    return ContactRule(
        id=revision.rule_id,
        organization_id=revision.organization_id,
        identity=identity,
        created_by=made.created_by if made else revision.actor,
        created_at=made.created_at if made else revision.at,
        updated_at=revision.at,
        **frozen,
    )


def _judges(rule: ContactRule, direction: str) -> bool:
    return rule.status == ContactRule.Status.ACTIVE and rule.direction in {direction, ContactRule.Direction.BOTH}
