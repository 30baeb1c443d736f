"""Rehearsing a draft: today's whole set of rules and the draft's, both judged over the decisions of a period.

Only what would come out differently is reported, never what a single rule would match: rules act on each other.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Max, Min, Q, QuerySet
from django.utils import timezone

from accounts.models import Identity, Organization
from contactrules.changes import ruleset_now
from contactrules.models import ContactRule, Decision, Rehearsal, RehearsalPerson, RuleRevision
from contactrules.reach import Draft, Judge, Step
from contactrules.rules import create_rule, delete_rule, lock_reach, require_unchanged, set_filter_mode, update_rule
from core.actor import Actor, Role
from core.errors import Conflict, Invalid
from events.record import record

LONGEST = timedelta(days=366)
# The most affected people are kept by name; the counts are of all.
MOST_PEOPLE = 2_000
# More decisions than these are judged by a job. A million take seconds, but a page should not.
LONG = 100_000
_CHUNK = 5_000

_IN, _OUT = Decision.Direction.INBOUND, Decision.Direction.OUTBOUND
_Subject = Decision.Subject

# An accepted text that was declined later is one send: its acceptance is counted.
_ONCE = ~Q(direction=_OUT, allowed=False, message_id__isnull=False)

# Pairs of an identity's id and a human who are connected now.
Live = Iterable[tuple[UUID, str]]


class RehearsalClosed(Conflict):
    """This rehearsal was applied or discarded, or is not done."""

    code = "rehearsal_closed"


@dataclass(slots=True)
class Counts:
    """Out of how much how much would change; messages and tapbacks are the human's, sends the agent's."""

    messages: int = 0
    people: int = 0
    messages_to_blocked: int = 0
    people_to_blocked: int = 0
    messages_to_delivered: int = 0
    people_to_delivered: int = 0
    tapbacks: int = 0
    tapbacks_to_blocked: int = 0
    tapbacks_to_delivered: int = 0
    connects: int = 0
    connects_to_refused: int = 0
    connects_to_allowed: int = 0
    sends: int = 0
    sends_to_refused: int = 0
    sends_to_allowed: int = 0
    live_threads: int = 0
    threads_to_silent: int = 0
    threads_to_open: int = 0
    people_changed: int = 0

    @property
    def changes_nothing(self) -> bool:
        return not (self.people_changed or self.threads_to_silent or self.threads_to_open)


def counts_of(rehearsal: Rehearsal) -> Counts:
    """The counts of a rehearsal, all 0 while it is not done."""
    known = {field.name for field in fields(Counts)}
    return Counts(**{name: count for name, count in rehearsal.counts.items() if name in known})


def prepare(
    actor: Actor,
    *,
    organization: Organization,
    identity: Identity | None,
    draft: Draft,
    since: datetime,
    until: datetime | None = None,
) -> Rehearsal:
    """Keep a draft to be rehearsed for one identity, or for all of the organization; `run` does it.

    Raises `Forbidden` unless the actor is an admin, `Invalid` for an empty draft, a period that is none, or rules
    of one identity in a draft for all.
    """
    actor.require(Role.ADMIN)
    until = until or timezone.now()
    if draft.is_empty:
        raise Invalid("A rehearsal needs a change: another mode, or a rule.")
    if not timedelta(0) < until - since <= LONGEST:
        raise Invalid("A rehearsal looks at a year at most.")
    if identity is None and any(step.rule_id for step in draft.steps):
        raise Invalid("A change of one identity's rules cannot be rehearsed for all.")
    with transaction.atomic():
        rehearsal = Rehearsal.objects.create(
            organization=organization,
            identity=identity,
            draft=draft.frozen(),
            since=since,
            until=until,
            created_by=actor.frozen(),
        )
        rehearsal.total = _decisions(rehearsal, identities_of(rehearsal)).count()
        rehearsal.save(update_fields=["total"])
        _record(actor, rehearsal, "rehearsal.created", {"draft": rehearsal.draft})
    return rehearsal


def run(rehearsal: Rehearsal, *, live: Callable[[list[Identity]], Live], chunk: int = _CHUNK) -> Rehearsal:
    """Judge the period's decisions and the live threads twice and keep what differs.

    `live` gives the pairs of those identities that are connected now; this app does not know connections. Outside a
    transaction the progress shows while it runs. Running it again begins anew.
    """
    identities = identities_of(rehearsal)
    _advance(rehearsal, state=Rehearsal.State.RUNNING, read=0)
    draft = Draft.thawed(rehearsal.draft)
    benches, revisions = {}, {}
    for identity in identities:
        revision, reach = ruleset_now(identity)
        benches[identity.id] = Bench(reach.judge(), draft.applied(reach).judge())
        revisions[str(identity.id)] = revision
    connected = _by_person(live(identities))
    tally = Tally(benches, connected)
    for person in _people(rehearsal, identities, chunk=chunk):
        tally.add(person)
        if tally.read - rehearsal.read >= LONG // 5:
            _advance(rehearsal, read=tally.read)
    tally.add_silent()
    _keep(rehearsal, tally, revisions)
    return rehearsal


def fail(rehearsal: Rehearsal) -> None:
    """Say that it could not be run to its end."""
    _advance(rehearsal, state=Rehearsal.State.FAILED)


def apply_rehearsal(actor: Actor, rehearsal: Rehearsal, *, reason: str = "") -> None:
    """Put a rehearsed draft in force, in one transaction; its revisions carry the rehearsal.

    Raises `RehearsalClosed`; `ReachChanged` when the rules that were judged are not those of now, whoever changed
    them: what was shown would not be what is done.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        rehearsal = _open(rehearsal)
        draft = Draft.thawed(rehearsal.draft)
        for identity in identities_of(rehearsal):
            locked = lock_reach(identity)
            seen = rehearsal.revisions.get(str(identity.id))
            require_unchanged(Actor.system("rehearsal"), locked, -1 if seen is None else seen)
            put_in_force(actor, locked, draft, reason=reason, rehearsal_id=rehearsal.id)
        rehearsal.applied_at, rehearsal.applied_by = timezone.now(), actor.frozen()
        rehearsal.save(update_fields=["applied_at", "applied_by"])
        _record(actor, rehearsal, "rehearsal.applied", {"draft": rehearsal.draft, "reason": reason})


def discard(actor: Actor, rehearsal: Rehearsal) -> None:
    """Close a rehearsal that is not to be applied; its result stays readable."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        rehearsal = _open(rehearsal)
        rehearsal.discarded_at = timezone.now()
        rehearsal.save(update_fields=["discarded_at"])
        _record(actor, rehearsal, "rehearsal.discarded", {})


def put_in_force(
    actor: Actor, identity: Identity, draft: Draft, *, reason: str, rehearsal_id: UUID | None = None
) -> list[Step]:
    """Make a draft's changes to the rows, in the caller's transaction and under its lock of the identity.

    Returns the steps that changed something; the others are passed over, as they are when a draft is judged.
    """
    before, reach = ruleset_now(identity)
    taken = draft.fitting(reach)
    for step in taken:
        _take(actor, identity, step, reason)
    inbound, outbound = draft.inbound_mode or reach.inbound_mode, draft.outbound_mode or reach.outbound_mode
    if inbound == outbound:
        set_filter_mode(actor, identity, mode=inbound, reason=reason)
    else:
        set_filter_mode(actor, identity, mode=inbound, direction=_IN, reason=reason)
        set_filter_mode(actor, identity, mode=outbound, direction=_OUT, reason=reason)
    if rehearsal_id:
        RuleRevision.objects.filter(identity=identity, number__gt=before).update(rehearsal_id=rehearsal_id)
    return taken


def identities_of(rehearsal: Rehearsal) -> list[Identity]:
    """Those it is about, in the order in which they are locked."""
    if rehearsal.identity:
        return [rehearsal.identity]
    return list(Identity.objects.live().filter(organization_id=rehearsal.organization_id).order_by("id"))


@dataclass(frozen=True, slots=True)
class Bench:
    """Two judges of one identity: today's, and the draft's."""

    today: Judge
    draft: Judge

    def change(self, human: str, *, direction: str, subject: str) -> int:
        """-1 when the draft takes this away, 1 when it gives it, 0 when both say the same."""
        after = self.draft.allows(human, direction=direction, subject=subject)
        return after - self.today.allows(human, direction=direction, subject=subject)

    def thread_change(self, human: str) -> int:
        """The same of a thread, which is open when both may write."""
        return self.change(human, direction=_IN, subject=_Subject.CONNECT)


@dataclass(frozen=True, slots=True)
class Person:
    """One human of one identity, with how many decisions of each direction and subject there were."""

    identity_id: UUID
    human: str
    decisions: Mapping[tuple[str, str], int]
    rows: int
    last_at: datetime | None


class Tally:
    """Adds up what would change, and keeps who would be changed most."""

    def __init__(self, benches: Mapping[UUID, Bench], live: dict[tuple[UUID, str], int]) -> None:
        self.counts = Counts()
        self.read = 0
        self._benches = benches
        self._live = live
        self._people: list[tuple[int, int, RehearsalPerson]] = []

    def add(self, person: Person) -> None:
        """Count a person's decisions in both reaches."""
        self.read += person.rows
        bench, counts = self._benches[person.identity_id], self.counts
        row = RehearsalPerson(
            identity_id=person.identity_id, human=person.human, loses=False, gains=False, last_at=person.last_at
        )
        for (direction, subject), number in person.decisions.items():
            noun = _NOUNS.get((direction, subject))
            if not noun or not number:
                continue
            change = bench.change(person.human, direction=direction, subject=subject)
            self._count(noun, number, change)
            if change:
                setattr(row, noun, getattr(row, noun) + number)
                row.loses, row.gains = row.loses or change < 0, row.gains or change > 0
            if noun == "messages":
                counts.people += 1
                counts.people_to_blocked += change < 0
                counts.people_to_delivered += change > 0
        self._thread(row, self._live.pop((person.identity_id, person.human), 0))

    def add_silent(self) -> None:
        """Count the live threads of people about whom nothing was decided in the period."""
        for (identity_id, human), number in self._live.items():
            self._thread(RehearsalPerson(identity_id=identity_id, human=human, loses=False, gains=False), number)
        self._live = {}

    def people(self) -> list[RehearsalPerson]:
        """The most affected first."""
        ranked = [row for *_, row in sorted(self._people, key=lambda entry: entry[:2], reverse=True)]
        for rank, row in enumerate(ranked, 1):
            row.rank = rank
        return ranked

    def _thread(self, row: RehearsalPerson, number: int) -> None:
        change = self._benches[row.identity_id].thread_change(row.human) if number else 0
        self.counts.live_threads += number
        self.counts.threads_to_silent += number if change < 0 else 0
        self.counts.threads_to_open += number if change > 0 else 0
        row.has_live_thread = number > 0
        row.loses, row.gains = row.loses or change < 0, row.gains or change > 0
        if row.loses or row.gains:
            self.counts.people_changed += 1
            self._hold(row)

    def _hold(self, row: RehearsalPerson) -> None:
        weight = row.messages + row.sends + row.connects + row.tapbacks + 1_000_000 * row.has_live_thread
        entry = (weight, -self.counts.people_changed, row)
        if len(self._people) < MOST_PEOPLE:
            heapq.heappush(self._people, entry)
        else:
            heapq.heappushpop(self._people, entry)

    def _count(self, noun: str, number: int, change: int) -> None:
        names = [noun] + ([f"{noun}_{_ENDS[noun][change > 0]}"] if change else [])
        for name in names:
            setattr(self.counts, name, getattr(self.counts, name) + number)


# What is counted. Of typing and read marks only refusals are kept, so they would say little.
_NOUNS: dict[tuple[str, str], str] = {
    (_IN, _Subject.MESSAGE): "messages",
    (_IN, _Subject.TAPBACK): "tapbacks",
    (_IN, _Subject.CONNECT): "connects",
    (_OUT, _Subject.MESSAGE): "sends",
}
_ENDS = {
    "messages": ("to_blocked", "to_delivered"),
    "tapbacks": ("to_blocked", "to_delivered"),
    "connects": ("to_refused", "to_allowed"),
    "sends": ("to_refused", "to_allowed"),
}


def _decisions(rehearsal: Rehearsal, identities: list[Identity]) -> QuerySet[Decision]:
    return Decision.objects.filter(
        organization_id=rehearsal.organization_id,
        identity_id__in=[identity.id for identity in identities],
        at__gte=rehearsal.since,
        at__lt=rehearsal.until,
    )


def _people(rehearsal: Rehearsal, identities: list[Identity], *, chunk: int) -> Iterator[Person]:
    """Everybody about whom something was decided, counted by the database and streamed."""
    grouped = (
        _decisions(rehearsal, identities)
        .values_list("identity_id", "human", "direction", "subject")
        .annotate(once=Count("id", filter=_ONCE), rows=Count("id"), last_at=Max("at"))
        .order_by("identity_id", "human")
    )
    for (identity_id, human), group in groupby(grouped.iterator(chunk_size=chunk), key=lambda row: row[:2]):
        rows = list(group)
        yield Person(
            identity_id=identity_id,
            human=human,
            decisions={(row[2], row[3]): row[4] for row in rows},
            rows=sum(row[5] for row in rows),
            last_at=max(row[6] for row in rows),
        )


def _by_person(live: Live) -> dict[tuple[UUID, str], int]:
    pairs: dict[tuple[UUID, str], int] = {}
    for identity_id, human in live:
        pairs[identity_id, human] = pairs.get((identity_id, human), 0) + 1
    return pairs


def _keep(rehearsal: Rehearsal, tally: Tally, revisions: dict[str, int]) -> None:
    people = tally.people()
    for row in people:
        row.organization_id, row.rehearsal = rehearsal.organization_id, rehearsal
    with transaction.atomic():
        RehearsalPerson.objects.filter(rehearsal=rehearsal).delete()
        RehearsalPerson.objects.bulk_create(people, batch_size=500)
        _advance(
            rehearsal,
            state=Rehearsal.State.DONE,
            read=tally.read,
            total=tally.read,
            counts=asdict(tally.counts),
            revisions=revisions,
            covered_from=_first_decision(rehearsal),
            finished_at=timezone.now(),
        )
        facts = {"counts": rehearsal.counts, "identities": len(revisions)}
        _record(Actor.system("rehearsal"), rehearsal, "rehearsal.finished", facts)


def _first_decision(rehearsal: Rehearsal) -> datetime | None:
    """Since when decisions about these identities are kept at all."""
    whose = Q(organization_id=rehearsal.organization_id)
    whose &= Q(identity_id=rehearsal.identity_id) if rehearsal.identity_id else Q()
    first: datetime | None = Decision.objects.filter(whose).aggregate(first=Min("at"))["first"]
    return first


def _advance(rehearsal: Rehearsal, **values: Any) -> None:
    for name, value in values.items():
        setattr(rehearsal, name, value)
    rehearsal.save(update_fields=list(values))


def _open(rehearsal: Rehearsal) -> Rehearsal:
    found: Rehearsal = Rehearsal.objects.select_for_update(of=("self",), no_key=True).get(pk=rehearsal.pk)
    if not found.is_open:
        raise RehearsalClosed()
    return found


def _take(actor: Actor, identity: Identity, step: Step, reason: str) -> None:
    if step.do == "add":
        create_rule(
            actor, identity, action=step.action, match_target=step.target, direction=step.direction, reason=reason
        )
        return
    rule = ContactRule.objects.get(pk=step.rule_id or "", identity=identity)
    rule.identity = identity
    match step.do:
        case "delete":
            delete_rule(actor, rule, reason=reason)
        case "pause":
            update_rule(actor, rule, changes={"status": ContactRule.Status.PAUSED}, reason=reason)
        case "resume":
            update_rule(actor, rule, changes={"status": ContactRule.Status.ACTIVE}, reason=reason)
        case "change":
            words = {"action": step.action, "direction": step.direction}
            update_rule(actor, rule, changes={name: word for name, word in words.items() if word}, reason=reason)


def _record(actor: Actor, rehearsal: Rehearsal, type: str, data: dict[str, Any]) -> None:
    record(
        actor,
        type,
        organization_id=rehearsal.organization_id,
        identity_id=rehearsal.identity_id,
        subject_id=rehearsal.id,
        data=data,
    )
