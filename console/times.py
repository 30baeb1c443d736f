"""Times in the reader's zone by one rule: relative in lists, exact with the zone on hover and on pages of one thing;
exact everywhere for who prefers that, since a hover asks for a pointer.

Addresses always carry UTC; only what people read is translated.
"""

import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import cache

from django.http import HttpRequest
from django.utils import timezone

from console.models import Preferences

# The value "utc" of this cookie shows every time in UTC until it is taken away.
COOKIE = "times"

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Times:
    """How times are written for one reader."""

    zone: tzinfo = UTC
    half_days: bool = False
    always_exact: bool = False

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone)

    def day(self, moment: datetime) -> date:
        """The reader's day that the moment falls on."""
        return self.local(moment).date()

    def clock(self, moment: datetime, *, seconds: bool = False) -> str:
        """14:05, or 2:05 pm."""
        local = self.local(moment)
        if not self.half_days:
            return f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
        words = f"{local:%I:%M:%S}" if seconds else f"{local:%I:%M}"
        return f"{words.lstrip('0')} {'am' if local.hour < 12 else 'pm'}"

    def zone_of(self, moment: datetime) -> str:
        """The zone's short name at that moment: CET, UTC, UTC+05."""
        name = f"{self.local(moment):%Z}"
        return f"UTC{name}" if name[:1] in "+-" else name

    def exact(self, moment: datetime) -> str:
        """Day and time to the second, with the zone."""
        local = self.local(moment)
        return f"{local.day} {local:%b %Y}, {self.clock(moment, seconds=True)} {self.zone_of(moment)}"

    def whole(self, moment: datetime) -> str:
        """As `exact`, with the day of the week."""
        return f"{self.local(moment):%A} {self.exact(moment)}"

    def distance(self, moment: datetime) -> str:
        """How long ago, in the words of `page.js`, which must stay the same; beyond a week the day."""
        seconds = (timezone.now() - moment).total_seconds()
        if seconds < _MINUTE:
            return "now"
        if seconds < _HOUR:
            return f"{int(seconds // _MINUTE)} min"
        if seconds < _DAY:
            return f"{int(seconds // _HOUR)} h"
        if seconds < 7 * _DAY:
            return f"{int(seconds // _DAY)} d"
        local = self.local(moment)
        return f"{local.day} {local:%b}" if seconds < 300 * _DAY else f"{local.day} {local:%b %Y}"


def times_of(request: HttpRequest | None) -> Times:
    """How the person behind this request reads times; UTC for anybody unknown."""
    preferences: Preferences | None = getattr(request, "preferences", None)
    if request is None or preferences is None:
        return Times()
    zone = UTC if in_utc(request) else zone_called(preferences.zone)
    half_days = preferences.clock == Preferences.Clock.H12
    return Times(zone=zone, half_days=half_days, always_exact=preferences.exact_times)


def in_utc(request: HttpRequest) -> bool:
    """Whether the reader has switched to UTC for now."""
    return request.COOKIES.get(COOKIE) == "utc"


@cache
def zone_called(name: str) -> tzinfo:
    """The zone of this name; UTC when the machine has no file for it."""
    try:
        return UTC if name == "UTC" else zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


@cache
def zone_names() -> list[str]:
    """The zones to choose from, UTC first; UTC alone when the machine has no zone files."""
    places = {name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/")}
    return ["UTC", *sorted(places)]
