"""What owners do with deliveries: send one again, send all again that failed, try an endpoint."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.db import models, transaction
from django.utils import timezone

from core import secrets
from core.actor import Actor
from core.errors import Busy, Conflict, Invalid
from core.ids import prefixed, uuid7
from dialects import inkbox
from events.record import record
from webhooks.catalog import EVENT_TYPES, example_of
from webhooks.claiming import Claim
from webhooks.fanout import agent_of, body_of
from webhooks.models import Attempt, Delivery, Subscription
from webhooks.nudging import nudge
from webhooks.posting import post
from webhooks.signing import require_owner, valid_keys

# Whoever asks waits for the endpoint, in a thread of the web server: few at a time, and not for long.
MOST_AT_A_TIME = 2
DEADLINE = 10.0

# How many deliveries one call queues again.
_BATCH = 1_000

_places = threading.BoundedSemaphore(MOST_AT_A_TIME)


class NotReplayable(Conflict):
    """The subscription is not active, or no longer selects this type of event."""

    code = "not_replayable"


class TooManyAtOnce(Busy):
    """Too many deliveries are being sent by hand just now; repeat in a few seconds."""


def replay(actor: Actor, attempt: Attempt) -> Attempt:
    """Send an attempt's event again now, to the endpoint's present address; the new attempt, however it went.

    The same event id and bytes, with a fresh request id, timestamp and signature. Outside of the failure streak.
    A success settles the delivery. Raises `Forbidden`, `NotReplayable`, `TooManyAtOnce`.
    """
    delivery = Delivery.objects.select_related("subscription__identity").get(pk=attempt.delivery_id)
    require_owner(actor, delivery.subscription.identity)
    _require_replayable(delivery)
    return _send_now(delivery)


def replay_failed_since(
    actor: Actor, moment: datetime, subscription: Subscription | None = None, *, organization_id: UUID | None = None
) -> int:
    """Queue every failed delivery since `moment` again; how many. Of one subscription, or of all the actor sees.

    They start a new schedule, with the same event ids, outside of the failure streak. Deliveries of endpoints
    that are not active or no longer want them stay as they are. Raises `Forbidden`.
    """
    rows = Delivery.objects.visible_to(actor).failed().filter(created_at__gte=moment)
    if subscription is not None:
        rows = rows.filter(subscription=subscription)
    if organization_id is not None:
        rows = rows.filter(organization_id=organization_id)
    return replay_selection(actor, rows)


def replay_selection(actor: Actor, deliveries: models.QuerySet[Delivery]) -> int:
    """Queue the failed ones among these deliveries again, as `replay_failed_since` does."""
    failed = deliveries.filter(
        state=Delivery.State.FAILED,
        kind=Delivery.Kind.EVENT,
        subscription__status=Subscription.Status.ACTIVE,
        subscription__event_types__contains=models.Func(
            models.F("event_type"), function="ARRAY", template="%(function)s[%(expressions)s]::varchar[]"
        ),
    )
    queued = 0
    for subscription in _subscriptions_of(failed):
        require_owner(actor, subscription.identity)
        queued += _queue_again(actor, subscription, failed.filter(subscription=subscription))
    if queued:
        nudge()
    return queued


def send_test(actor: Actor, subscription: Subscription, *, event_type: str | None = None) -> Attempt:
    """Post an example of an event that the endpoint subscribes to, now; the attempt, however it went.

    Outside of the failure streak, with an event id of its own and without an order number. Raises `Forbidden`,
    `Invalid` for a type the endpoint does not subscribe to, `NotReplayable`, `TooManyAtOnce`.
    """
    require_owner(actor, subscription.identity)
    event_type = event_type or subscription.event_types[0]
    if event_type not in EVENT_TYPES or event_type not in subscription.event_types:
        raise Invalid(f"This subscription does not select {event_type!r}.")
    if not subscription.is_active:
        raise NotReplayable("The subscription is not active.")
    delivery = Delivery.objects.create(
        organization_id=subscription.organization_id,
        subscription=subscription,
        kind=Delivery.Kind.TEST,
        state=Delivery.State.FAILED,
        event_id=(event_id := uuid7()),
        event_type=event_type,
        body=_example_body(subscription, event_type, event_id),
        settled_at=timezone.now(),
    )
    return _send_now(delivery)


def _require_replayable(delivery: Delivery) -> None:
    subscription = delivery.subscription
    if not subscription.is_active:
        raise NotReplayable("The subscription is not active.")
    if delivery.event_type not in subscription.event_types:
        raise NotReplayable("The subscription no longer selects this type of event.")


def _send_now(delivery: Delivery) -> Attempt:
    with _place():
        outcome = asyncio.run(post(_by_hand(delivery), deadline=DEADLINE))
    attempt = outcome.attempt
    attempt.is_replay = delivery.kind == Delivery.Kind.EVENT
    with transaction.atomic():
        attempt.save(force_insert=True)
        if attempt.succeeded:
            Delivery.objects.filter(pk=delivery.pk).exclude(state=Delivery.State.DELIVERED).update(
                state=Delivery.State.DELIVERED, settled_at=timezone.now(), claimed_until=None
            )
    return attempt


@contextlib.contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(blocking=False):
        raise TooManyAtOnce(retry_after=5)
    try:
        yield
    finally:
        _places.release()


def _by_hand(delivery: Delivery) -> Claim:
    """What a request needs, without a claim on the queue: another one under way is another attempt."""
    subscription = delivery.subscription
    keys = valid_keys([(subscription.identity_id, subscription.organization_id)])
    return Claim(
        id=delivery.id,
        organization_id=delivery.organization_id,
        identity_id=subscription.identity_id,
        subscription_id=subscription.id,
        event_id=delivery.event_id,
        body=delivery.body,
        attempts_made=delivery.attempts.count(),
        is_replay=True,
        generation=delivery.generation,
        due_at=timezone.now(),
        created_at=delivery.created_at,
        url=subscription.url,
        auth_token=secrets.unseal(subscription.sealed_auth_token) if subscription.sealed_auth_token else "",
        dialect=subscription.dialect,
        failing=False,
        keys=keys[subscription.identity_id],
    )


def _subscriptions_of(deliveries: models.QuerySet[Delivery]) -> list[Subscription]:
    ids = set(deliveries.values_list("subscription_id", flat=True).distinct())
    return list(Subscription.objects.filter(pk__in=ids).select_related("identity").order_by("id"))


def _queue_again(actor: Actor, subscription: Subscription, failed: models.QuerySet[Delivery]) -> int:
    """In batches, so that no transaction holds thousands of rows; the oldest first, so that order is kept."""
    queued = 0
    while True:
        with transaction.atomic():
            # The endpoint's lock, as everybody takes it before its deliveries.
            Subscription.objects.select_for_update(no_key=True).get(pk=subscription.pk)
            ids = list(failed.order_by("created_at").values_list("id", flat=True)[:_BATCH])
            queued += (
                Delivery.objects.failed()
                .filter(pk__in=ids)
                .update(
                    state=Delivery.State.PENDING,
                    attempts_made=0,
                    is_replay=True,
                    next_attempt_at=timezone.now(),
                    claimed_until=None,
                    settled_at=None,
                )
            )
            if ids and len(ids) < _BATCH:
                record(
                    actor,
                    "webhook.replayed",
                    organization_id=subscription.organization_id,
                    identity_id=subscription.identity_id,
                    subject_id=subscription.id,
                    data={"count": queued},
                )
        if len(ids) < _BATCH:
            return queued


def _example_body(subscription: Subscription, event_type: str, event_id: UUID) -> str:
    identity = subscription.identity
    payload = inkbox.webhook_payload(
        event_id=prefixed("evt", event_id),
        event_type=event_type,
        at=timezone.now(),
        order_number=None,
        data=example_of(event_type, organization_id=str(identity.organization_id), identity_id=str(identity.id)),
        agent=agent_of(identity),
    )
    return body_of({**payload, "test": True})
