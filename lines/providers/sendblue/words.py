"""Sendblue's words and ours, and values read from its JSON, which may hold anything."""

from datetime import UTC, datetime
from typing import Any

SERVICES = {"imessage": "imessage", "sms": "sms", "rcs": "rcs"}

STATES = {
    "REGISTERED": "pending",
    "PENDING": "pending",
    "QUEUED": "queued",
    "ACCEPTED": "accepted",
    "SENT": "sent",
    "SUCCESS": "sent",
    "DELIVERED": "delivered",
    "DECLINED": "declined",
    "ERROR": "error",
}


def time_of(value: Any) -> datetime | None:
    if not isinstance(value, str) or not value:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
