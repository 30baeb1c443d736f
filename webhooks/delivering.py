"""What owners do with deliveries: send one again, send all again that failed, try an endpoint."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.db import models, transaction
from django.utils import timezone

from accounts.models import Identity
from core.actor import Actor
from core.errors import Busy, Conflict, Invalid, NotFound
from core.ids import uuid7
from dialects.webhooks import Telling
from events.record import record
from webhooks.catalog import Sample, example_of
from webhooks.claiming import claim_again, settle_again
from webhooks.fanout import agent_of, body_of
from webhooks.models import Attempt, Delivery, DeliveryQuerySet, Subscription
from webhooks.nudging import nudge
from webhooks.posting import post
from webhooks.signing import require_owner
from webhooks.vendors import VENDORS

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


class UnderWay(Conflict):
    """A request for this delivery is under way; look again in a moment."""

    code = "under_way"


def replay(actor: Actor, attempt: Attempt) -> Attempt:
    """Send an attempt's event again now, as `resend` does, but only to an active endpoint (contract/inkbox.md 13.4)."""
    rows = Delivery.objects.select_related("subscription__identity", "identity")
    delivery = rows.get(pk=attempt.delivery_id)
    require_owner(actor, delivery.subscription.identity)
    if not delivery.subscription.is_active:
        raise NotReplayable("The subscription is not active.")
    return resend(actor, delivery)


def resend(actor: Actor, delivery: Delivery) -> Attempt:
    """Send a delivery once more now, to the endpoint's present address; the new attempt, however it went.

    The same event id and bytes, with a fresh request id, timestamp and signature. Outside of the endpoint's streak
    and counters, and to a disabled endpoint too: that proves it works again. A success settles the delivery.
    Raises `Forbidden`, `NotReplayable`, `UnderWay`, `TooManyAtOnce`.
    """
    require_owner(actor, delivery.subscription.identity)
    if refusal := why_not_again(delivery):
        raise NotReplayable(refusal)
    with _place():
        claims = claim_again([delivery.id])
        if not claims:
            raise UnderWay()
        outcome = asyncio.run(post(claims[0], deadline=DEADLINE))
        with transaction.atomic():
            settle_again([outcome])
            record(
                actor,
                "webhook.replayed",
                organization_id=delivery.organization_id,
                identity_id=delivery.identity_id,
                subject_id=delivery.subscription_id,
                data={"count": 1, "event_id": delivery.public_event_id},
            )
    return outcome.attempt


def why_not_again(delivery: Delivery) -> str:
    """Why this delivery cannot be sent again, in a sentence; empty when it can. Needs its subscription and identity."""
    subscription = delivery.subscription
    if subscription.status == Subscription.Status.DELETED:
        return "The subscription was deleted."
    if delivery.event_type not in subscription.event_types:
        return "The subscription no longer selects this type of event."
    if delivery.identity and not delivery.identity.is_reachable:
        return "The identity is paused or disabled."
    return ""


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


def replay_selection(actor: Actor, deliveries: DeliveryQuerySet) -> int:
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


def send_test(
    actor: Actor,
    subscription: Subscription,
    *,
    event_type: str | None = None,
    identity: Identity | None = None,
    sample: Sample | None = None,
) -> Attempt:
    """Post an example of an event that the endpoint subscribes to, now; the attempt, however it went.

    `identity` is whose event an endpoint of the whole organization is told of, `sample` what stands in it. Outside of
    the failure streak, with an event id of its own and without an order number. Raises `Forbidden`, `Invalid` for a
    type the endpoint does not subscribe to, `NotReplayable`, `TooManyAtOnce`.
    """
    require_owner(actor, subscription.identity)
    event_type = _type_to_try(subscription, event_type)
    if not subscription.is_active:
        raise NotReplayable("The subscription is not active.")
    return _send_test(subscription, event_type, identity, sample)


def try_endpoint(actor: Actor, subscription: Subscription, *, event_type: str | None = None) -> Attempt:
    """As `send_test`, to a disabled endpoint too: before it is enabled again."""
    require_owner(actor, subscription.identity)
    return _send_test(subscription, _type_to_try(subscription, event_type), None, None)


def _send_test(
    subscription: Subscription, event_type: str, identity: Identity | None, sample: Sample | None
) -> Attempt:
    about = subscription.identity or identity
    if about and about.organization_id != subscription.organization_id:
        raise NotFound()
    with _place():
        event_id = uuid7()
        told_id, body = _example(subscription, about, event_type, event_id, sample)
        delivery = Delivery.objects.create(
            organization_id=subscription.organization_id,
            identity=about,
            subscription=subscription,
            kind=Delivery.Kind.TEST,
            state=Delivery.State.FAILED,
            event_id=event_id,
            told_id=told_id,
            event_type=event_type,
            body=body,
            settled_at=timezone.now(),
        )
        outcome = asyncio.run(post(*claim_again([delivery.id]), deadline=DEADLINE))
        outcome.attempt.is_replay = False
        settle_again([outcome])
        Delivery.objects.filter(pk=delivery.pk).update(replayed_at=None)
    return outcome.attempt


def _type_to_try(subscription: Subscription, event_type: str | None) -> str:
    event_type = event_type or subscription.event_types[0]
    if event_type not in subscription.event_types:
        raise Invalid(f"This subscription does not select {event_type!r}.")
    return event_type


@contextlib.contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(blocking=False):
        raise TooManyAtOnce(retry_after=5)
    try:
        yield
    finally:
        _places.release()


def _subscriptions_of(deliveries: models.QuerySet[Delivery]) -> list[Subscription]:
    ids = set(deliveries.values_list("subscription_id", flat=True).distinct())
    return list(Subscription.objects.filter(pk__in=ids).select_related("identity").order_by("id"))


def _queue_again(actor: Actor, subscription: Subscription, failed: DeliveryQuerySet) -> int:
    """In batches, so that no transaction holds thousands of rows; the oldest first, so that order is kept."""
    queued = 0
    while True:
        with transaction.atomic():
            # The endpoint's lock, as everybody takes it before its deliveries.
            Subscription.objects.select_for_update(no_key=True).get(pk=subscription.pk)
            ids = list(failed.idle().order_by("created_at").values_list("id", flat=True)[:_BATCH])
            queued += (
                Delivery.objects.failed()
                .idle()
                .filter(pk__in=ids)
                .update(
                    state=Delivery.State.PENDING,
                    ending="",
                    attempts_made=0,
                    is_replay=True,
                    replayed_at=timezone.now(),
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


def _example(
    subscription: Subscription, identity: Identity | None, event_type: str, event_id: UUID, sample: Sample | None
) -> tuple[str, str]:
    """What its receiver tells repeats by, and the body, of an example in the endpoint's dialect."""
    organization_id = str(subscription.organization_id)
    # Some dialects tell certain events of SMS alone.
    for each in [sample] if sample else [Sample(), Sample(service="sms")]:
        data = example_of(
            event_type,
            organization_id=organization_id,
            identity_id=str(identity.id) if identity else None,
            message_id=str(event_id),
            sample=each,
        )
        agent = agent_of(identity) if identity else None
        telling = Telling(event_id=event_id, event_type=event_type, at=timezone.now(), data=data, agent=agent)
        if bodies := VENDORS[subscription.dialect].payloads(telling):
            return bodies[0].told_id, body_of({**bodies[0].payload, "test": True})
    raise Invalid(f"Its dialect has no words for such an example of {event_type!r}.")
