"""Shadows: a draft that is judged for some days beside the rules in force, and never changes a verdict.

The second verdict is given after the fact, from the decision that was kept and the rules of its revision. So nothing
of a shadow stands where messages are received or sent: it costs them nothing and cannot touch them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from accounts.models import Identity
from contactrules.changes import ruleset_now, rulesets_at
from contactrules.models import Decision, Rehearsal, Shadow, ShadowVerdict
from contactrules.reach import Draft
from contactrules.rehearsal import put_in_force
from contactrules.rules import lock_reach, require_unchanged
from core.actor import Actor, Role
from core.errors import Conflict, Invalid
from events.feed import publish_topics
from events.record import record

LONGEST = timedelta(days=90)
_BATCH = 2_000
# A decision may be committed after a later one; so far back each look begins again.
_MARGIN = timedelta(minutes=1)


class ShadowRuns(Conflict):
    """A shadow runs on this identity already; stop it, or wait for its end. Field: `shadow_id`."""

    code = "shadow_runs"


class ShadowOver(Conflict):
    """This shadow has ended."""

    code = "shadow_over"


def start_shadow(
    actor: Actor,
    identity: Identity,
    *,
    draft: Draft,
    lasting: timedelta,
    reason: str = "",
    rehearsal: Rehearsal | None = None,
) -> Shadow:
    """Judge a draft beside the real rules from now on.

    Raises `Forbidden` unless the actor is an admin, `Invalid`, and `ShadowRuns`: one at a time for an identity.
    """
    actor.require(Role.ADMIN)
    if draft.is_empty:
        raise Invalid("A shadow needs a change: another mode, or a rule.")
    if not timedelta(0) < lasting <= LONGEST:
        raise Invalid(f"A shadow runs for {LONGEST.days} days at most.")
    with transaction.atomic():
        identity = lock_reach(identity)
        running = Shadow.objects.filter(identity=identity, state=Shadow.State.RUNNING).first()
        if running:
            raise ShadowRuns(shadow_id=running.id)
        now = timezone.now()
        shadow = Shadow.objects.create(
            organization_id=identity.organization_id,
            identity=identity,
            draft=draft.frozen(),
            reason=reason,
            rehearsal=rehearsal,
            started_at=now,
            judged_to=now,
            ends_at=now + lasting,
            created_by=actor.frozen(),
        )
        _record(actor, shadow, "shadow.started", {"draft": shadow.draft, "ends_at": shadow.ends_at, "reason": reason})
    return shadow


def judge_new(shadow: Shadow) -> int:
    """Give the second verdict on what was decided since the last look; how many decisions were new.

    May be called at any time, by several at once: a decision has one verdict of a shadow.
    """
    draft = Draft.thawed(shadow.draft)
    end = min(shadow.ends_at, timezone.now())
    begin = max(shadow.started_at, shadow.judged_to - _MARGIN)
    new = 0
    while batch := list(_unjudged(shadow, begin, end)[:_BATCH]):
        judges = {
            number: draft.applied(reach).judge()
            for number, reach in rulesets_at(shadow.identity, {decision.revision for decision in batch}).items()
        }
        verdicts = [
            ShadowVerdict(
                organization_id=shadow.organization_id,
                shadow=shadow,
                decision_id=decision.id,
                human=decision.human,
                direction=decision.direction,
                subject=decision.subject,
                message_id=decision.message_id,
                allowed=decision.allowed,
                would_allow=judges[decision.revision].allows(
                    decision.human, direction=decision.direction, subject=decision.subject
                ),
                at=decision.at,
            )
            for decision in batch
        ]
        ShadowVerdict.objects.bulk_create(verdicts, ignore_conflicts=True)
        if any(verdict.differs for verdict in verdicts):
            _tell_pages(shadow)
        new += len(verdicts)
    shadow.judged_to = end
    shadow.save(update_fields=["judged_to"])
    return new


def end_due() -> int:
    """End the shadows whose time is over, each with its last verdicts; how many."""
    due = list(
        Shadow.objects.filter(state=Shadow.State.RUNNING, ends_at__lte=timezone.now()).select_related("identity")
    )
    for shadow in due:
        judge_new(shadow)
        _end(Actor.system("shadow"), shadow, "ended", reason="Its time is over.")
    return len(due)


def judge_running() -> int:
    """Look after every shadow that runs; how many decisions were new."""
    running = Shadow.objects.filter(state=Shadow.State.RUNNING).select_related("identity")
    return sum(judge_new(shadow) for shadow in running)


def stop_shadow(actor: Actor, shadow: Shadow, *, reason: str = "") -> Shadow:
    """End a shadow before its time; what it has found stays. Raises `ShadowOver`, `Forbidden`."""
    actor.require(Role.ADMIN)
    judge_new(shadow)
    return _end(actor, shadow, "stopped", reason=reason)


def promote_shadow(actor: Actor, shadow: Shadow, *, reason: str = "", seen: int | None = None) -> Shadow:
    """Put a shadow's draft in force; one that has ended by itself may be promoted too.

    Raises `ShadowOver` when it was stopped or promoted, `ReachChanged`, `Forbidden`.
    """
    actor.require(Role.ADMIN)
    if shadow.is_running:
        judge_new(shadow)
    with transaction.atomic():
        identity = lock_reach(shadow.identity)
        require_unchanged(actor, identity, seen)
        promoted = _end(actor, shadow, "promoted", reason=reason)
        put_in_force(actor, identity, Draft.thawed(shadow.draft), reason=reason, rehearsal_id=shadow.rehearsal_id)
    return promoted


@dataclass(frozen=True, slots=True)
class Difference:
    """A human for whom the draft decides otherwise, and whether it still would, by the rules of now."""

    human: str
    count: int
    would_allow: bool
    first_at: datetime
    last_at: datetime
    is_settled: bool


@dataclass(frozen=True, slots=True)
class Day:
    """How many verdicts differ on one day."""

    day: date
    blocked: int
    allowed: int


def differing(actor: Actor, shadow: Shadow) -> QuerySet[ShadowVerdict]:
    """The verdicts that are not the real ones."""
    verdicts = ShadowVerdict.objects.visible_to(actor).filter(organization_id=shadow.organization_id, shadow=shadow)
    return verdicts.exclude(allowed=F("would_allow"))


def differing_about(actor: Actor, identity_id: UUID, humans: Sequence[str]) -> QuerySet[ShadowVerdict]:
    """The verdicts on these humans that were not the real ones, of every shadow there was on an identity."""
    shadows = list(
        Shadow.objects.visible_to(actor).filter(identity_id=identity_id).values_list("id", "organization_id")
    )
    verdicts = ShadowVerdict.objects.visible_to(actor).filter(
        organization_id__in={organization_id for _, organization_id in shadows},
        shadow_id__in=[shadow_id for shadow_id, _ in shadows],
        human__in=humans,
    )
    return verdicts.exclude(allowed=F("would_allow"))


def people(actor: Actor, shadow: Shadow, *, most: int = 500) -> list[Difference]:
    """Who would be treated otherwise, most often first."""
    found = (
        differing(actor, shadow)
        .values_list("human")
        .annotate(
            count=Count("id"),
            loses=Count("id", filter=Q(would_allow=False)),
            first_at=Min("at"),
            last_at=Max("at"),
        )
        .order_by("-count", "human")[:most]
    )
    _, reach = ruleset_now(shadow.identity)
    today, draft = reach.judge(), Draft.thawed(shadow.draft).applied(reach).judge()
    both = Decision.Subject.CONNECT

    def is_settled(human: str) -> bool:
        words = {"direction": Decision.Direction.INBOUND, "subject": both}
        return today.allows(human, **words) == draft.allows(human, **words)

    return [
        Difference(human, count, loses == 0, first_at, last_at, is_settled(human))
        for human, count, loses, first_at, last_at in found
    ]


def by_day(actor: Actor, shadow: Shadow) -> list[Day]:
    """Differences of each day from its start, the days without one included; days are UTC's."""
    counted = (
        differing(actor, shadow)
        .annotate(day=TruncDate("at"))
        .values_list("day")
        .annotate(blocked=Count("id", filter=Q(would_allow=False)), allowed=Count("id", filter=Q(would_allow=True)))
    )
    found = {day: Day(day, blocked, allowed) for day, blocked, allowed in counted.order_by("day")}
    first, last = shadow.started_at.date(), min(shadow.ended_at or timezone.now(), shadow.ends_at).date()
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [found.get(day, Day(day, 0, 0)) for day in days]


def quiet_since(actor: Actor, shadow: Shadow) -> datetime:
    """Since when nobody new has differed: the first difference of the newest such human, else its start."""
    newest: datetime | None = (
        differing(actor, shadow)
        .values("human")
        .annotate(first_at=Min("at"))
        .aggregate(newest=Max("first_at"))["newest"]
    )
    return newest or shadow.started_at


def _unjudged(shadow: Shadow, begin: datetime, end: datetime) -> QuerySet[Decision]:
    judged = ShadowVerdict.objects.filter(shadow=shadow).values("decision_id")
    return (
        Decision.objects.filter(
            organization_id=shadow.organization_id, identity_id=shadow.identity_id, at__gte=begin, at__lt=end
        )
        .exclude(id__in=judged.filter(at__gte=begin))
        .order_by("at", "id")
    )


def _tell_pages(shadow: Shadow) -> None:
    """Its own page and the threads of its identity; a verdict every few seconds is no event."""
    publish_topics(shadow.organization_id, [f"shadow:{shadow.id}", f"shadowed:{shadow.identity_id}"])


def _end(actor: Actor, shadow: Shadow, state: str, *, reason: str) -> Shadow:
    """Close it once; an ended one may still be promoted."""
    from_states = {Shadow.State.RUNNING} | ({Shadow.State.ENDED} if state == Shadow.State.PROMOTED else set())
    with transaction.atomic():
        now = timezone.now()
        closed = Shadow.objects.filter(pk=shadow.pk, state__in=from_states)
        if not closed.update(state=state, ended_at=now, ended_by=actor.frozen()):
            raise ShadowOver()
        _record(actor, shadow, f"shadow.{state}", {"reason": reason, "differing": _count_differing(shadow)})
    shadow.state, shadow.ended_at, shadow.ended_by = state, now, actor.frozen()
    return shadow


def _count_differing(shadow: Shadow) -> int:
    return ShadowVerdict.objects.filter(shadow=shadow).exclude(allowed=F("would_allow")).count()


def _record(actor: Actor, shadow: Shadow, type: str, data: dict[str, Any]) -> None:
    record(
        actor,
        type,
        organization_id=shadow.organization_id,
        identity_id=shadow.identity_id,
        subject_id=shadow.id,
        data=data,
    )
