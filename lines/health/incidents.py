"""Incidents: the times in which a line was worse than healthy, why, and whom it touched."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone

from core.actor import Actor, Role
from core.errors import Conflict, Invalid
from core.texts import storable
from events.record import record
from lines.health.causes import DEGRADED, DOWN, FLAGGED, HEALTHY
from lines.health.measuring import UNCONFIRMED_AFTER, first_callback_since, key_floor
from lines.models import Incident, IncidentHuman, Line, LineNote

# What an operator opened by hand is closed by hand.
BY_HAND = "by_hand"

_ORDER = [HEALTHY, DEGRADED, DOWN, FLAGGED]
_LONGEST_NOTE = 4_000


def follow(actor: Actor, line: Line, *, now: datetime) -> Incident | None:
    """Open, go on with or close the line's incident after its state; in the caller's transaction, the line locked."""
    incident = Incident.objects.open().filter(line=line).first()
    ill = line.seen in {DEGRADED, DOWN, FLAGGED}
    if ill and incident is None:
        return _open(actor, line, cause=_codes(line)[0], now=now)
    if incident and ill:
        _go_on(incident, line)
    elif incident and line.seen == HEALTHY and incident.cause != BY_HAND:
        _close(actor, incident, now=now)
    return incident


def open_incident(actor: Actor, line: Line, *, text: str) -> Incident:
    """An incident that an operator saw and we did not; `Conflict` when one is open already."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        line = Line.objects.select_for_update(no_key=True).get(pk=line.pk)
        if Incident.objects.open().filter(line=line).exists():
            raise Conflict("This line has an open incident; add a note to it.")
        incident = _open(actor, line, cause=BY_HAND, now=timezone.now())
        note(actor, line, text=text, incident=incident)
    return incident


def close_incident(actor: Actor, incident: Incident, *, text: str = "") -> Incident:
    """End an incident that was opened by hand; others end with their cause: `Conflict`."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        incident = Incident.objects.select_for_update(no_key=True).select_related("line").get(pk=incident.pk)
        if incident.closed_at or incident.cause != BY_HAND:
            raise Conflict("This incident ends by itself, when the line is healthy again.")
        if text:
            note(actor, incident.line, text=text, incident=incident)
        return _close(actor, incident, now=timezone.now())


def note(actor: Actor, line: Line, *, text: str, incident: Incident | None = None) -> LineNote:
    """What an operator wants others to know of a line, or of one of its incidents."""
    actor.require(Role.OPERATOR)
    text = storable(text).strip()
    if not text or len(text) > _LONGEST_NOTE:
        raise Invalid(f"A note has 1 to {_LONGEST_NOTE:,} characters.")
    if incident and incident.line_id != line.id:
        raise Invalid("The incident is another line's.")
    with transaction.atomic():
        written = LineNote.objects.create(line=line, incident=incident, text=text, actor=actor.frozen())
        data = {"line_id": str(line.id), "incident_id": str(incident.id) if incident else None, "text": text}
        record(actor, "line.noted", subject_id=line.id, data=data)
    return written


def note_touched(*, now: datetime | None = None) -> None:
    """Write down whom the open incidents have touched so far, for all lines; when one opens, and once a minute."""
    now = now or timezone.now()
    if not Incident.objects.open().exists():
        return
    day = now - timedelta(days=1)
    spans: dict[str, Any] = {
        "now": now,
        "day": day,
        "floor": key_floor(day),
        "first": first_callback_since(day),
        "unconfirmed": now - UNCONFIRMED_AFTER,
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_TOUCHED_BY_SENDS, spans)
            cursor.execute(_TOUCHED_BY_LATENESS, spans)
        count_touched()


def count_touched() -> None:
    """Keep the number of touched humans on each open incident."""
    humans = Incident.objects.open().annotate(counted=Count("humans__human", distinct=True))
    for key, touched, counted in humans.values_list("pk", "touched", "counted"):
        if touched != counted:
            Incident.objects.filter(pk=key).update(touched=counted)


# Of texts that failed those that the line is to blame for; of texts that never arrived those of a silent flag.
_TOUCHED_BY_SENDS = """
INSERT INTO lines_incidenthuman AS kept (incident_id, human, how, texts, first_at)
SELECT i.id, d.human,
    CASE WHEN d.counts_against_line OR d.error_class = 'line-down' THEN 'failed'
        WHEN d.outcome IN ('unknown', 'not_sent') THEN 'unknown'
        ELSE 'unconfirmed' END AS how,
    count(*), min(d.claimed_at)
FROM lines_incident i JOIN lines_dispatch d ON d.line_id = i.line_id
WHERE i.closed_at IS NULL AND d.id >= %(floor)s AND d.claimed_at > %(day)s AND (
    (d.claimed_at > i.opened_at - interval '15 minutes' AND (
        d.counts_against_line OR d.error_class = 'line-down' OR d.outcome IN ('unknown', 'not_sent')))
    OR (i.causes ? 'unconfirmed' AND d.outcome = 'accepted' AND d.service = 'imessage' AND d.delivered_at IS NULL
        AND d.failed_at IS NULL AND d.settled_at < %(unconfirmed)s)
)
GROUP BY i.id, d.human, 3
ON CONFLICT (incident_id, human, how) DO UPDATE SET texts = greatest(kept.texts, excluded.texts)
"""

_TOUCHED_BY_LATENESS = """
INSERT INTO lines_incidenthuman AS kept (incident_id, human, how, texts, first_at)
SELECT i.id, c.human, 'late', count(*), min(c.received_at)
FROM lines_incident i JOIN lines_callback c ON c.line_id = i.line_id
WHERE i.closed_at IS NULL AND c.id >= %(first)s AND c.received_at > i.opened_at - interval '1 hour'
    AND c.kind = 'text' AND c.late AND c.human <> ''
GROUP BY i.id, c.human
ON CONFLICT (incident_id, human, how) DO UPDATE SET texts = greatest(kept.texts, excluded.texts)
"""


def note_held(held: Mapping[tuple[UUID, str], tuple[int, datetime]]) -> None:
    """Humans to whom texts wait, by line and human, with how many and since when; of lines with an open incident."""
    open_ones = {incident.line_id: incident for incident in Incident.objects.open()}
    rows = [
        IncidentHuman(incident=open_ones[line_id], human=human, how=IncidentHuman.How.HELD, texts=texts, first_at=since)
        for (line_id, human), (texts, since) in sorted(held.items())
        if line_id in open_ones
    ]
    IncidentHuman.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["incident", "human", "how"], update_fields=["texts"]
    )


def _open(actor: Actor, line: Line, *, cause: str, now: datetime) -> Incident:
    codes = _codes(line) if cause != BY_HAND else [BY_HAND]
    incident = Incident.objects.create(
        line=line, cause=cause, causes=codes, worst=line.seen, opened_at=now, opened_by=actor.frozen()
    )
    note_touched(now=now)
    _tell(actor, incident, "line.incident_opened")
    return incident


def _go_on(incident: Incident, line: Line) -> None:
    causes = list(dict.fromkeys([*incident.causes, *_ills(line)]))
    worst = max(incident.worst, line.seen, key=lambda seen: _ORDER.index(seen) if seen in _ORDER else 0)
    if (causes, worst) != (incident.causes, incident.worst):
        incident.causes, incident.worst = causes, worst
        incident.save(update_fields=["causes", "worst"])


def _close(actor: Actor, incident: Incident, *, now: datetime) -> Incident:
    incident.closed_at, incident.closed_by = now, actor.frozen()
    incident.save(update_fields=["closed_at", "closed_by"])
    _tell(actor, incident, "line.incident_closed")
    return incident


def _codes(line: Line) -> list[str]:
    """Why it is ill, or else how."""
    return _ills(line) or [line.seen]


def _ills(line: Line) -> list[str]:
    """That it recovers is no cause."""
    return [code for code in line.seen_reasons if code != "recovering"]


def _tell(actor: Actor, incident: Incident, type: str) -> None:
    data = {"line_id": str(incident.line_id), "incident_id": str(incident.id), "cause": incident.cause}
    record(actor, type, subject_id=incident.line_id, data={**data, "causes": incident.causes, "worst": incident.worst})
