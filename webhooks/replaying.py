"""Sending many deliveries again by hand: what it would mean beforehand, and what came of each afterwards."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from django.db.models import Count, Q
from django.utils import timezone

from core.actor import Actor
from webhooks import causes
from webhooks.claiming import Claim, Outcome, claim_again, give_back, settle_again
from webhooks.delivering import DEADLINE, why_not_again
from webhooks.models import Delivery, DeliveryQuerySet, Subscription
from webhooks.posting import post
from webhooks.signing import require_owner

# So many requests at a time; the courier may have as many under way to the same endpoint.
AT_A_TIME = 4
# So many are claimed together. No new request begins after `PATIENCE` seconds: the claims must outlive the last one.
_CHUNK = 32
PATIENCE = 20.0

UNDER_WAY = "A request for it was under way."


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one delivery: delivered, failed, or left out, and why in words."""

    delivery_id: UUID
    outcome: Literal["delivered", "failed", "left out"]
    words: str


@dataclass(frozen=True, slots=True)
class Share:
    """One endpoint's part of a replay."""

    subscription: Subscription
    count: int
    arrived: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What a replay would mean: how many deliveries, to which endpoints, and how many of them have arrived before."""

    count: int
    arrived: int
    shares: list[Share]

    @property
    def missing(self) -> int:
        return self.count - self.arrived


def preview(deliveries: DeliveryQuerySet) -> Preview:
    """Counts by endpoint, the largest first; exact, so it reads all that match."""
    arrived = Count("id", filter=Q(state=Delivery.State.DELIVERED))
    counts = list(deliveries.order_by().values_list("subscription_id").annotate(count=Count("id"), arrived=arrived))
    endpoints = Subscription.objects.select_related("identity").in_bulk([row[0] for row in counts])
    shares = [Share(endpoints[key], count, done) for key, count, done in counts]
    return Preview(
        count=sum(share.count for share in shares),
        arrived=sum(share.arrived for share in shares),
        shares=sorted(shares, key=lambda share: (-share.count, share.subscription.url)),
    )


def send_again(actor: Actor, ids: Sequence[UUID], *, per_second: float = 0) -> list[Result]:
    """Send each of these deliveries once more, now; what came of each, in the order of `ids`.

    The same event ids and bodies, freshly signed, to the endpoints' present addresses, disabled ones too, in the
    order given within a conversation. Outside of streaks and counters. What is under way is left out, and so is
    what may not be sent again. `per_second` is the most requests a second, 0 for as fast as they are answered.
    Raises `Forbidden` before anything is sent.
    """
    rows = Delivery.objects.filter(pk__in=ids).select_related("subscription__identity", "identity").in_bulk()
    for identity in {row.subscription.identity for row in rows.values()}:
        require_owner(actor, identity)
    results = {key: refused for key in ids if (refused := _left_out(key, rows.get(key)))}
    todo = [key for key in ids if key not in results]
    pace = _Pace(per_second)
    while todo:
        size = min(_CHUNK, max(1, int(per_second * PATIENCE))) if per_second else _CHUNK
        found = _send_some(todo[:size], pace)
        results |= found
        todo = [key for key in todo if key not in found]
    return [results[key] for key in ids]


def _left_out(key: UUID, delivery: Delivery | None) -> Result | None:
    if delivery is None:
        return Result(key, "left out", "It is no longer kept.")
    if delivery.kind == Delivery.Kind.TEST:
        return Result(key, "left out", "A test is not sent again.")
    if words := why_not_again(delivery):
        return Result(key, "left out", words)
    held_until = delivery.subscription.held_until
    if held_until and held_until > timezone.now():
        return Result(key, "left out", f"The endpoint asked us to stay away until {held_until:%d %b, %H:%M} UTC.")
    return None


def _send_some(ids: Sequence[UUID], pace: "_Pace") -> dict[UUID, Result]:
    """Claim, post and record; what there was no time for is given back and not among the results."""
    place = {key: number for number, key in enumerate(ids)}
    claims = sorted(claim_again(ids), key=lambda claim: place[claim.id])
    outcomes: list[Outcome] = []
    try:
        asyncio.run(_post_all(claims, outcomes, pace))
    finally:
        done = {outcome.claim.id for outcome in outcomes}
        give_back(claim for claim in claims if claim.id not in done)
        if outcomes:
            settle_again(outcomes)
    taken = {claim.id for claim in claims}
    results = {key: Result(key, "left out", UNDER_WAY) for key in ids if key not in taken}
    return results | {outcome.claim.id: _result(outcome) for outcome in outcomes}


async def _post_all(claims: Iterable[Claim], outcomes: list[Outcome], pace: "_Pace") -> None:
    """One conversation after the other in its order, several conversations at a time."""
    rows: dict[tuple[UUID, UUID | None], list[Claim]] = defaultdict(list)
    for claim in claims:
        rows[claim.subscription_id, claim.conversation_id].append(claim)
    places, until = asyncio.Semaphore(AT_A_TIME), time.monotonic() + PATIENCE

    async def one_by_one(row: list[Claim]) -> None:
        for claim in row:
            async with places:
                await pace.wait()
                if time.monotonic() >= until:
                    return
                outcomes.append(await post(claim, deadline=DEADLINE))

    await asyncio.gather(*map(one_by_one, rows.values()))


def _result(outcome: Outcome) -> Result:
    attempt = outcome.attempt
    answered = f"{attempt.response_status} in {attempt.duration_ms} ms" if attempt.response_status else "No answer"
    if attempt.succeeded:
        return Result(outcome.claim.id, "delivered", answered)
    return Result(outcome.claim.id, "failed", f"{answered}: {causes.in_words(attempt.cause)}")


class _Pace:
    """Lets so many pass in a second, evenly; over chunks too."""

    def __init__(self, per_second: float) -> None:
        self._step = 1 / per_second if per_second else 0.0
        self._next = time.monotonic()

    async def wait(self) -> None:
        """Until it is the caller's turn."""
        now = time.monotonic()
        turn = max(self._next, now)
        self._next = turn + self._step
        if turn > now:
            await asyncio.sleep(turn - now)
