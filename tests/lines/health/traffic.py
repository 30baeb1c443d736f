"""Traffic of a line as its tables would hold it: calls and callbacks at moments of the test's choosing."""

import itertools
import os
import uuid
from datetime import datetime, timedelta
from typing import Any

from lines.models import Callback, Dispatch, Line, LineHour

NOW = datetime.fromisoformat("2026-11-21T12:00:00+00:00")

_numbers = itertools.count(1)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def human(number: int) -> str:
    return f"+1555556{number:04d}"


def sent(line: Line, to: str = "", *, at: datetime, delivered: float | None = 1.0, **fields: Any) -> Dispatch:
    """A text that the provider took within a second; `delivered` seconds later it arrived, or never (None)."""
    settled = at + timedelta(seconds=fields.pop("took", 0.5))
    key = uuid.UUID(int=(int(at.timestamp() * 1000) << 80) | int.from_bytes(os.urandom(9)))
    return Dispatch.objects.create(
        **{
            "id": key,
            "kind": "message",
            "order_id": uuid.uuid4(),
            "attempt": 1,
            "line": line,
            "human": to or human(1),
            "outcome": "accepted",
            "handle": f"h{next(_numbers)}",
            "claimed_at": at,
            "settled_at": settled,
            "delivered_at": settled + timedelta(seconds=delivered) if delivered is not None else None,
            **fields,
        }
    )


def failed(line: Line, to: str = "", *, at: datetime, **fields: Any) -> Dispatch:
    """A text that the provider refused, to the blame of the line."""
    blame = {"outcome": "refused", "counts_against_line": True, "error_class": "retryable", "error_code": "boom"}
    return sent(line, to, at=at, delivered=None, **{**blame, "handle": "", **fields})


def heard(line: Line, of: str = "", *, at: datetime, delay: float = 0.5, **fields: Any) -> Callback:
    """A text of a human that came in `delay` seconds after it was written."""
    return Callback.objects.create(
        **{
            "account": line.account,
            "event_key": f"k{next(_numbers)}",
            "body": b"{}",
            "state": "applied",
            "kind": "text",
            "line": line,
            "human": of or human(1),
            "provider_at": at - timedelta(seconds=delay),
            "received_at": at,
            **fields,
        }
    )


def hour(line: Line, *, hours_ago: float, **counts: Any) -> LineHour:
    begins = ago(hours=hours_ago).replace(minute=0, second=0, microsecond=0)
    return LineHour.objects.create(line=line, hour=begins, **counts)
