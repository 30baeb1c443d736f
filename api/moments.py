"""Times in queries: an instant, a time of day somewhere, or a whole day (contract/inkbox.md 8.2)."""

import functools
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated

from pydantic import BaseModel, Field

from api.parsing import Documented
from core.errors import Invalid

# Outside of these years neither Python nor PostgreSQL can shift a time to every zone.
_YEARS = range(1900, 3000)


Moment = Annotated[
    str,
    Field(max_length=60),
    Documented(format="moment", description="ISO 8601: a date, or a time with or without zone."),
]


class Span(BaseModel):
    """A stretch of time, by `created_at`. Times without a zone are read in `tz`, UTC when it is left out."""

    start_datetime: Moment | None = None
    end_datetime: Moment | None = None
    tz: Annotated[str, Field(max_length=60), Documented(format="time-zone")] | None = None

    def conditions(self) -> dict[str, datetime]:
        """Conditions on `created_at`; a bare date as the end includes the whole day. Raises `Invalid`."""
        zone = _zone(self.tz)
        found: dict[str, datetime] = {}
        if self.start_datetime is not None:
            found["created_at__gte"], _ = _read(self.start_datetime, zone, name="start_datetime")
        if self.end_datetime is not None:
            moment, whole_day = _read(self.end_datetime, zone, name="end_datetime")
            if whole_day:
                found["created_at__lt"] = _midnight(moment.date() + timedelta(days=1), zone)
            else:
                found["created_at__lte"] = moment
        return found


def _read(text: str, zone: tzinfo, *, name: str) -> tuple[datetime, bool]:
    """The moment that `text` means, and whether it is a bare date."""
    try:
        day = _day(text)
        moment = datetime.combine(day, time.min) if day else datetime.fromisoformat(text)
    except ValueError as odd:
        raise Invalid(
            "Must be an ISO 8601 date or time, like 2026-06-09 or 2026-06-09T12:30:00Z.", loc=["query", name]
        ) from odd
    if moment.year not in _YEARS:
        raise Invalid("The year must lie between 1900 and 2999.", loc=["query", name])
    # PostgreSQL reads fewer offsets than ISO 8601 can write.
    return (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=zone)), day is not None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=zone)


def _zone(name: str | None) -> tzinfo:
    if name is None or name == "UTC":
        return UTC
    if name not in _zones():
        raise Invalid("Must be the name of a time zone, like Europe/Berlin.", loc=["query", "tz"])
    return zoneinfo.ZoneInfo(name)


@functools.cache
def _zones() -> set[str]:
    return zoneinfo.available_timezones()
