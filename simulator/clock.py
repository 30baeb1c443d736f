"""The network's clock: one fixed-width form of time in every journal line, answer and callback."""

from datetime import UTC, datetime, timedelta

from simulator.refusals import invalid


def stamp(*, ahead: float = 0) -> str:
    """Now, as ISO 8601 in UTC with microseconds; the strings sort as the moments do. `ahead` is in seconds."""
    return (datetime.now(UTC) + timedelta(seconds=ahead)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The moment an ISO 8601 text names; without an offset it is taken as UTC.

    Raises `Refusal` (422). In a query string a bare `+` arrives as a space, so that is read as the offset's sign.
    """
    for candidate in (text, "+".join(text.rsplit(" ", 1))):
        try:
            parsed = datetime.fromisoformat(candidate)
        except ValueError:
            continue
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    raise invalid("since must be an ISO 8601 time, like 2026-01-31T12:00:00Z.")
