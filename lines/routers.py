"""The number that every human passes: which router is shown, its warm standby, and the change from one to the other."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from core.actor import Actor, Role
from core.errors import Conflict, NotFound
from events.record import record
from lines.models import Callback, Dispatch, Line

# So long a former router names the new number with every answer.
NAMES_THE_NEW_FOR = timedelta(days=30)

# A standby that has not lately sent and heard something may be dead without anybody knowing.
_LATELY = timedelta(days=7)

# One human in so many is shown the way over the standby, which keeps it warm.
_WARMTH = 10


class NoStandby(Conflict):
    """No other router is healthy and in service."""

    code = "no_standby"


class StandbyUnproved(Conflict):
    """The standby has not sent and heard a text in the last seven days; try it first, or confirm again."""

    code = "standby_unproved"


@dataclass(frozen=True, slots=True)
class RotationForecast:
    """What changing the router would do. `problem` says why it would be refused; empty when it would not."""

    now: Line | None
    to: Line | None
    names_the_new_until: datetime
    problem: str


def shown_router() -> Line | None:
    """The router whose number is shown: the chosen one; while it cannot send, a healthy standby. None without any.

    Every router understands every command, so whoever has the other number loses nothing.
    """
    chosen, standby = chosen_router(), standby_router()
    may_send = chosen is None or not chosen.holds_queue
    return standby if not may_send and standby and standby.seen == Line.Seen.HEALTHY else chosen


def chosen_router() -> Line | None:
    """The one that an operator, or its age, has put in the first place."""
    return next(iter(_routers()), None)


def standby_router() -> Line | None:
    """The one that would take the router's place: healthy ones first, then those that never were replaced."""
    others = list(_routers()[1:])
    others.sort(key=lambda router: (router.seen != Line.Seen.HEALTHY, router.replaced_at is not None))
    return others[0] if others else None


def router_for_hints(human: str) -> Line | None:
    """Where a human who wrote to the wrong number is sent: some over the standby, which keeps it warm.

    The same human always over the same one, as long as both stand.
    """
    shown, standby = shown_router(), standby_router()
    if standby and standby.seen == Line.Seen.HEALTHY and zlib.crc32(human.encode()) % _WARMTH == 0:
        return standby
    return shown


def successor_of(router: Line, *, now: datetime) -> Line | None:
    """The router that took this one's place within the last 30 days, for it to name; None for a current one."""
    if router.replaced_at is None or now - router.replaced_at > NAMES_THE_NEW_FOR:
        return None
    chosen = chosen_router()
    return chosen if chosen and chosen.pk != router.pk else None


def forecast_rotation(*, to: Line | None = None, now: datetime | None = None) -> RotationForecast:
    """What showing another router's number would come to; the standby's unless one is named. Changes nothing."""
    now = now or timezone.now()
    chosen = chosen_router()
    to = to or standby_router()
    return RotationForecast(chosen, to, now + NAMES_THE_NEW_FOR, _problem(chosen, to, now=now))


def rotate_router(actor: Actor, *, to: Line | None = None, reason: str = "", though_unproved: bool = False) -> Line:
    """Show another router's number from now on, the standby's unless one is named; the line that is shown then.

    The former one answers every text with the new number for 30 days. Doing it the other way round undoes it. Raises
    `Forbidden`, `NotFound` without a router, `NoStandby`, `StandbyUnproved` unless the operator takes that on.
    """
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        list(Line.objects.routers().order_by("pk").select_for_update(no_key=True))
        chosen, to, now = chosen_router(), to or standby_router(), timezone.now()
        if chosen is None:
            raise NotFound("There is no router.")
        if to is None or to.pk == chosen.pk or not _is_ready(to):
            raise NoStandby()
        if not though_unproved and not has_been_in_use(to, now=now):
            raise StandbyUnproved()
        Line.objects.filter(pk=chosen.pk).update(replaced_at=now)
        Line.objects.filter(pk=to.pk).update(advertised_at=now, replaced_at=None)
        data = {"before": str(chosen.id), "after": str(to.id), "reason": reason}
        record(actor, "line.router_rotated", subject_id=to.id, data=data)
        to.refresh_from_db()
    return to


def has_been_in_use(router: Line, *, now: datetime) -> bool:
    """Whether it lately both sent a text and heard one."""
    since = now - _LATELY
    sent = Dispatch.objects.filter(line=router, outcome=Dispatch.Outcome.ACCEPTED, claimed_at__gt=since)
    heard = Callback.objects.filter(
        account_id=router.account_id, thread__startswith=f"{router.address}/", received_at__gt=since
    )
    return sent.exists() and heard.exists()


def _routers() -> Sequence[Line]:
    """Those in service, the chosen one first, else the oldest."""
    return list(
        Line.objects.routers()
        .select_related("account")
        .order_by(F("advertised_at").desc(nulls_last=True), "created_at")
    )


def _is_ready(router: Line) -> bool:
    in_service = router.kind == Line.Kind.ROUTER and router.wanted == Line.Wanted.IN_SERVICE
    return in_service and router.seen == Line.Seen.HEALTHY


def _problem(chosen: Line | None, to: Line | None, *, now: datetime) -> str:
    if to is None or (chosen and to.pk == chosen.pk) or not _is_ready(to):
        return NoStandby().message
    return "" if has_been_in_use(to, now=now) else StandbyUnproved().message
