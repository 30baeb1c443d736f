"""Long work in one place: what is asked for before it begins, how far it is, and what came of each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from console.counters import bounded, counter
from console.entry import PageRequest, draw_live, page, seen_by
from console.friction import Confirmation, Confirmed, Fact, confirm, leave_for
from console.lists import SPECS, Choice, Column, FilterSpec, Flag, Range, Sort, Text, View
from console.lists.fields import Unreadable
from console.lists.paging import Order, read_cursor, read_page
from console.masking import masked_within
from console.models import Job, JobItem
from console.times import times_of
from console.work import DEEDS, EXPORT, Deed, Plan, cancel_job, pause_job, resume_job, start_job
from console.work.fetching import fetch_failures, may_fetch
from console.work.steering import WrongState, may_steer
from core.actor import Actor
from core.errors import Invalid, NotFound
from core.moments import moment_of

UNFINISHED = "state=counting&state=held&state=running&state=paused&state=cancelling"
STATES = {
    "counting": "Counting",
    "held": "About to begin",
    "running": "Running",
    "paused": "Paused",
    "cancelling": "Being cancelled",
    "cancelled": "Cancelled",
    "done": "Done",
    "failed": "Failed",
}
TONES = {"done": "is-good", "failed": "is-bad", "paused": "is-held", "held": "is-held"}
RESULTS = {item: words for item, words in JobItem.WORDS.items() if item != JobItem.State.WAITING}


def deed_label(name: str) -> str:
    """A deed as buttons call it."""
    return "Export" if name == EXPORT else DEEDS[name].label if name in DEEDS else name


JOBS = FilterSpec(
    name="jobs",
    title="Jobs",
    route="console:jobs",
    nouns=("job", "jobs"),
    rows=Job.objects.visible_to,
    fields=(
        Choice(key="state", label="State", column="state", among=tuple(STATES.items())),
        Choice(
            key="deed",
            label="Deed",
            column="deed",
            among=lambda actor: [(name, deed_label(name)) for name in [EXPORT, *DEEDS]],
            is_open=True,
        ),
        Flag(key="problems", label="Has failed rows", holds=Q(failed__gt=0) | Q(state="failed")),
        Text(key="who", label="Started by", condition=lambda text: Q(who__icontains=text)),
    ),
    time=Range(column="created_at", label="Started"),
    sorts=(Sort("started", "Started", "created_at"),),
    views=(View("unfinished", "Unfinished", UNFINISHED), View("problems", "With problems", "problems=yes")),
    columns=(
        Column("started", "Started", "created_at"),
        Column("who", "Who", "who"),
        Column("deed", "Deed", lambda job: deed_label(job.deed)),
        Column("filter", "Rows", "words"),
        Column("state", "State", "state"),
        Column("total", "Total", "total"),
        Column("done", "Done", "done"),
        Column("failed", "Failed", "failed"),
        Column("skipped", "Skipped", "skipped"),
    ),
)

_FAILED_FIRST = Order(Sort("result", "Result", "state", descending=False, kind="number"), descending=False)


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as its list and its page show it."""

    job: Job
    label: str
    words: str
    state: str
    tone: str

    @classmethod
    def of(cls, job: Job, actor: Actor) -> "JobRow":
        words = masked_within(actor, job.words)
        return cls(job, _title(job), words, STATES[job.state], TONES.get(job.state, ""))


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One row of a job: what it is, where it stands, what came of it."""

    item: JobItem
    name: str
    url: str
    result: str
    words: str


@counter("jobs", "unfinished")
def unfinished_jobs(actor: Actor) -> int:
    """For the rail."""
    return bounded(Job.objects.visible_to(actor).unfinished())


@page
@require_safe
def show_jobs(request: PageRequest, actor: Actor) -> HttpResponse:
    """All long work that the actor may see, newest first; for a live region the rows alone."""
    return draw_live(request, actor, "console/jobs/jobs.html", "console/jobs/_list.html", lambda: _list(request, actor))


def _list(request: PageRequest, actor: Actor) -> dict[str, Any]:
    listing = JOBS.read(request, actor)
    return {"listing": listing, "rows": [JobRow.of(job, actor) for job in listing.page.rows]}


@page
@require_safe
def show_job(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """One job with its rows, failures first; for a live region the part that changes."""
    whole, part = "console/jobs/job.html", "console/jobs/_job.html"
    return draw_live(request, actor, whole, part, lambda: _job(request, actor, seen_by(actor, Job, pk)))


@page
@require_safe
def download_failures(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """The rows without success as a table."""
    job: Job = seen_by(actor, Job, pk)
    response = StreamingHttpResponse(fetch_failures(actor, job), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="failures-{job.id}.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    return cast(HttpResponse, response)


@page
@require_POST
def steer(request: PageRequest, actor: Actor, pk: UUID, deed: str) -> HttpResponse:
    """Pause, resume or cancel."""
    try:
        {"pause": pause_job, "resume": resume_job, "cancel": cancel_job}[deed](actor, seen_by(actor, Job, pk))
    except WrongState as refused:
        messages.error(request, refused.message)
    return HttpResponseRedirect(reverse("console:job", args=[pk]))


@page
@require_POST
def begin_job(request: PageRequest, actor: Actor) -> HttpResponse:
    """Show what a deed would do to which rows; once confirmed, begin it. Small private deeds begin at once."""
    spec = SPECS.get(request.POST.get("list", ""))
    if spec is None:
        raise NotFound()
    query = request.POST.get("query", "")
    deed = DEEDS.get(request.POST.get("deed", ""))
    if deed is None or deed.spec is not spec:
        raise NotFound()
    actor.require(deed.role)
    back = spec.url + spec.asked(query, actor).query()
    try:
        plan = Plan.of(spec.asked(query, actor), chosen=_chosen(request), at=_at(request))
    except Invalid as refused:
        messages.error(request, refused.message)
        return HttpResponseRedirect(back)
    if not plan.count:
        messages.error(request, "Nothing matches any more.")
        return HttpResponseRedirect(back)
    return _plan_or_begin(request, actor, deed, plan, back=back)


def _plan_or_begin(request: PageRequest, actor: Actor, deed: Deed, plan: Plan, *, back: str) -> HttpResponse:
    if deed.grade <= 2 and plan.chosen is not None and deed.form is None:
        start_job(actor, deed, plan, options={})
        messages.success(request, f"{deed.label}: {plan.count} {_noun(plan)}.")
        return HttpResponseRedirect(back)
    form = deed.form(request.POST if "confirmed" in request.POST else None) if deed.form else forms.Form({})
    errors = {"options": "Choose again."} if form.is_bound and not form.is_valid() else {}
    answer = confirm(request, actor, _question(actor, deed, plan, form, back=back), errors=errors)
    if not isinstance(answer, Confirmed):
        return answer
    job = start_job(actor, deed, plan, options=form.cleaned_data, reason=answer.reason)
    return leave_for(request, reverse("console:job", args=[job.id]))


def _question(actor: Actor, deed: Deed, plan: Plan, form: forms.Form, *, back: str) -> Confirmation:
    """What will happen to which rows, before it does."""
    spec, title = plan.listing.spec, f"{deed.label} {plan.count:,} {_noun(plan)}"
    options = form.cleaned_data if form.is_bound and form.is_valid() else _initial(form)
    sentences = deed.preview(actor, plan.rows, options) if deed.preview else ()
    whole = {"all": "1"} if plan.chosen is None else {"id": plan.chosen}
    return Confirmation(
        title=title,
        sentence=f"{masked_within(actor, plan.words)}. Rows that appear later are left alone.",
        action=title,
        back=back,
        grade=deed.grade,
        facts=[Fact(spec.nouns[1].capitalize(), f"{plan.count:,}")],
        sample=[_name(spec, row, actor) for row in plan.sample],
        of=plan.count,
        typed=str(plan.count) if deed.grade >= 4 else "",
        choices="console/jobs/_options.html",
        context={"form": form, "sentences": sentences},
        fields={
            "list": spec.name,
            "query": plan.listing.full_query,
            "deed": deed.name,
            "at": plan.at.isoformat(),
            **whole,
        },
        hold=timedelta(seconds=deed.hold),
    )


def _initial(form: forms.Form) -> dict[str, Any]:
    return {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}


def _chosen(request: PageRequest) -> Sequence[str] | None:
    return None if request.POST.get("all") else request.POST.getlist("id")


def _at(request: PageRequest) -> datetime | None:
    """When the rows were shown that the person says yes to."""
    text = request.POST.get("at", "")
    return moment_of(text) if text else None


def _noun(plan: Plan) -> str:
    return plan.listing.spec.nouns[0 if plan.count == 1 else 1]


# --- One job


def _job(request: PageRequest, actor: Actor, job: Job) -> dict[str, Any]:
    spec = SPECS.get(job.list_name)
    asked = request.GET.get("result", "")
    states = [state for state, words in JobItem.WORDS.items() if words == asked]
    items = JobItem.objects.filter(job=job, **({"state": states[0]} if states else {}))
    try:
        cursor = request.GET.get("cursor", "")
        place = read_cursor(cursor, _FAILED_FIRST, JobItem) if cursor else None
    except Unreadable:
        cursor, place = "", None
    found = read_page(items, _FAILED_FIRST, place)
    here = reverse("console:job", args=[job.id])
    chosen = {"result": asked} if states else {}

    def link(**query: str) -> str:
        given = {key: value for key, value in query.items() if value}
        return f"{here}?{urlencode(given)}" if given else here

    return {
        "row": JobRow.of(job, actor),
        "job": job,
        "started": f"Started by {job.who}, {times_of(request).exact(job.created_at)}",
        "list_url": spec.url + job.query if spec and job.chosen is None else "",
        "list_title": spec.title if spec else job.list_name,
        "items": _items(spec, actor, list(found.rows)),
        "results": [("All", link(), not states), *((w, link(result=w), w == asked) for w in RESULTS.values())],
        "following_url": link(**chosen, cursor=found.following) if found.following else "",
        "preceding_url": link(**chosen, cursor=found.preceding) if found.preceding else "",
        "live_url": link(**chosen, cursor=cursor),
        "facts": _facts(request, job),
        "may_steer": may_steer(actor, job),
        "may_fetch": may_fetch(actor, job),
        "can": _can(job),
    }


def _facts(request: PageRequest, job: Job) -> list[Fact]:
    exact = times_of(request).exact
    facts = [
        Fact("As of", exact(job.snapshot_at)),
        Fact("Shown before it began", f"{job.expected:,}"),
        Fact("Counted", "not yet" if job.total is None else f"{job.total:,}"),
        Fact("Done", f"{job.done:,}"),
    ]
    if not job.is_export:
        facts += [Fact("Failed", f"{job.failed:,}"), Fact("Skipped", f"{job.skipped:,}")]
    if job.rate:
        facts.append(Fact("Rate", ", ".join(filter(None, [f"{job.rate:.1f} a second", _left(job)]))))
    facts += [Fact(term, exact(at)) for term, at in (("Began", job.started_at), ("Ended", job.ended_at)) if at]
    return [*facts, Fact("Reason", job.reason)] if job.reason else facts


def _can(job: Job) -> dict[str, bool]:
    return {
        "pause": job.state == Job.State.RUNNING and not job.is_export,
        "resume": job.state == Job.State.PAUSED,
        "cancel": not job.is_finished and job.state != Job.State.CANCELLING,
    }


def _left(job: Job) -> str:
    """About how long it will go on, in words; empty when nobody can know."""
    if job.state != Job.State.RUNNING or not job.total or job.rate <= 0:
        return ""
    seconds = (job.total - job.finished) / job.rate
    return "less than a minute left" if seconds < 60 else f"about {round(seconds / 60)} min left"


def _items(spec: FilterSpec | None, actor: Actor, items: Sequence[JobItem]) -> list[ItemRow]:
    keys = [item.subject_id for item in items]
    rows = {str(row.pk): row for row in spec.rows(actor).filter(pk__in=keys)} if spec and keys else {}
    return [_item(spec, actor, item, rows.get(item.subject_id)) for item in items]


def _item(spec: FilterSpec | None, actor: Actor, item: JobItem, row: Any) -> ItemRow:
    name = _name(spec, row, actor) if spec and row is not None else f"…{item.subject_id[-8:]}"
    url = spec.row_url(row) if spec and spec.row_url and row is not None else ""
    return ItemRow(item, name, url, JobItem.WORDS[item.state], masked_within(actor, item.words))


def _name(spec: FilterSpec, row: Any, actor: Actor) -> str:
    return spec.row_words(row, actor) if spec.row_words else f"{spec.nouns[0]} …{str(row.pk)[-8:]}"


def _title(job: Job) -> str:
    spec = SPECS.get(job.list_name)
    count = job.total if job.total is not None else job.expected
    noun = spec.nouns[0 if count == 1 else 1] if spec else job.list_name
    return f"{deed_label(job.deed)} {count:,} {noun}"
