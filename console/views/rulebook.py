"""The contact rules of all identities: the list, one rule's history, and what an operator does to rules."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Value
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Identity
from console.entry import PageRequest, draw, draw_live, newest_event, page, seen_by, tell, toast, toasts
from console.lists import Choice, Column, FilterSpec, Flag, Listing, Range, Sort, View, identity_choice, wants_rows
from console.masking import sees_numbers, shown_number
from console.reaching import (
    Change,
    changed_meanwhile,
    changes,
    described,
    identity_called,
    may_change,
    numbers,
    rule_rows,
    seen_in,
    sentences,
    undo_url,
)
from console.work import Deed, Skipped
from console.work.deeds import Result
from contactrules import pasting
from contactrules.changes import MOST_HITS, hits_among, never_hit, revert
from contactrules.models import ContactRule, RuleRevision
from contactrules.reach import MOST_STEPS, Draft, Step, redundant
from contactrules.rules import (
    DuplicateRule,
    ReachChanged,
    create_rule,
    delete_rule,
    delete_rules,
    set_status_of_all,
    update_rule,
)
from core.actor import Actor, Role
from core.errors import DomainError, Invalid, NotFound
from core.phones import digits_of, pretty

OF_HISTORY = 100


def _sought(text: str) -> Q:
    digits = digits_of(text)
    found = Q(identity__handle__icontains=text.removeprefix("@"))
    # Numbers are found in any notation: only their digits are compared.
    return found | Q(is_readable=True, match_target__contains=digits) if digits else found


def _rules(actor: Actor) -> QuerySet[ContactRule]:
    # Who reads no number finds no rule by one either.
    rows = ContactRule.objects.visible_to(actor).annotate(is_readable=Value(sees_numbers(actor)))
    return rows.select_related("identity")


RULES = FilterSpec(
    name="rules",
    title="Rules",
    route="console:rules",
    nouns=("rule", "rules"),
    rows=_rules,
    search=_sought,
    search_label="Number or handle",
    fields=(
        identity_choice(),
        Choice(key="action", label="Action", column="action", among=(("allow", "Allow"), ("block", "Block"))),
        Choice(key="status", label="Status", column="status", among=(("active", "Active"), ("paused", "Paused"))),
        Choice(
            key="direction",
            label="Direction",
            column="direction",
            among=(("both", "Both"), ("inbound", "Inbound"), ("outbound", "Outbound")),
        ),
        Flag(key="redundant", label="Redundant", holds=redundant, yes="Changes no verdict", no="Decides"),
        Flag(key="unhit", label="Never hit", holds=never_hit, yes="Never hit", no="Hit"),
    ),
    time=Range(column="created_at", label="Added"),
    sorts=(Sort("added", "Added", "created_at"), Sort("changed", "Changed", "updated_at")),
    views=(
        View("redundant", "Redundant", "redundant=yes"),
        View("never-hit", "Never hit", "unhit=yes"),
        View("paused", "Paused", "status=paused"),
    ),
    columns=(
        Column("identity", "Identity", "identity__handle"),
        Column("number", "Number", "match_target", masked=True),
        Column("action", "Action", "action"),
        Column("direction", "Direction", "direction"),
        Column("status", "Status", "status"),
        Column("added", "Added", "created_at"),
        Column("by", "By", lambda rule: rule.created_by.get("label", "")),
    ),
    row_words=lambda rule, actor: f"{rule.action} {shown_number(actor, rule.match_target)} on @{rule.identity.handle}",
    row_url=lambda rule: reverse("console:rule", args=[rule.pk]),
)


def _pause(actor: Actor, rule: ContactRule, options: Mapping[str, Any]) -> str:
    return _put(actor, rule, ContactRule.Status.PAUSED, "Paused")


def _resume(actor: Actor, rule: ContactRule, options: Mapping[str, Any]) -> str:
    return _put(actor, rule, ContactRule.Status.ACTIVE, "In force again")


def _delete(actor: Actor, rule: ContactRule, options: Mapping[str, Any]) -> str:
    delete_rule(actor, rule, reason="One of many, by a job.")
    return "Deleted"


def _put(actor: Actor, rule: ContactRule, status: str, done: str) -> str:
    if rule.status == status:
        raise Skipped("It is so already")
    update_rule(actor, rule, changes={"status": str(status)}, reason="One of many, by a job.")
    return done


def _pause_all(actor: Actor, rules: Sequence[ContactRule], options: Mapping[str, Any]) -> Mapping[UUID, Result]:
    return _put_all(actor, rules, ContactRule.Status.PAUSED, "Paused")


def _resume_all(actor: Actor, rules: Sequence[ContactRule], options: Mapping[str, Any]) -> Mapping[UUID, Result]:
    return _put_all(actor, rules, ContactRule.Status.ACTIVE, "In force again")


def _delete_all(actor: Actor, rules: Sequence[ContactRule], options: Mapping[str, Any]) -> Mapping[UUID, Result]:
    delete_rules(actor, rules[0].identity, rules, reason="One of many, by a job.")
    return {rule.pk: "Deleted" for rule in rules}


def _put_all(actor: Actor, rules: Sequence[ContactRule], status: str, done: str) -> Mapping[UUID, Result]:
    changed = set_status_of_all(actor, rules[0].identity, rules, status=str(status), reason="One of many, by a job.")
    same = Skipped("It is so already")
    return {rule.pk: done if rule.pk in changed else same for rule in rules}


def _touched(actor: Actor, rows: QuerySet[ContactRule], options: Mapping[str, Any]) -> list[str]:
    """Whose reach it changes, and how much these rules decide."""
    counted = rows.order_by().values_list("identity__handle").annotate(rules=Count("pk")).order_by("-rules")
    hits = hits_among(rows)
    said = [f"@{handle}: {rules:,} rule{'' if rules == 1 else 's'}" for handle, rules in counted[:20]]
    return [*said, f"They decided {hits:,}{' times or more' if hits >= MOST_HITS else ' times'} in 30 days"]


# Each locks an identity: those of others must not wait for it.
_OF_ONE: dict[str, Any] = {
    "spec": RULES,
    "within": "identity_id",
    "order": ("identity_id", "pk"),
    "preview": _touched,
}
Deed(name="pause-rules", label="Pause", grade=2, perform=_pause, perform_all=_pause_all, done="Paused", **_OF_ONE)
Deed(name="resume-rules", label="Resume", grade=2, perform=_resume, perform_all=_resume_all, done="In force", **_OF_ONE)
Deed(name="delete-rules", label="Delete", grade=4, perform=_delete, perform_all=_delete_all, done="Deleted", **_OF_ONE)


@page
@require_safe
def show_rules(request: PageRequest, actor: Actor) -> HttpResponse:
    """The list; for a live region the rows alone."""
    if wants_rows(request):
        return draw(request, actor, "console/rules/_list.html", _list(request, actor))
    return _draw_list(request, actor)


@page
@require_safe
def show_rule(request: PageRequest, actor: Actor, rule_id: UUID) -> HttpResponse:
    """One rule, there or gone, with every change of it."""
    whole, part = "console/rules/rule.html", "console/rules/_rule.html"
    return draw_live(request, actor, whole, part, lambda: _history(actor, rule_id))


@page
@require_POST
def add_rule(request: PageRequest, actor: Actor) -> HttpResponse:
    """Add one rule, from the list or from an identity's page; what was typed is kept when it is refused."""
    # One of many to choose from comes with the revision it was shown at.
    handle, _, revision = request.POST.get("identity", "").partition(":")
    identity = identity_called(actor, handle)
    typed = request.POST.get("number", "")
    number = pasting.number_in(typed.replace("\x00", "")) or typed
    form = {name: request.POST.get(name, "") for name in ("number", "action", "direction", "reason")}
    try:
        rule = create_rule(
            actor,
            identity,
            action=form["action"],
            match_target=number,
            direction=form["direction"] or ContactRule.Direction.BOTH,
            reason=_reason(request),
            seen=seen_in(request.POST, revision),
        )
    except ReachChanged as refused:
        diff = changed_meanwhile(actor, identity, refused)
        return _refuse_form(request, actor, identity, form | {"diff": diff}, status=refused.status)
    except DuplicateRule as refused:
        existing = {"existing_id": refused.fields["existing_rule_id"]}
        return _refuse_form(request, actor, identity, form | {"error": refused.message} | existing, status=422)
    except DomainError as refused:
        if refused.status == 403:
            raise
        return _refuse_form(request, actor, identity, form | {"error": refused.message}, status=422)
    tell(request, f"{pretty(number)}: {rule.action} rule added on @{identity.handle}.", undo=undo_url(actor, rule.pk))
    return _back(request, identity)


@page
@require_POST
def change_rule(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Change what a rule does or judges, or rehearse that; what was chosen is kept when it is refused."""
    rule: ContactRule = seen_by(actor, ContactRule, pk, "identity__organization")
    form: dict[str, Any] = {name: request.POST.get(name, "") for name in ("action", "direction", "reason")}
    words = {name: form[name] for name in ("action", "direction")}
    if request.POST.get("rehearse"):
        step = ":".join([str(rule.pk), *words.values()])
        draft = urlencode({"scope": f"@{rule.identity.handle}", "change": step})
        return HttpResponseRedirect(f"{reverse('console:new_rehearsal')}?{draft}")
    try:
        changed = update_rule(actor, rule, changes=words, reason=_reason(request), seen=seen_in(request.POST))
    except ReachChanged as refused:
        diff = changed_meanwhile(actor, rule.identity, refused)
        return _refuse_change(request, actor, rule, form | {"diff": diff}, status=refused.status)
    except DuplicateRule as refused:
        existing = {"existing_id": refused.fields["existing_rule_id"]}
        return _refuse_change(request, actor, rule, form | {"error": refused.message} | existing, status=422)
    except Invalid as refused:
        return _refuse_change(request, actor, rule, form | {"error": refused.message}, status=422)
    if (changed.action, changed.direction) == (rule.action, rule.direction):
        tell(request, "Nothing was changed: the rule is so already.")
    else:
        idle = " It changes no verdict in the present mode." if rule_rows([changed])[0].is_redundant else ""
        done = f"The rule for {pretty(changed.match_target)} is {described(changed)} now.{idle}"
        tell(request, done, undo=undo_url(actor, changed.pk))
    return HttpResponseRedirect(reverse("console:rule", args=[pk]))


@page
@require_POST
def pause_rule(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """A paused rule has no effect and keeps its place."""
    return _set_status(request, actor, pk, ContactRule.Status.PAUSED)


@page
@require_POST
def resume_rule(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """A paused rule in force again."""
    return _set_status(request, actor, pk, ContactRule.Status.ACTIVE)


@page
@require_POST
def remove_from_rules(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Delete one rule; Undo brings it back under its id."""
    rule: ContactRule = seen_by(actor, ContactRule, pk, "identity__organization")
    try:
        delete_rule(actor, rule, reason=_reason(request), seen=seen_in(request.POST))
    except ReachChanged as refused:
        return _refuse_deed(request, actor, rule.identity, refused)
    words = f"The {rule.action} rule for {pretty(rule.match_target)} is gone."
    tell(request, words, undo=undo_url(actor, rule.pk))
    return _answer(request, rule.identity, reverse("console:rule", args=[pk]) if _is_on_rule(request) else "")


@page
@require_POST
def revert_change(request: PageRequest, actor: Actor, pk: int) -> HttpResponse:
    """Undo one change of a rule by another change; modes are put back by a rehearsed flip, not here."""
    revision: RuleRevision | None = (
        RuleRevision.objects.visible_to(actor).select_related("identity__organization").filter(pk=pk).first()
    )
    if revision is None or revision.rule_id is None:
        raise NotFound()
    try:
        revert(actor, revision, reason=f"Takes back change {revision.number}.")
    except DomainError as refused:
        if refused.status == 403:
            raise
        return _refuse(request, refused, reverse("console:rule", args=[revision.rule_id]))
    tell(request, "The change was taken back.", undo=undo_url(actor, revision.rule_id), label="Redo")
    return _answer(request, revision.identity, reverse("console:rule", args=[revision.rule_id]))


@page
@require_http_methods(["GET", "HEAD", "POST"])
def paste_rules(request: PageRequest, actor: Actor) -> HttpResponse:
    """Many numbers at once: typed, looked at line by line, then added."""
    actor.require(Role.ADMIN)
    data = request.POST if request.method == "POST" else request.GET
    handle = data.get("identity", "")
    form: dict[str, Any] = {name: data.get(name, "") for name in ("numbers", "action", "direction", "reason")}
    form["numbers"] = form["numbers"].replace("\x00", "")
    context: dict[str, Any] = {"form": form, "identities": _identities(actor), "may_change": may_change(actor)}
    if not handle:
        return draw(request, actor, "console/rules/paste.html", context)
    identity = identity_called(actor, handle)
    context |= {"identity": identity, "seen": identity.reach_revision}
    if request.method != "POST" or form["action"] not in ContactRule.Action.values:
        return draw(request, actor, "console/rules/paste.html", context)
    form["direction"] = form["direction"] if form["direction"] in ContactRule.Direction.values else "both"
    return _paste(request, actor, identity, context)


def _paste(request: PageRequest, actor: Actor, identity: Identity, context: dict[str, Any]) -> HttpResponse:
    form = context["form"]
    words = {"action": form["action"], "direction": form["direction"]}
    try:
        lines = pasting.read_lines(actor, identity, form["numbers"], **words)
    except DomainError as refused:
        return draw(request, actor, "console/rules/paste.html", context | {"error": refused.message}, status=422)
    good = [line for line in lines if line.may_be_added]
    groups = [(state, [line for line in lines if line.state == state]) for state in pasting.State]
    context |= {"groups": [group for group in groups if group[1]], "good": len(good), "draft": _as_draft(good, **words)}
    if "confirmed" not in request.POST or not good:
        return draw(request, actor, "console/rules/paste.html", context)
    try:
        added, taken = pasting.add_rules(
            actor,
            identity,
            targets=[line.target for line in good],
            reason=_reason(request),
            seen=seen_in(request.POST),
            **words,
        )
    except ReachChanged as refused:
        diff = changed_meanwhile(actor, identity, refused)
        return draw(request, actor, "console/rules/paste.html", context | {"diff": diff}, status=refused.status)
    left = f" {numbers(len(taken))} had a rule by then." if taken else ""
    tell(request, f"{numbers(len(added))} added on @{identity.handle}.{left}")
    return HttpResponseRedirect(reverse("console:rules") + f"?identity={identity.handle}")


def _as_draft(lines: list[pasting.Line], *, action: str, direction: str) -> Draft | None:
    """The same rules as a draft, if they are few enough for one."""
    steps = tuple(Step("add", action=action, target=line.target, direction=direction) for line in lines)
    return Draft(steps=steps) if 0 < len(steps) <= MOST_STEPS else None


def _set_status(request: PageRequest, actor: Actor, pk: UUID, status: str) -> HttpResponse:
    rule: ContactRule = seen_by(actor, ContactRule, pk, "identity__organization")
    try:
        update_rule(actor, rule, changes={"status": str(status)}, reason=_reason(request), seen=seen_in(request.POST))
    except ReachChanged as refused:
        return _refuse_deed(request, actor, rule.identity, refused)
    done = "paused" if status == ContactRule.Status.PAUSED else "in force again"
    words = f"The {rule.action} rule for {pretty(rule.match_target)} is {done}."
    tell(request, words, undo=undo_url(actor, rule.pk))
    return _answer(request, rule.identity, reverse("console:rule", args=[pk]) if _is_on_rule(request) else "")


def _list(request: PageRequest, actor: Actor) -> dict[str, Any]:
    listing = RULES.read(request, actor)
    return {"listing": listing, "rows": rule_rows(listing.page.rows), "may_change": may_change(actor)}


def _draw_list(
    request: PageRequest, actor: Actor, *, form: dict[str, Any] | None = None, status: int = 200
) -> HttpResponse:
    number = newest_event()
    context = _list(request, actor)
    context |= {"live_last": number, "form": form or {}, "identities": _identities(actor)}
    return draw(
        request, actor, "console/rules/rules.html", context | _seen_of(actor, context["listing"]), status=status
    )


def _seen_of(actor: Actor, listing: Listing) -> dict[str, Any]:
    """The identity that the list is narrowed to, if it is one, so that the form to add a rule names it."""
    handles = listing.values("identity")
    if len(handles) != 1:
        return {}
    try:
        identity = identity_called(actor, handles[0])
    except NotFound:
        return {}
    return {"identity": identity, "seen": identity.reach_revision, "sentences": sentences(actor, identity)}


def _identities(actor: Actor) -> list[tuple[str, int]]:
    """Handles to choose from, each with the revision it is looked at."""
    live = Identity.objects.visible_to(actor).live().order_by("handle")
    return list(live.values_list("handle", "reach_revision")[:200])


def _history(actor: Actor, rule_id: UUID) -> dict[str, Any]:
    revisions = list(
        RuleRevision.objects.visible_to(actor)
        .filter(rule_id=rule_id)
        .select_related("identity")
        .order_by("-id")[:OF_HISTORY]
    )
    rule = ContactRule.objects.visible_to(actor).select_related("identity").filter(pk=rule_id).first()
    if rule is None and not revisions:
        raise NotFound()
    told: list[Change] = changes(revisions)
    return {
        "rule_id": rule_id,
        "rule": rule,
        "seen": rule.identity.reach_revision if rule else None,
        "form": {"action": rule.action, "direction": rule.direction} if rule else {},
        "row": rule_rows([rule])[0] if rule else None,
        "identity": rule.identity if rule else revisions[0].identity,
        "number": rule.match_target if rule else told[0].number,
        "changes": told,
        "may_change": may_change(actor),
    }


def _reason(request: PageRequest) -> str:
    return request.POST.get("reason", "").replace("\x00", "").strip()[:500]


def _is_on_rule(request: PageRequest) -> bool:
    return request.POST.get("from") == "rule"


def _answer(request: PageRequest, identity: Identity, address: str = "") -> HttpResponse:
    """For htmx the toast alone, for live regions follow by themselves; else back to where the form was."""
    return toasts(request) if request.htmx else _back(request, identity, address)


def _back(request: PageRequest, identity: Identity, address: str = "") -> HttpResponse:
    if not address and request.POST.get("from") == "reach":
        address = reverse("console:reach", args=[identity.handle])
    return HttpResponseRedirect(address or reverse("console:rules") + f"?identity={identity.handle}")


def _refuse_form(
    request: PageRequest, actor: Actor, identity: Identity, form: dict[str, Any], *, status: int
) -> HttpResponse:
    """The page with the form as it was filled in, drawn at the revision of now, and why it was refused."""
    context = {
        "identity": identity,
        "seen": identity.reach_revision if "diff" not in form else _now(identity),
        "sentences": sentences(actor, identity),
        "form": form,
        "identities": _identities(actor),
        "may_change": may_change(actor),
        "from": request.POST.get("from", ""),
    }
    return draw(request, actor, "console/rules/add.html", context, status=status)


def _refuse_change(
    request: PageRequest, actor: Actor, rule: ContactRule, form: dict[str, Any], *, status: int
) -> HttpResponse:
    """The form to change a rule as it was filled in, drawn at the revision of now, and why it was refused."""
    context = {
        "identity": rule.identity,
        "rule": rule,
        "seen": _now(rule.identity),
        "sentences": sentences(actor, rule.identity),
        "form": form,
    }
    return draw(request, actor, "console/rules/change.html", context, status=status)


def _now(identity: Identity) -> int:
    identity.refresh_from_db(fields=["reach_revision"])
    return identity.reach_revision


def _refuse_deed(request: PageRequest, actor: Actor, identity: Identity, refused: ReachChanged) -> HttpResponse:
    """A deed of one click on an outdated row: nothing is done, and what others changed is said."""
    diff = changed_meanwhile(actor, identity, refused)
    if request.htmx:
        said = [f"{change.who} {change.verb} {pretty(change.number)}".strip() for change in diff[-3:]]
        return toast(request, ReachChanged(f"Nothing was done. Meanwhile {'; '.join(said)}. Look, then try again."))
    deed = [(name, value) for name, value in request.POST.items() if name not in {"csrfmiddlewaretoken", "seen"}]
    context = {"identity": identity, "seen": _now(identity), "diff": diff, "deed": deed, "address": request.path}
    return draw(request, actor, "console/rules/changed.html", context, status=refused.status)


def _refuse(request: PageRequest, refused: DomainError, address: str) -> HttpResponse:
    if request.htmx:
        return toast(request, refused)
    return render(
        request, "console/rules/refused.html", {"refused": refused, "address": address}, status=refused.status
    )
