"""One text from end to end: callback, verdict, event, webhook attempts, the agent's answer and its way to the phone."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db.models import Prefetch
from django.urls import reverse
from django.utils import timezone

from console.thread.items import steps_of
from console.thread.places import place_of
from console.thread.window import rules_of
from console.thread.words import verdict_in_words
from contactrules.models import Decision
from core.actor import Actor, Role
from core.errors import NotFound
from core.ids import from_prefixed
from events.models import Event
from imessage.models import Conversation, Direction, Message
from lines.models import Callback, Dispatch
from webhooks.models import Attempt, Delivery

# A step that took longer than this is marked as a wait.
A_WAIT = timedelta(seconds=5)
# An event told to more endpoints, or tried more often, shows so many.
MOST = 50

_OUTCOMES = {
    Dispatch.Outcome.IN_FLIGHT: "under way",
    Dispatch.Outcome.ACCEPTED: "taken by the provider",
    Dispatch.Outcome.REFUSED: "refused by the provider",
    Dispatch.Outcome.UNKNOWN: "outcome unknown, being looked up",
    Dispatch.Outcome.NOT_SENT: "looked up: never sent",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to the text; `at` is None for what is still to come."""

    title: str
    at: datetime | None
    detail: str = ""
    tone: str = ""
    link: str = ""
    took: timedelta | None = None

    @property
    def is_wait(self) -> bool:
        return self.took is not None and self.took > A_WAIT


def find(actor: Actor, any_id: str) -> Message:
    """The text that an id speaks of: its own, its event's, delivery's or request's, or its conversation's newest.

    Raises `NotFound` when the actor may see nothing by that id.
    """
    for message in _candidates(actor, any_id.strip()):
        if message is not None:
            return message
    raise NotFound("Nothing is known by this id. A trace takes the id of a message, event, delivery or request.")


def trace(actor: Actor, message: Message) -> list[Step]:
    """What happened to a text, in order of time, each step with the time since the one before."""
    steps = list(_came_in(actor, message) if message.direction == Direction.INBOUND else _went_out(actor, message))
    past = sorted((step for step in steps if step.at), key=lambda step: step.at or timezone.now())
    return [*_timed(past), *(step for step in steps if step.at is None)]


def as_text(message: Message, steps: list[Step]) -> str:
    """The trace for an incident note: one line per step, times in UTC, no words of the text itself."""
    lines = [f"Trace of message {message.id}"]
    for step in steps:
        at = f"{step.at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z" if step.at else "pending".ljust(24)
        took = f"+{step.took.total_seconds():.3f} s" if step.took is not None else ""
        lines.append(f"{at}  {took:>12}  {step.title}{': ' + step.detail if step.detail else ''}")
    return "\n".join(lines) + "\n"


def _candidates(actor: Actor, any_id: str) -> Iterator[Message | None]:
    key = from_prefixed("evt", any_id)
    with contextlib.suppress(ValueError):
        key = key or UUID(any_id)
    if key is None:
        yield _of_event(actor, number=int(any_id)) if any_id.isdecimal() and len(any_id) < 18 else None
        return
    messages = Message.objects.visible_to(actor).select_related("identity", "conversation", "line")
    yield messages.filter(pk=key).first()
    yield _of_event(actor, id=key)
    delivery = Delivery.objects.visible_to(actor).filter(pk=key).first()
    if delivery is None:
        attempt = Attempt.objects.visible_to(actor).filter(pk=key).select_related("delivery").first()
        delivery = attempt.delivery if attempt else None
    yield _of_event(actor, id=delivery.event_id) if delivery else None
    conversation = Conversation.objects.visible_to(actor).filter(pk=key).first()
    yield messages.filter(conversation=conversation).order_by("-position").first() if conversation else None


def _of_event(actor: Actor, **which: Any) -> Message | None:
    """The message an event is about: its subject, or the one its tapback stands on."""
    event = Event.objects.visible_to(actor).filter(**which).first()
    told = (event.data.get("message") or event.data.get("tapback") or {}) if event else {}
    key = told.get("message_id") or told.get("id") or (event.subject_id if event else "")
    with contextlib.suppress(ValueError):
        messages = Message.objects.visible_to(actor).select_related("identity", "conversation", "line")
        return messages.filter(pk=UUID(str(key))).first()
    return None


def _came_in(actor: Actor, message: Message) -> Iterator[Step]:
    yield from _callback(actor, message)
    yield Step("Stored in the thread", message.created_at, f"Position {message.position}", link=place_of(message))
    yield from _verdict(actor, message)
    if message.released_at:
        yield Step("Released", message.released_at, "Let through to the agent after all")
    yield from _told(actor, message)
    if message.read_at:
        yield Step("Marked read by the agent", message.read_at)
    if message.is_blocked:
        return
    answer = _answer(actor, message)
    if answer is None:
        yield Step("No answer of the agent yet", None)
        return
    yield Step("The agent answered", answer.created_at, link=address_of(answer))
    yield from _on_its_way(actor, answer)


def _went_out(actor: Actor, message: Message) -> Iterator[Step]:
    yield Step("Accepted from the agent", message.created_at, f"Position {message.position}", link=place_of(message))
    yield from _on_its_way(actor, message)
    yield from _told(actor, message)


def _callback(actor: Actor, message: Message) -> Iterator[Step]:
    """When the provider told us; operators alone may look into what it said."""
    event = _events(actor, message).filter(type__in=["message.received", "message.blocked"]).first()
    callback_id = event.data.get("callback_id") if event else None
    if callback_id is None or actor.role is not Role.OPERATOR:
        return
    callback = Callback.objects.filter(pk=callback_id).first()
    if callback:
        late = "Found by a poll: no callback came" if callback.late else f"Callback {callback.id}"
        yield Step("The line's provider told us", callback.received_at, late, tone="held" if callback.late else "")


def _verdict(actor: Actor, message: Message) -> Iterator[Step]:
    decision = Decision.objects.visible_to(actor).filter(message_id=message.id).order_by("id").first()
    words = verdict_in_words(message, rules_of(actor, [message])) if message.is_blocked else "Let through"
    mode = f"{message.filter_mode} mode, revision {message.rule_revision}"
    at = decision.at if decision else message.created_at
    yield Step(f"Verdict: {words.lower()}", at, mode, tone="held" if message.is_blocked else "good")


def _told(actor: Actor, message: Message) -> Iterator[Step]:
    """Every event of the message and what became of it at each endpoint."""
    events = list(_events(actor, message))
    for event in events:
        yield Step(f"Event {event.type}", event.at, f"Number {event.number}, {event.public_id}")
    attempts = Prefetch("attempts", queryset=Attempt.objects.visible_to(actor).order_by("at"))
    deliveries = Delivery.objects.visible_to(actor).filter(event_id__in=[event.id for event in events])
    found = list(deliveries.select_related("subscription").prefetch_related(attempts).order_by("created_at")[:MOST])
    if not found and not message.is_blocked and message.direction == Direction.INBOUND:
        yield Step("No webhook was told", None, "No endpoint of this identity asked for this event when it happened")
    for delivery in found:
        host = urlsplit(delivery.subscription.url).hostname or ""
        for attempt in delivery.attempts.all()[:MOST]:
            yield _attempt(attempt, host)
        if delivery.state == Delivery.State.PENDING:
            yield Step(f"Webhook to {host} is due", None, f"Next try {delivery.next_attempt_at:%H:%M:%S} UTC")


def _attempt(attempt: Attempt, host: str) -> Step:
    answer = str(attempt.response_status or attempt.error_detail or "no answer")
    again = ", replay" if attempt.is_replay else ""
    detail = f"Attempt {attempt.number}{again}: {answer} in {attempt.duration_ms or 0} ms"
    return Step(f"Webhook to {host}", attempt.at, detail, tone="good" if attempt.succeeded else "bad")


def _on_its_way(actor: Actor, message: Message) -> Iterator[Step]:
    """The calls to the provider, and every state it reported."""
    if actor.role is Role.OPERATOR:
        for call in Dispatch.objects.filter(order_id=message.id).order_by("attempt"):
            detail = _OUTCOMES[Dispatch.Outcome(call.outcome)] + (f": {call.error_text}" if call.error_text else "")
            yield Step(f"Call {call.attempt} to the line's provider", call.claimed_at, detail)
    for step in steps_of(message):
        yield Step(step.words, step.at, step.detail, tone=_TONES.get(step.words, ""))
    if message.status not in _SETTLED:
        yield Step("Not delivered yet", None)


_TONES = {"Delivered": "good", "Read": "good", "Not sent": "bad", "Not delivered": "bad"}
_SETTLED = {Message.Status.DELIVERED, Message.Status.DECLINED, Message.Status.ERROR}


def _events(actor: Actor, message: Message) -> Any:
    events = Event.objects.visible_to(actor).filter(conversation_id=message.conversation_id, subject_id=str(message.id))
    return events.order_by("number")


def _answer(actor: Actor, message: Message) -> Message | None:
    later = Message.objects.visible_to(actor).filter(
        conversation_id=message.conversation_id, position__gt=message.position, direction=Direction.OUTBOUND
    )
    return later.order_by("position").first()


def _timed(steps: list[Step]) -> Iterator[Step]:
    before = None
    for step in steps:
        yield replace(step, took=step.at - before if before and step.at else None)
        before = step.at


def address_of(message: Message) -> str:
    """The page of this text's trace."""
    return reverse("console:trace", args=[message.id])
