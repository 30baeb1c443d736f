"""Which line carries whom: the pick, the reservation and the release of (line, human) pairs."""

from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Identity
from lines.models import RESERVED_FOR, Line, Route


def give_line(identity: Identity, human: str) -> Line | None:
    """A pool line for this pair, routed to the identity; None when no line is free for this human.

    Must be called inside a transaction. The identity's own reserved line comes first: the same thread on the
    phone. Else the healthy line that carries fewest, least recently given, on which this human has no pair
    with anybody (contract/lines.md 6.2).
    """
    _lock_human(human)
    now = timezone.now()
    own = _own_route(identity, human)
    if own:
        Route.objects.filter(pk=own.pk).update(held_until=None, updated_at=now)
        return own.line
    for line in _candidates(human):
        if _take(line, identity, human):
            Line.objects.filter(pk=line.pk).update(last_given_at=now)
            return line
    return None


def release_line(identity: Identity, human: str) -> None:
    """End the pair's live routes; they stay reserved for the identity for 30 days."""
    Route.objects.live().filter(identity=identity, human=human).update(
        held_until=timezone.now() + RESERVED_FOR, updated_at=timezone.now()
    )


def live_route(line: Line, human: str) -> Route | None:
    """Whose texts this human's texts on this line are, if anybody's."""
    wanted = ["*"] if line.kind == Line.Kind.DEDICATED else [human]
    return Route.objects.live().filter(line=line, human__in=wanted).select_related("identity").first()


def _own_route(identity: Identity, human: str) -> Route | None:
    """The pair's newest route on a line that still serves; an older one may lie on a line that was retired."""
    serving = {Line.Wanted.IN_SERVICE, Line.Wanted.DRAINING, Line.Wanted.PAUSED}
    return (
        Route.objects.filter(identity=identity, human=human, line__kind=Line.Kind.POOL, line__wanted__in=serving)
        .select_related("line")
        .order_by("-updated_at")
        .first()
    )


def _candidates(human: str) -> list[Line]:
    taken = Route.objects.filter(human=human).exclude(held_until__lt=Now()).values("line_id")
    lines = (
        Line.objects.taking_connections()
        .exclude(id__in=taken)
        .annotate(load=Count("routes", filter=Q(routes__held_until=None)))
        .order_by("load", "last_given_at", "created_at")
    )
    return list(lines)


def _take(line: Line, identity: Identity, human: str) -> bool:
    """Route the pair to the identity: a new row, or the row of another whose reservation has run out."""
    taken_over = (
        Route.objects.takeable()
        .filter(line=line, human=human)
        .update(identity=identity, held_until=None, updated_at=timezone.now())
    )
    if taken_over:
        return True
    try:
        with transaction.atomic():
            Route.objects.create(line=line, line_kind=line.kind, human=human, identity=identity)
    except IntegrityError:
        return False
    return True


def _lock_human(human: str) -> None:
    """One connect of a human at a time, whichever router and agent: two would pick the same line."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('connect'), hashtext(%s))", [human])
