"""How fast a line writes: windows per human, line and account, few new contacts, and a ramp after trouble.

All numbers are settings of the provider account or the line, over the driver's own and these defaults. What was
sent is read from the dispatches themselves, so nothing is forgotten by a restart.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from core.errors import Invalid
from lines.models import Dispatch, Line
from lines.providers import driver_of
from lines.providers.base import Limits

_DAY = timedelta(days=1)

# After a flag or a long pause: the first day a quarter of the pace and no new contacts, the second day half.
RAMP = ((_DAY, 0.25, False), (2 * _DAY, 0.5, True))

# What a text on the fast track does not wait for.
_FAST = {"human_gap": None, "human_per_minute": None, "line_per_second": None, "line_burst": None}

_DEGRADED_SHARE = 0.5

# How soon an allowance is looked at again whose end the provider did not say.
_ASK_AGAIN = timedelta(minutes=5)

# How soon a full hand is looked at again, in seconds: nothing tells when one of the calls ends.
_LOOK_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class Window:
    """At most so many in so many seconds."""

    most: int
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a text may not leave yet, and until when; None: until the human writes."""

    reason: str
    until: datetime | None


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of pace as an operator gave them; raises `Invalid` for an unknown name or an impossible number."""
    known = {one.name for one in fields(Limits)}
    for name, value in values.items():
        if name not in known:
            raise Invalid(f"There is no limit {name[:40]!r}; known are {', '.join(sorted(known))}.")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
            raise Invalid(f"{name} must be a number above 0, or null for no limit.")
    return dict(values)


def limits_of(line: Line) -> Limits:
    """The pace of this line: its own settings over its account's, over the driver's, over the defaults."""
    driver = driver_of(line.account)
    less = driver.limits_without_helper if line.lost_capabilities else {}
    return Limits().with_(driver.limits, less, line.account.limits, line.limits)


def hold(
    line: Line,
    human: str,
    *,
    now: datetime,
    first_contact: bool = False,
    is_fast: bool = False,
    unanswered: Callable[[], int] = int,
) -> Hold | None:
    """Why a text to this human must wait just now; None when it may leave, and then the caller claims it at once.

    Inside the caller's transaction: it holds the line's pace until it ends, so that no two queues take one place.
    `is_fast` passes the line's own pace, not the provider's and not the allowance of new contacts.
    `unanswered` counts the texts since the human last wrote; it is asked only where that matters.
    """
    if line.paced_until and line.paced_until > now:
        return Hold("provider_pace", line.paced_until)
    limits, share = limits_of(line), pace_of(line, now=now)
    if is_fast:
        limits = limits.with_(_FAST)
    windows = list(_windows(limits, share))
    if first_contact and (closed := _closed_to_new(line, now=now)):
        return closed
    if limits.unanswered is not None and unanswered() >= limits.unanswered:
        return Hold("awaiting_reply", None)
    new_windows = list(_new_windows(limits)) if first_contact else []
    if not windows and not new_windows and limits.line_in_flight is None:
        return None
    _lock(line.id if limits.account_calls is None else line.account_id)
    if full := _full_hand(line, limits, now=now):
        return full
    sent = Dispatch.objects.filter(line=line)
    new = sent.filter(first_contact=True, outcome__in=[*Dispatch.OPEN, Dispatch.Outcome.ACCEPTED])
    rows = {"human": sent.filter(human=human), "line": sent, "account": _of_account(line), "new": new}
    held = [_held(rows[window.reason], window, now=now) for window in windows + new_windows]
    return max((one for one in held if one), key=lambda one: one.until or now, default=None)


def pace_of(line: Line, *, now: datetime) -> float:
    """The share of its pace that a line may use now: less while degraded, and in the days after a flag."""
    share = _DEGRADED_SHARE if line.seen == Line.Seen.DEGRADED else 1.0
    ramp = _ramp(line, now=now)
    return min(share, ramp[1]) if ramp else share


def be_patient(line: Line, *, until: datetime, whole_account: bool) -> None:
    """The provider asked to wait: nothing leaves this line, or any line of its account, before then."""
    lines = Line.objects.filter(account_id=line.account_id) if whole_account else Line.objects.filter(pk=line.pk)
    lines.filter(Q(paced_until=None) | Q(paced_until__lt=until)).update(paced_until=until)


def next_new_contact(line: Line, *, now: datetime) -> datetime:
    """When this line may write to a stranger again: `now` when at once. What moves and openers plan by."""
    if not _takes_new(line, now=now):
        return (line.ramp_since or now) + _DAY
    new = Dispatch.objects.filter(
        line=line, first_contact=True, outcome__in=[*Dispatch.OPEN, Dispatch.Outcome.ACCEPTED]
    )
    held = [_held(new, window, now=now) for window in _new_windows(limits_of(line))]
    return max([now, *(one.until for one in held if one and one.until)])


def new_contacts_of(lines: Iterable[Line]) -> dict[UUID, dict[str, int]]:
    """How many strangers were written to from each of these lines in the last 24 hours, of how many; by its id.

    Lines without such a limit are left out.
    """
    limits = {line.id: limit for line in lines if (limit := limits_of(line).new_per_day) is not None}
    new = Dispatch.objects.filter(
        line__in=limits, first_contact=True, claimed_at__gt=timezone.now() - _DAY, outcome__in=Dispatch.STANDING
    )
    used = dict(new.values_list("line_id").annotate(count=Count("id")).order_by())
    return {line_id: {"used": used.get(line_id, 0), "limit": int(limit)} for line_id, limit in limits.items()}


def no_strangers_before(line: Line) -> datetime | None:
    """The end of the time after a flag in which the line takes no new contacts; None when there was none."""
    closed = [length for length, _, takes_new in RAMP if not takes_new]
    return line.ramp_since + max(closed) if line.ramp_since and closed else None


def _closed_to_new(line: Line, *, now: datetime) -> Hold | None:
    """Whether new humans must wait for the ramp, or for the allowance that the provider itself counts."""
    if not _takes_new(line, now=now):
        return Hold("ramp", (line.ramp_since or now) + _DAY)
    if line.allowance != Line.Allowance.AT_CAP:
        return None
    until = line.allowance_until or now + _ASK_AGAIN
    return Hold("new_contacts", until) if until > now else None


def _windows(limits: Limits, share: float) -> Iterator[Window]:
    """A smaller share makes every window longer."""
    if limits.human_gap is not None:
        yield Window(1, limits.human_gap / share, "human")
    if limits.human_per_minute is not None:
        yield Window(limits.human_per_minute, 60 / share, "human")
    if limits.line_per_second is not None:
        burst = max(1, limits.line_burst or 1)
        yield Window(burst, burst / limits.line_per_second / share, "line")
    if limits.account_calls is not None and limits.account_seconds is not None:
        yield Window(limits.account_calls, limits.account_seconds, "account")


def _new_windows(limits: Limits) -> Iterator[Window]:
    if limits.new_gap is not None:
        yield Window(1, limits.new_gap, "new")
    if limits.new_per_hour is not None:
        yield Window(limits.new_per_hour, 3600, "new")
    if limits.new_per_day is not None:
        yield Window(limits.new_per_day, 86400, "new")


_REASONS = {"human": "pace_human", "line": "pace_line", "account": "pace_account", "new": "new_contacts"}


def _held(rows: QuerySet[Dispatch], window: Window, *, now: datetime) -> Hold | None:
    """The window is full while its oldest place was taken within its length."""
    length = timedelta(seconds=window.seconds)
    times = rows.filter(claimed_at__gt=now - length).order_by("-claimed_at").values_list("claimed_at", flat=True)
    oldest = next(iter(times[window.most - 1 : window.most]), None)
    return Hold(_REASONS[window.reason], oldest + length) if oldest else None


def _full_hand(line: Line, limits: Limits, *, now: datetime) -> Hold | None:
    """Calls under way; one of a dead worker counts until its queue has taken it over."""
    if limits.line_in_flight is None:
        return None
    under_way = Dispatch.objects.filter(line=line, outcome=Dispatch.Outcome.IN_FLIGHT).count()
    return Hold("pace_line", now + timedelta(seconds=_LOOK_AGAIN)) if under_way >= limits.line_in_flight else None


def _of_account(line: Line) -> QuerySet[Dispatch]:
    lines = Line.objects.filter(account_id=line.account_id).values("id")
    return Dispatch.objects.filter(Q(line__in=lines))


def _ramp(line: Line, *, now: datetime) -> tuple[timedelta, float, bool] | None:
    if line.ramp_since is None:
        return None
    return next((step for step in RAMP if now - line.ramp_since < step[0]), None)


def _takes_new(line: Line, *, now: datetime) -> bool:
    ramp = _ramp(line, now=now)
    return ramp is None or ramp[2]


def _lock(key: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('pace'), hashtext(%s))", [str(key)])
