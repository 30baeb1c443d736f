"""Moments as people write them on a command line."""

from datetime import UTC, date, datetime, time

from core.errors import Invalid


def moment_of(text: str) -> datetime:
    """An ISO 8601 moment, or the beginning of a day; without a zone in UTC. Raises `Invalid`."""
    try:
        moment = datetime.combine(day, time.min) if (day := _day(text)) else datetime.fromisoformat(text)
    except ValueError as odd:
        raise Invalid(f"{text!r} is no moment in ISO 8601, such as 2026-06-09 or 2026-06-09T12:00:00+00:00.") from odd
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
