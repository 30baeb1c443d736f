"""Alerts: what somebody should look at now; one per line and cause, closed by itself when the cause is gone.

They stand in the console, and go out by e-mail and as a signed webhook where the operator set those up.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone
from standardwebhooks import Webhook

from core import http
from core.actor import Actor, Role
from core.errors import Invalid
from core.wake import wake
from events.record import record
from lines.health.causes import DOWN, FLAGGED, HEALTHY
from lines.health.signals import Level, Signal
from lines.health.states import Shown, shown
from lines.models import Alert, AlertNotice, Line, LineHealth
from lines.pacing import limits_of

logger = logging.getLogger(__name__)

_HEALTH = Actor.system("line health")

# A line that is down may come back by itself within so long.
_DOWN_FOR = timedelta(minutes=5)

# Below so much of the day's new contacts of the whole pool before noon, the day will not be got through.
_ALLOWANCE_LEFT, _NOON = 0.2, 12

# Lines fuller than that take no new human.
_FULL = 0.8

# Seconds after which a notice is tried again; then it is given up.
_RETRIES = (30, 120, 600, 1800, 7200)

_LONGEST_MUTE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that should be alerted; `line` and `account` are None when it is about the pool."""

    cause: str
    words: str
    line_id: UUID | None = None
    account_id: UUID | None = None

    @property
    def key(self) -> tuple[UUID | None, UUID | None, str]:
        return (self.line_id, self.account_id, self.cause)


def review(*, now: datetime | None = None) -> None:
    """Open an alert for every trouble there is and close those whose trouble is over; once a minute."""
    now = now or timezone.now()
    lines = list(Line.objects.exclude(wanted=Line.Wanted.RETIRED).select_related("account", "health"))
    troubles = {trouble.key: trouble for trouble in _troubles(lines, now)}
    standing = {(alert.line_id, alert.account_id, alert.cause): alert for alert in Alert.objects.open()}
    for key, alert in standing.items():
        if key not in troubles:
            _close(alert, now)
    for key, trouble in troubles.items():
        if key not in standing:
            _open(trouble, now)
    _unmute(now)


def mute(actor: Actor, line: Line, *, until: datetime, reason: str) -> LineHealth:
    """Alerts about this line go out to nobody until then; they still stand in the console. Always ends."""
    actor.require(Role.OPERATOR)
    _check_mute(until)
    with transaction.atomic():
        health, _ = LineHealth.objects.select_for_update(no_key=True).get_or_create(line=line)
        health.muted_until = until
        health.save(update_fields=["muted_until"])
        data = {"line_id": str(line.id), "until": until.isoformat(), "reason": reason}
        record(actor, "line.muted", subject_id=line.id, data=data)
    return health


def acknowledge(actor: Actor, alert: Alert) -> Alert:
    """Somebody is at it. Changes nothing about when the alert closes."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        alert = Alert.objects.select_for_update(no_key=True).get(pk=alert.pk)
        if alert.acknowledged_at is None:
            alert.acknowledged_at, alert.acknowledged_by = timezone.now(), actor.frozen()
            alert.save(update_fields=["acknowledged_at", "acknowledged_by"])
            _tell(actor, alert, "line.alert_acknowledged")
    return alert


def send_due(*, now: datetime | None = None) -> None:
    """Send the notices that are due, each on its own; one that fails is tried again later. Calls out."""
    now = now or timezone.now()
    due = AlertNotice.objects.filter(state=AlertNotice.State.QUEUED, next_attempt_at__lte=now)
    for notice in due.select_related("alert__line", "alert__account").order_by("id")[:50]:
        _send(notice, now)


# --- What is wrong


def _troubles(lines: list[Line], now: datetime) -> Iterator[Trouble]:
    for line in lines:
        if line.wanted in {Line.Wanted.IN_SERVICE, Line.Wanted.DRAINING}:
            yield from _of_line(line, now)
    yield from _of_routers([line for line in lines if line.kind == Line.Kind.ROUTER])
    carrying = [line for line in lines if line.kind == Line.Kind.POOL and line.service == Line.Service.IMESSAGE]
    yield from _of_pool(carrying, now)
    yield from _of_accounts(lines, now)


def _of_line(line: Line, now: datetime) -> Iterator[Trouble]:
    if "wrong_sender" in line.seen_reasons:
        yield Trouble("wrong_sender", f"{line} would send from another address; it is quarantined.", line.id)
    elif line.seen == FLAGGED:
        yield Trouble("flagged", f"{line} is flagged; nothing leaves it until somebody clears it.", line.id)
    if line.seen == DOWN and now - line.seen_since >= _DOWN_FOR:
        yield Trouble("down", f"{line} has been down for over {_DOWN_FOR.seconds // 60} minutes.", line.id)
    if _level(line, "queue_age", now) in {Level.DEGRADED, Level.STOP}:
        yield Trouble("queue", f"Texts on {line} wait for over two minutes.", line.id)


def _of_routers(routers: list[Line]) -> Iterator[Trouble]:
    for line in routers:
        word = shown(wanted=line.wanted, seen=line.seen, allowance=line.allowance)
        if line.wanted == Line.Wanted.IN_SERVICE and word is not Shown.ACTIVE:
            yield Trouble("router", f"The router {line} is {word}: nobody new can connect.", line.id)


def _of_pool(pool: list[Line], now: datetime) -> Iterator[Trouble]:
    serving = [line for line in pool if line.wanted == Line.Wanted.IN_SERVICE]
    if not serving:
        return
    free = [line for line in serving if line.seen == HEALTHY and line.allowance == Line.Allowance.OPEN]
    if all((_value(line, "load", now) or 0) >= _FULL for line in free):
        yield Trouble("no_line_free", "No line is free for a new human.")
    caps = {line.id: limits_of(line).new_per_day for line in serving}
    most = sum(cap or 0 for cap in caps.values())
    used = sum((_value(line, "new_contacts", now) or 0) * (caps[line.id] or 0) for line in serving)
    if most and all(caps.values()) and (most - used) / most < _ALLOWANCE_LEFT and timezone.localtime(now).hour < _NOON:
        yield Trouble("allowance_low", "Less than a fifth of today's new contacts is left before noon.")


def _of_accounts(lines: list[Line], now: datetime) -> Iterator[Trouble]:
    bad = {line.account for line in lines if _level(line, "refused_callbacks", now) in {Level.DEGRADED, Level.STOP}}
    for account in sorted(bad, key=str):
        yield Trouble("callbacks_refused", f"Callbacks of {account} are refused: a secret differs.", None, account.id)


def _signal(line: Line, name: str, now: datetime) -> Signal | None:
    health = getattr(line, "health", None)
    stored = health.signals.get(name) if health else None
    return Signal.of(name, stored).at(now) if stored else None


def _level(line: Line, name: str, now: datetime) -> Level:
    signal = _signal(line, name, now)
    return signal.level if signal else Level.UNKNOWN


def _value(line: Line, name: str, now: datetime) -> float | None:
    signal = _signal(line, name, now)
    return signal.value if signal and signal.level is not Level.UNKNOWN else None


# --- Opening and closing


def _open(trouble: Trouble, now: datetime) -> None:
    with transaction.atomic():
        alert = Alert.objects.create(
            line_id=trouble.line_id,
            account_id=trouble.account_id,
            cause=trouble.cause,
            words=trouble.words[:300],
            opened_at=now,
        )
        _tell(_HEALTH, alert, "line.alert_opened")
        _notify(alert, _channels(), is_closing=False, muted=_is_muted(alert, now), now=now)
    logger.warning("Alert", extra={"alert_id": str(alert.id), "cause": alert.cause})


def _close(alert: Alert, now: datetime) -> None:
    with transaction.atomic():
        alert.closed_at = now
        alert.save(update_fields=["closed_at"])
        _tell(_HEALTH, alert, "line.alert_closed")
        # Whoever never heard that it began need not hear that it is over.
        unheard = alert.notices.filter(is_closing=False, state=AlertNotice.State.MUTED)
        told = set(alert.notices.exclude(state=AlertNotice.State.MUTED).values_list("channel", flat=True))
        unheard.update(state=AlertNotice.State.GIVEN_UP)
        _notify(alert, told & set(_channels()), is_closing=True, muted=_is_muted(alert, now), now=now)


def _channels() -> list[str]:
    emails = [AlertNotice.Channel.EMAIL] if settings.ALERT_EMAILS else []
    return [*emails, *([AlertNotice.Channel.WEBHOOK] if settings.ALERT_WEBHOOK_URL else [])]


def _notify(alert: Alert, channels: Iterable[str], *, is_closing: bool, muted: bool, now: datetime) -> None:
    state = AlertNotice.State.MUTED if muted else AlertNotice.State.QUEUED
    for channel in sorted(channels):
        alert.notices.create(channel=channel, is_closing=is_closing, state=state, next_attempt_at=now, at=now)
    if channels and not muted:
        wake("lines.tell_alerts", once="lines.tell_alerts")


def _is_muted(alert: Alert, now: datetime) -> bool:
    if alert.muted_until and alert.muted_until > now:
        return True
    return LineHealth.objects.filter(line=alert.line_id, muted_until__gt=now).exists()


def _unmute(now: datetime) -> None:
    """What is still wrong when a mute ends is told then."""
    muted = AlertNotice.objects.filter(state=AlertNotice.State.MUTED, is_closing=False, alert__closed_at=None)
    for notice in muted.select_related("alert"):
        if not _is_muted(notice.alert, now):
            notice.state, notice.next_attempt_at = AlertNotice.State.QUEUED, now
            notice.save(update_fields=["state", "next_attempt_at"])


def _check_mute(until: datetime) -> None:
    now = timezone.now()
    if not now < until <= now + _LONGEST_MUTE:
        raise Invalid(f"A mute ends within {_LONGEST_MUTE.days} days, and not in the past.")


def _tell(actor: Actor, alert: Alert, type: str, **more: Any) -> None:
    data = {"alert_id": str(alert.id), "cause": alert.cause, "words": alert.words, **more}
    record(actor, type, subject_id=alert.line_id or "", data=data)


# --- Telling people


def _send(notice: AlertNotice, now: datetime) -> None:
    try:
        _SENDERS[notice.channel](notice)
    except (OSError, http.OutboundFailed, http.OutboundRefused, _Refused) as failed:
        notice.problem = str(failed)[:300]
        notice.attempts += 1
        if notice.attempts > len(_RETRIES):
            notice.state = AlertNotice.State.GIVEN_UP
        else:
            notice.next_attempt_at = now + timedelta(seconds=_RETRIES[notice.attempts - 1])
        logger.warning("An alert could not be told", extra={"notice_id": notice.id, "channel": notice.channel})
    else:
        notice.attempts, notice.problem, notice.state = notice.attempts + 1, "", AlertNotice.State.SENT
    notice.save(update_fields=["problem", "attempts", "state", "next_attempt_at"])


class _Refused(Exception):
    """The receiver answered, and not with success."""


def _email(notice: AlertNotice) -> None:
    alert = notice.alert
    over = "Over: " if notice.is_closing else ""
    lasted = f"Since {alert.opened_at:%Y-%m-%d %H:%M} UTC."
    if notice.is_closing and alert.closed_at:
        lasted = f"From {alert.opened_at:%Y-%m-%d %H:%M} to {alert.closed_at:%H:%M} UTC."
    body = f"{alert.words}\n\n{lasted}\n{_page(alert)}\n"
    send_mail(f"[Cordboard] {over}{alert.words}", body, settings.DEFAULT_FROM_EMAIL, settings.ALERT_EMAILS)


def _webhook(notice: AlertNotice) -> None:
    body = json.dumps(_shape(notice), separators=(",", ":"))
    sent_at, name = timezone.now(), f"alert_{notice.alert_id}_{'closed' if notice.is_closing else 'opened'}"
    headers = {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": Webhook(settings.ALERT_WEBHOOK_SECRET).sign(name, sent_at, body),
    }
    answer = http.fetch("POST", settings.ALERT_WEBHOOK_URL, headers=headers, body=body.encode())
    if not 200 <= answer.status < 300:
        raise _Refused(f"It answered {answer.status}.")


def _shape(notice: AlertNotice) -> dict[str, Any]:
    alert = notice.alert
    line, account = alert.line, alert.account
    return {
        "type": f"alert.{'closed' if notice.is_closing else 'opened'}",
        "timestamp": (alert.closed_at or alert.opened_at).isoformat(),
        "data": {
            "id": str(alert.id),
            "cause": alert.cause,
            "words": alert.words,
            "line": {"id": str(line.id), "address": line.address, "kind": line.kind} if line else None,
            "account": account.name if account else None,
            "opened_at": alert.opened_at.isoformat(),
            "closed_at": alert.closed_at.isoformat() if alert.closed_at else None,
            "url": _page(alert),
        },
    }


def _page(alert: Alert) -> str:
    lines = f"{settings.BASE_URL}/console/lines/"
    return f"{lines}{alert.line_id}/" if alert.line_id else lines


_SENDERS: dict[str, Callable[[AlertNotice], None]] = {
    AlertNotice.Channel.EMAIL: _email,
    AlertNotice.Channel.WEBHOOK: _webhook,
}
