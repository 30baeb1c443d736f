"""Deliveries across all endpoints, and one event with every request that was made for it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from console.charts import Bar
from console.counters import bounded, counter
from console.entry import PageRequest, draw, draw_live, newest_event, page, tell, toast, toasts
from console.lists import (
    Choice,
    Column,
    FilterSpec,
    Flag,
    Id,
    Listing,
    Range,
    Sort,
    View,
    identity_choice,
)
from console.lists.ranges import begin_of
from console.outcomes import (
    WORDS,
    cause_of,
    host_of,
    in_words_from_now,
    outcome_of,
    payload_of,
    row_of,
    try_of,
    type_in_words,
)
from console.work import Deed, Skipped
from core.actor import Actor, Role
from core.errors import Busy, Conflict, DomainError, Invalid, NotFound
from core.ids import from_prefixed
from core.moments import moment_of
from webhooks import causes
from webhooks.catalog import EVENT_TYPES
from webhooks.checking import Verdict, check_signature
from webhooks.delivering import resend, why_not_again
from webhooks.models import Attempt, Delivery, DeliveryQuerySet, Subscription
from webhooks.outcomes import DELIVERED, DROPPED, FAILED, GONE, OUTCOMES, is_of_identity, is_outcome
from webhooks.replaying import preview, send_again
from webhooks.statistics import outcomes_over_time

# Enough to choose from; any other is found from its own page.
MOST_ENDPOINTS = 200
# A delivery that is tried on every hour for two weeks has some hundreds; the newest tell the story.
MOST_TRIES = 60

_STATUSES: Mapping[str, tuple[str, Q]] = {
    "2xx": ("2xx", Q(last_status__range=(200, 299))),
    "3xx": ("3xx", Q(cause=causes.REDIRECT)),
    "4xx": ("4xx", Q(cause__in=(causes.CLIENT, causes.LIMITED, causes.GONE))),
    "5xx": ("5xx", Q(cause=causes.SERVER)),
    "none": ("No answer", Q(cause__in=causes.NO_ANSWER)),
}
_UNREACHABLE = "unreachable"


def _rows(actor: Actor) -> QuerySet[Delivery]:
    return Delivery.objects.visible_to(actor).select_related("subscription", "identity").defer("body")


def _endpoints(actor: Actor) -> Iterable[tuple[str, str]]:
    rows = Subscription.objects.visible_to(actor).kept().select_related("identity").order_by("-created_at", "-id")
    return [(str(row.pk), f"{host_of(row.url)} · {row.scope}") for row in rows[:MOST_ENDPOINTS]]


def _causes(actor: Actor) -> Iterable[tuple[str, str]]:
    """Why no connection came about is told apart only to operators: nobody else may map our network by it."""
    hidden = causes.HIDDEN if actor.role is Role.OPERATOR else (_UNREACHABLE,)
    words = [(cause, cause_of(actor, cause)) for cause in causes.ALL if cause not in causes.HIDDEN]
    return [*words, *((cause, cause_of(actor, cause) or causes.UNREACHABLE_WORDS) for cause in hidden)]


def _is_cause(cause: str) -> Q:
    return Q(cause__in=causes.HIDDEN) if cause == _UNREACHABLE else Q(cause=cause)


def _endpoint_id(text: str) -> UUID:
    return UUID(text)


def _event_id(text: str) -> UUID:
    return from_prefixed("evt", text) or UUID(text)


DELIVERIES = FilterSpec(
    name="deliveries",
    title="Deliveries",
    route="console:deliveries",
    nouns=("delivery", "deliveries"),
    rows=_rows,
    fields=(
        Choice(
            key="outcome",
            label="Outcome",
            condition=is_outcome,
            among=tuple((word, WORDS[word]) for word in OUTCOMES),
        ),
        Choice(
            key="status",
            label="Answer",
            condition=lambda status: _STATUSES[status][1],
            among=tuple((key, words) for key, (words, _) in _STATUSES.items()),
        ),
        Choice(
            key="type",
            label="Event",
            column="event_type",
            among=tuple((name, type_in_words(name)) for name in EVENT_TYPES),
        ),
        Choice(key="cause", label="Cause", condition=_is_cause, among=_causes),
        identity_choice(column="", condition=is_of_identity),
        Choice(
            key="endpoint",
            label="Endpoint",
            condition=lambda key: Q(subscription_id=_endpoint_id(key)),
            among=_endpoints,
        ),
        Id(key="event", label="Event id", column="event_id", parse=_event_id, hint="evt_…"),
        Flag(key="replayed", label="Sent again", holds=~Q(replayed_at=None), yes="Sent again by hand", no="Never"),
        Flag(key="test", label="Tests", holds=Q(kind=Delivery.Kind.TEST), yes="Only tests", no="No tests"),
    ),
    time=Range(column="created_at", label="Made"),
    sorts=(Sort("at", "Made", "created_at"),),
    views=(
        View("failed", "Failed", f"outcome={FAILED}&outcome={DROPPED}&outcome={GONE}"),
        View("under-way", "Under way", "outcome=waiting&outcome=retrying"),
        View("slow-down", "Asked us to slow down", f"cause={causes.LIMITED}"),
        View("sent-again", "Sent again", "replayed=yes"),
    ),
    columns=(
        Column("made", "Made", "created_at"),
        Column("event", "Event", lambda row: row.public_event_id),
        Column("type", "Type", lambda row: type_in_words(row.event_type)),
        Column("identity", "Identity", "identity__handle"),
        Column("endpoint", "Endpoint", "subscription__url"),
        Column("state", "State", "state"),
        Column("ending", "Ending", "ending"),
        Column("status", "Last status", "last_status"),
        Column("ms", "Milliseconds", "last_ms"),
        Column("tries", "Requests", "tries"),
        Column("tried", "Last tried", "last_try_at"),
        Column("replayed", "Sent again", "replayed_at"),
    ),
)


# --- Many again


_RATES = (("0", "As fast as they are answered"), ("50", "50 a second"), ("20", "20 a second"), ("5", "5 a second"))


class AgainForm(forms.Form):
    """How deliveries are sent again."""

    missing_only = forms.BooleanField(
        label="Leave out what has arrived",
        help_text="What was answered with 2xx before. Sent again it has the same event id, by which receivers drop it.",
        required=False,
        initial=True,
    )
    rate = forms.ChoiceField(label="Pace", choices=_RATES, initial="20")


def _who_is_affected(actor: Actor, rows: QuerySet[Any], options: Mapping[str, Any]) -> Sequence[str]:
    found = preview(cast(DeliveryQuerySet, rows))
    shown = [
        f"{share.count:,} to {host_of(share.subscription.url)} for {share.subscription.scope}"
        + ("." if share.subscription.is_active else ", which is disabled: they are sent all the same.")
        for share in found.shares[:5]
    ]
    if len(found.shares) > len(shown):
        shown.append(f"The rest to {len(found.shares) - len(shown)} more endpoints.")
    return [
        *shown,
        f"{found.arrived:,} have arrived before and would come twice, {found.missing:,} are missing.",
        "Oldest first, within a conversation one after the other. Each once; what fails can be sent again.",
    ]


def _send_many(actor: Actor, rows: Sequence[Any], options: Mapping[str, Any]) -> Mapping[Any, Any]:
    """Each row's answer; what arrived meanwhile, or is under way, is left out."""
    left_out = {row.pk: Skipped("It has arrived.") for row in rows if options.get("missing_only") and is_delivered(row)}
    todo = [row.pk for row in rows if row.pk not in left_out]
    sent = send_again(actor, todo, per_second=float(options.get("rate") or 0))
    return left_out | {result.delivery_id: _as_result(result.outcome, result.words) for result in sent}


def _as_result(outcome: str, words: str) -> str | Skipped | DomainError:
    if outcome == "delivered":
        return words
    return Skipped(words) if outcome == "left out" else Conflict(words)


def is_delivered(delivery: Delivery) -> bool:
    """Whether its endpoint has it."""
    return delivery.state == Delivery.State.DELIVERED


SEND_AGAIN = Deed(
    name="deliveries.send_again",
    label="Send again",
    spec=DELIVERIES,
    grade=3,
    role=Role.ADMIN,
    key="R",
    done="Sent again",
    perform_many=_send_many,
    form=AgainForm,
    preview=_who_is_affected,
    order=("created_at", "pk"),
)


# --- The list


@page
@require_safe
def show_deliveries(request: PageRequest, actor: Actor) -> HttpResponse:
    """What was sent to endpoints, newest first; for a live region the rows alone."""
    whole, part = "console/deliveries/deliveries.html", "console/deliveries/_list.html"
    return draw_live(request, actor, whole, part, lambda: _list(actor, DELIVERIES.read(request, actor)))


def _list(actor: Actor, listing: Listing) -> dict[str, Any]:
    return {
        "listing": listing,
        "rows": [row_of(actor, delivery) for delivery in listing.page.rows],
        "may_send": actor.may(Role.ADMIN),
        "disabled": bounded(Subscription.objects.visible_to(actor).disabled_by_failures()),
        **_bars(listing),
    }


_BARS = 48


def _bars(listing: Listing) -> dict[str, Any]:
    """How the deliveries of this list fared over its stretch of time, the last day unless it names another."""
    begins, ends = _stretch(listing)
    found = outcomes_over_time(listing.rows, begins=begins, ends=ends, count=_BARS)
    totals = {group: sum(bucket.counts[group] for bucket in found.buckets) for group in found.buckets[0].counts}
    return {
        "bars": [
            Bar(
                label=f"{bucket.begins:%d %b %H:%M} to {bucket.ends:%H:%M} UTC",
                value=bucket.total,
                bad=bucket.counts["failed"],
                url=listing.link(**{"range": None, "from": _text(bucket.begins), "to": _text(bucket.ends)}),
            )
            for bucket in found.buckets
        ],
        "totals": [(group, number, listing.link(outcome=_OUTCOMES_OF[group])) for group, number in totals.items()],
        "bars_words": _bars_words(sum(totals.values()), totals["failed"], begins, ends, found.is_partial),
    }


_OUTCOMES_OF = {
    "delivered": [DELIVERED],
    "under way": ["waiting", "retrying"],
    "failed": [FAILED, DROPPED, GONE],
    "cancelled": ["cancelled"],
}


def _bars_words(total: int, failed: int, begins: datetime, ends: datetime, is_partial: bool) -> str:
    of = "the newest " if is_partial else ""
    return f"Of {of}{total:,} deliveries from {begins:%d %b %H:%M} to {ends:%d %b %H:%M} UTC {failed:,} failed."


def _stretch(listing: Listing) -> tuple[datetime, datetime]:
    chosen = next((option.value for option in listing.ranges if option.is_chosen), "")
    bounds = {key: moment_of(f"{text}Z") for key, text in listing.bounds.items()}
    ends = min(bounds.get("until", listing.now), listing.now + timedelta(seconds=1))
    begins = bounds.get("since", begin_of(chosen or "24h", ends))
    return (begins, ends) if begins < ends else (ends - timedelta(hours=1), ends)


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


# --- One event


@page
@require_safe
def show_event(request: PageRequest, actor: Actor, event_id: UUID) -> HttpResponse:
    """An event as it was sent: payload, endpoints, every request with what came of it."""
    whole, part = "console/deliveries/event.html", "console/deliveries/_event.html"
    return draw_live(request, actor, whole, part, lambda: _event(actor, event_id))


@page
@require_POST
def send_one_again(request: PageRequest, actor: Actor, event_id: UUID, subscription_id: UUID) -> HttpResponse:
    """Send an event to one endpoint once more; the answer is told at once."""
    delivery = _delivery(actor, event_id, subscription_id, request.POST.get("part", "0"))
    try:
        attempt = resend(actor, delivery)
    except (Conflict, Busy) as refused:
        return _refuse(request, refused, event_id)
    shown = try_of(actor, attempt)
    words = f"{host_of(attempt.url)}: {shown.words}."
    if attempt.succeeded:
        tell(request, words)
    else:
        messages.error(request, words)
    return toasts(request) if request.htmx else _back_to(event_id)


@page
@require_POST
def check(request: PageRequest, actor: Actor, event_id: UUID) -> HttpResponse:
    """Whether a signature that an endpoint received is ours; nothing that was pasted is kept."""
    deliveries = _deliveries(actor, event_id)
    headers, body = request.POST.get("headers", ""), request.POST.get("body", "")
    found: list[Verdict] = []
    error = ""
    try:
        endpoints = [delivery.subscription for delivery in deliveries]
        found = check_signature(actor, deliveries[0].identity, headers=headers, body=body, endpoints=endpoints)
    except Invalid as refused:
        error = refused.message
    context = {
        "event_id": event_id,
        "verdicts": found,
        "check_error": error,
        "pasted_headers": headers,
        "pasted_body": body,
        "may_send": True,
    }
    status = 422 if error else 200
    if request.htmx:
        return draw(request, actor, "console/deliveries/_check.html", context, status=status)
    whole = _event(actor, event_id) | context | {"live_last": newest_event()}
    return draw(request, actor, "console/deliveries/event.html", whole, status=status)


def _event(actor: Actor, event_id: UUID) -> dict[str, Any]:
    deliveries = _deliveries(actor, event_id)
    first = deliveries[0]
    return {
        "event_id": event_id,
        "first": first,
        "type_words": type_in_words(first.event_type, first.subscription.dialect),
        "payload": payload_of(actor, first),
        "endpoints": [_endpoint(actor, delivery, first) for delivery in deliveries],
        "may_send": actor.may(Role.ADMIN),
    }


def _endpoint(actor: Actor, delivery: Delivery, first: Delivery) -> dict[str, Any]:
    attempts, outcome = list(delivery.attempts.all()), outcome_of(actor, delivery)
    since: dict[str, str | list[str]] = {"endpoint": str(delivery.subscription_id), "from": _text(delivery.created_at)}
    return {
        "delivery": delivery,
        "subscription": delivery.subscription,
        "key": f"{delivery.subscription_id}-{delivery.part}" if delivery.part else str(delivery.subscription_id),
        "host": host_of(delivery.subscription.url),
        "outcome": outcome,
        "tries": [try_of(actor, attempt) for attempt in attempts[-MOST_TRIES:]],
        "earlier": max(0, len(attempts) - MOST_TRIES),
        "payload": payload_of(actor, delivery) if delivery.body != first.body else None,
        "next_words": in_words_from_now(outcome.next_at) if outcome.next_at else "",
        "why_not": why_not_again(delivery),
        "failed_query": _query(since | {"outcome": _OUTCOMES_OF["failed"]}),
        "failed_since": DELIVERIES.url + _query(since | {"outcome": _OUTCOMES_OF["failed"]}),
        "all_since": DELIVERIES.url + _query(since),
    }


def _query(keys: Mapping[str, str | list[str]]) -> str:
    return f"?{urlencode(keys, doseq=True)}"


def _deliveries(actor: Actor, event_id: UUID) -> list[Delivery]:
    """The event's deliveries with all their requests, the first endpoint's first; raises `NotFound`."""
    attempts = Attempt.objects.visible_to(actor).order_by("at", "id")
    rows = (
        Delivery.objects.visible_to(actor)
        .filter(event_id=event_id)
        .select_related("subscription__identity", "identity")
        .prefetch_related(Prefetch("attempts", queryset=attempts))
    )
    if found := list(rows.order_by("created_at", "part", "id")[:MOST_ENDPOINTS]):
        return found
    raise NotFound()


def _delivery(actor: Actor, event_id: UUID, subscription_id: UUID, part: str) -> Delivery:
    """One part of what an event became for an endpoint; in most dialects there is one alone."""
    rows = Delivery.objects.visible_to(actor).filter(event_id=event_id, subscription_id=subscription_id)
    number = int(part) if part.isascii() and part.isdigit() and len(part) < 4 else 0
    if delivery := rows.filter(part=number).select_related("subscription__identity", "identity").first():
        return delivery
    raise NotFound()


def _refuse(request: PageRequest, refused: DomainError, event_id: UUID) -> HttpResponse:
    if request.htmx:
        return toast(request, refused)
    messages.error(request, refused.message)
    return _back_to(event_id)


def _back_to(event_id: UUID) -> HttpResponse:
    return HttpResponseRedirect(reverse("console:delivery", args=[event_id]))


@counter("webhooks", "failing", urgent=True)
def failing_endpoints(actor: Actor) -> int:
    """Endpoints to which nothing gets through, or that were disabled for it."""
    return bounded(Subscription.objects.visible_to(actor).failing())
