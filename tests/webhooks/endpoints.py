"""Endpoints for tests: real HTTP servers on loopback that keep what they were sent, and rows for them."""

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Identity
from core.actor import Actor
from events.models import Event
from imessage.models import Conversation, Message
from imessage.telling import tell
from tests import make
from tests.core import receivers
from webhooks.fanout import fan_out
from webhooks.models import Delivery, Subscription
from webhooks.vendors import VENDORS


@dataclass
class Request:
    """One request as it arrived: headers by lower-case name."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def payload(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass
class Endpoint:
    """What a receiver was sent so far, and what it answers: `answer(request)` gives the status."""

    answer: Callable[[Request], int]
    url: str = ""
    requests: list[Request] = field(default_factory=list)

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [request.payload for request in self.requests]

    @property
    def sequences(self) -> list[int]:
        return sorted({payload["sequence"] for payload in self.payloads})


@contextlib.contextmanager
def endpoint(answer: Callable[[Request], int] = lambda request: 200) -> Iterator[Endpoint]:
    """A receiver that answers as told."""
    there = Endpoint(answer)
    lock = threading.Lock()

    def handle(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> int:
        request = Request(handler.path, {name.lower(): value for name, value in handler.headers.items()}, body)
        with lock:
            there.requests.append(request)
        return there.answer(request)

    with receivers.web(handle) as receiver:
        there.url = receiver.url
        yield there


def subscribe(
    identity: Identity, url: str, event_types: list[str] | None = None, dialect: str = "inkbox", **fields: Any
) -> Subscription:
    """A subscription to everything, written directly."""
    return Subscription.objects.create(
        organization_id=identity.organization_id,
        identity=identity,
        url=url,
        event_types=event_types or list(VENDORS[dialect].events),
        dialect=dialect,
        created_at=timezone.now() - timedelta(minutes=1),
        **fields,
    )


def happen(message: Message, type: str = "message.received", **data: Any) -> Event:
    """The event of a message, as the product records it."""
    with transaction.atomic():
        return tell(Actor.system("tests"), type, message, **data)


def deliver(conversation: Conversation, count: int = 1) -> list[Delivery]:
    """So many inbound texts, fanned out; their deliveries."""
    before = set(Delivery.objects.values_list("id", flat=True))
    for number in range(count):
        fan_out(happen(make.make_message(conversation, f"text {number}")).number)
    return list(Delivery.objects.exclude(pk__in=before).order_by("id"))


def make_due(subscription: Subscription | None = None) -> None:
    """As if the waits were over."""
    rows = Delivery.objects.pending()
    if subscription:
        rows = rows.filter(subscription=subscription)
    rows.update(next_attempt_at=timezone.now())
    Subscription.objects.update(held_until=None)
