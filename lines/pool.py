"""Which line carries whom: the pick, the reservation and the release of (line, human) pairs.

Whoever gives a pair away holds one lock, so no two of them pick by the same figures.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

import phonenumbers
from django.conf import settings
from django.db import connection, models
from django.db.models import Count, Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Identity
from lines.models import ANY_HUMAN, RESERVED_FOR, Line, Route
from lines.pacing import limits_of

# New humans come no nearer to a line's limits than this; the rest is for those it knows.
FILLED = 0.8

# A pair's traffic is noted once in so long, not with every text.
_NOTED_EVERY = timedelta(minutes=10)


def give_line(identity: Identity, human: str, *, replacing: bool = False) -> Line | None:
    """A pool line for this pair, routed to the identity; None when no line is free for this human.

    Must be called inside a transaction. The identity's own reserved line comes first: the same thread on the phone.
    Else a healthy line on which this human has no pair with anybody, with room: of the human's country, the one
    with the least load, then the one whose neighbours are least of the same organization, then the one that was not
    given for the longest time. `replacing`: the human's own word that their oldest reservation may be given up.
    """
    lock_assignment()
    now = timezone.now()
    own = _own_route(identity, human)
    if own:
        Route.objects.filter(pk=own.pk).update(
            role=Route.Role.MAIN, held_until=None, last_traffic_at=now, updated_at=now
        )
        return own.line
    line = next(iter(_candidates(identity, human, now=now)), None)
    if line:
        take(line, identity, human, now=now)
        Line.objects.filter(pk=line.pk).update(last_given_at=now)
    elif replacing:
        line = _replace_oldest(identity, human, now=now)
    return line


def is_worth_waiting(human: str) -> bool:
    """Whether a line may come free for this human by itself: one in service that is only full, or not healthy now."""
    lines = Line.objects.in_service().filter(kind=Line.Kind.POOL, service=Line.Service.IMESSAGE)
    return lines.exclude(id__in=taken_for(human)).exists()


def has_reservations(human: str) -> bool:
    """Whether this human could give up a reservation to make room for another agent."""
    return _replaceable(human).exists()


def give_sms_line(identity: Identity, human: str) -> Line | None:
    """The SMS number of this pair, its second address; the one it has, or a new one. None when there is none.

    Must be called inside a transaction. One SMS number serves one agent per human, like any line.
    """
    own = sms_route(identity, human)
    if own and own.held_until is None:
        return own.line
    lock_assignment()
    now = timezone.now()
    if own:
        Route.objects.filter(pk=own.pk).update(held_until=None, last_traffic_at=now, updated_at=now)
        return own.line
    line = next(iter(_candidates(identity, human, now=now, service=Line.Service.SMS)), None)
    if line:
        take(line, identity, human, now=now, role=Route.Role.SMS)
        Line.objects.filter(pk=line.pk).update(last_given_at=now)
    return line


def sms_route(identity: Identity, human: str) -> Route | None:
    """The pair's second address, live or reserved."""
    routes = Route.objects.filter(identity=identity, human=human, role=Route.Role.SMS, line__wanted__in=_SERVING)
    return routes.select_related("line__account").order_by("-updated_at").first()


def release_line(identity: Identity, human: str) -> None:
    """End the pair's routes, second address and former lines included; they stay reserved for 30 days."""
    now = timezone.now()
    routes = Route.objects.filter(identity=identity, human=human)
    # A former line reaches the agent no more, and it is not the one that a reconnect goes back to.
    routes.filter(role=Route.Role.ALIAS).update(role=Route.Role.MAIN, held_until=now + RESERVED_FOR)
    routes.live().update(held_until=now + RESERVED_FOR, updated_at=now)


def live_route(line: Line, human: str) -> Route | None:
    """Whose texts this human's texts on this line are, if anybody's."""
    wanted = [ANY_HUMAN] if line.kind == Line.Kind.DEDICATED else [human]
    return Route.objects.reaching().filter(line=line, human__in=wanted).select_related("identity").first()


def owner_of(line: Line) -> Identity | None:
    """The agent that a dedicated line speaks for, if it is attached to one."""
    route = Route.objects.live().filter(line=line, human=ANY_HUMAN).select_related("identity").first()
    return route.identity if route else None


def note_traffic(route: Route, *, now: datetime) -> None:
    """Remember that the human wrote: who talks counts against the line's capacity."""
    if route.last_traffic_at is None or now - route.last_traffic_at > _NOTED_EVERY:
        Route.objects.filter(pk=route.pk).update(last_traffic_at=now)


def note_sent(line: Line, human: str, *, now: datetime) -> None:
    """The same for a text to the human."""
    routes = Route.objects.filter(line=line, human=human)
    routes.filter(Q(last_traffic_at=None) | Q(last_traffic_at__lt=now - _NOTED_EVERY)).update(last_traffic_at=now)


def lock_assignment() -> None:
    """One pick at a time, whichever human and agent; until the transaction ends. After the locks of rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('assign'))")


def taken_for(human: str) -> models.QuerySet[Route, Any]:
    """The lines on which this human has a pair with anybody, live or reserved."""
    return Route.objects.standing().filter(human=human).values("line_id")


def take(
    line: Line,
    identity: Identity,
    human: str,
    *,
    now: datetime,
    role: Route.Role = Route.Role.MAIN,
    opened_at: datetime | None = None,
) -> None:
    """Route the pair to the identity: a new row, its own reserved one, or one whose reservation has run out.

    The caller holds the lock of assignment and has made sure that the pair is free.
    """
    fields = {
        "identity": identity,
        "role": role,
        "held_until": None,
        "opened_at": opened_at,
        "last_traffic_at": now,
        "updated_at": now,
    }
    free = Q(held_until__lt=Now()) | Q(identity=identity, held_until__isnull=False)
    if not Route.objects.filter(free, line=line, human=human).update(**fields):
        Route.objects.create(line=line, line_kind=line.kind, human=human, **fields)


def region_of(human: str) -> str:
    """The country of a number, ISO 3166; empty when it says none."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(human)) or ""
    except phonenumbers.NumberParseException:
        return ""


_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_SERVING = (Line.Wanted.IN_SERVICE, Line.Wanted.DRAINING, Line.Wanted.PAUSED)


def _own_route(identity: Identity, human: str) -> Route | None:
    """The pair's newest route on a line that still serves; an older one may lie on a line that was retired."""
    return (
        Route.objects.filter(identity=identity, human=human, line__kind=Line.Kind.POOL, line__wanted__in=_SERVING)
        .exclude(role=Route.Role.SMS)
        .select_related("line")
        .order_by("-updated_at")
        .first()
    )


def _candidates(
    identity: Identity, human: str, *, now: datetime, service: str = Line.Service.IMESSAGE
) -> Sequence[Line]:
    """Lines that may be given to this pair, best first; by policy, without any, those that are not quite well."""
    free = Line.objects.in_service().filter(kind=Line.Kind.POOL, service=service).exclude(id__in=taken_for(human))
    lines = list(free.select_related("account").with_load(now))
    well = [line for line in lines if line.seen == Line.Seen.HEALTHY and has_room(line, FILLED)]
    if not well and settings.POOL_LAST_RESORT:
        well = [line for line in lines if line.seen in _LAST_RESORT and has_room(line, 1.0)]
    return _best_first(well, identity, human)


_LAST_RESORT = (Line.Seen.HEALTHY, Line.Seen.DEGRADED)


def has_room(line: Line, filled: float) -> bool:
    """Whether one more human may come to a line that was read `with_load`."""
    talking, carried, opened = line.talking, line.carried, line.opened_day  # type: ignore[attr-defined]
    strangers = limits_of(line).new_per_day
    has_allowance = strangers is None or opened < filled * strangers
    return bool(talking < filled * line.capacity and carried < line.most_connections and has_allowance)


def country_of(line: Line) -> str:
    """The line's own country, or its account's."""
    return line.region or line.account.region


def _best_first(lines: Sequence[Line], identity: Identity, human: str) -> Sequence[Line]:
    region = region_of(human)

    def burden(line: Line) -> tuple[bool, float, int]:
        abroad = bool(region) and country_of(line) not in {"", region}
        return abroad, line.share, line.carried  # type: ignore[attr-defined]

    ordered = sorted(lines, key=lambda line: (burden(line), line.last_given_at or _LONG_AGO, line.created_at))
    equal = list(takewhile(lambda line: burden(line) == burden(ordered[0]), ordered))
    if len(equal) < 2:
        return ordered
    # What fails together should not carry all of one organization's humans.
    neighbours = _neighbours(identity)
    return sorted(equal, key=lambda line: neighbours[line.account_id, line.domain]) + ordered[len(equal) :]


def _neighbours(identity: Identity) -> Counter[tuple[UUID, str]]:
    """How many humans of the organization there are on each account and failure domain."""
    routes = Route.objects.carrying().filter(identity__organization_id=identity.organization_id).order_by()
    counted = routes.values_list("line__account_id", "line__domain").annotate(count=Count("id"))
    return Counter({(account_id, domain): count for account_id, domain, count in counted})


def _replaceable(human: str) -> models.QuerySet[Route]:
    lines = Line.objects.taking_connections()
    return Route.objects.filter(human=human, role=Route.Role.MAIN, held_until__gt=Now(), line__in=lines)


def _replace_oldest(identity: Identity, human: str, *, now: datetime) -> Line | None:
    oldest = _replaceable(human).select_related("line").order_by("held_until").first()
    if oldest is None:
        return None
    Route.objects.filter(pk=oldest.pk).update(
        identity=identity, held_until=None, opened_at=None, last_traffic_at=now, updated_at=now
    )
    return oldest.line
