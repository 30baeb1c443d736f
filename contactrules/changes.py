"""Changes of an identity's reach: the whole set at any revision, each change and its undoing, and what rules met."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.models import Identity
from contactrules.models import ContactRule, Decision, RuleRevision
from contactrules.reach import RuleSet, both_modes
from contactrules.rules import (
    delete_rule,
    lock_reach,
    require_unchanged,
    restore_rule,
    set_filter_mode,
    update_rule,
)
from core.actor import Actor, Role
from core.errors import Conflict

HITS_WITHIN = timedelta(days=30)
# Beyond it a rule is simply busy; counting on would read an index for minutes.
MOST_HITS = 1_000

_HITS = """
SELECT rule.id,
    (SELECT count(*) FROM (SELECT FROM contactrules_decision WHERE rule_id = rule.id AND at >= %s LIMIT %s) AS hit),
    (SELECT max(at) FROM contactrules_decision WHERE rule_id = rule.id)
FROM unnest(%s::uuid[]) AS rule (id)
"""


class NothingToRevert(Conflict):
    """What this change did is undone already, or was changed again since."""

    code = "nothing_to_revert"


@dataclass(frozen=True, slots=True)
class Hits:
    """How often a rule decided in 30 days, at most `MOST_HITS`, and when it did so last."""

    count: int = 0
    last_at: datetime | None = None

    @property
    def is_at_least(self) -> bool:
        return self.count >= MOST_HITS


def hits_of(rules: Iterable[ContactRule]) -> dict[UUID, Hits]:
    """The hits of each of these rules, two probes of an index for each."""
    ids = [rule.pk for rule in rules]
    with connection.cursor() as cursor:
        cursor.execute(_HITS, [timezone.now() - HITS_WITHIN, MOST_HITS, ids])
        return {rule_id: Hits(count, last_at) for rule_id, count, last_at in cursor.fetchall()}


def hits_among(rules: QuerySet[ContactRule]) -> int:
    """How often any of these rules decided in 30 days, counted no further than `MOST_HITS`."""
    hits = Decision.objects.filter(rule_id__in=rules.order_by().values("pk"), at__gte=timezone.now() - HITS_WITHIN)
    return hits[:MOST_HITS].count()


def never_hit() -> Q:
    """Rules that have not decided anything yet."""
    return Q(~Exists(Decision.objects.filter(rule_id=OuterRef("pk"))))


def reasons_of(rules: Iterable[ContactRule]) -> dict[UUID, str]:
    """The newest reason that somebody gave for each of these rules."""
    told = RuleRevision.objects.filter(rule_id__in=[rule.pk for rule in rules]).exclude(reason="").order_by("id")
    return {rule_id: reason for rule_id, reason in told.values_list("rule_id", "reason") if rule_id}


def changes_since(actor: Actor, identity: Identity, number: int) -> QuerySet[RuleRevision]:
    """What was changed after revision `number`, oldest first."""
    return RuleRevision.objects.visible_to(actor).filter(identity=identity, number__gt=number).order_by("number")


def ruleset_now(identity: Identity) -> tuple[int, RuleSet]:
    """The reach as it is, and its revision; read twice if it was changed in between, so that the two agree."""
    while True:
        before = Identity.objects.get(pk=identity.pk)
        reach = RuleSet.of(before)
        if Identity.objects.values_list("reach_revision", flat=True).get(pk=identity.pk) == before.reach_revision:
            return before.reach_revision, reach


def rulesets_at(identity: Identity, numbers: Iterable[int]) -> dict[int, RuleSet]:
    """The reach as it was in force at each of these revisions: today's, with every later change undone."""
    wanted = sorted(set(numbers), reverse=True)
    if not wanted:
        return {}
    now, reach = ruleset_now(identity)
    later = RuleRevision.objects.filter(identity=identity, number__lte=now, number__gt=wanted[-1]).order_by("-number")
    found = {}
    changes = iter(list(later))
    change = next(changes, None)
    for number in wanted:
        while change is not None and change.number > number:
            reach = reach.undone(change)
            change = next(changes, None)
        found[number] = reach
    return found


def revert(actor: Actor, revision: RuleRevision, *, reason: str = "", seen: int | None = None) -> None:
    """Undo one change of a reach by another one, numbered as every other.

    Raises `NothingToRevert` when the rule or mode is not as the change left it, `DuplicateRule`, `ReachChanged`,
    and `Forbidden` unless the actor is an admin.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity = lock_reach(revision.identity)
        require_unchanged(actor, identity, seen)
        if revision.change == "mode_changed":
            _revert_mode(actor, identity, revision, reason)
        else:
            _revert_rule(actor, identity, revision, reason)


def _revert_rule(actor: Actor, identity: Identity, revision: RuleRevision, reason: str) -> None:
    rule_id = revision.rule_id or UUID(int=0)
    rule = ContactRule.objects.filter(pk=rule_id, identity=identity).first()
    if revision.before and revision.after is None:
        if rule:
            raise NothingToRevert()
        restore_rule(actor, identity, rule_id=rule_id, frozen=revision.before, reason=reason)
        return
    if rule is None or any(getattr(rule, name) != word for name, word in (revision.after or {}).items()):
        raise NothingToRevert()
    if revision.before is None:
        delete_rule(actor, rule, reason=reason)
        return
    changes = {name: revision.before[name] for name in ("action", "status", "direction") if name in revision.before}
    update_rule(actor, rule, changes=changes, reason=reason)


def _revert_mode(actor: Actor, identity: Identity, revision: RuleRevision, reason: str) -> None:
    after, before = both_modes(revision.after or {}), both_modes(revision.before or {})
    if (identity.imessage_filter_mode, identity.outbound_filter_mode) != after:
        raise NothingToRevert()
    for mode, direction in zip(before, (ContactRule.Direction.INBOUND, ContactRule.Direction.OUTBOUND), strict=True):
        set_filter_mode(actor, identity, mode=mode, direction=direction, reason=reason)
