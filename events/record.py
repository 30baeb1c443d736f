"""Writing down what happened, in the transaction that did it."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from core.actor import Actor
from core.wake import wake
from events import feed
from events.models import Event

# Of these somebody outside may want to be told; `webhooks` decides, by a job in the same transaction.
_TOLD_OUTSIDE = frozenset(
    {
        "message.received",
        "message.sent",
        "message.delivered",
        "message.delivery_failed",
        "tapback.added",
        "tapback.replaced",
        "line.substituted",
    }
)


def record(
    actor: Actor,
    type: str,
    *,
    organization_id: UUID | None = None,
    identity_id: UUID | None = None,
    conversation_id: UUID | None = None,
    subject_id: object = "",
    data: dict[str, Any] | None = None,
) -> Event:
    """Store an event and, once the transaction has committed, tell open pages its number and webhooks, if need be.

    Must be called inside the transaction that makes the change: an event outside one could tell of
    something that never happened. `data` is frozen: webhooks and history read it, never the rows.
    """
    facts = {
        "organization_id": organization_id,
        "identity_id": identity_id,
        "conversation_id": conversation_id,
        "subject_id": subject_id,
        "data": data,
    }
    event = _event(actor, type, **facts)
    event.save(force_insert=True)
    if type in _TOLD_OUTSIDE:
        wake("webhooks.fanout", lock=f"fanout:{conversation_id}", number=event.number)
    feed.publish_after_commit(event.number)
    return event


def record_all(actor: Actor, type: str, each: Iterable[Mapping[str, Any]]) -> None:
    """Store many events of one type at once; each holds what `record` takes. Not for what is told outside."""
    if type in _TOLD_OUTSIDE:
        raise ValueError(f"Of {type} somebody outside is told, each by itself.")
    events = Event.objects.bulk_create([_event(actor, type, **facts) for facts in each])
    if events:
        # Whoever hears of the last reads those before it, too.
        feed.publish_after_commit(events[-1].number)


def _event(actor: Actor, type: str, **facts: Any) -> Event:
    if not connection.in_atomic_block:
        raise RuntimeError(f"Event {type} must be recorded inside a transaction.")
    facts |= {"subject_id": str(facts.get("subject_id", "")), "data": facts.get("data") or {}}
    return Event(type=type, actor=actor.frozen(), at=timezone.now(), **facts)
