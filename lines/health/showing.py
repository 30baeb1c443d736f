"""What people are shown of lines: the pool by risk, each number with its age, bands of states, sparks, incidents.

Nothing here changes anything. Every list costs the same few questions however many lines there are. What is too old
or rests on too little is shown as unknown, and a line that nobody has looked at for a while is unknown as a whole.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from django.db.models import Count, F, Max, Prefetch, Q, QuerySet, Sum
from django.utils import timezone

from core.actor import Actor
from lines.health.causes import DEGRADED, HEALTHY, UNKNOWN, cause_of
from lines.health.measuring import key_floor
from lines.health.signals import LEAST_SAMPLES, STALE_AFTER, Level, Signal
from lines.health.states import BY_RISK, NEEDS_SOMEBODY, Shown, permits, shown
from lines.models import (
    Alert,
    Dispatch,
    Incident,
    IncidentHuman,
    Line,
    LineEvent,
    LineHour,
    LineNote,
    LineReading,
    Route,
)

Span = Literal["24h", "7d", "90d"]
SPANS: dict[Span, timedelta] = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "90d": timedelta(days=90)}

# How much of a spark line one point stands for.
_GRAIN: dict[Span, timedelta] = {"24h": timedelta(hours=1), "7d": timedelta(hours=6), "90d": timedelta(days=1)}

# Shares must differ by so much before a line is called better or worse than in the week before.
_TREND_STEP = 0.02


@dataclass(frozen=True, slots=True)
class Number:
    """One number as it is shown: `text` with its unit, what it says, and how old it is."""

    name: str
    label: str
    text: str
    level: Level
    value: float | None
    sample: int
    detail: str
    measured_at: datetime

    @property
    def is_known(self) -> bool:
        return self.level is not Level.UNKNOWN


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a line is as it is shown: a sentence, the number behind it if there is one, and when that was seen."""

    code: str
    words: str
    number: Number | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Trend:
    """Whether a line does better or worse today than in the week before, and by what."""

    word: Literal["better", "same", "worse", "unknown"]
    words: str


@dataclass(slots=True)
class Sparks:
    """A line's counts over a span, oldest first, one for each step of `_GRAIN`."""

    outbound: list[int]
    failed: list[int]
    downgraded: list[int]
    inbound: list[int]
    late: list[int]


@dataclass(slots=True)
class LineRow:
    """A line as the pool shows it. `risk` sorts: the line that needs somebody most has the most."""

    line: Line
    word: Shown
    reasons: list[Reason]
    watching: list[Reason]
    numbers: dict[str, Number]
    since: datetime
    proof_at: datetime | None
    risk: int
    trend: Trend
    sparks: Sparks
    connections: int
    queue_depth: int
    queue_oldest_at: datetime | None
    muted_until: datetime | None
    incident: Incident | None
    alerts: list[Alert] = field(default_factory=list)

    @property
    def permits(self) -> str:
        """What it may do as it is, in a sentence."""
        return permits(self.word).words


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which the shown word was the same; `reason` is what began it."""

    word: Shown
    begins: datetime
    ends: datetime
    reason: str

    def share_of(self, span: timedelta) -> float:
        """How much of the whole band it takes, from 0 to 1."""
        return (self.ends - self.begins) / span


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """How often a provider gave one error, to how many humans, and when last."""

    code: str
    error_class: str
    times: int
    humans: int
    last_at: datetime


def pool(actor: Actor, *, lines: QuerySet[Line] | None = None, now: datetime | None = None) -> list[LineRow]:
    """Every line that the actor may see and that is not retired, the one at most risk first.

    Pass `lines` to have others, for example one: `Line.objects.visible_to(actor).filter(...)`.
    """
    now = now or timezone.now()
    if lines is None:
        lines = Line.objects.visible_to(actor).exclude(wanted=Line.Wanted.RETIRED)
    found = list(lines.select_related("account", "health"))
    keys = [line.id for line in found]
    trends, drawn = _trends(keys, now), sparks(keys, span="24h", now=now)
    carried = dict(Route.objects.live().filter(line__in=keys).values_list("line").annotate(Count("id")))
    probed = dict(LineReading.objects.filter(line__in=keys).values_list("line").annotate(Max("at")))
    opened = {incident.line_id: incident for incident in Incident.objects.open().filter(line__in=keys)}
    alerts = defaultdict(list)
    for alert in Alert.objects.open().filter(line__in=keys).order_by("opened_at"):
        alerts[alert.line_id].append(alert)
    rows = [
        _row(
            line,
            now,
            probed_at=probed.get(line.id),
            trend=trends[line.id],
            sparks=drawn[line.id],
            connections=carried.get(line.id, 0),
            incident=opened.get(line.id),
            alerts=alerts[line.id],
        )
        for line in found
    ]
    return sorted(rows, key=lambda row: (-row.risk, row.line.address))


def one(actor: Actor, line: Line, *, now: datetime | None = None) -> LineRow:
    """The same for one line; retired ones too. Raises `Line.DoesNotExist` when the actor may not see it."""
    rows = pool(actor, lines=Line.objects.visible_to(actor).filter(pk=line.pk), now=now)
    if not rows:
        raise Line.DoesNotExist()
    return rows[0]


def counts(rows: Iterable[LineRow]) -> dict[Shown, int]:
    """How many lines there are of each word, worst first; for a heading and for Now."""
    words = [row.word for row in rows]
    return {word: words.count(word) for word in BY_RISK if word in words}


def at_risk(rows: Iterable[LineRow]) -> int:
    """How many lines need somebody: for the counter in the side bar."""
    return sum(row.word in NEEDS_SOMEBODY or bool(row.alerts) for row in rows)


def band(line: Line, *, span: Span, now: datetime | None = None) -> list[Stretch]:
    """The words shown over a span, oldest first, from the line's own events; they cover the span without a gap."""
    now = now or timezone.now()
    begins = max(now - SPANS[span], line.created_at)
    within = list(LineEvent.objects.filter(line=line, at__gt=begins, at__lte=now).order_by("at", "id"))
    columns = _columns_at(line, begins, within)
    stretches: list[Stretch] = []
    start, reason = begins, ""
    for event in within:
        before = shown(**columns)
        columns[event.column] = event.after
        if shown(**columns) is not before:
            _lay(stretches, before, start, event.at, reason)
            start, reason = event.at, event.reason
    word = shown(**columns)
    seen_at = _looked_at(line)
    if seen_at and now - seen_at > STALE_AFTER and permits(word).inbound:
        # Nobody has looked since: what it was then is not what it is.
        quiet_from = max(start, seen_at + STALE_AFTER)
        _lay(stretches, word, start, quiet_from, reason)
        word, start, reason = Shown.UNKNOWN, quiet_from, "nobody looked"
    _lay(stretches, word, start, now, reason)
    return stretches


def history(line: Line, *, span: Span, now: datetime | None = None) -> list[LineEvent]:
    """What lies beneath the band: the changes of its columns, newest first."""
    now = now or timezone.now()
    return list(LineEvent.objects.filter(line=line, at__gt=now - SPANS[span], at__lte=now).order_by("-at", "-id"))


def errors(line: Line, *, span: Span, now: datetime | None = None) -> list[ErrorCount]:
    """Errors by code, the most frequent first. Reads all calls of the span."""
    since = (now or timezone.now()) - SPANS[span]
    failed = Dispatch.objects.filter(line=line, pk__gte=key_floor(since), claimed_at__gt=since).exclude(error_class="")
    grouped = failed.values_list("error_code", "error_class").annotate(
        times=Count("id"), humans=Count("human", distinct=True), last_at=Max("claimed_at")
    )
    return [ErrorCount(*row) for row in grouped.order_by("-times", "error_code")[:50]]


def sparks(lines: Collection[UUID], *, span: Span = "24h", now: datetime | None = None) -> dict[UUID, Sparks]:
    """Counts of each line over a span, in equal steps; a step without traffic is 0."""
    now = now or timezone.now()
    grain, steps = _GRAIN[span], int(SPANS[span] / _GRAIN[span])
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    begins = this_hour + timedelta(hours=1) - SPANS[span]
    drawn = {line: Sparks(*([0] * steps for _ in range(5))) for line in lines}
    hours = LineHour.objects.filter(line__in=list(lines), hour__gte=begins, hour__lte=now)
    names = ("outbound", "failed", "downgraded", "inbound", "late")
    for line, hour, *values in hours.values_list("line_id", "hour", *names):
        step = int((hour - begins) / grain)
        for name, value in zip(names, values, strict=True):
            getattr(drawn[line], name)[step] += value
    return drawn


def incidents(line: Line) -> QuerySet[Incident]:
    """The line's incidents, newest first, with their notes; page by `opened_at`."""
    notes = Prefetch("notes", LineNote.objects.order_by("at"))
    return Incident.objects.filter(line=line).prefetch_related(notes).order_by("-opened_at", "-id")


def touched(incident: Incident) -> QuerySet[IncidentHuman]:
    """The humans whom an incident touched, and how; those waiting longest first."""
    return IncidentHuman.objects.filter(incident=incident).order_by("first_at", "human", "how")


def notes(line: Line) -> QuerySet[LineNote]:
    """The line's notes, newest first."""
    return LineNote.objects.filter(line=line).select_related("incident").order_by("-at", "-id")


def readings(line: Line, *, limit: int = 20) -> list[LineReading]:
    """Its last probes, newest first, each with the provider's raw answer."""
    return list(LineReading.objects.filter(line=line).order_by("-at")[:limit])


def open_alerts(actor: Actor) -> list[Alert]:
    """Alerts that are open, oldest first; those of the pool as a whole have no line. For operators."""
    rows = Alert.objects.open().select_related("line", "account").order_by("opened_at")
    return list(rows.filter(Q(line=None) | Q(line__in=Line.objects.visible_to(actor))))


def neighbours(line: Line) -> dict[str, list[str]]:
    """Which other lines would fail with it: by shared account, and by shared `domain` (Mac, Apple account, carrier)."""
    others = Line.objects.exclude(pk=line.pk).exclude(wanted=Line.Wanted.RETIRED).order_by("address")
    shared = {"account": list(others.filter(account_id=line.account_id).values_list("address", flat=True))}
    if line.domain:
        shared["domain"] = list(others.filter(domain=line.domain).values_list("address", flat=True))
    return shared


# --- A row

_LEVEL_RISK = {Level.STOP: 30, Level.DEGRADED: 20, Level.WATCH: 10}


def _row(
    line: Line,
    now: datetime,
    *,
    probed_at: datetime | None,
    trend: Trend,
    sparks: Sparks,
    connections: int,
    incident: Incident | None,
    alerts: list[Alert],
) -> LineRow:
    health = getattr(line, "health", None)
    signals = [Signal.of(name, stored).at(now) for name, stored in (health.signals if health else {}).items()]
    numbers = {signal.name: _number(signal) for signal in signals}
    seen, reasons = _seen_now(line, probed_at, now), list(line.seen_reasons)
    if seen == UNKNOWN and not reasons:
        reasons = ["unproved"]
    word = shown(wanted=line.wanted, seen=seen, allowance=line.allowance)
    explained = [_reason(code, numbers, line, probed_at) for code in reasons]
    watching = [
        Reason(number.name, f"{number.label}: {number.text}", number, number.measured_at)
        for number in numbers.values()
        if number.level in _LEVEL_RISK and number.name not in reasons
    ]
    row = LineRow(
        line=line,
        word=word,
        reasons=explained,
        watching=watching,
        numbers=numbers,
        since=line.seen_since,
        proof_at=line.proof_of_life_at,
        risk=0,
        trend=trend,
        sparks=sparks,
        connections=connections,
        queue_depth=health.queue_depth if health else 0,
        queue_oldest_at=health.queue_oldest_at if health and health.queue_depth else None,
        muted_until=health.muted_until if health and health.muted_until and health.muted_until > now else None,
        incident=incident,
        alerts=alerts,
    )
    row.risk = _risk(row)
    return row


def _seen_now(line: Line, probed_at: datetime | None, now: datetime) -> str:
    """What is seen, or unknown when nobody has looked for a while: then it is what it was, not what it is."""
    looked = max(filter(None, [probed_at, line.proof_of_life_at]), default=None)
    stale = looked is None or now - looked > STALE_AFTER
    return UNKNOWN if stale and line.seen in {HEALTHY, DEGRADED} else line.seen


def _risk(row: LineRow) -> int:
    """By word first; then the router before others, open alerts, what the numbers say, and the texts that wait."""
    place = len(BY_RISK) - BY_RISK.index(row.word)
    is_router = row.line.kind == Line.Kind.ROUTER and row.word in NEEDS_SOMEBODY
    numbers = sum(_LEVEL_RISK.get(number.level, 0) for number in row.numbers.values())
    return place * 1000 + is_router * 500 + min(len(row.alerts), 4) * 50 + min(numbers, 200) + min(row.queue_depth, 90)


def _reason(code: str, numbers: dict[str, Number], line: Line, probed_at: datetime | None) -> Reason:
    cause = cause_of(code, seen=line.seen)
    number = numbers.get(cause.code)
    return Reason(cause.code, cause.words, number, number.measured_at if number else probed_at)


def _number(signal: Signal) -> Number:
    rule = signal.rule
    return Number(
        name=signal.name,
        label=rule.label,
        text=_text(signal),
        level=signal.level,
        value=signal.value,
        sample=signal.sample,
        detail=signal.detail,
        measured_at=signal.measured_at,
    )


def _text(signal: Signal) -> str:
    """The value with its unit; of a rate over too few its counts, and what is not known is said so."""
    rule, value = signal.rule, signal.value
    if value is None or (signal.level is Level.UNKNOWN and rule.unit != "share"):
        return "unknown"
    if rule.unit == "share" and rule.least > 1 and signal.sample < rule.least:
        return signal.detail or "unknown"
    if signal.level is Level.UNKNOWN:
        return "unknown"
    match rule.unit:
        case "share":
            return f"{value:.1%}".replace("%", " %")
        case "seconds":
            return duration(value)
        case "ratio" | "times":
            return f"{value:.1f}" + ("×" if rule.unit == "times" else "")
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """A length of time in the unit that fits it."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


# --- Trends


def _trends(lines: Sequence[UUID], now: datetime) -> defaultdict[UUID, Trend]:
    """Today against the six days before, by success, downgrades and replies."""
    day = now - timedelta(days=1)
    hours = LineHour.objects.filter(line__in=lines, hour__gt=now - timedelta(days=7), hour__lte=now)
    names = ("accepted", "failed", "downgraded")
    today = [Sum(name, filter=Q(hour__gt=day), default=0) for name in names]
    before = [Sum(name, filter=Q(hour__lte=day), default=0) for name in names]
    sums = {f"sum_{index}": each for index, each in enumerate([*today, *before])}
    trends: defaultdict[UUID, Trend] = defaultdict(lambda: Trend("unknown", "Too little traffic to compare."))
    for line, *row in hours.values_list("line").annotate(**sums):
        trends[line] = _trend(*row)
    for line, *answers in _replies(lines, now):
        _add_replies(trends, line, *answers)
    return trends


def _replies(lines: Sequence[UUID], now: datetime) -> QuerySet[Dispatch, tuple[UUID, int, int, int, int]]:
    day = now - timedelta(days=1)
    opened = Dispatch.objects.filter(line__in=lines, first_contact=True, claimed_at__gt=now - timedelta(days=7))
    return opened.values_list("line_id").annotate(
        answered=Count("human", filter=Q(claimed_at__gt=day, answered_at__isnull=False), distinct=True),
        written=Count("human", filter=Q(claimed_at__gt=day), distinct=True),
        answered_then=Count("human", filter=Q(claimed_at__lte=day, answered_at__isnull=False), distinct=True),
        written_then=Count("human", filter=Q(claimed_at__lte=day), distinct=True),
    )


def _trend(
    accepted: int, failed: int, downgraded: int, accepted_then: int, failed_then: int, downgraded_then: int
) -> Trend:
    more_fail = _change(failed, accepted + failed, failed_then, accepted_then + failed_then)
    more_sms = _change(downgraded, accepted, downgraded_then, accepted_then)
    changes = [("fail", more_fail), ("become SMS", more_sms)]
    known = [(what, change) for what, change in changes if change is not None]
    if not known:
        return Trend("unknown", "Too little traffic to compare.")
    what, change = max(known, key=lambda pair: abs(pair[1]))
    if abs(change) < _TREND_STEP:
        return Trend("same", "As in the week before.")
    more = "more" if change > 0 else "fewer"
    return Trend("worse" if change > 0 else "better", f"{abs(change):.0%} {more} texts {what} than in the week before.")


def _add_replies(
    trends: defaultdict[UUID, Trend], line: UUID, answered: int, written: int, answered_then: int, written_then: int
) -> None:
    change = _change(answered, written, answered_then, written_then)
    if change is None or abs(change) < _TREND_STEP or trends[line].word in {"worse", "better"}:
        return
    more = "more" if change > 0 else "fewer"
    words = f"{abs(change):.0%} {more} humans answer than in the week before."
    trends[line] = Trend("better" if change > 0 else "worse", words)


def _change(part: int, whole: int, part_then: int, whole_then: int) -> float | None:
    if whole < LEAST_SAMPLES or whole_then < LEAST_SAMPLES:
        return None
    return part / whole - part_then / whole_then


# --- Bands


def _columns_at(line: Line, moment: datetime, after: Sequence[LineEvent]) -> dict[str, str]:
    """The three columns as they were then: by the last change before, else by the first one after, else as now."""
    columns = {"wanted": line.wanted, "seen": line.seen, "allowance": line.allowance}
    for event in reversed(after):
        columns[event.column] = event.before
    before = LineEvent.objects.filter(line=line, at__lte=moment).order_by("column", F("at").desc(), F("id").desc())
    for event in before.distinct("column"):
        columns[event.column] = event.after
    return columns


def _looked_at(line: Line) -> datetime | None:
    newest = LineReading.objects.filter(line=line).aggregate(Max("at"))["at__max"]
    return max(filter(None, [newest, line.proof_of_life_at]), default=None)


def _lay(stretches: list[Stretch], word: Shown, begins: datetime, ends: datetime, reason: str) -> None:
    if ends <= begins:
        return
    if stretches and stretches[-1].word is word:
        last = stretches.pop()
        begins, reason = last.begins, last.reason
    stretches.append(Stretch(word, begins, ends, reason))
