"""How much more a line can take on: humans who talk, connections in all, and strangers that it writes to first.

Pure values; a forecast and the job that it foretells ask the same ones.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from lines.models import Line, Route
from lines.pacing import limits_of, no_strangers_before
from lines.pool import FILLED, country_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class NewContacts:
    """How many strangers a line may write to first: in any hour, in any day, and how far apart; None: no limit.

    `not_before`: until then none at all.
    """

    per_hour: int | None = None
    per_day: int | None = None
    apart: timedelta = timedelta()
    not_before: datetime | None = None

    def next_at(self, openings: list[datetime], now: datetime) -> datetime:
        """When the next may be written to; `openings` are those before, oldest first."""
        at = max(now, self.not_before or now)
        if openings:
            at = max(at, openings[-1] + self.apart)
        for most, window in ((self.per_hour, HOUR), (self.per_day, DAY)):
            if most is not None and len(openings) >= most:
                at = max(at, openings[-most] + window)
        return at


@dataclass(slots=True)
class Room:
    """What one line can still take; `take` uses some of it up."""

    line: Line
    limits: NewContacts
    talking: int = 0
    connections: int = 0
    openings: list[datetime] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.talking / max(1, self.line.capacity)

    def opens_at(self, now: datetime, *, talks: bool) -> datetime | None:
        """When the line may write to one more human first; None while it is full, or for ever."""
        if self.connections >= self.line.most_connections:
            return None
        if talks and self.talking >= FILLED * self.line.capacity:
            return None
        return self.limits.next_at(self.openings, now)

    def take(self, at: datetime, *, talks: bool) -> None:
        """One more human, written to first at this moment."""
        self.connections += 1
        self.talking += talks
        self.openings.append(at)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a human could go, and when."""

    room: Room
    at: datetime


def best_place(
    rooms: Iterable[Room], *, region: str, barred: Collection[UUID], talks: bool, now: datetime
) -> Place | None:
    """The line that can take the human first; among those that can at once by country, then by load.

    `region` is the human's country, `barred` are lines on which they have a pair with another agent. None when no
    line can take them.
    """
    places = []
    for room in rooms:
        at = None if room.line.id in barred else room.opens_at(now, talks=talks)
        if at is not None:
            abroad = bool(region) and country_of(room.line) not in {"", region}
            places.append((at, abroad, room.share, room.line.created_at, Place(room, at)))
    return min(places, key=lambda place: place[:-1])[-1] if places else None


def rooms_of(lines: Iterable[Line], *, now: datetime) -> list[Room]:
    """What these lines, read `with_load` and with their accounts, can take now."""
    rooms = {line.id: Room(line, new_contacts_of(line), line.talking, line.carried) for line in lines}  # type: ignore[attr-defined]
    opened = Route.objects.filter(line_id__in=rooms, opened_at__gt=now - DAY).order_by("opened_at")
    for route in opened.only("line_id", "opened_at"):
        if route.opened_at:
            rooms[route.line_id].openings.append(route.opened_at)
    return list(rooms.values())


def new_contacts_of(line: Line) -> NewContacts:
    """What the pace of the line allows, less a share that is kept for whatever cannot be planned."""
    limits = limits_of(line)
    return NewContacts(
        per_hour=_most_of(limits.new_per_hour),
        per_day=_most_of(limits.new_per_day),
        apart=timedelta(seconds=limits.new_gap or 0),
        not_before=no_strangers_before(line),
    )


def _most_of(most: int | None) -> int | None:
    return None if most is None else max(1, int(most * FILLED))
