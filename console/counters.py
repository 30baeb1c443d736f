"""The numbers in the rail. Each page family registers its own: cheap, bounded, in words."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from django.db.models import QuerySet

from core.actor import Actor

# Beyond this a counter says "99+": nobody acts on the difference, and counting stays cheap.
MOST = 99
# Open tabs of one organization share a count for so many seconds.
SHARED_FOR = 3.0

Count = Callable[[Actor], int]


@dataclass(frozen=True, slots=True)
class Counter:
    """What is counted beside a place of the rail, and in which words it is read out."""

    count: Count
    words: str
    urgent: bool


_counters: dict[str, Counter] = {}
_shared: dict[tuple[str, str], tuple[float, int]] = {}


def counter(place: str, words: str, *, urgent: bool = False) -> Callable[[Count], Count]:
    """Register a function as the counter of a place; `words` follow the number: "to review".

    An urgent one asks for somebody now: a failing endpoint, a human who waits.
    """

    def registered(count: Count) -> Count:
        _counters[place] = Counter(count, words, urgent)
        return count

    return registered


def bounded(rows: QuerySet[Any]) -> int:
    """How many rows there are, counted no further than the rail shows."""
    return rows.order_by().values("pk")[: MOST + 1].count()


def counted(place: str, actor: Actor) -> tuple[Counter, int] | None:
    """The place's counter and its number for this actor, at most a few seconds old; None when there is none."""
    if (found := _counters.get(place)) is None:
        return None
    key = (place, f"{actor.role}{actor.organization_id}")
    now = monotonic()
    at, number = _shared.get(key, (0.0, 0))
    if not at or now - at > SHARED_FOR:
        number = found.count(actor)
        _shared[key] = (now, number)
    return found, number


def forget_counts() -> None:
    """Count anew at the next look; for tests, and after a deed whose effect must show at once."""
    _shared.clear()
