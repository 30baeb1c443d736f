"""Shadows: a draft that runs beside the real rules; who would be treated otherwise, and putting it in force."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console import friction
from console.charts import Bar
from console.entry import PageRequest, draw, draw_live, newest_event, page, seen_by, tell
from console.lists import Choice, Column, FilterSpec, Range, Sort, identity_choice
from console.reaching import changes, draft_lines, idle_words, may_change, numbers, seen_in
from contactrules import pasting, shadow
from contactrules.changes import changes_since, ruleset_now
from contactrules.models import ContactRule, Shadow
from contactrules.reach import Draft, redundant
from contactrules.rules import ReachChanged
from core.actor import Actor, Role
from core.errors import Conflict, DomainError, Invalid

SHOWN_PEOPLE = 200

SHADOWS = FilterSpec(
    name="shadows",
    title="Shadows",
    route="console:shadows",
    nouns=("shadow", "shadows"),
    rows=lambda actor: Shadow.objects.visible_to(actor).select_related("identity"),
    fields=(
        identity_choice(),
        Choice(key="state", label="State", column="state", among=tuple(Shadow.State.choices)),
    ),
    time=Range(column="started_at", label="Started"),
    created="started_at",
    sorts=(Sort("started", "Started", "started_at"),),
    columns=(
        Column("started", "Started", "started_at"),
        Column("identity", "Identity", "identity__handle"),
        Column("state", "State", "state"),
        Column("ends", "Ends", "ends_at"),
    ),
)


@page
@require_safe
def show_shadows(request: PageRequest, actor: Actor) -> HttpResponse:
    """Every shadow, newest first."""
    return draw_live(
        request, actor, "console/shadows/shadows.html", "console/shadows/_list.html", lambda: _list(request, actor)
    )


def _list(request: PageRequest, actor: Actor) -> dict[str, Any]:
    listing = SHADOWS.read(request, actor)
    return {"listing": listing, "rows": listing.page.rows}


@page
@require_safe
def show_shadow(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """What a shadow has found so far, or found."""
    whole, part = "console/shadows/shadow.html", "console/shadows/_shadow.html"
    return draw_live(request, actor, whole, part, lambda: _about(actor, _shadow(actor, pk)))


@page
@require_POST
def stop_shadow(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """End it before its time."""
    found = _shadow(actor, pk)
    try:
        shadow.stop_shadow(actor, found, reason=request.POST.get("reason", "").replace("\x00", "").strip()[:500])
    except Conflict as refused:
        return _refuse(request, actor, found, refused)
    tell(request, "The shadow is stopped; what it found stays here.")
    return HttpResponseRedirect(reverse("console:shadow", args=[pk]))


@page
@require_http_methods(["GET", "HEAD", "POST"])
def promote_shadow(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Put the draft in force, with what the shadow found as its rehearsal."""
    actor.require(Role.ADMIN)
    found = _shadow(actor, pk)
    if found.state not in {Shadow.State.RUNNING, Shadow.State.ENDED}:
        return _refuse(request, actor, found, shadow.ShadowOver())
    seen = seen_in(request.POST, str(found.identity.reach_revision))
    asked = _confirmation(actor, found, seen)
    confirmed = friction.confirm(request, actor, asked)
    if isinstance(confirmed, HttpResponse):
        return confirmed
    try:
        shadow.promote_shadow(actor, found, reason=confirmed.reason, seen=seen)
    except ReachChanged:
        meanwhile = changes(changes_since(actor, found.identity, seen)[:5])
        said = "; ".join(f"{change.who} {change.verb} {change.number}".strip() for change in meanwhile)
        asked = _confirmation(actor, found, _revision(found))
        return friction.ask_again(request, actor, asked, {"": f"The rules were changed meanwhile: {said}. Look again."})
    except Conflict as refused:
        return friction.ask_again(request, actor, asked, {"": refused.message})
    idle = ContactRule.objects.visible_to(actor).filter(redundant(), identity=found.identity).count()
    tell(request, "The change is in force." + (f" {idle_words(idle)}." if idle else ""))
    return friction.leave_for(request, reverse("console:reach", args=[found.identity.handle]))


@page
@require_POST
def allow_in_shadow(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Add allow rules for chosen people, so that the draft would let them through."""
    actor.require(Role.ADMIN)
    found = _shadow(actor, pk)
    known = set(shadow.differing(actor, found).values_list("human", flat=True).distinct())
    chosen = [human for human in request.POST.getlist("person") if human in known]
    try:
        if not chosen:
            raise Invalid("Choose the people to allow first.")
        reason = "Chosen in a shadow."
        added, taken = pasting.add_rules(
            actor, found.identity, targets=chosen, action="allow", direction="both", reason=reason
        )
    except (Conflict, Invalid) as refused:
        return _refuse(request, actor, found, refused)
    left = f" {numbers(len(taken))} had a rule already." if taken else ""
    tell(request, f"{numbers(len(added))} allowed on @{found.identity.handle}.{left}")
    return HttpResponseRedirect(reverse("console:shadow", args=[pk]))


def _shadow(actor: Actor, pk: UUID) -> Shadow:
    found: Shadow = seen_by(actor, Shadow, pk, "identity__organization", "rehearsal")
    return found


def _revision(found: Shadow) -> int:
    found.identity.refresh_from_db(fields=["reach_revision"])
    return found.identity.reach_revision


def _about(actor: Actor, found: Shadow) -> dict[str, Any]:
    now = timezone.now()
    people = shadow.people(actor, found, most=SHOWN_PEOPLE)
    days = shadow.by_day(actor, found)
    quiet = shadow.quiet_since(actor, found)
    return {
        "shadow": found,
        "by": found.created_by.get("label", ""),
        "lines": _lines(found),
        "people": people,
        "open_people": sum(not person.is_settled for person in people),
        "differing": sum(day.blocked + day.allowed for day in days),
        "bars": [Bar(f"{day.day:%-d %b}", day.blocked + day.allowed, bad=day.blocked) for day in days],
        "days_left": max(0, -(-(found.ends_at - now) // timedelta(days=1))),
        "quiet_since": quiet,
        "confidence": _confidence(found, people, quiet),
        "may_change": may_change(actor),
        "may_promote": may_change(actor) and found.state in {Shadow.State.RUNNING, Shadow.State.ENDED},
    }


def _lines(found: Shadow) -> Any:
    draft = Draft.thawed(found.draft)
    named = any(step.rule_id for step in draft.steps)
    return draft_lines(draft, ruleset_now(found.identity)[1] if named else None)


def _confidence(found: Shadow, people: list[shadow.Difference], quiet: Any) -> str:
    """How sure one may be that everybody who would be missed is known."""
    end = found.ended_at or timezone.now()
    length = end - quiet
    said = f"{length.days} days" if length.days > 1 else f"{int(length.total_seconds() // 3600)} hours"
    if not people:
        return f"Nobody would be treated otherwise, for {said} so far."
    unsettled = sum(not person.is_settled for person in people)
    left = f"{unsettled:,} would still be treated otherwise" if unsettled else "everybody found is settled"
    return f"No new person for {said}; {left}."


def _confirmation(actor: Actor, found: Shadow, seen: int) -> friction.Confirmation:
    name = f"@{found.identity.handle}"
    unsettled = [person for person in shadow.people(actor, found) if not person.is_settled]
    return friction.Confirmation(
        title=f"Promote the shadow on {name}",
        sentence="; ".join(f"{line.words} {line.number}".strip() for line in _lines(found)) + ".",
        action="Put it in force",
        back=reverse("console:shadow", args=[found.id]),
        grade=4,
        facts=[
            friction.Fact("Verdicts that differed", f"{shadow.differing(actor, found).count():,}"),
            friction.Fact("People who would still be treated otherwise", f"{len(unsettled):,}"),
        ],
        sample=[person.human for person in unsettled],
        undoable="It can be taken back at any time, by another flip.",
        typed=name,
        rehearsal_url=reverse("console:shadow", args=[found.id]),
        rehearsal_words="Look at what the shadow found, person by person",
        fields={"seen": str(seen)},
        hold=timedelta(0),
    )


def _refuse(request: PageRequest, actor: Actor, found: Shadow, refused: DomainError) -> HttpResponse:
    context = _about(actor, found) | {"error": refused.message, "live_last": newest_event()}
    return draw(request, actor, "console/shadows/shadow.html", context, status=refused.status)
