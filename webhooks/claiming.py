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
from events.record import record
from webhooks.models import Attempt, Delivery, Subscription
from webhooks.schedule import DISABLED_AFTER, SCHEDULE, wait_on
from webhooks.signing import valid_keys

logger = logging.getLogger(__name__)

# Longer than a request may take, with room for recording it.
LEASE = timedelta(seconds=45)

# So many of one endpoint are claimed at a time; with the next claim at most twice as many are under way.
PER_ENDPOINT = 4

GONE = 410

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
    SELECT due.id, endpoint.url, endpoint.sealed_auth_token, endpoint.dialect, endpoint.identity_id,
           endpoint.failing_since IS NOT NULL AS failing
    FROM waiting
    JOIN webhooks_subscription endpoint ON endpoint.id = waiting.subscription_id
    JOIN accounts_identity identity ON identity.id = endpoint.identity_id
    CROSS JOIN LATERAL (
        SELECT id, next_attempt_at FROM webhooks_delivery
        WHERE subscription_id = endpoint.id AND state = 'pending' AND next_attempt_at <= %(now)s
          AND (claimed_until IS NULL OR claimed_until < %(now)s)
        ORDER BY next_attempt_at
        LIMIT %(per_endpoint)s
        FOR UPDATE SKIP LOCKED
    ) due
    WHERE endpoint.status = 'active' AND (endpoint.held_until IS NULL OR endpoint.held_until <= %(now)s)
      AND identity.status = 'active' AND identity.imessage_enabled
      AND NOT endpoint.id = ANY(%(busy)s)
    ORDER BY due.next_attempt_at
    LIMIT %(most)s
    FOR SHARE OF endpoint SKIP LOCKED
)
UPDATE webhooks_delivery delivery
SET claimed_at = %(now)s, claimed_until = %(until)s, generation = generation + 1
FROM picked WHERE delivery.id = picked.id
RETURNING delivery.id, delivery.organization_id, picked.identity_id, delivery.subscription_id, delivery.event_id,
          delivery.body, delivery.attempts_made, delivery.is_replay, delivery.generation,
          delivery.next_attempt_at AS due_at, delivery.created_at,
          picked.url, picked.sealed_auth_token, picked.dialect, picked.failing
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery to post now, with all that its request needs; `keys` newest first."""

    id: UUID
    organization_id: UUID
    identity_id: UUID
    subscription_id: UUID
    event_id: UUID
    body: str
    attempts_made: int
    is_replay: bool
    generation: int
    due_at: datetime
    created_at: datetime
    url: str
    auth_token: str
    dialect: str
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
        "per_endpoint": PER_ENDPOINT,
        "busy": list(busy),
        "most": most,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CLAIM, given)
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    keys = valid_keys({(row["identity_id"], row["organization_id"]) for row in rows})
    return sorted((_claim(row, keys) for row in rows), key=lambda given: given.due_at)


def _claim(row: dict[str, Any], keys: dict[UUID, list[str]]) -> Claim:
    sealed = row.pop("sealed_auth_token")
    return Claim(**row, auth_token=secrets.unseal(sealed) if sealed else "", keys=keys[row["identity_id"]])


def give_back(claims: Iterable[Claim]) -> None:
    """End these claims without an attempt: the worker stops before it posted them."""
    for given in claims:
        Delivery.objects.pending().filter(pk=given.id, generation=given.generation).update(claimed_until=None)


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


def _move(outcomes: list[Outcome], endpoints: dict[UUID, Subscription]) -> None:
    """Each delivery to its next state; an endpoint that has it has it, whoever's claim that was."""
    now = timezone.now()
    delivered = [outcome.claim.id for outcome in outcomes if outcome.succeeded]
    Delivery.objects.filter(pk__in=delivered).exclude(state=Delivery.State.DELIVERED).update(
        state=Delivery.State.DELIVERED, attempts_made=F("attempts_made") + 1, claimed_until=None, settled_at=now
    )
    for outcome in outcomes:
        if not outcome.succeeded:
            _try_again(outcome, endpoints[outcome.claim.subscription_id], now)


def _try_again(outcome: Outcome, endpoint: Subscription, now: datetime) -> None:
    made = outcome.claim.attempts_made + 1
    wait = SCHEDULE.wait_after(made) or wait_on(
        created_at=outcome.claim.created_at, last_success_at=endpoint.last_success_at, now=now
    )
    changes: dict[str, Any] = {"attempts_made": made, "claimed_until": None}
    if wait is None:
        changes |= {"state": Delivery.State.FAILED, "settled_at": now}
    else:
        # Not before the receiver asks for, and never faster than our own schedule, which must last for days.
        changes["next_attempt_at"] = now + max(wait, outcome.retry_after or wait)
    Delivery.objects.pending().filter(pk=outcome.claim.id, generation=outcome.claim.generation).update(**changes)


def _judge(endpoint: Subscription, outcomes: list[Outcome]) -> None:
    """Keep the endpoint's numbers and streak, and disable it when it is gone or has done nothing but fail."""
    good = sorted(outcome.attempt.at for outcome in outcomes if outcome.succeeded)
    bad = sorted((outcome for outcome in outcomes if not outcome.succeeded), key=lambda outcome: outcome.attempt.at)
    since, latest = _streak(endpoint, good, bad)
    changes: dict[str, Any] = {
        "succeeded_count": F("succeeded_count") + len(good),
        "failed_count": F("failed_count") + len(bad),
        "failing_since": since,
    }
    if good:
        changes |= {"last_success_at": good[-1], "held_until": None}
    if bad:
        changes["last_failure_at"] = bad[-1].attempt.at
    if asked := max((outcome.retry_after for outcome in bad if outcome.retry_after), default=None):
        changes["held_until"] = timezone.now() + asked
    Subscription.objects.filter(pk=endpoint.pk).update(**changes)
    if not endpoint.is_active:
        return
    if any(outcome.attempt.response_status == GONE for outcome in bad):
        _disable(endpoint, "gone", bad[-1].attempt)
    elif since and latest and latest - since >= DISABLED_AFTER:
        _disable(endpoint, "failing", bad[-1].attempt)


def _streak(
    endpoint: Subscription, good: list[datetime], bad: list[Outcome]
) -> tuple[datetime | None, datetime | None]:
    """Since when the endpoint has done nothing but fail, and its latest failure of these; a success ends a streak.

    What an owner sends again is outside of the streak.
    """
    counting = [
        outcome.attempt.at
        for outcome in bad
        if not outcome.claim.is_replay and not (good and outcome.attempt.at < good[-1])
    ]
    since = None if good else endpoint.failing_since
    return since or (counting[0] if counting else None), counting[-1] if counting else None


def _disable(endpoint: Subscription, reason: str, last: Attempt) -> None:
    """Nothing goes there any more; what waits has failed and can be replayed once the endpoint is enabled again."""
    now = timezone.now()
    Subscription.objects.filter(pk=endpoint.pk).update(
        status=Subscription.Status.DISABLED, disabled_at=now, disabled_reason=reason, updated_at=now
    )
    Delivery.objects.pending().filter(subscription=endpoint).update(
        state=Delivery.State.FAILED, claimed_until=None, settled_at=now
    )
    record(
        Actor.system("webhooks"),
        "webhook.disabled",
        organization_id=endpoint.organization_id,
        identity_id=endpoint.identity_id,
        subject_id=endpoint.id,
        data={"url": endpoint.url, "reason": reason, "last_status": last.response_status, "error": last.error_detail},
    )
    logger.warning("Disabled an endpoint", extra={"subscription_id": str(endpoint.id), "reason": reason})
