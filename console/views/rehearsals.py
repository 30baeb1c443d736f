"""Rehearsals: a draft and a period go in, what would change by person comes out; then it is applied, or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Identity, Organization
from console import friction
from console.entry import PageRequest, draw, draw_live, newest_event, page, seen_by, tell
from console.lists import Choice, Column, FilterSpec, Range, Sort, identity_choice
from console.reaching import (
    changes,
    draft_lines,
    identity_called,
    idle_words,
    may_change,
    numbers,
)
from console.rehearsing import live_pairs
from contactrules import pasting, rehearsal, shadow
from contactrules.changes import changes_since, ruleset_now
from contactrules.models import ContactRule, Rehearsal, RehearsalPerson
from contactrules.reach import Draft, redundant
from contactrules.rules import ReachChanged
from core.actor import Actor, Role
from core.errors import Conflict, DomainError, Invalid
from core.wake import wake

DAYS = (7, 30, 90, 365)
SHADOW_DAYS = (7, 14, 30)
SHOWN_PEOPLE = 200
MOST_SCOPES = 200

REHEARSALS = FilterSpec(
    name="rehearsals",
    title="Rehearsals",
    route="console:rehearsals",
    nouns=("rehearsal", "rehearsals"),
    rows=lambda actor: Rehearsal.objects.visible_to(actor).select_related("identity", "organization"),
    fields=(
        identity_choice(),
        Choice(key="state", label="State", column="state", among=tuple(Rehearsal.State.choices)),
    ),
    time=Range(column="created_at", label="Made"),
    sorts=(Sort("made", "Made", "created_at"),),
    columns=(
        Column("made", "Made", "created_at"),
        Column("identity", "Identity", "identity__handle"),
        Column("state", "State", "state"),
        Column("applied", "Applied", "applied_at"),
    ),
)


@dataclass(frozen=True, slots=True)
class RehearsalRow:
    """One rehearsal of the list: its result in a few words."""

    rehearsal: Rehearsal
    result: str
    by: str


@page
@require_safe
def show_rehearsals(request: PageRequest, actor: Actor) -> HttpResponse:
    """Every rehearsal, newest first."""
    whole, part = "console/rehearsals/rehearsals.html", "console/rehearsals/_list.html"
    return draw_live(request, actor, whole, part, lambda: _list(request, actor))


def _list(request: PageRequest, actor: Actor) -> dict[str, Any]:
    listing = REHEARSALS.read(request, actor)
    rows = [RehearsalRow(row, _short(row), str(row.created_by.get("label", ""))) for row in listing.page.rows]
    return {"listing": listing, "rows": rows, "may_change": may_change(actor)}


@page
@require_http_methods(["GET", "HEAD", "POST"])
def new_rehearsal(request: PageRequest, actor: Actor) -> HttpResponse:
    """The draft, which the address holds until it is rehearsed; a POST rehearses it and keeps the result."""
    actor.require(Role.ADMIN)
    data = request.POST if request.method == "POST" else request.GET
    form = {
        "scope": data.get("scope", "") or data.get("identity", "").partition(":")[0],
        "days": data.get("days", "30"),
        "inbound_mode": data.get("inbound_mode", ""),
        "outbound_mode": data.get("outbound_mode", ""),
        "allow_lines": data.get("allow_lines", ""),
        "block_lines": data.get("block_lines", ""),
    }
    context: dict[str, Any] = {"form": form, "scopes": _scopes(actor), "days": DAYS}
    try:
        draft = Draft.read(_with_lines(data))
        context |= {"draft": draft, "hidden": _hidden(draft), "query": draft.query()}
        identity, organization = _scope(actor, form["scope"])
        context |= {"lines": _lines(draft, identity), "identity": identity}
        if request.method != "POST":
            return draw(request, actor, "console/rehearsals/new.html", context)
        if "keep" in data:
            return HttpResponseRedirect(_draft_url(form["scope"], form["days"], draft))
        made = rehearsal.prepare(
            actor,
            organization=organization,
            identity=identity,
            draft=draft,
            since=timezone.now() - timedelta(days=_days(form["days"])),
        )
    except Invalid as refused:
        status = 422 if request.method == "POST" or data else 200
        return draw(request, actor, "console/rehearsals/new.html", context | {"error": refused.message}, status=status)
    if made.total > rehearsal.LONG:
        wake("console.rehearse", once=f"rehearse:{made.id}", rehearsal_id=str(made.id))
    else:
        rehearsal.run(made, live=live_pairs)
    return HttpResponseRedirect(reverse("console:rehearsal", args=[made.id]))


@page
@require_safe
def show_rehearsal(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """What a draft would change, or how far it has been judged."""
    whole, part = "console/rehearsals/rehearsal.html", "console/rehearsals/_result.html"
    return draw_live(
        request, actor, whole, part, lambda: _about(actor, seen_by(actor, Rehearsal, pk, "identity", "organization"))
    )


@page
@require_http_methods(["GET", "HEAD", "POST"])
def apply_rehearsal(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Put the draft in force. Another mode, or many rules deleted, changes who can reach an agent at large."""
    actor.require(Role.ADMIN)
    found: Rehearsal = seen_by(actor, Rehearsal, pk, "identity", "organization")
    if not found.is_open:
        return _refuse(request, actor, found, rehearsal.RehearsalClosed())
    asked = _confirmation(actor, found)
    confirmed = friction.confirm(request, actor, asked)
    if isinstance(confirmed, HttpResponse):
        return confirmed
    try:
        rehearsal.apply_rehearsal(actor, found, reason=confirmed.reason)
    except ReachChanged:
        words = "The rules were changed after this was rehearsed; rehearse it again on those of now."
        return friction.ask_again(request, actor, asked, {"": words})
    except Conflict as refused:
        return friction.ask_again(request, actor, asked, {"": refused.message})
    tell(request, _applied(actor, found))
    return friction.leave_for(request, reverse("console:rehearsal", args=[pk]))


@page
@require_POST
def discard_rehearsal(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Close it without applying; the result stays readable."""
    found: Rehearsal = seen_by(actor, Rehearsal, pk, "identity", "organization")
    try:
        rehearsal.discard(actor, found)
    except Conflict as refused:
        return _refuse(request, actor, found, refused)
    tell(request, "The rehearsal is discarded; its result stays here.")
    return HttpResponseRedirect(reverse("console:rehearsal", args=[pk]))


@page
@require_POST
def shadow_rehearsal(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Let the draft run as a shadow for some days."""
    found: Rehearsal = seen_by(actor, Rehearsal, pk, "identity", "organization")
    try:
        if found.identity is None:
            raise Conflict("A shadow runs on one identity; rehearse the draft for that one.")
        started = shadow.start_shadow(
            actor,
            found.identity,
            draft=Draft.thawed(found.draft),
            lasting=timedelta(days=_days(request.POST.get("days", ""))),
            reason=request.POST.get("reason", "").replace("\x00", "").strip()[:500],
            rehearsal=found,
        )
    except (Conflict, Invalid) as refused:
        return _refuse(request, actor, found, refused)
    tell(request, f"The shadow on @{started.identity.handle} runs; no verdict changes.")
    return HttpResponseRedirect(reverse("console:shadow", args=[started.id]))


@page
@require_POST
def allow_people(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Allow chosen people: by rules of now, or in the draft, which is then rehearsed anew."""
    actor.require(Role.ADMIN)
    found: Rehearsal = seen_by(actor, Rehearsal, pk, "identity", "organization")
    chosen = [text for text in request.POST.getlist("person") if text.isascii() and text.isdigit()]
    people = list(
        RehearsalPerson.objects.visible_to(actor)
        .filter(rehearsal=found, rank__in=[text[:9] for text in chosen])
        .select_related("identity__organization")
        .order_by("rank")
    )
    try:
        if not people:
            raise Invalid("Choose the people to allow first.")
        if request.POST.get("how") == "draft":
            draft = Draft.thawed(found.draft).with_allowed([person.human for person in people])
            return HttpResponseRedirect(_again_url(found, draft))
        added = sum(_allow(actor, people, identity) for identity in {person.identity for person in people})
    except (Conflict, Invalid) as refused:
        return _refuse(request, actor, found, refused)
    tell(request, f"{numbers(added)} allowed. Rehearse again to see what is left.")
    return HttpResponseRedirect(reverse("console:rehearsal", args=[pk]))


def _allow(actor: Actor, people: Sequence[RehearsalPerson], identity: Identity) -> int:
    targets = [person.human for person in people if person.identity_id == identity.id]
    reason = "Chosen in a rehearsal."
    added, _ = pasting.add_rules(actor, identity, targets=targets, action="allow", direction="both", reason=reason)
    return len(added)


def _about(actor: Actor, found: Rehearsal) -> dict[str, Any]:
    draft = Draft.thawed(found.draft)
    counts = rehearsal.counts_of(found)
    people = RehearsalPerson.objects.visible_to(actor).filter(rehearsal=found).select_related("identity")
    stale = _changed_since(actor, found) if found.is_open else []
    return {
        "rehearsal": found,
        "by": found.created_by.get("label", ""),
        "lines": _lines(draft, found.identity),
        "counts": counts,
        "people": people.order_by("rank")[:SHOWN_PEOPLE],
        "unshown": max(0, counts.people_changed - SHOWN_PEOPLE),
        "scope": f"@{found.identity.handle}" if found.identity else f"all identities of {found.organization.name}",
        "days": max(1, round((found.until - found.since) / timedelta(days=1))),
        "is_short": found.is_done and (found.covered_from is None or found.covered_from > found.since),
        "again_url": _again_url(found, draft),
        "shadow_days": SHADOW_DAYS,
        "stale": stale,
        "shadows": found.shadows.all(),
        "may_change": may_change(actor),
        "may_allow": may_change(actor) and found.is_done,
    }


def _changed_since(actor: Actor, found: Rehearsal) -> list[Any]:
    """What changed after the rules that were judged; a rehearsal of other rules is not applied."""
    stale: list[Any] = []
    for identity in rehearsal.identities_of(found):
        seen = found.revisions.get(str(identity.id))
        if seen is not None and identity.reach_revision != seen:
            stale += changes(changes_since(actor, identity, seen)[:20])
    return stale


def _confirmation(actor: Actor, found: Rehearsal) -> friction.Confirmation:
    draft = Draft.thawed(found.draft)
    counts = rehearsal.counts_of(found)
    name = f"@{found.identity.handle}" if found.identity else found.organization.name
    said = [f"{line.words}{' for ' + line.number if line.number else ''}" for line in _lines(draft, found.identity)]
    is_at_large = draft.is_at_large or found.identity is None
    return friction.Confirmation(
        title=f"Change who can reach {name}",
        sentence="; ".join(said[:5]) + (f"; and {len(said) - 5} more changes." if len(said) > 5 else "."),
        action="Change it now",
        back=reverse("console:rehearsal", args=[found.id]),
        grade=4 if is_at_large else 3,
        facts=_facts(counts, found),
        undoable="It can be taken back at any time, by the same way.",
        typed=name if is_at_large else "",
        needs_reason=True,
        rehearsal_url=reverse("console:rehearsal", args=[found.id]),
        rehearsal_words="Look at the rehearsal, person by person",
        hold=timedelta(0),
    )


def _facts(counts: rehearsal.Counts, found: Rehearsal) -> list[friction.Fact]:
    days = max(1, round((found.until - found.since) / timedelta(days=1)))
    return [
        friction.Fact(f"Messages of {days} days that would be blocked", f"{counts.messages_to_blocked:,}"),
        friction.Fact("People who would be cut off", f"{counts.people_to_blocked:,}"),
        friction.Fact("Live threads that would fall silent", f"{counts.threads_to_silent:,}"),
        friction.Fact("Messages that would get through", f"{counts.messages_to_delivered:,}"),
    ]


def _applied(actor: Actor, found: Rehearsal) -> str:
    """What became redundant by a flip is said once it is there."""
    identities = rehearsal.identities_of(found)
    idle = ContactRule.objects.visible_to(actor).filter(redundant(), identity__in=identities).count()
    if not (Draft.thawed(found.draft).changes_mode and idle):
        return "The change is in force."
    return f"The change is in force. {idle_words(idle)}."


def _short(found: Rehearsal) -> str:
    counts = rehearsal.counts_of(found)
    if not found.is_done:
        return str(found.get_state_display())
    if counts.changes_nothing:
        return "Nothing would change"
    lost, won = counts.people_to_blocked, counts.people_to_delivered
    words = [f"{numbers(lost)} cut off"] if lost else []
    words += [f"{numbers(won)} let in"] if won else []
    words += [f"{counts.threads_to_silent:,} threads silent"] if counts.threads_to_silent else []
    return ", ".join(words) or "Only sends would change"


def _lines(draft: Draft, identity: Identity | None) -> Any:
    named = any(step.rule_id for step in draft.steps)
    return draft_lines(draft, ruleset_now(identity)[1] if identity and named else None)


def _again_url(found: Rehearsal, draft: Draft) -> str:
    scope = f"@{found.identity.handle}" if found.identity else f"all:{found.organization_id}"
    days = max(1, round((found.until - found.since) / timedelta(days=1)))
    return _draft_url(scope, str(days), draft)


def _draft_url(scope: str, days: str, draft: Draft) -> str:
    return f"{reverse('console:new_rehearsal')}?{urlencode([('scope', scope), ('days', days), *draft.pairs()])}"


def _scopes(actor: Actor) -> list[tuple[str, str]]:
    """For whom one may rehearse: each identity, and all of an organization."""
    live = Identity.objects.visible_to(actor).live()
    handles = live.order_by("handle").values_list("handle", flat=True)[:MOST_SCOPES]
    whole = live.order_by("organization__name").values_list("organization_id", "organization__name").distinct()
    named = [(f"all:{key}", f"All identities of {name}") for key, name in whole[:MOST_SCOPES]]
    return [*((f"@{handle}", f"@{handle}") for handle in handles), *named]


def _scope(actor: Actor, text: str) -> tuple[Identity | None, Organization]:
    """Raises `Invalid` for nothing chosen, `NotFound` for what the actor may not see."""
    if text in dict(_scopes(actor)) and text.startswith("all:"):
        of_it = Identity.objects.visible_to(actor).select_related("organization")
        return None, of_it.filter(organization_id=UUID(text.removeprefix("all:")))[0].organization
    if not text or text.startswith("all:"):
        raise Invalid("Choose the identity that the change is for.")
    identity = identity_called(actor, text)
    return identity, identity.organization


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:4]) <= 365):
        raise Invalid("A period is 1 to 365 days.")
    return int(text[:4])


def _with_lines(data: Any) -> Any:
    """The draft of the address, with the numbers that were typed into the form besides."""
    query = data.copy()
    for action in ("allow", "block"):
        for line in data.get(f"{action}_lines", "").replace("\x00", "").splitlines():
            if line.strip():
                query.appendlist(action, pasting.number_in(line) or line.strip())
    if data.get("number") and data.get("action") in ContactRule.Action.values:
        # The form of one rule, rehearsed before it is saved.
        number = pasting.number_in(data["number"].replace("\x00", "")) or data["number"]
        query.appendlist(data["action"], f"{number}:{data.get('direction', '')}")
    return query


def _hidden(draft: Draft) -> list[tuple[str, str]]:
    """The steps of a draft as hidden fields; modes have controls of their own."""
    return [pair for pair in draft.pairs() if pair[0] not in {"inbound_mode", "outbound_mode"}]


def _refuse(request: PageRequest, actor: Actor, found: Rehearsal, refused: DomainError) -> HttpResponse:
    context = _about(actor, found) | {"error": refused.message, "live_last": newest_event()}
    return draw(request, actor, "console/rehearsals/rehearsal.html", context, status=refused.status)
