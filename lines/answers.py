"""What drivers read alike from a provider that answers in JSON over HTTP."""

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from lines.providers.base import LineReading, ProviderCallFailed, ProviderError


def object_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; raises `ProviderCallFailed` for anything else, which says nothing of the call."""
    try:
        body = response.json()
    except ValueError as unreadable:
        raise ProviderCallFailed(None) from unreadable
    if not isinstance(body, dict):
        raise ProviderCallFailed(None)
    return body


def object_in(body: bytes) -> dict[str, Any]:
    """The JSON object of a callback; raises `ValueError` for anything else."""
    event = json.loads(body)
    if not isinstance(event, dict):
        raise ValueError("A callback is an object.")
    return event


def clock_offset(date: str) -> float | None:
    """By an answer's `Date` header: their clock less ours, to the second, for it carries no more."""
    try:
        return round((parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def no_reading(error: ProviderError | None) -> LineReading:
    """What a probe that failed so tells of the line; without an error nobody answered."""
    code = error.code if error else "no_answer"
    return LineReading(
        state="down",
        reasons=[code],
        reachable=code not in {"unreachable", "no_answer"},
        authenticated=False if code == "unauthorized" else None,
    )
