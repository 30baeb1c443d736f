"""The queue of deliveries: what is due is claimed in batches, fairly by endpoint, and what came of it is recorded.

Several workers claim beside each other. A claim is a lease with a number: a dead worker's runs out, and what a
frozen one says later is kept as an attempt but moves the delivery no more, unless the endpoint had it after all.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from core import secrets
from core.actor import Actor
from events.feed import publish_topics
from events.record import record
from webhooks.live import tell_pages
from webhooks.models import Attempt, Delivery, Subscription
from webhooks.schedule import DISABLED_AFTER, GONE, wait_on
from webhooks.signing import valid_keys
from webhooks.vendors import schedule_of

logger = logging.getLogger(__name__)

# Longer than a request may take, with room for recording it: an endpoint may be given more time than others.
LEASE = timedelta(seconds=45)
_ROOM = timedelta(seconds=30)

# So many of one endpoint are claimed at a time; with the next claim at most twice as many are under way.
PER_ENDPOINT = 4

# Endpoints with something pending are found by hopping through the index, so that one endpoint's backlog costs the
# others nothing. An endpoint that is being changed is left out: its change would not be seen.
_CLAIM = """
WITH RECURSIVE waiting AS (
    (SELECT subscription_id FROM webhooks_delivery WHERE state = 'pending' ORDER BY subscription_id LIMIT 1)
    UNION ALL
    SELECT (SELECT subscription_id FROM webhooks_delivery
            WHERE state = 'pending' AND subscription_id > waiting.subscription_id
            ORDER BY subscription_id LIMIT 1)
    FROM waiting WHERE waiting.subscription_id IS NOT NULL
), picked AS (
    SELECT due.id, endpoint.url, endpoint.sealed_auth_token, endpoint.sealed_secret, endpoint.dialect, endpoint.timeout,
           endpoint.failing_since IS NOT NULL AS failing
    FROM waiting
    JOIN webhooks_subscription endpoint ON endpoint.id = waiting.subscription_id
    LEFT JOIN accounts_identity identity ON identity.id = endpoint.identity_id
    CROSS JOIN LATERAL (
        SELECT id, next_attempt_at FROM webhooks_delivery waits
        WHERE subscription_id = endpoint.id AND state = 'pending' AND next_attempt_at <= %(now)s
          AND (claimed_until IS NULL OR claimed_until < %(now)s)
          -- Of an endpoint of all identities each delivery's own is asked.
          AND (endpoint.identity_id IS NOT NULL OR EXISTS (
              SELECT 1 FROM accounts_identity own
              WHERE own.id = waits.identity_id AND own.status = 'active' AND own.imessage_enabled))
        ORDER BY next_attempt_at
        LIMIT %(per_endpoint)s
        FOR UPDATE SKIP LOCKED
    ) due
    WHERE endpoint.status = 'active' AND (endpoint.held_until IS NULL OR endpoint.held_until <= %(now)s)
      AND (endpoint.identity_id IS NULL OR (identity.status = 'active' AND identity.imessage_enabled))
      AND NOT endpoint.id = ANY(%(busy)s)
    ORDER BY due.next_attempt_at
    LIMIT %(most)s
    FOR SHARE OF endpoint SKIP LOCKED
)
UPDATE webhooks_delivery delivery
SET claimed_at = %(now)s, claimed_until = GREATEST(%(until)s, %(begin)s + picked.timeout * interval '1 second'),
    generation = generation + 1
FROM picked WHERE delivery.id = picked.id
RETURNING delivery.id, delivery.organization_id, delivery.identity_id, delivery.subscription_id, delivery.event_id,
          delivery.event_type, delivery.told_id, delivery.conversation_id,
          delivery.body, delivery.attempts_made, delivery.is_replay, delivery.generation,
          delivery.next_attempt_at AS due_at, delivery.created_at,
          picked.url, picked.sealed_auth_token, picked.sealed_secret, picked.dialect, picked.timeout, picked.failing
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery to post now, with all that its request needs; `keys` newest first."""

    id: UUID
    organization_id: UUID
    identity_id: UUID | None
    subscription_id: UUID
    event_id: UUID
    event_type: str
    told_id: str
    conversation_id: UUID | None
    body: str
    attempts_made: int
    is_replay: bool
    generation: int
    due_at: datetime
    created_at: datetime
    url: str
    auth_token: str
    dialect: str
    timeout: int | None
    failing: bool
    keys: list[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request: the attempt to keep, and how long the endpoint asked us to stay away."""

    claim: Claim
    attempt: Attempt
    retry_after: timedelta | None = None

    @property
    def succeeded(self) -> bool:
        return self.attempt.succeeded


def claim(*, most: int, busy: Iterable[UUID] = ()) -> list[Claim]:
    """Claim up to `most` due deliveries, no more than `PER_ENDPOINT` of one endpoint and none of the `busy` ones."""
    now = timezone.now()
    given: dict[str, Any] = {
        "now": now,
        "until": now + LEASE,
        "begin": now + _ROOM,
        "per_endpoint": PER_ENDPOINT,
        "busy": list(busy),
        "most": most,
    }
    return sorted(_claimed(_CLAIM, given), key=lambda claimed: claimed.due_at)


def _claimed(statement: str, given: dict[str, Any]) -> list[Claim]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, given)
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    by_identity = [row for row in rows if row["identity_id"] and not row["sealed_secret"]]
    keys = valid_keys({(row["identity_id"], row["organization_id"]) for row in by_identity})
    return [_claim(row, keys) for row in rows]


def _claim(row: dict[str, Any], keys: dict[UUID, list[str]]) -> Claim:
    token, secret = row.pop("sealed_auth_token"), row.pop("sealed_secret")
    return Claim(
        **row,
        auth_token=secrets.unseal(token) if token else "",
        keys=[secrets.unseal(secret)] if secret else keys.get(row["identity_id"], []),
    )


_SHARE_ENDPOINTS = """
SELECT id FROM webhooks_subscription
WHERE id IN (SELECT subscription_id FROM webhooks_delivery WHERE id = ANY(%(ids)s))
ORDER BY id FOR SHARE
"""

# As a claim of the queue, of deliveries in any state and for endpoints in any: whoever asks by hand knows why.
_CLAIM_AGAIN = """
WITH picked AS (
    SELECT delivery.id, endpoint.url, endpoint.sealed_auth_token, endpoint.sealed_secret, endpoint.dialect,
           endpoint.timeout
    FROM webhooks_delivery delivery
    JOIN webhooks_subscription endpoint ON endpoint.id = delivery.subscription_id
    WHERE delivery.id = ANY(%(ids)s) AND (delivery.claimed_until IS NULL OR delivery.claimed_until < %(now)s)
      AND endpoint.status <> 'deleted'
    FOR UPDATE OF delivery SKIP LOCKED
)
UPDATE webhooks_delivery delivery
SET claimed_at = %(now)s, claimed_until = %(until)s, generation = generation + 1, replayed_at = %(now)s
FROM picked WHERE delivery.id = picked.id
RETURNING delivery.id, delivery.organization_id, delivery.identity_id, delivery.subscription_id, delivery.event_id,
          delivery.event_type, delivery.told_id, delivery.conversation_id,
          delivery.body, delivery.tries AS attempts_made, true AS is_replay, delivery.generation,
          delivery.next_attempt_at AS due_at, delivery.created_at,
          picked.url, picked.sealed_auth_token, picked.sealed_secret, picked.dialect, picked.timeout, false AS failing
"""


def claim_again(ids: Iterable[UUID]) -> list[Claim]:
    """Claim these deliveries to send each once more, whatever became of them; those under way are left out."""
    ids = list(ids)
    with transaction.atomic():
        # Endpoints first and in order, as everybody: one that is being recorded or changed is waited for.
        with connection.cursor() as cursor:
            cursor.execute(_SHARE_ENDPOINTS, {"ids": ids})
        now = timezone.now()
        return _claimed(_CLAIM_AGAIN, {"now": now, "until": now + LEASE, "ids": ids})


def give_back(claims: Iterable[Claim]) -> None:
    """End these claims without an attempt: the worker stops before it posted them."""
    for given in claims:
        Delivery.objects.filter(pk=given.id, generation=given.generation).update(claimed_until=None)


def settle(outcomes: list[Outcome]) -> None:
    """Record what came of some requests in one transaction: attempts, deliveries, and the endpoints' streaks."""
    with transaction.atomic():
        # Endpoints first and in order, as everybody who changes them and their deliveries does.
        ids = sorted({outcome.claim.subscription_id for outcome in outcomes})
        endpoints = {
            endpoint.id: endpoint
            for endpoint in Subscription.objects.filter(pk__in=ids).select_for_update(no_key=True).order_by("id")
        }
        known = [outcome for outcome in outcomes if outcome.claim.subscription_id in endpoints]
        Attempt.objects.bulk_create([outcome.attempt for outcome in known])
        _move(known, endpoints)
        for endpoint in endpoints.values():
            _judge(endpoint, [outcome for outcome in known if outcome.claim.subscription_id == endpoint.id])
        tell_pages([outcome.claim for outcome in known])


def last_try(attempt: Attempt) -> dict[str, Any]:
    """What a delivery keeps of its latest request."""
    return {
        "tries": F("tries") + 1,
        "last_try_at": attempt.at,
        "last_status": attempt.response_status,
        "last_ms": attempt.duration_ms,
        "cause": attempt.cause,
    }


_DELIVERED = """
UPDATE webhooks_delivery delivery
SET state = 'delivered', settled_at = %(now)s, ending = '', claimed_until = NULL,
    attempts_made = CASE WHEN state = 'pending' THEN attempts_made + 1 ELSE attempts_made END,
    tries = tries + 1, last_try_at = attempt.at, last_status = attempt.status, last_ms = attempt.ms, cause = ''
FROM unnest(%(ids)s::uuid[], %(at)s::timestamptz[], %(statuses)s::int[], %(ms)s::int[]) attempt (id, at, status, ms)
WHERE delivery.id = attempt.id
"""


def deliver(attempts: list[Attempt]) -> None:
    """The deliveries of these successful attempts have arrived, whoever's claim that was."""
    if not attempts:
        return
    given: dict[str, Any] = {
        "now": timezone.now(),
        "ids": [attempt.delivery_id for attempt in attempts],
        "at": [attempt.at for attempt in attempts],
        "statuses": [attempt.response_status for attempt in attempts],
        "ms": [attempt.duration_ms for attempt in attempts],
    }
    with connection.cursor() as cursor:
        cursor.execute(_DELIVERED, given)


def drop(endpoint: Subscription, now: datetime) -> int:
    """Fail what waits for an endpoint that is disabled; how many. The caller holds the endpoint's lock.

    What is under way stays claimed until its request has ended, so that nobody sends it a second time beside.
    """
    return (
        Delivery.objects.pending()
        .filter(subscription=endpoint)
        .update(state=Delivery.State.FAILED, settled_at=now, ending=Delivery.Ending.DROPPED)
    )


def hold(subscription_id: UUID, outcomes: list[Outcome]) -> None:
    """Nothing goes to an endpoint before the time that its answers asked for."""
    asked = [outcome.retry_after for outcome in outcomes if outcome.retry_after]
    if asked:
        Subscription.objects.filter(pk=subscription_id).update(held_until=timezone.now() + max(asked))


def settle_again(outcomes: list[Outcome]) -> None:
    """Record what came of deliveries that were sent again by hand.

    A success settles a delivery; a failure leaves it as it was, with its schedule if it has one. Endpoints keep
    their counters and streaks, but are not called before the time that an answer asked for.
    """
    with transaction.atomic():
        ids = sorted({outcome.claim.subscription_id for outcome in outcomes})
        list(Subscription.objects.filter(pk__in=ids).select_for_update(no_key=True).order_by("id").values_list("id"))
        Attempt.objects.bulk_create([outcome.attempt for outcome in outcomes])
        deliver([outcome.attempt for outcome in outcomes if outcome.succeeded])
        for outcome in [outcome for outcome in outcomes if not outcome.succeeded]:
            claimed = Delivery.objects.filter(pk=outcome.claim.id, generation=outcome.claim.generation)
            claimed.update(claimed_until=None, **last_try(outcome.attempt))
        for subscription_id in ids:
            hold(subscription_id, [outcome for outcome in outcomes if outcome.claim.subscription_id == subscription_id])
        tell_pages([outcome.claim for outcome in outcomes])


def _move(outcomes: list[Outcome], endpoints: dict[UUID, Subscription]) -> None:
    """Each delivery to its next state; an endpoint that has it has it, whoever's claim that was."""
    now = timezone.now()
    deliver([outcome.attempt for outcome in outcomes if outcome.succeeded])
    for outcome in outcomes:
        if not outcome.succeeded:
            _try_again(outcome, endpoints[outcome.claim.subscription_id], now)


def _try_again(outcome: Outcome, endpoint: Subscription, now: datetime) -> None:
    made, status = outcome.claim.attempts_made + 1, outcome.attempt.response_status
    schedule = schedule_of(endpoint.dialect)
    wait = schedule.wait_after(made)
    if wait is None and schedule.goes_on:
        wait = wait_on(created_at=outcome.claim.created_at, last_success_at=endpoint.last_success_at, now=now)
    changes: dict[str, Any] = {"attempts_made": made, "claimed_until": None, **last_try(outcome.attempt)}
    if wait is None or schedule.is_final(status):
        ending = Delivery.Ending.GONE if status == GONE else ""
        changes |= {"state": Delivery.State.FAILED, "settled_at": now, "ending": ending}
    else:
        # Not before the receiver asks for, and never faster than our own schedule, which must last for days.
        changes["next_attempt_at"] = now + max(wait, outcome.retry_after or wait)
    claimed = Delivery.objects.filter(pk=outcome.claim.id, generation=outcome.claim.generation)
    if not claimed.pending().update(**changes):
        # Cancelled or dropped meanwhile: nothing is under way any more all the same.
        claimed.update(claimed_until=None, **last_try(outcome.attempt))


def _judge(endpoint: Subscription, outcomes: list[Outcome]) -> None:
    """Keep the endpoint's numbers and streak, and disable it when it is gone or has done nothing but fail.

    What an owner sends again counts neither for nor against it.
    """
    counting = [outcome for outcome in outcomes if not outcome.claim.is_replay]
    good = sorted(outcome.attempt.at for outcome in counting if outcome.succeeded)
    bad = sorted((outcome for outcome in counting if not outcome.succeeded), key=lambda outcome: outcome.attempt.at)
    hold(endpoint.pk, outcomes)
    if not counting:
        return
    since, latest = _streak(endpoint, good, bad)
    changes: dict[str, Any] = {
        "succeeded_count": F("succeeded_count") + len(good),
        "failed_count": F("failed_count") + len(bad),
        "failing_since": since,
    }
    if good:
        changes["last_success_at"] = good[-1]
        if not any(outcome.retry_after for outcome in outcomes):
            changes["held_until"] = None
    if bad:
        changes["last_failure_at"] = bad[-1].attempt.at
    Subscription.objects.filter(pk=endpoint.pk).update(**changes)
    if (since is None) != (endpoint.failing_since is None):
        publish_topics(endpoint.organization_id, ["webhooks"])
    if not endpoint.is_active:
        return
    if any(outcome.attempt.response_status == GONE for outcome in bad):
        _disable(endpoint, "gone", bad[-1].attempt)
    elif since and latest and latest - since >= DISABLED_AFTER:
        _disable(endpoint, "failing", bad[-1].attempt)


def _streak(
    endpoint: Subscription, good: list[datetime], bad: list[Outcome]
) -> tuple[datetime | None, datetime | None]:
    """Since when the endpoint has done nothing but fail, and its latest failure of these; a success ends a streak."""
    counting = [outcome.attempt.at for outcome in bad if not (good and outcome.attempt.at < good[-1])]
    since = None if good else endpoint.failing_since
    return since or (counting[0] if counting else None), counting[-1] if counting else None


def _disable(endpoint: Subscription, reason: str, last: Attempt) -> None:
    """Nothing goes there any more; what waits has failed and can be sent again."""
    now = timezone.now()
    Subscription.objects.filter(pk=endpoint.pk).update(
        status=Subscription.Status.DISABLED, disabled_at=now, disabled_reason=reason, updated_at=now
    )
    drop(endpoint, now)
    record(
        Actor.system("webhooks"),
        "webhook.disabled",
        organization_id=endpoint.organization_id,
        identity_id=endpoint.identity_id,
        subject_id=endpoint.id,
        data={"url": endpoint.url, "reason": reason, "last_status": last.response_status, "error": last.error_detail},
    )
    logger.warning("Disabled an endpoint", extra={"subscription_id": str(endpoint.id), "reason": reason})
