"""What a dialect is given to say an event in, and what it gives back: the values that all webhooks are made of.

A dialect whose endpoints are told of events defines `WEBHOOK_EVENTS` (names of our catalogue -> its words; of the
others it tells nothing), `webhook_payloads(telling) -> list[Body]`, `webhook_headers(keys, posting) -> dict[str, str]`
and `SIGNATURE_HEADER`; `webhooks.vendors` lists them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

Shape = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Telling:
    """One of our events as an endpoint is to be told of it: what was frozen when it happened, and nothing else."""

    event_id: UUID
    event_type: str  # as the catalogue names it
    at: datetime
    data: Shape  # `message`, and by the event's type `tapback`, `line`, `conversation`, `released`
    agent: Shape | None  # `id`, `handle`, `display_name`; None when an endpoint of all identities is tried
    order_number: int | None = None  # within the conversation, for dialects that number
    history: Sequence[Shape] = ()  # messages told before it, oldest first, as many as the endpoint asks for
    context: Shape | None = None  # the same as Inkbox words it


@dataclass(frozen=True, slots=True)
class Body:
    """One thing to post. `told_id` is what its receiver tells repeats by; empty for the event's own id."""

    payload: dict[str, Any]
    told_id: str = ""


@dataclass(frozen=True, slots=True)
class Posting:
    """One request about to leave; every attempt has a request id and a timestamp of its own."""

    request_id: str
    told_id: str
    event_type: str  # as the catalogue names it
    timestamp: int  # Unix seconds
    body: bytes
