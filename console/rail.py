"""The places of the console in the order of a shift; a place is shown once its pages exist."""

from dataclasses import dataclass, replace
from functools import cache

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from console import counters
from core.actor import Actor, Role


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the rail: the name of its URL, the letter that leads there after `g`, and the first parts of the
    paths that belong to it.
    """

    name: str
    label: str
    icon: str
    letter: str
    parts: tuple[str, ...] = ()
    development: bool = False
    operators: bool = False


MAIN = (
    Place("threads", "Threads", "threads", "t", ("trace",)),
    Place("blocked", "Blocked", "blocked", "b"),
    Place("lines", "Lines", "lines", "l", operators=True),
    Place("deliveries", "Deliveries", "deliveries", "d"),
    Place("rules", "Rules", "rules", "r", ("rehearsals", "shadows")),
    Place("identities", "Identities", "identities", "i"),
)
MORE = (
    Place("webhooks", "Webhooks", "webhooks", "w"),
    Place("jobs", "Jobs", "jobs", "j"),
    Place("phones", "Phone", "phone", "p", ("phone",), development=True),
    Place("search", "Search", "search", "s"),
)
# What a region that shows the rail's numbers listens to.
TOPICS = "threads blocked lines deliveries webhooks jobs"


@dataclass(frozen=True, slots=True)
class Entry:
    """A place as the rail shows it."""

    name: str
    label: str
    icon: str
    url: str
    current: bool
    key: str
    count: str = ""
    words: str = ""
    urgent: bool = False


def entries(places: tuple[Place, ...], actor: Actor, here: str) -> list[Entry]:
    """The places that exist, with their numbers; `here` is the part of the path that names where the reader is."""
    return [_entry(place, url, actor, here) for place, url in shown(places, actor)]


def shown(places: tuple[Place, ...], actor: Actor) -> list[tuple[Place, str]]:
    """The places that exist for this reader, with their addresses."""
    return [(place, url) for place, url in _standing(places) if _is_for(place, actor)]


def _is_for(place: Place, actor: Actor) -> bool:
    if place.operators and actor.role is not Role.OPERATOR:
        return False
    return not place.development or has_phones(actor)


def has_phones(actor: Actor) -> bool:
    """Whether this reader may be the humans of the simulated network: operators, in development."""
    return bool(settings.DEVELOPMENT and settings.SIMULATOR_URL) and actor.role is Role.OPERATOR


@cache
def _standing(places: tuple[Place, ...]) -> list[tuple[Place, str]]:
    """The places whose pages exist, with their addresses."""
    found = []
    for place in places:
        try:
            found.append((place, reverse(f"console:{place.name}")))
        except NoReverseMatch:
            continue
    return found


def here_of(request: HttpRequest) -> str:
    """The part of a console path that names the place: `/console/<place>/...`."""
    parts = request.path.split("/")
    return parts[2] if len(parts) > 2 else ""


def _entry(place: Place, url: str, actor: Actor, here: str) -> Entry:
    entry = Entry(
        place.name, place.label, place.icon, url, here == place.name or here in place.parts, f"g {place.letter}"
    )
    found = counters.counted(place.name, actor)
    if found is None or not found[1]:
        return entry
    counter, number = found
    count = str(number) if number <= counters.MOST else f"{counters.MOST}+"
    return replace(entry, count=count, words=counter.words, urgent=counter.urgent)
