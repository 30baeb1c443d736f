"""Deliveries and endpoints as people read them: outcomes, causes and what will happen, in words."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.utils import timezone

from console.masking import sees_numbers
from core.actor import Actor, Role
from webhooks import causes, outcomes
from webhooks.models import Attempt, Delivery, Subscription
from webhooks.schedule import DISABLED_AFTER
from webhooks.statistics import NO_FIGURES, Figures
from webhooks.vendors import VENDORS

WORDS = {
    outcomes.WAITING: "Waiting",
    outcomes.RETRYING: "Retrying",
    outcomes.DELIVERED: "Delivered",
    outcomes.FAILED: "Failed",
    outcomes.DROPPED: "Dropped, endpoint disabled",
    outcomes.GONE: "Gone",
    outcomes.CANCELLED: "Cancelled",
}
_TONES = {
    outcomes.DELIVERED: "is-good",
    outcomes.FAILED: "is-bad",
    outcomes.DROPPED: "is-bad",
    outcomes.GONE: "is-bad",
}

# Where payloads hold what people wrote.
_TEXTS = {"content", "text", "message", "body", "messageBody"}
HIDDEN_TEXT = "(hidden from viewers)"

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery: the word, why, and when it is tried next."""

    words: str
    tone: str
    cause: str
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One row of a list of deliveries."""

    delivery: Delivery
    outcome: Outcome
    host: str
    type_words: str

    @property
    def label(self) -> str:
        """For controls of this row."""
        return f"{self.type_words} to {self.host}, {self.delivery.created_at:%d %b %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Try:
    """One request of a delivery, for the ladder."""

    attempt: Attempt
    words: str
    tone: str
    detail: str
    headers: Sequence[tuple[str, str]]
    answer: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """How an endpoint is: the word, its tone, and what will happen when, at length and in brief."""

    word: str
    tone: str
    forecast: str
    at: datetime | None = None
    brief: str = ""


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One row of the list of endpoints."""

    subscription: Subscription
    host: str
    state: State
    figures: Figures
    types: Sequence[str]


def row_of(actor: Actor, delivery: Delivery) -> DeliveryRow:
    """A delivery with its endpoint, for a list."""
    return DeliveryRow(
        delivery,
        outcome_of(actor, delivery),
        host_of(delivery.subscription.url),
        type_in_words(delivery.event_type, delivery.subscription.dialect),
    )


def outcome_of(actor: Actor, delivery: Delivery) -> Outcome:
    """In words; why no connection came about is told exactly only to the installation's operators."""
    word = outcomes.outcome_of(delivery)
    words, next_at = WORDS[word], outcomes.next_try_at(delivery)
    if word == outcomes.RETRYING and next_at:
        words = f"Retrying {in_words_from_now(next_at)}"
    if delivery.is_in_flight:
        words = "Under way"
    return Outcome(words, _TONES.get(word, ""), cause_of(actor, delivery.cause), next_at)


def cause_of(actor: Actor, cause: str) -> str:
    """A cause as this reader may know it."""
    return causes.in_words(cause, exactly=actor.role is Role.OPERATOR)


def try_of(actor: Actor, attempt: Attempt) -> Try:
    """A request with what came of it."""
    if attempt.succeeded:
        words, tone = f"{attempt.response_status} in {attempt.duration_ms} ms", "is-good"
    elif attempt.response_status:
        words = f"{attempt.response_status} in {attempt.duration_ms} ms: {cause_of(actor, attempt.cause)}"
        tone = "is-bad"
    else:
        words, tone = cause_of(actor, attempt.cause) or "No answer", "is-bad"
    kind = "sent again by hand" if attempt.is_replay else f"attempt {attempt.number}"
    return Try(
        attempt,
        words,
        tone,
        kind,
        sorted(attempt.request_headers.items()),
        # What an endpoint answers may repeat what it was sent.
        answer=(attempt.response_body or "") if sees_numbers(actor) else "",
        trouble=attempt.error_detail or "",
    )


def state_of(subscription: Subscription) -> State:
    """How an endpoint is and what comes next; deleted ones are no more asked about."""
    if subscription.status == Subscription.Status.DISABLED:
        return _disabled(subscription)
    if subscription.failing_since:
        disabled_at = subscription.failing_since + DISABLED_AFTER
        held = subscription.held_until
        if held and held > timezone.now():
            brief = f"Asked us to stay away, next try {in_words_from_now(held)}"
            return State("Failing", "is-bad", "It asked us to stay away. Next try", held, brief)
        brief = f"Disabled {in_words_from_now(disabled_at)} if nothing arrives"
        return State("Failing", "is-bad", "Disabled, unless something arrives, at", disabled_at, brief)
    if subscription.held_until and subscription.held_until > timezone.now():
        brief = f"Asked us to stay away, next try {in_words_from_now(subscription.held_until)}"
        return State("Working", "is-good", "It asked us to stay away until", subscription.held_until, brief)
    return State("Working" if subscription.last_success_at else "Not called yet", "is-good", "")


def _disabled(subscription: Subscription) -> State:
    at = subscription.disabled_at
    if subscription.disabled_reason == "gone":
        return State("Gone", "is-bad", "It answered 410. Nothing goes there since", at, "It answered 410")
    if subscription.disabled_reason == "asked":
        return State("Disabled", "is-held", "By hand. Nothing goes there since", at, "By hand")
    return State(
        "Disabled", "is-bad", "By five days of failures. Nothing goes there since", at, "By five days of failures"
    )


def endpoint_row(subscription: Subscription, figures: Figures | None) -> EndpointRow:
    """An endpoint for a list."""
    return EndpointRow(
        subscription,
        host_of(subscription.url),
        state_of(subscription),
        figures or NO_FIGURES,
        types_of(subscription),
    )


def host_of(url: str) -> str:
    """The host of an endpoint, with a port that is not the usual one."""
    return urlsplit(url).netloc


def type_in_words(event_type: str, dialect: str = Subscription.Dialect.INKBOX) -> str:
    """An event type as endpoints of a dialect are told it."""
    return VENDORS[dialect].events.get(event_type, event_type)


def types_of(subscription: Subscription) -> list[str]:
    """What an endpoint hears of, in its dialect's words."""
    return [type_in_words(name, subscription.dialect) for name in subscription.event_types]


def payload_of(actor: Actor, delivery: Delivery) -> Any:
    """The body as a value, without what people wrote for a viewer."""
    try:
        payload = json.loads(delivery.body)
    except ValueError:
        payload = delivery.body
    return payload if sees_numbers(actor) else _without_texts(payload)


def _without_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: HIDDEN_TEXT if key in _TEXTS and isinstance(inner, str) else _without_texts(inner)
            for key, inner in value.items()
        }
    return [_without_texts(inner) for inner in value] if isinstance(value, list) else value


def in_words_from_now(moment: datetime) -> str:
    """How far away a moment is: *now*, *in 4 min*, *in 3 h*."""
    seconds = (moment - timezone.now()) / timedelta(seconds=1)
    if seconds < 1:
        return "now"
    if seconds < _MINUTE:
        return f"in {int(seconds)} s"
    if seconds < _HOUR:
        return f"in {int(seconds // _MINUTE)} min"
    return f"in {int(seconds // _HOUR)} h" if seconds < 2 * _DAY else f"in {int(seconds // _DAY)} d"
