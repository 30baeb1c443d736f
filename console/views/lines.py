"""Lines: the pool by risk, one line with its band, its incidents; for operators alone."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from django.db.models import Count, Q
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from console import bands
from console.entry import PageRequest, draw_live, page
from console.lists import Choice, Column, FilterSpec, Flag, Listing, Sort, View
from console.pool import KINDS, LOOKS, lines_of, needs_somebody, sought
from core import phones
from core.actor import Actor, Role
from core.errors import NotFound
from lines.health import showing
from lines.health.causes import cause_of
from lines.health.showing import SPANS, LineRow, Number, Span
from lines.health.signals import Level
from lines.health.states import NEEDS_SOMEBODY
from lines.models import Alert, Incident, IncidentHuman, Line, Move, ProviderAccount
from lines.pacing import limits_of
from lines.providers import driver_of
from lines.routers import shown_router

_SPAN_WORDS: Mapping[Span, str] = {"24h": "24 hours", "7d": "7 days", "90d": "90 days"}
_LEVEL_TONES = {Level.STOP: "is-bad", Level.DEGRADED: "is-warning", Level.WATCH: "is-held", Level.GOOD: "is-good"}
_LEVEL_WORDS = {
    Level.STOP: "stop",
    Level.DEGRADED: "degraded",
    Level.WATCH: "watch",
    Level.GOOD: "good",
    Level.UNKNOWN: "unknown",
}
_MOST_INCIDENTS, _MOST_NOTES, _MOST_READINGS, _MOST_TOUCHED = 20, 20, 10, 200
_HOWS = {
    IncidentHuman.How.HELD: "A text to them waited",
    IncidentHuman.How.FAILED: "A text to them failed",
    IncidentHuman.How.UNKNOWN: "Nobody knows whether a text reached them",
    IncidentHuman.How.UNCONFIRMED: "A text was taken, its arrival never told",
    IncidentHuman.How.LATE: "What they wrote was found late",
}


def _accounts(actor: Actor) -> list[tuple[str, str]]:
    if not actor.may(Role.OPERATOR):
        return []
    return [(name, name) for name in ProviderAccount.objects.order_by("name").values_list("name", flat=True)[:100]]


LINES = FilterSpec(
    name="lines",
    title="Lines",
    route="console:lines",
    nouns=("line", "lines"),
    rows=lambda actor: lines_of(actor).select_related("account", "health"),
    fields=(
        Choice(
            key="state", label="State", column="word", among=tuple((word, look.label) for word, look in LOOKS.items())
        ),
        Choice(key="kind", label="Kind", column="kind", among=tuple(KINDS.items())),
        Choice(key="account", label="Account", column="account__name", among=_accounts, is_open=True),
        Flag(key="risk", label="Needs somebody", holds=needs_somebody, yes="Yes", no="No"),
        Flag(key="incident", label="Incident open", holds=lambda: Q(pk__in=Incident.objects.open().values("line"))),
        Flag(key="waiting", label="Texts wait", holds=Q(health__queue_depth__gt=0)),
    ),
    search=sought,
    search_label="Number, account or machine",
    sorts=(
        Sort("risk", "Risk", "rank", kind="number"),
        Sort("since", "State since", "seen_since"),
        Sort("proof", "Proof of life", "proof_of_life_at", is_nullable=True),
        Sort("number", "Number", "address", descending=False, kind="text"),
    ),
    views=(
        View("risk", "At risk", "risk=yes"),
        View("routers", "Routers", "kind=router"),
        View("held", "Texts wait", "waiting=yes"),
        View("retired", "Retired", "state=retired"),
    ),
    columns=(
        Column("number", "Number", "address"),
        Column("kind", "Kind", "kind"),
        Column("account", "Account", "account__name"),
        Column("state", "State", "word"),
        Column("reasons", "Reasons", lambda line: ", ".join(line.seen_reasons)),
        Column("since", "Since", "seen_since"),
        Column("proof", "Proof of life", "proof_of_life_at"),
        Column("wanted", "Wanted", "wanted"),
        Column("seen", "Seen", "seen"),
        Column("allowance", "Allowance", "allowance"),
    ),
    row_words=lambda line, actor: phones.pretty(line.address),
    row_url=lambda line: url_of(line.pk),
    page_size=100,
)


def url_of(pk: UUID) -> str:
    """The page of a line."""
    return reverse("console:line", args=[pk])


def incident_url(incident: Incident) -> str:
    """The page of an incident."""
    return reverse("console:incident", args=[incident.line_id, incident.pk])


# --- The pool


@page
@require_safe
def show_lines(request: PageRequest, actor: Actor) -> HttpResponse:
    """All lines, the one at most risk first; for a live region the rows alone."""
    if not actor.may(Role.OPERATOR):
        raise NotFound()
    whole, part = "console/lines/lines.html", "console/lines/_list.html"
    return draw_live(request, actor, whole, part, lambda: _list(actor, LINES.read(request, actor)))


def _list(actor: Actor, listing: Listing) -> dict[str, Any]:
    rows = _rows(actor, listing)
    everything = lines_of(actor).exclude(wanted=Line.Wanted.RETIRED)
    words = list(everything.values_list("word", flat=True))
    return {
        "listing": listing,
        "rows": rows,
        "worst": _worst(rows) if listing.page.is_first else None,
        "states": [
            {"look": look, "count": words.count(word), "url": f"{LINES.url}?{urlencode({'state': word})}"}
            for word, look in LOOKS.items()
            if word in words
        ],
        "needing": sum(word in NEEDS_SOMEBODY for word in words),
        "total": len(words),
        "alerts": [_alert(alert) for alert in showing.open_alerts(actor) if alert.line_id is None],
    }


def _rows(actor: Actor, listing: Listing) -> list[dict[str, Any]]:
    """The page's lines as they are shown; by risk in full where the list is in that order."""
    order = [line.pk for line in listing.page.rows]
    found = showing.pool(actor, lines=Line.objects.visible_to(actor).filter(pk__in=order))
    if listing.order != listing.default_order:
        found.sort(key=lambda row: order.index(row.line.pk))
    return [row_of(row) for row in found]


def _worst(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The line that needs somebody most, if any does."""
    needing = [row for row in rows if row["row"].word in NEEDS_SOMEBODY]
    return max(needing, key=lambda row: row["row"].risk, default=None)


def row_of(row: LineRow) -> dict[str, Any]:
    """A line as lists and its page show it."""
    numbers, limits = row.numbers, limits_of(row.line)
    return {
        "row": row,
        "line": row.line,
        "look": LOOKS[row.word],
        "kind": KINDS[row.line.kind],
        "why": row.reasons or ([] if row.word not in NEEDS_SOMEBODY else row.watching[:1]),
        "needs": row.word in NEEDS_SOMEBODY,
        "trend_sign": {"worse": "down", "better": "up"}.get(row.trend.word, ""),
        "load": _figure(numbers.get("load")),
        "is_unlimited": limits.new_per_hour is None and limits.new_per_day is None,
        "contacts": _figure(numbers.get("new_contacts")),
        "success": _figure(numbers.get("send_success")),
        "downgrades": _figure(numbers.get("downgrades")),
        "failed": sum(row.sparks.failed),
        "downgraded": sum(row.sparks.downgraded),
        "sent": sum(row.sparks.outbound),
        "is_muted": row.muted_until is not None,
    }


def _figure(number: Number | None) -> dict[str, Any] | None:
    """A number with its tone and its age."""
    if number is None:
        return None
    return {
        "number": number,
        "tone": _LEVEL_TONES.get(number.level, ""),
        "word": _LEVEL_WORDS[number.level],
        "percent": min(100, round(100 * (number.value or 0))),
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {"alert": alert, "cause": cause_of(alert.cause).words}


# --- One line


@page
@require_safe
def show_line(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """One line: how it is and why, what to do with it, its time; for a live region that alone."""
    line = line_of(actor, pk)
    whole, part = "console/lines/line.html", "console/lines/_line.html"
    return draw_live(request, actor, whole, part, lambda: _about(actor, line) | _time(request, line))


def line_of(actor: Actor, pk: UUID) -> Line:
    """The line with its `word`, if this actor may see lines at all; raises `NotFound`."""
    line: Line | None = lines_of(actor).select_related("account", "health").filter(pk=pk).first()
    if line is None:
        raise NotFound()
    return line


def _about(actor: Actor, line: Line) -> dict[str, Any]:
    row = showing.one(actor, line)
    numbers = [_figure(number) for number in row.numbers.values()]
    incidents = list(showing.incidents(line)[: _MOST_INCIDENTS + 1])
    return {
        **row_of(row),
        "figures": sorted(filter(None, numbers), key=_badness, reverse=True),
        "incidents": [incident_of(incident) for incident in incidents[:_MOST_INCIDENTS]],
        "more_incidents": len(incidents) > _MOST_INCIDENTS,
        "open_incident": incident_of(row.incident) if row.incident else None,
        "errors": showing.errors(line, span="7d"),
        "notes": list(showing.notes(line)[:_MOST_NOTES]),
        "readings": showing.readings(line, limit=_MOST_READINGS),
        "neighbours": showing.neighbours(line),
        "account": line.account,
        "can": _can(line, row),
        "move": _move(line),
        "caps": list(line.caps.filter(ended_at=None).order_by("at")),
        "tests": list(line.dispatches.filter(kind="test").order_by("-claimed_at")[:3]),
    }


def _can(line: Line, row: LineRow) -> dict[str, bool]:
    """Which deeds make sense as it is; each has guards of its own besides."""
    retired, carries = line.wanted == Line.Wanted.RETIRED, row.connections > 0
    pool = line.kind == Line.Kind.POOL and line.service == Line.Service.IMESSAGE
    return {
        "probe": not retired,
        "resume": line.wanted in {Line.Wanted.PAUSED, Line.Wanted.DRAINING, Line.Wanted.PROVISIONING},
        "pause": line.wanted in {Line.Wanted.IN_SERVICE, Line.Wanted.DRAINING},
        "drain": line.wanted in {Line.Wanted.IN_SERVICE, Line.Wanted.PAUSED},
        "move": pool and carries and not line.moves.open().exists(),
        "quarantine": not retired and line.seen != Line.Seen.FLAGGED,
        "clear": not retired and line.seen == Line.Seen.FLAGGED,
        "retire": not retired and not carries,
        "repair": not retired and bool(driver_of(line.account).card.repairs),
        "test": not retired and not line.holds_queue,
        "router": line.kind == Line.Kind.ROUTER and shown_router() not in {None, line},
    }


def _move(line: Line) -> dict[str, Any] | None:
    """The newest move off the line, how far it is and where it led."""
    newest = line.moves.order_by("-created_at").first()
    if newest is None:
        return None
    led = newest.items.filter(state="moved").values_list("to_line__address").annotate(humans=Count("id"))
    return {
        "move": newest,
        "done": newest.total - newest.left,
        "is_open": newest.state in Move.OPEN,
        "is_stopped": newest.state == Move.State.STOPPED,
        "led": list(led.order_by("-humans")[:8]),
    }


def _badness(figure: Mapping[str, Any]) -> int:
    order = [Level.GOOD, Level.UNKNOWN, Level.WATCH, Level.DEGRADED, Level.STOP]
    return order.index(figure["number"].level)


def incident_of(incident: Incident) -> dict[str, Any]:
    """An incident in words."""
    ends = incident.closed_at or timezone.now()
    return {
        "incident": incident,
        "cause": cause_of(incident.cause, seen=incident.worst).words if incident.cause != "by_hand" else "By hand.",
        "causes": [cause_of(code, seen=incident.worst).words for code in incident.causes if code != incident.cause],
        "worst": {"flagged": "Flagged", "down": "Down", "degraded": "Degraded"}.get(incident.worst, incident.worst),
        "tone": "is-bad" if incident.worst in {"flagged", "down"} else "is-warning",
        "lasted": ends - incident.opened_at,
        "is_open": incident.closed_at is None,
    }


# --- Its time


def _time(request: PageRequest, line: Line) -> dict[str, Any]:
    """The band of a span with what lies beneath it; `at` in the address names the event that is looked at."""
    span = cast(Span, request.GET.get("span")) if request.GET.get("span") in SPANS else "24h"
    now = timezone.now()
    scale = bands.Scale(now - SPANS[span], now)
    stretches = showing.band(line, span=span, now=now)
    happenings = bands.happenings_of(
        scale,
        events=showing.history(line, span=span, now=now),
        notes=showing.notes(line)[:100],
        moves=line.moves.filter(created_at__gte=scale.begins),
    )
    sparks = showing.sparks([line.pk], span=span, now=now)[line.pk]
    grain = SPANS[span] / len(sparks.outbound)
    grid_begins = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1) - SPANS[span]
    shades = bands.shades_of(
        showing.incidents(line).filter(opened_at__lte=now).exclude(closed_at__lt=scale.begins), scale
    )
    looked_at = request.GET.get("at", "")
    chosen = next((each for each in happenings if each.key == looked_at), None)
    return {
        "line": line,
        "span": span,
        "span_words": _SPAN_WORDS[span],
        "span_tabs": [
            {"url": _time_url(line, each), "words": words, "current": each == span}
            for each, words in _SPAN_WORDS.items()
        ],
        "parts": bands.parts_of(stretches, scale),
        "shares": bands.shares_of(stretches),
        "shades": shades,
        "columns": bands.columns_of(sparks, grid_begins, grain, scale),
        "happenings": _around(happenings, chosen),
        "unlisted": max(0, len(happenings) - bands.MOST_LISTED),
        "marks": happenings,
        "chosen": chosen,
        "live_url": f"{url_of(line.pk)}?{_time_query(span, looked_at if chosen else '')}",
        "older": _step(line, span, happenings, chosen, 1),
        "newer": _step(line, span, happenings, chosen, -1),
        "next_incident": _next_incident(line, shades, chosen, now),
        "begins": scale.begins,
        "ends": now,
    }


def _around(happenings: Sequence[bands.Happening], chosen: bands.Happening | None) -> Sequence[bands.Happening]:
    """Those that are listed: the newest, or as many around the one that is looked at."""
    at = happenings.index(chosen) if chosen else 0
    first = max(0, min(at - bands.MOST_LISTED // 2, len(happenings) - bands.MOST_LISTED))
    return happenings[first : first + bands.MOST_LISTED]


def _step(
    line: Line, span: Span, happenings: Sequence[bands.Happening], chosen: bands.Happening | None, by: int
) -> str:
    """The address with the event before or after the one that is looked at; without one, the newest or the oldest."""
    if not happenings:
        return ""
    at = happenings.index(chosen) + by if chosen else (0 if by > 0 else len(happenings) - 1)
    if not 0 <= at < len(happenings):
        return ""
    return f"{url_of(line.pk)}?{_time_query(span, happenings[at].key)}"


def _next_incident(line: Line, shades: Sequence[bands.Shade], chosen: bands.Happening | None, now: Any) -> str:
    """The newest incident of the span; from an event on, the newest that began before it."""
    before = chosen.at if chosen else now
    older = [shade.incident for shade in shades if shade.incident.opened_at < before]
    newest = max(older or [shade.incident for shade in shades], key=lambda each: each.opened_at, default=None)
    return incident_url(newest) if newest else ""


def _time_query(span: Span, key: str) -> str:
    return urlencode({"span": span, **({"at": key} if key else {})})


def _time_url(line: Line, span: Span) -> str:
    return f"{url_of(line.pk)}?{_time_query(span, '')}"


# --- An incident


@page
@require_safe
def show_incident(request: PageRequest, actor: Actor, pk: UUID, incident_pk: UUID) -> HttpResponse:
    """One incident: its cause, whom it touched and how, what was noted; for a live region that part alone."""
    line = line_of(actor, pk)
    incident = incident_by(line, incident_pk)
    whole, part = "console/lines/incident.html", "console/lines/_incident.html"
    return draw_live(request, actor, whole, part, lambda: _about_incident(line, incident))


def incident_by(line: Line, pk: UUID) -> Incident:
    """The line's incident with this key; raises `NotFound`."""
    incident = showing.incidents(line).filter(pk=pk).first()
    if incident is None:
        raise NotFound()
    return incident


def _about_incident(line: Line, incident: Incident) -> dict[str, Any]:
    touched = list(showing.touched(incident)[:_MOST_TOUCHED])
    during = line.events.filter(at__gte=incident.opened_at - timedelta(minutes=1))
    if incident.closed_at:
        during = during.filter(at__lte=incident.closed_at)
    now = timezone.now()
    scale = bands.Scale(incident.opened_at - timedelta(minutes=1), incident.closed_at or now)
    moves = line.moves.filter(created_at__gte=incident.opened_at, created_at__lte=incident.closed_at or now)
    course = bands.happenings_of(scale, events=during.order_by("-at")[:50], moves=moves)
    older = showing.incidents(line).filter(opened_at__lt=incident.opened_at).first()
    newest = showing.incidents(line).first()
    return {
        **incident_of(incident),
        "line": line,
        "touched": [{"human": each, "how": _HOWS[IncidentHuman.How(each.how)]} for each in touched],
        "untold": max(0, incident.touched - len({each.human for each in touched})),
        "steps": [_step_of(each) for each in reversed(course)],
        "notes": list(incident.notes.all()),
        "older": older or (newest if newest and newest.pk != incident.pk else None),
        "may_close": incident.closed_at is None and incident.cause == "by_hand",
    }


def _step_of(happening: bands.Happening) -> dict[str, Any]:
    detail = " ".join(filter(None, [happening.detail, f"By {happening.by}." if happening.by else ""]))
    return {"at": happening.at, "words": happening.words, "detail": detail, "tone": happening.tone}
