"""What operators do with a line: every deed with its guard, what to expect of it, and its place in the audit trail.

Moving connections and rotating the router are deeds of their own: `lines/moving.py`, `lines/routers.py`.
"""

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_bytes, token_urlsafe

from django.db import transaction
from django.utils import timezone

from core.actor import Actor, Role
from core.errors import Conflict, Invalid, TooSoon, Upstream
from core.ids import uuid7
from core.phones import e164
from events.record import record
from lines import dispatching, pacing, provisioning
from lines.health import seeing
from lines.models import Dispatch, Line, LineCap, LineEvent, LineHealth, LineReading, ProviderAccount, Route
from lines.providers import driver_of, opened
from lines.providers.base import Installed, ProviderCallFailed, SendOrder

_PROBE_EVERY = timedelta(seconds=10)
_REPAIR_EVERY = timedelta(minutes=10)

# A flag that was cleared too soon costs the number: recovery takes a day or more.
FLAGGED_AT_LEAST = timedelta(hours=24)

# After a pause so long a line starts slowly: to its provider it looks like one that suddenly wakes.
_LONG_PAUSE = timedelta(days=1)

# Limits that stand on the line itself; all others are of its pace.
_OWN_LIMITS = ("capacity", "most_connections")

_TEST_TEXT = "A test of this line by its operator. Nothing to do."


class StillFlagged(Conflict):
    """A flagged line rests for 24 hours; clearing it sooner needs a second confirmation."""

    code = "still_flagged"


class WrongSender(Conflict):
    """Texts would leave from another address than the line's; that must be put right first."""

    code = "wrong_sender"


class StillCarries(Conflict):
    """Humans are connected over this line; move or release them first."""

    code = "still_carries"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What stopping a line touches: humans connected over it and talking today, texts that wait, and since when."""

    connected: int
    talking: int
    queued: int
    oldest_queued_at: datetime | None

    @property
    def words(self) -> str:
        waits = f"; {self.queued:,} texts wait already" if self.queued else ""
        return f"{self.connected:,} humans are connected over it, {self.talking:,} talked in the last day{waits}."


def forecast(line: Line) -> Forecast:
    """What pausing, quarantining or retiring the line would touch now."""
    health = LineHealth.objects.filter(line=line).first()
    load = health.signals.get("load", {}).get("value") if health else None
    return Forecast(
        connected=Route.objects.live().filter(line=line).count(),
        talking=round((load or 0) * line.capacity),
        queued=health.queue_depth if health else 0,
        oldest_queued_at=health.queue_oldest_at if health and health.queue_depth else None,
    )


def probe_now(actor: Actor, line: Line) -> LineReading:
    """Look at the line now; the reading with the provider's raw answer. Once in ten seconds: `TooSoon`."""
    actor.require(Role.OPERATOR)
    _not_so_soon(line, "probed_by_hand_at", _PROBE_EVERY)
    seeing.probe(line)
    reading = LineReading.objects.filter(line=line).latest("at")
    _record(actor, "line.probed", line, state=reading.state, reasons=reading.reasons)
    return reading


def send_test(actor: Actor, line: Line, *, to: str) -> Dispatch:
    """Send a test text to the operator's own phone; the call, on which its delivery will be seen.

    It counts on the line like any other. Raises `Conflict` while the line is held, `Upstream` when it was refused.
    """
    actor.require(Role.OPERATOR)
    human = e164(to)
    with transaction.atomic():
        line = Line.objects.select_for_update(no_key=True, of=("self",)).select_related("account").get(pk=line.pk)
        if line.holds_queue:
            raise Conflict("Nothing leaves this line just now.")
        first = not Dispatch.objects.filter(line=line, human=human).exists()
        held = pacing.hold(line, human, now=timezone.now(), first_contact=first)
        if held:
            raise Conflict(f"The line's pace does not allow a text to this phone just now ({held.reason}).")
        dispatch = dispatching.claim(
            kind=Dispatch.Kind.TEST, order_id=uuid7(), line=line, human=human, text=_TEST_TEXT, first_contact=first
        )
    order = SendOrder(key=str(dispatch.order_id), line=line.address, human=human, text=_TEST_TEXT, first_contact=first)
    receipt = dispatching.call(dispatch, order)
    with transaction.atomic():
        dispatching.settle(dispatch, receipt)
        _record(actor, "line.tested", line, dispatch_id=str(dispatch.id), outcome=receipt.outcome)
    if receipt.error:
        raise Upstream(f"The provider refused: {receipt.error.text or receipt.error.code}")
    dispatch.refresh_from_db()
    return dispatch


def pause(actor: Actor, line: Line, *, reason: str) -> Line:
    """What humans write arrives, answers are held; see `forecast` first."""
    return seeing.want(actor, line, wanted=Line.Wanted.PAUSED, reason=_needed(reason))


def drain(actor: Actor, line: Line, *, reason: str) -> Line:
    """No new humans; who is connected stays until moved (`lines.moving`)."""
    return seeing.want(actor, line, wanted=Line.Wanted.DRAINING, reason=_needed(reason))


def resume(actor: Actor, line: Line, *, reason: str = "") -> Line:
    """Back into service, slowly after a long pause. Raises `WrongSender`."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        line = Line.objects.select_for_update(no_key=True, of=("self",)).select_related("account").get(pk=line.pk)
        _check_sender(line)
        if _paused_for(line) >= _LONG_PAUSE:
            _begin_ramp(line)
        return seeing.want(actor, line, wanted=Line.Wanted.IN_SERVICE, reason=reason)


def quarantine(actor: Actor, line: Line, *, reason: str) -> Line:
    """Nothing leaves the line until an operator clears it."""
    actor.require(Role.OPERATOR)
    return seeing.see(line, seen=Line.Seen.FLAGGED, reasons=["quarantined"], actor=actor, why=_needed(reason))


def clear(actor: Actor, line: Line, *, reason: str, though_early: bool = False) -> Line:
    """Take a flagged line out of quarantine; it starts slowly and is watched.

    Raises `StillFlagged` in the first 24 hours unless `though_early`, the second confirmation; `WrongSender`.
    """
    actor.require(Role.OPERATOR)
    _needed(reason)
    with transaction.atomic():
        line = Line.objects.select_for_update(no_key=True, of=("self",)).select_related("account").get(pk=line.pk)
        if line.seen != Line.Seen.FLAGGED:
            raise Conflict("This line is not flagged.")
        _check_sender(line)
        if timezone.now() - line.seen_since < FLAGGED_AT_LEAST and not though_early:
            raise StillFlagged()
        _begin_ramp(line)
        return seeing.see(line, seen=Line.Seen.DEGRADED, reasons=["recovering"], actor=actor, why=reason)


def set_cap(
    actor: Actor, line: Line, *, name: str, value: float, reason: str, until: datetime | None = None
) -> LineCap:
    """Raise or lower one limit of the line, for a while or for good; never above the provider's own: `Invalid`.

    `name` is capacity, most_connections, or one of `lines.providers.base.Limits`.
    """
    actor.require(Role.OPERATOR)
    _check_cap(line, name, value, until)
    with transaction.atomic():
        line = Line.objects.select_for_update(no_key=True).get(pk=line.pk)
        standing = LineCap.objects.filter(line=line, name=name, ended_at=None).first()
        before = standing.before if standing and standing.until else _own_limit(line, name)
        if standing:
            _end(standing)
        cap = LineCap.objects.create(
            line=line,
            name=name,
            before=before,
            value=value,
            reason=_needed(reason)[:300],
            actor=actor.frozen(),
            until=until,
        )
        _put_limit(line, name, value)
        _record(
            actor, "line.capped", line, name=name, before=before, after=value, reason=reason, until=until and str(until)
        )
    return cap


def end_caps(*, now: datetime | None = None) -> None:
    """Put back the limits whose time is over; once a minute."""
    for cap in LineCap.objects.filter(ended_at=None, until__lte=now or timezone.now()).select_related("line"):
        with transaction.atomic():
            line = Line.objects.select_for_update(no_key=True).get(pk=cap.line_id)
            _put_limit(line, cap.name, cap.before)
            _end(cap)
            actor = Actor.system("line health")
            data = {"name": cap.name, "before": cap.value, "after": cap.before, "reason": "its time is over"}
            _record(actor, "line.capped", line, **data, until=None)


def repair(actor: Actor, line: Line, *, deed: str, reason: str) -> Line:
    """Have the provider's machine restarted, in one of the ways its card names; the line's queue is stopped first.

    How it is after that the next probes tell. Not twice in ten minutes: `TooSoon`. Raises `Invalid`, `Upstream`.
    """
    actor.require(Role.OPERATOR)
    driver = driver_of(line.account)
    if deed not in driver.card.repairs:
        raise Invalid(f"This line knows {', '.join(sorted(driver.card.repairs)) or 'no repairs'}; not {deed!r}.")
    _not_so_soon(line, "repaired_at", _REPAIR_EVERY)
    line = seeing.see(line, seen=Line.Seen.DOWN, reasons=["repairing"], actor=actor, why=_needed(reason))
    try:
        driver.repair(opened(line.account), line=line.address, deed=deed)
    except ProviderCallFailed as failed:
        raise Upstream(f"The repair was not begun: {failed}") from failed
    _record(actor, "line.repaired", line, deed=deed, reason=reason)
    return line


def reinstall_callbacks(actor: Actor, account: ProviderAccount) -> Installed:
    """Ask the provider again to post to us; what is registered now. Repeating it changes nothing. Raises `Upstream`."""
    actor.require(Role.OPERATOR)
    try:
        installed = provisioning.install_callbacks(account)
    except ProviderCallFailed as failed:
        raise Upstream(f"The provider did not take it: {failed}") from failed
    with transaction.atomic():
        data = {"name": account.name, "count": len(installed.urls)}
        record(actor, "provider_account.callbacks_installed", subject_id=account.id, data=data)
    return installed


def rotate_callback_secret(actor: Actor, account: ProviderAccount) -> Installed:
    """A new callback secret, told to the provider; the former one stays valid for a day. Raises `Upstream`."""
    actor.require(Role.OPERATOR)
    looks_standard = opened(account).callback_secret.startswith("whsec_")
    secret = "whsec_" + b64encode(token_bytes(32)).decode() if looks_standard else token_urlsafe(32)
    account = provisioning.add_account(actor, name=account.name, callback_secret=secret)
    return reinstall_callbacks(actor, account)


def retire(actor: Actor, line: Line, *, reason: str) -> Line:
    """Out of service for good; its released pairs stay reserved. Raises `StillCarries` while humans are connected."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        line = Line.objects.select_for_update(no_key=True).get(pk=line.pk)
        carried = Route.objects.live().filter(line=line).count()
        if carried:
            raise StillCarries(f"{carried:,} humans are connected over this line; move or release them first.")
        return seeing.want(actor, line, wanted=Line.Wanted.RETIRED, reason=_needed(reason))


# --- Guards


def _needed(reason: str) -> str:
    if not reason.strip():
        raise Invalid("Say why: the audit trail keeps it.")
    return reason.strip()


def _not_so_soon(line: Line, column: str, every: timedelta) -> None:
    now = timezone.now()
    with transaction.atomic():
        health, _ = LineHealth.objects.select_for_update(no_key=True).get_or_create(line=line)
        last: datetime | None = getattr(health, column)
        if last and now - last < every:
            wait = (last + every - now).total_seconds()
            raise TooSoon(f"That was done a moment ago; repeat in {wait:.0f} s.", retry_after=int(wait) + 1)
        setattr(health, column, now)
        health.save(update_fields=[column])


def _check_sender(line: Line) -> None:
    """By the last probe that said which addresses the line can send from."""
    last = LineReading.objects.filter(line=line, reachable=True).order_by("-at").first()
    if last and last.addresses and line.address.lower() not in {address.lower() for address in last.addresses}:
        raise WrongSender()


def _paused_for(line: Line) -> timedelta:
    if line.wanted != Line.Wanted.PAUSED:
        return timedelta(0)
    began = LineEvent.objects.filter(line=line, column="wanted", after=Line.Wanted.PAUSED).order_by("-at").first()
    return timezone.now() - began.at if began else timedelta(0)


def _begin_ramp(line: Line) -> None:
    line.ramp_since = timezone.now()
    line.save(update_fields=["ramp_since"])


def _check_cap(line: Line, name: str, value: float, until: datetime | None) -> None:
    if until and until <= timezone.now():
        raise Invalid("A limit that ends, ends in the future.")
    if name in _OWN_LIMITS:
        if value < 1:
            raise Invalid(f"{name} is at least 1.")
        return
    pacing.checked({name: value})
    most = driver_of(line.account).limits.get(name)
    is_length = name.endswith(("_gap", "_seconds"))
    if most is not None and not is_length and value > most:
        raise Invalid(f"The provider allows {most:g}; a line's own limit is never above that.")
    if most is not None and is_length and value < most:
        raise Invalid(f"The provider asks for {most:g} s; a line's own wait is never shorter.")


def _own_limit(line: Line, name: str) -> float | None:
    if name in _OWN_LIMITS:
        return float(getattr(line, name))
    own: float | None = line.limits.get(name)
    return own


def _put_limit(line: Line, name: str, value: float | None) -> None:
    if name in _OWN_LIMITS and value is not None:
        setattr(line, name, int(value))
        line.save(update_fields=[name])
        return
    others = {each: own for each, own in line.limits.items() if each != name}
    whole = int(value) if value is not None and float(value).is_integer() else value
    line.limits = others if value is None else {**others, name: whole}
    line.save(update_fields=["limits"])


def _end(cap: LineCap) -> None:
    cap.ended_at = timezone.now()
    cap.save(update_fields=["ended_at"])


def _record(actor: Actor, type: str, line: Line, **data: object) -> None:
    with transaction.atomic():
        record(actor, type, subject_id=line.id, data={"line_id": str(line.id), **data})
