"""What we see of a line: from probes, from what is measured and from the calls that fail; never what is wanted.

Every reading goes through one place, where the state, its event and its incident change together.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.actor import Actor, Role
from core.errors import Conflict, Invalid
from core.wake import wake
from events.feed import publish_topics
from events.record import record
from lines import pacing
from lines.health import incidents
from lines.health.causes import CAUSES, DOWN, FLAGGED, HEALTHY, Cause, of_probe, of_signals
from lines.health.signals import Level, Signal
from lines.health.states import Standing
from lines.models import Line, LineEvent, LineHealth, LineReading
from lines.providers import base, driver_of, opened

logger = logging.getLogger(__name__)

PROBE = Actor.system("line health")

# Three misses tell a blip from an outage, five an outage from a restart.
_UNPROVED_AFTER, _DOWN_AFTER = 3, 5

# A restart of Messages loads its helper again within a minute or two.
_HELPER_MISSED_AFTER = timedelta(minutes=10)

_NO_ANSWER = frozenset({"unreachable", "no_answer", "timeout"})


def probe(line: Line, *, now: datetime | None = None) -> Line:
    """Look at the line over its provider and keep what was seen. Calls out; not for use inside a transaction."""
    return take(line, driver_of(line.account).probe(opened(line.account), line=line.address), now=now)


def miss(line: Line) -> Line:
    """A probe that was not made, for the provider had just given no answer about its other lines."""
    return take(line, base.LineReading(state=DOWN, reasons=["unreachable"], reachable=False))


def take(line: Line, reading: base.LineReading, *, now: datetime | None = None) -> Line:
    """Keep a probe's reading, and judge the line by it and by what was measured last."""
    now = now or timezone.now()
    with transaction.atomic():
        line, health = _locked(line)
        _keep_reading(line, reading, now)
        causes = _causes_of(line, health, reading, now)
        _note_proof(line, reading, now)
        _set_allowance(line, health, reading, now)
        # Too often for an event; open pages show how old the last proof is.
        publish_topics(None, ["lines", f"line:{line.id}"])
        return _judge(line, health, [*causes, *_causes_of_signals(line, health, now)], now)


def hear_verdict(line: Line, *, seen: str, reason: str) -> Line:
    """What the provider reported of a line by itself (`LineReported`, `AliasLost`): one more reading."""
    now = timezone.now()
    with transaction.atomic():
        line, health = _locked(line)
        causes = of_probe(seen, [reason] if reason and seen != HEALTHY else [])
        return _judge(line, health, [*causes, *_causes_of_signals(line, health, now)], now)


def see(line: Line, *, seen: str, reasons: Sequence[str], actor: Actor = PROBE, why: str = "") -> Line:
    """What is beyond doubt: the line is in this state from now on, whatever was read before.

    Only an operator takes a flagged line out of that state. A line that came back has its queue woken by
    `imessage.wake_line`, by name: queues belong to a higher app.
    """
    now = timezone.now()
    with transaction.atomic():
        line, health = _locked(line)
        if line.seen == FLAGGED and seen == DOWN:
            return line
        if seen == DOWN and tuple(line.seen_reasons) == ("recovering",):
            # What a probe proved over was not: the next time only the calm ends it.
            reasons = [*reasons, "relapsed"]
        troubled = seen not in {HEALTHY, Line.Seen.UNKNOWN}
        standing = Standing(seen, tuple(reasons), troubled_at=now if troubled else health.troubled_at)
        if seen == HEALTHY:
            line.proof_of_life_at = now
        return _stand(actor, line, health, standing, now, why=why)


def want(actor: Actor, line: Line, *, wanted: str, reason: str = "") -> Line:
    """What an operator wants from the line; raises `Forbidden` for anyone else.

    A retired line stays so, for its pairs are given away in time: `Conflict`.
    """
    actor.require(Role.OPERATOR)
    if wanted not in Line.Wanted.values:
        raise Invalid(f"A line is wanted {', '.join(Line.Wanted.values)}; not {wanted!r}.")
    with transaction.atomic():
        line, _ = _locked(line)
        held, before = line.holds_queue, line.wanted
        if before == Line.Wanted.RETIRED and wanted != before:
            raise Conflict("A retired line does not come back; add it anew under another address.")
        if wanted != before:
            line.wanted = wanted
            line.save(update_fields=["wanted"])
            note_change(actor, line, "wanted", before, wanted, reason)
        if held and not line.holds_queue:
            _wake(line)
    return line


def note_change(
    actor: Actor,
    line: Line,
    column: str,
    before: str,
    after: str,
    reason: str,
    *,
    signals: Iterable[Signal] = (),
    at: datetime | None = None,
) -> None:
    """A change of one of the three columns: on the line's own record, and as an event. In the caller's transaction."""
    bad = {s.name: s.stored() for s in signals if s.level not in {Level.GOOD, Level.UNKNOWN}}
    LineEvent.objects.create(
        line=line,
        column=column,
        before=before,
        after=after,
        reason=reason[:300],
        readings=bad,
        actor=actor.frozen(),
        at=at or timezone.now(),
    )
    data = {"line_id": str(line.id), "before": before, "after": after, "reason": reason}
    record(actor, f"line.{column}", subject_id=line.id, data=data)
    logger.info("Line changed", extra={"line_id": str(line.id), "column": column, "after": after})


def signals_of(health: LineHealth, *, now: datetime) -> list[Signal]:
    """What was measured last, by the age it has now."""
    return [Signal.of(name, stored).at(now) for name, stored in health.signals.items()]


# --- From a reading to causes


def _causes_of(line: Line, health: LineHealth, reading: base.LineReading, now: datetime) -> list[Cause]:
    """What a probe's reading means, with the misses before it."""
    if _is_missed(reading):
        health.failed_probes += 1
        if health.failed_probes >= _DOWN_AFTER:
            return [CAUSES["unreachable"]]
        return [CAUSES["unproved"]] if health.failed_probes >= _UNPROVED_AFTER else []
    health.failed_probes = 0
    causes = of_probe(reading.state, reading.reasons)
    if reading.authenticated is False:
        causes.append(CAUSES["refused_access"])
    if reading.addresses and line.address.lower() not in {address.lower() for address in reading.addresses}:
        causes.append(CAUSES["wrong_sender"])
    return _without_short_loss_of_helper(health, causes, now)


def _is_missed(reading: base.LineReading) -> bool:
    """Whether the probe told nothing: nobody answered, or too late."""
    if reading.authenticated is False:
        return False
    return reading.reachable is False or (reading.reachable is None and bool(_NO_ANSWER & set(reading.reasons)))


def _without_short_loss_of_helper(health: LineHealth, causes: list[Cause], now: datetime) -> list[Cause]:
    if not any(cause.code == "helper_lost" for cause in causes):
        health.helper_lost_at = None
        return causes
    health.helper_lost_at = health.helper_lost_at or now
    if now - health.helper_lost_at >= _HELPER_MISSED_AFTER:
        return causes
    # What the loss alone made "degraded" of is no cause either.
    return [cause for cause in causes if cause.code not in {"helper_lost", "degraded"}]


def _causes_of_signals(line: Line, health: LineHealth, now: datetime) -> list[Cause]:
    return of_signals(signals_of(health, now=now), flowing=not line.holds_queue)


def _note_proof(line: Line, reading: base.LineReading, now: datetime) -> None:
    if not _is_missed(reading) and reading.state != DOWN:
        line.proof_of_life_at = now
    line.lost_capabilities = list(reading.lost)


def _keep_reading(line: Line, reading: base.LineReading, now: datetime) -> None:
    LineReading.objects.create(
        line=line,
        at=now,
        state=reading.state[:10],
        reasons=list(reading.reasons),
        reachable=reading.reachable,
        authenticated=reading.authenticated,
        provider_state=reading.provider_state[:60],
        addresses=list(reading.addresses),
        clock_offset=reading.clock_offset,
        software=reading.software[:60],
        new_contacts_hour=reading.new_contacts_hour,
        new_contacts_day=reading.new_contacts_day,
        resets_at=reading.resets_at,
        reputation=reading.reputation[:60],
        raw=_plain(reading.raw),
    )


def _plain(raw: Any) -> Any:
    """A provider's answer as JSON that can be stored, cut where it is absurdly long."""
    if isinstance(raw, dict) or hasattr(raw, "items"):
        return {str(key)[:100]: _plain(value) for key, value in list(raw.items())[:100]}
    if isinstance(raw, list | tuple):
        return [_plain(value) for value in raw[:100]]
    return raw if raw is None or isinstance(raw, bool | int | float) else str(raw).replace("\0", "")[:500]


# --- From causes to the line


def _judge(line: Line, health: LineHealth, causes: list[Cause], now: datetime) -> Line:
    standing = Standing(
        seen=line.seen,
        codes=tuple(line.seen_reasons),
        worse=health.worse_readings,
        better=health.better_readings,
        troubled_at=health.troubled_at,
    )
    calm = timedelta(seconds=settings.LINE_CALM_SECONDS)
    return _stand(PROBE, line, health, standing.after(causes, now=now, calm=calm), now)


def _stand(actor: Actor, line: Line, health: LineHealth, standing: Standing, now: datetime, *, why: str = "") -> Line:
    """Write down how the line stands, with everything that a change of it brings."""
    held, before = line.holds_queue, line.seen
    health.worse_readings, health.better_readings = standing.worse, standing.better
    health.troubled_at = standing.troubled_at
    line.seen_reasons = list(standing.codes)
    if standing.seen != before:
        line.seen, line.seen_since = standing.seen, now
        if before in {DOWN, FLAGGED} and not line.holds_queue:
            # What had shown it ill is over; its next sends are judged by themselves.
            health.counted_from = now
        reason = ": ".join(filter(None, [", ".join(standing.codes) or "answers", why]))
        note_change(actor, line, "seen", before, standing.seen, reason, signals=signals_of(health, now=now), at=now)
    health.save()
    line.save(
        update_fields=[
            *("seen", "seen_since", "seen_reasons", "proof_of_life_at", "lost_capabilities"),
            *("allowance", "allowance_until"),
        ]
    )
    incidents.follow(actor, line, now=now)
    if held and not line.holds_queue:
        _wake(line)
    return line


def _set_allowance(line: Line, health: LineHealth, reading: base.LineReading, now: datetime) -> None:
    """What the allowance permits: by the provider's word or our count, else by the ramp after a flag or long pause."""
    before = line.allowance
    ramp_ends = line.ramp_since + pacing.RAMP[-1][0] if line.ramp_since else None
    used = {signal.name: signal.level for signal in signals_of(health, now=now)}.get("new_contacts")
    if 0 in {reading.new_contacts_hour, reading.new_contacts_day}:
        line.allowance, line.allowance_until = Line.Allowance.AT_CAP, reading.resets_at
    elif used is Level.STOP:
        line.allowance, line.allowance_until = Line.Allowance.AT_CAP, pacing.next_new_contact(line, now=now)
    elif ramp_ends and ramp_ends > now:
        line.allowance, line.allowance_until = Line.Allowance.SLOWED, ramp_ends
    else:
        line.allowance, line.allowance_until = Line.Allowance.OPEN, None
    if line.allowance != before:
        until = f"until {line.allowance_until:%Y-%m-%d %H:%M} UTC" if line.allowance_until else "allowance"
        note_change(PROBE, line, "allowance", before, line.allowance, until, at=now)


def _locked(line: Line) -> tuple[Line, LineHealth]:
    """The line and its health, locked in this order until the transaction ends."""
    line = Line.objects.select_for_update(no_key=True, of=("self",)).select_related("account").get(pk=line.pk)
    health, _ = LineHealth.objects.select_for_update(no_key=True).get_or_create(line=line)
    health.line = line
    return line, health


def _wake(line: Line) -> None:
    wake("imessage.wake_line", once=f"wake:{line.id}", line_id=str(line.id))
