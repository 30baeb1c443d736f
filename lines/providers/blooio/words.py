"""Blooio's words and ours, and its times."""

import contextlib
from datetime import UTC, datetime
from typing import Any

SERVICES = {"imessage": "imessage", "sms": "sms", "rcs": "rcs", "non-imessage": "sms"}

# Theirs that differ from ours, by our name; the rest is called the same.
EFFECTS = {"invisible": "invisible-ink"}
UNKNOWN_EFFECTS = {"shooting_star"}

STATES = {
    "pending": "pending",
    "queued": "queued",
    "cancellation_requested": "queued",
    "sent": "sent",
    "delivered": "delivered",
    "failed": "error",
    "cancelled": "declined",
}


def time_of(milliseconds: Any) -> datetime | None:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or milliseconds <= 0:
        return None
    with contextlib.suppress(OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    return None
