"""Measuring every line from the tables of lines alone: the calls made, the callbacks that came, the probes.

One round reads the last day once, for all lines together, and writes one row per line. The time in a dispatch's key
bounds what is read of the calls, a bisection what is read of the callbacks: no index of their own on the way of a text.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.db.models import Count, Q, Sum
from django.utils import timezone

from core.actor import Actor
from lines.health.signals import STALE_AFTER, Signal, delivery_time, inbound_silence, judged, share
from lines.models import (
    AccountHealth,
    Callback,
    Line,
    LineEvent,
    LineHealth,
    LineHour,
    LineReading,
    ProviderAccount,
    Route,
)
from lines.pacing import limits_of

# An iMessage not delivered so long after it was sent is unconfirmed.
UNCONFIRMED_AFTER = timedelta(minutes=10)

# Silence is compared with the same time of day before, and at least with so much.
_SHORTEST_SILENCE = timedelta(minutes=15)
_DAYS_BACK = (1, 2, 3, 4, 5, 6, 7, 14, 21, 28)

# An hour's row is written anew until late reports can hardly change it.
_HOURS_AFRESH = timedelta(hours=2)


@dataclass(slots=True)
class Flow:
    """What the calls and callbacks of a line come to; counts of 24 hours, where nothing else is said."""

    accepted: int = 0
    counted: int = 0  # calls since the line's faults were forgiven
    errors: int = 0  # those of them that count against the line
    errors_in_a_row: int = 0
    downgraded: int = 0
    humans: int = 0  # with traffic, either way
    reachable: int = 0  # humans to whom something went whose arrival can be expected
    unconfirmed: int = 0  # those of them whom it has not reached
    delivered_since_inbound: int = 0
    delivery_p95: float | None = None  # seconds, 15 minutes
    deliveries: int = 0
    hand_over_p95: float | None = None  # seconds, 15 minutes
    hand_overs: int = 0
    inbound: int = 0
    inbound_at: datetime | None = None
    inbound_delay_p95: float | None = None  # seconds, 15 minutes
    inbound_now: int = 0
    late_hour: int = 0  # texts of the last hour that only the poll found
    first_contacts: int = 0
    first_contacts_hour: int = 0


@dataclass(slots=True)
class Week:
    """What the hours of seven days come to."""

    outbound: int = 0
    inbound: int = 0
    opted_out: int = 0
    written_first: int = 0
    answered: int = 0
    usual_delivery: float | None = None
    heard: set[datetime] = field(default_factory=set)  # hours in which a human wrote, of four weeks


def measure(*, now: datetime | None = None) -> dict[UUID, list[Signal]]:
    """Measure all lines that are not retired, keep what was measured, and return it by line.

    Costs a handful of statements, whatever the number of lines.
    """
    now = now or timezone.now()
    _keep_hours(now)
    lines = list(Line.objects.exclude(wanted=Line.Wanted.RETIRED).select_related("account", "health"))
    flows, weeks = _flows(now), _weeks(now)
    readings, refused = _last_readings(lines), _refused_last_hour(now)
    connected = dict(Route.objects.live().values_list("line").annotate(Count("id")))
    _note_gaps(lines, now)
    measured = {}
    for line in lines:
        flow, week = flows[line.id], weeks[line.id]
        measured[line.id] = [
            *_of_flow(flow, week, now),
            *_of_inbound(flow, week, now),
            *_of_week(flow, week, connected.get(line.id, 0), now),
            *_of_line(line, flow, now),
            _of_new_contacts(line, flow, readings.get(line.id), now),
            *_of_reading(readings.get(line.id), refused.get(line.account_id), now),
        ]
    _keep(measured, now)
    return measured


def _note_gaps(lines: Iterable[Line], now: datetime) -> None:
    """While nothing measured, nobody knew: that stands in the line's record, so that its band does not claim more."""
    gaps = []
    for line in lines:
        health = getattr(line, "health", None)
        last = health.measured_at if health else None
        if last and now - last > STALE_AFTER and line.seen != Line.Seen.UNKNOWN:
            span = {"line": line, "column": "seen", "actor": _NOBODY}
            ends: list[tuple[datetime, str, str]] = [
                (last + STALE_AFTER, line.seen, "unknown"),
                (now, "unknown", line.seen),
            ]
            gaps += [
                LineEvent(**span, at=at, before=before, after=after, reason="nobody looked")
                for at, before, after in ends
            ]
    LineEvent.objects.bulk_create(gaps)


_NOBODY = Actor.system("line health").frozen()


# --- From counts to signals


def _of_flow(flow: Flow, week: Week, now: datetime) -> list[Signal]:
    return [
        share("send_success", flow.counted - flow.errors, flow.counted, at=now),
        judged("errors_in_a_row", flow.errors_in_a_row, max(1, flow.counted), at=now),
        share("unconfirmed", flow.unconfirmed, flow.reachable, at=now),
        delivery_time(flow.delivery_p95, flow.deliveries, usual=week.usual_delivery, at=now),
        judged("hand_over_time", flow.hand_over_p95, flow.hand_overs, at=now),
        share("downgrades", flow.downgraded, flow.accepted, at=now),
        judged("volume", flow.accepted + flow.inbound, 1, at=now),
    ]


def _of_inbound(flow: Flow, week: Week, now: datetime) -> list[Signal]:
    silent = now - flow.inbound_at if flow.inbound_at else _silence_at(week.heard, now)
    before = [_silence_at(week.heard, now - timedelta(days=days)) for days in _DAYS_BACK]
    usual = [gap for gap in before if gap is not None]
    return [
        judged("inbound_delay", flow.inbound_delay_p95, flow.inbound_now, at=now),
        judged("callback_gap", flow.late_hour, 1, at=now),
        inbound_silence(
            silent,
            usual_gap=max(*usual, _SHORTEST_SILENCE) if usual else None,
            delivered_since=flow.delivered_since_inbound,
            at=now,
        ),
    ]


def _silence_at(heard: set[datetime], moment: datetime) -> timedelta | None:
    """How long nobody had written then, to the hour; None when nobody ever had."""
    before = [hour for hour in heard if hour < moment]
    return max(timedelta(0), moment - max(before) - timedelta(hours=1)) if before else None


def _of_week(flow: Flow, week: Week, connected: int, now: datetime) -> list[Signal]:
    talks = week.inbound and week.outbound / week.inbound
    return [
        share("replies", week.answered, week.written_first, at=now),
        # By what came in: that is the smaller of the two where it is bad.
        judged("out_per_in", talks or None, week.inbound, at=now, detail=f"{week.outbound:,} to {week.inbound:,}"),
        share("opt_outs", week.opted_out, connected + week.opted_out, at=now),
    ]


def _of_line(line: Line, flow: Flow, now: datetime) -> list[Signal]:
    health = getattr(line, "health", None)
    waits = health.queue_oldest_at if health and health.queue_depth else None
    depth = health.queue_depth if health else 0
    proved = (now - line.proof_of_life_at).total_seconds() if line.proof_of_life_at else None
    return [
        judged("proof_of_life", proved, 1, at=now),
        judged("failed_probes", health.failed_probes if health else 0, 1, at=now),
        judged("queue_age", (now - waits).total_seconds() if waits else 0, depth, at=now, detail=f"{depth:,} wait"),
        judged("load", flow.humans / line.capacity, 1, at=now, detail=f"{flow.humans:,} of {line.capacity:,}"),
    ]


def _of_new_contacts(line: Line, flow: Flow, reading: LineReading | None, now: datetime) -> Signal:
    """What is used of the allowance for strangers: by our count, or by the provider's word that none is left."""
    limits = limits_of(line)
    pairs = [(flow.first_contacts, limits.new_per_day), (flow.first_contacts_hour, limits.new_per_hour)]
    used = max((count / most for count, most in pairs if most), default=None)
    if reading and 0 in {reading.new_contacts_day, reading.new_contacts_hour}:
        used = max(used or 0, 1.0)
    detail = f"{flow.first_contacts:,} of {limits.new_per_day:,.0f} today" if limits.new_per_day else ""
    return judged("new_contacts", used, 1, at=now, detail=detail)


def _of_reading(reading: LineReading | None, refused: int | None, now: datetime) -> list[Signal]:
    offset = reading.clock_offset if reading else None
    return [
        judged("clock", abs(offset) if offset is not None else None, 1, at=now),
        judged("refused_callbacks", refused, 1, at=now),
    ]


# --- From rows to counts

# First by human, then by line: the rows of a day are read once, and hashed down before anything is sorted.
_CALLS = """
WITH people AS MATERIALIZED (
    SELECT line_id, human,
        count(*) FILTER (WHERE good) AS accepted,
        count(*) FILTER (WHERE counted AND (good OR bad)) AS counted,
        count(*) FILTER (WHERE good AND downgraded) AS downgraded,
        count(*) FILTER (WHERE first_contact) AS first_contacts,
        count(*) FILTER (WHERE first_contact AND claimed_at > %(hour)s) AS first_contacts_hour,
        array_agg(claimed_at) FILTER (WHERE counted AND bad) AS bad_at,
        max(claimed_at) FILTER (WHERE good) AS good_at,
        max(claimed_at) FILTER (WHERE delivered_at IS NOT NULL) AS reached_at,
        max(claimed_at) FILTER (WHERE expected AND counted) AS expected_at,
        max(claimed_at) FILTER (WHERE expected AND counted AND delivered_at IS NULL) AS missing_at
    FROM (
        SELECT d.line_id, d.human, d.claimed_at, d.delivered_at, d.first_contact, d.counts_against_line AS bad,
            d.outcome = 'accepted' AND d.failed_at IS NULL AS good,
            d.was_downgraded IS TRUE AS downgraded,
            d.outcome = 'accepted' AND d.service = 'imessage' AND d.was_downgraded IS NOT TRUE
                AND d.failed_at IS NULL AND d.settled_at < %(unconfirmed)s AS expected,
            d.claimed_at > coalesce(h.counted_from, '-infinity') AS counted
        FROM lines_dispatch d LEFT JOIN lines_linehealth h ON h.line_id = d.line_id
        WHERE d.id >= %(floor)s AND d.claimed_at > %(day)s AND d.claimed_at <= %(now)s
    ) AS calls GROUP BY line_id, human
), sums AS (
    SELECT line_id, sum(accepted)::int AS accepted, sum(counted)::int AS counted, sum(downgraded)::int AS downgraded,
        sum(first_contacts)::int AS first_contacts, sum(first_contacts_hour)::int AS first_contacts_hour,
        coalesce(sum(cardinality(bad_at)), 0)::int AS errors, max(good_at) AS good_at
    FROM people GROUP BY line_id
), failures AS (
    SELECT p.line_id, count(*) AS errors_in_a_row
    FROM people p JOIN sums s ON s.line_id = p.line_id, unnest(p.bad_at) AS bad (at)
    WHERE bad.at > coalesce(s.good_at, '-infinity') GROUP BY p.line_id
), arrivals AS (
    SELECT p.line_id, count(*) AS reachable,
        count(*) FILTER (WHERE p.missing_at > coalesce(p.reached_at, '-infinity')) AS unconfirmed
    FROM people p LEFT JOIN lines_route r ON r.line_id = p.line_id AND r.human = p.human
    WHERE p.expected_at IS NOT NULL AND (p.reached_at IS NOT NULL OR r.reached_at IS NOT NULL) GROUP BY p.line_id
), talking AS (
    SELECT line_id, count(*) AS humans FROM (
        SELECT line_id, human FROM people
        UNION
        SELECT line_id, human FROM lines_callback
        WHERE id >= %(first)s AND received_at > %(day)s AND received_at <= %(now)s
            AND kind = 'text' AND line_id IS NOT NULL
        GROUP BY line_id, human
    ) AS pairs GROUP BY line_id
)
SELECT t.line_id, t.humans,
    coalesce(s.accepted, 0) AS accepted, coalesce(s.counted, 0) AS counted, coalesce(s.errors, 0) AS errors,
    coalesce(s.downgraded, 0) AS downgraded, coalesce(s.first_contacts, 0) AS first_contacts,
    coalesce(s.first_contacts_hour, 0) AS first_contacts_hour, coalesce(f.errors_in_a_row, 0) AS errors_in_a_row,
    coalesce(a.reachable, 0) AS reachable, coalesce(a.unconfirmed, 0) AS unconfirmed
FROM talking t LEFT JOIN sums s ON s.line_id = t.line_id LEFT JOIN failures f ON f.line_id = t.line_id
    LEFT JOIN arrivals a ON a.line_id = t.line_id
"""

_TIMES = """
SELECT line_id,
    count(*) FILTER (WHERE delivered_at > %(quarter)s) AS deliveries,
    extract(epoch FROM percentile_cont(0.95) WITHIN GROUP (ORDER BY greatest(delivered_at - settled_at, '0'))
        FILTER (WHERE delivered_at > %(quarter)s))::float AS delivery_p95,
    count(*) FILTER (WHERE answered AND claimed_at > %(quarter)s) AS hand_overs,
    extract(epoch FROM percentile_cont(0.95) WITHIN GROUP (ORDER BY settled_at - claimed_at)
        FILTER (WHERE answered AND claimed_at > %(quarter)s))::float AS hand_over_p95
FROM (
    SELECT *, lookups = 0 AND outcome IN ('accepted', 'refused') AS answered FROM lines_dispatch
    WHERE id >= %(lately)s AND claimed_at <= %(now)s AND (claimed_at > %(quarter)s OR delivered_at > %(quarter)s)
) AS calls GROUP BY line_id
"""

_TEXTS = """
SELECT line_id,
    count(*) AS inbound,
    max(received_at) AS inbound_at,
    count(*) FILTER (WHERE late AND received_at > %(hour)s) AS late_hour,
    count(*) FILTER (WHERE provider_at IS NOT NULL AND received_at > %(quarter)s) AS inbound_now,
    extract(epoch FROM percentile_cont(0.95) WITHIN GROUP (ORDER BY greatest(received_at - provider_at, '0'))
        FILTER (WHERE received_at > %(quarter)s))::float AS inbound_delay_p95
FROM lines_callback
WHERE id >= %(first)s AND received_at > %(day)s AND received_at <= %(now)s AND kind = 'text' AND line_id IS NOT NULL
GROUP BY line_id
"""

_DELIVERED_SINCE = """
SELECT d.line_id, count(*) FROM lines_dispatch d
JOIN unnest(%(lines)s::uuid[], %(since)s::timestamptz[]) AS heard (line_id, at) ON heard.line_id = d.line_id
WHERE d.claimed_at > heard.at - interval '1 hour' AND d.delivered_at > heard.at GROUP BY d.line_id
"""


def _flows(now: datetime) -> defaultdict[UUID, Flow]:
    flows: defaultdict[UUID, Flow] = defaultdict(Flow)
    day = now - timedelta(days=1)
    spans = {
        "now": now,
        "day": day,
        "hour": now - timedelta(hours=1),
        "quarter": now - timedelta(minutes=15),
        "unconfirmed": now - UNCONFIRMED_AFTER,
        "floor": key_floor(day),
        "lately": key_floor(now - _HOURS_AFRESH),
        "first": first_callback_since(day),
    }
    for row in itertools.chain.from_iterable(_rows(query, spans) for query in (_CALLS, _TIMES, _TEXTS)):
        flow = flows[row.pop("line_id")]
        for name, value in row.items():
            setattr(flow, name, value)
    # Only of those that are silent it is asked, and then by the index that paces them.
    heard = {
        line_id: flow.inbound_at or day
        for line_id, flow in flows.items()
        if flow.inbound_at is None or now - flow.inbound_at > _SHORTEST_SILENCE
    }
    for row in _rows(_DELIVERED_SINCE, {**spans, "lines": list(heard), "since": list(heard.values())}):
        flows[row["line_id"]].delivered_since_inbound = row["count"]
    return flows


def _weeks(now: datetime) -> defaultdict[UUID, Week]:
    weeks: defaultdict[UUID, Week] = defaultdict(Week)
    hours = LineHour.objects.filter(hour__gt=now - timedelta(days=7), hour__lte=now)
    # Of the time before: a line that is slow just now would make that its own.
    medians = models.Avg("delivery_p50", filter=Q(delivered__gt=0, hour__lt=now - _HOURS_AFRESH))
    sums = {"sent": Sum("accepted"), "written": Sum("inbound"), "left": Sum("opted_out"), "usual": medians}
    for line_id, outbound, inbound, opted_out, usual in hours.values_list("line").annotate(**sums):
        week = weeks[line_id]
        week.outbound, week.inbound, week.opted_out, week.usual_delivery = outbound, inbound, opted_out, usual
    heard = LineHour.objects.filter(hour__gt=now - timedelta(days=36), inbound__gt=0)
    for line_id, hour in heard.values_list("line_id", "hour"):
        weeks[line_id].heard.add(hour)
    for row in _rows(_FIRST_CONTACTS, {"floor": key_floor(now - timedelta(days=7)), "week": now - timedelta(days=7)}):
        week = weeks[row["line_id"]]
        week.written_first, week.answered = row["written"], row["answered"]
    return weeks


_FIRST_CONTACTS = """
SELECT line_id, count(DISTINCT human) AS written,
    count(DISTINCT human) FILTER (WHERE answered_at IS NOT NULL) AS answered
FROM lines_dispatch WHERE first_contact AND outcome = 'accepted' AND claimed_at > %(week)s GROUP BY line_id
"""


def _last_readings(lines: Iterable[Line]) -> dict[UUID, LineReading]:
    newest = LineReading.objects.filter(line_id=models.OuterRef("pk")).order_by("-at").values("pk")[:1]
    keys = Line.objects.filter(pk__in=[line.pk for line in lines]).values_list(models.Subquery(newest), flat=True)
    return {reading.line_id: reading for reading in LineReading.objects.filter(pk__in=list(keys))}


def _refused_last_hour(now: datetime) -> dict[UUID, int]:
    """How many callbacks each account refused within the hour; keeps the counts that tell it."""
    refused = {}
    for account in ProviderAccount.objects.select_related("health"):
        health = getattr(account, "health", None) or AccountHealth(account=account)
        an_hour_ago = (now - timedelta(hours=1)).isoformat()
        marks = [mark for mark in health.refusals if mark[0] > an_hour_ago]
        before = [mark for mark in health.refusals if mark[0] <= an_hour_ago][-1:]
        first = [*before, *marks, [now.isoformat(), account.callbacks_refused]][0]
        refused[account.id] = account.callbacks_refused - first[1]
        if not health.refusals or health.refusals[-1][1] != account.callbacks_refused or before != health.refusals[:1]:
            health.refusals = [*before, *marks, [now.isoformat(), account.callbacks_refused]]
            health.save()
    return refused


# --- What is kept

_HOURS_OUT = """
INSERT INTO lines_linehour AS kept (line_id, hour, outbound, accepted, failed, delivered, downgraded, delivery_p50,
    inbound, late, opted_out)
SELECT line_id, date_trunc('hour', claimed_at),
    count(*),
    count(*) FILTER (WHERE outcome = 'accepted' AND failed_at IS NULL),
    count(*) FILTER (WHERE counts_against_line),
    count(*) FILTER (WHERE delivered_at IS NOT NULL),
    count(*) FILTER (WHERE was_downgraded),
    extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY greatest(delivered_at - settled_at, '0'))
        FILTER (WHERE delivered_at IS NOT NULL))::float,
    0, 0, 0
FROM lines_dispatch WHERE id >= %(floor)s AND claimed_at >= %(from)s AND claimed_at <= %(now)s
GROUP BY 1, 2
ON CONFLICT (line_id, hour) DO UPDATE SET outbound = excluded.outbound, accepted = excluded.accepted,
    failed = excluded.failed, delivered = excluded.delivered, downgraded = excluded.downgraded,
    delivery_p50 = excluded.delivery_p50
"""

_HOURS_IN = """
INSERT INTO lines_linehour (line_id, hour, outbound, accepted, failed, delivered, downgraded, inbound, late, opted_out)
SELECT line_id, date_trunc('hour', received_at), 0, 0, 0, 0, 0,
    count(*) FILTER (WHERE kind = 'text'),
    count(*) FILTER (WHERE kind = 'text' AND late),
    count(DISTINCT human) FILTER (WHERE kind = 'opted_out')
FROM lines_callback
WHERE id >= %(first)s AND received_at >= %(from)s AND received_at <= %(now)s
    AND kind IN ('text', 'opted_out') AND line_id IS NOT NULL
GROUP BY 1, 2
ON CONFLICT (line_id, hour) DO UPDATE SET inbound = excluded.inbound, late = excluded.late,
    opted_out = excluded.opted_out
"""

# Once per pair, for ever: whom a text has reached over a line can be reached over it.
_REACHED = """
UPDATE lines_route r SET reached_at = %(now)s FROM (
    SELECT DISTINCT line_id, human FROM lines_dispatch
    WHERE id >= %(floor)s AND claimed_at >= %(from)s AND delivered_at IS NOT NULL
) AS d WHERE r.line_id = d.line_id AND r.human = d.human AND r.reached_at IS NULL
"""

_ANSWERED = """
UPDATE lines_dispatch d SET answered_at = c.at FROM (
    SELECT line_id, human, min(received_at) AS at FROM lines_callback
    WHERE id >= %(first)s AND received_at >= %(from)s AND kind = 'text' AND line_id IS NOT NULL
    GROUP BY line_id, human
) AS c
WHERE d.first_contact AND d.answered_at IS NULL AND d.line_id = c.line_id AND d.human = c.human AND c.at > d.claimed_at
"""


def _keep_hours(now: datetime) -> None:
    begins = (now - _HOURS_AFRESH).replace(minute=0, second=0, microsecond=0)
    spans: dict[str, Any] = {
        "now": now,
        "from": begins,
        "floor": key_floor(begins),
        "first": first_callback_since(begins),
    }
    with connection.cursor() as cursor:
        for statement in (_HOURS_OUT, _HOURS_IN, _REACHED, _ANSWERED):
            cursor.execute(statement, spans)


def _keep(measured: Mapping[UUID, list[Signal]], now: datetime) -> None:
    rows = [
        LineHealth(line_id=line_id, measured_at=now, signals={signal.name: signal.stored() for signal in signals})
        for line_id, signals in sorted(measured.items())
    ]
    LineHealth.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["line"], update_fields=["measured_at", "signals"]
    )


def note_queues(waiting: Mapping[UUID, tuple[int, datetime]]) -> None:
    """How many texts are due on each line and since when, by line; told by the app that owns the queues.

    A line that is left out has none.
    """
    quiet = LineHealth.objects.exclude(line__in=list(waiting)).exclude(queue_depth=0)
    quiet.update(queue_depth=0, queue_oldest_at=None)
    rows = [
        LineHealth(line_id=line_id, queue_depth=depth, queue_oldest_at=oldest)
        for line_id, (depth, oldest) in sorted(waiting.items())
    ]
    LineHealth.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["line"], update_fields=["queue_depth", "queue_oldest_at"]
    )


def forget(*, now: datetime | None = None) -> None:
    """Let go of what is too old to be shown."""
    now = now or timezone.now()
    LineReading.objects.filter(at__lt=now - timedelta(days=7)).delete()
    LineHour.objects.filter(hour__lt=now - timedelta(days=100)).delete()


def key_floor(moment: datetime) -> UUID:
    """The lowest key that a row made at that moment can have: keys begin with their milliseconds."""
    # A minute of grace for whoever makes keys with a clock that is behind.
    milliseconds = int((moment - timedelta(minutes=1)).timestamp() * 1000)
    return UUID(int=milliseconds << 80)


def first_callback_since(moment: datetime) -> int:
    """The key from which on callbacks were received at or after the moment; keys rise with time."""
    ends = Callback.objects.aggregate(least=models.Min("id"), most=models.Max("id"))
    low, high = ends["least"] or 0, (ends["most"] or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = Callback.objects.filter(pk__gte=middle).order_by("pk").values_list("received_at", flat=True)[:1]
        if row and row[0] < moment:
            low = middle + 1
        else:
            high = middle
    return low


def _rows(query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
