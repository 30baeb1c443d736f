"""Receivers that fail, hang, drip, flood and redirect: everything arrives where it can, and neighbours feel nothing."""

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from accounts.models import Identity
from imessage.models import Conversation
from tests import make
from tests.core import receivers
from tests.webhooks.endpoints import Endpoint, deliver, endpoint, make_due, subscribe
from webhooks import courier
from webhooks.claiming import PER_ENDPOINT, Claim, Outcome, claim, settle
from webhooks.courier import deliver_due
from webhooks.models import Attempt, Delivery, Subscription
from webhooks.subscribing import update_subscription

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("courier_at_home")]


def run() -> int:
    return asyncio.run(deliver_due(stay=0))


@contextlib.contextmanager
def courier_at_work() -> Iterator[None]:
    """A courier in a thread of its own, as in a worker, until the block ends."""
    ended = threading.Event()

    async def work() -> None:
        task = asyncio.create_task(deliver_due(stay=3600))
        while not ended.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_one_that_fails_nine_times_of_ten_gets_everything_without_a_gap(
    identity: Identity, conversation: Conversation
) -> None:
    calls = itertools.count(1)
    with endpoint(lambda request: 200 if next(calls) % 10 == 0 else 500) as there:
        subscription = subscribe(identity, there.url)
        deliver(conversation, 12)
        for _ in range(60):
            run()
            make_due()
    subscription.refresh_from_db()
    assert (subscription.status, there.sequences) == ("active", list(range(1, 13)))
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_one_that_is_down_for_three_days_gets_everything_afterwards(
    identity: Identity, conversation: Conversation
) -> None:
    down, passed = True, timedelta()
    with endpoint(lambda request: 503 if down else 200) as there:
        subscription = subscribe(identity, there.url)
        deliver(conversation, 3)
        while Delivery.objects.pending().exists():
            run()
            down = passed < timedelta(days=3)
            last = Delivery.objects.pending().order_by("-next_attempt_at").first()
            if last:
                wait = last.next_attempt_at - timezone.now()
                passed += wait
                Subscription.objects.exclude(failing_since=None).update(failing_since=F("failing_since") - wait)
                make_due()
    subscription.refresh_from_db()
    assert timedelta(days=3) < passed < timedelta(days=5)
    assert (subscription.status, subscription.failing_since) == ("active", None)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}
    assert there.sequences == [1, 2, 3]


def test_a_redirect_inward_is_a_failure_and_leads_nowhere(
    identity: Identity, conversation: Conversation, there: Endpoint
) -> None:
    answer = f"HTTP/1.1 302 Go\r\nLocation: {there.url}\r\nContent-Length: 0\r\n\r\n".encode()
    with receivers.raw(receivers.answering(answer)) as sly:
        subscribe(identity, sly.url)
        (delivery,) = deliver(conversation)
        run()
    delivery.refresh_from_db()
    assert (delivery.state, there.requests) == ("pending", [])
    assert Attempt.objects.get().response_status == 302


@pytest.mark.parametrize("receiver", [receivers.hang, receivers.drip])
def test_one_that_does_not_end_is_left_at_the_deadline(
    receiver: object, identity: Identity, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "DEADLINE", 0.4)
    with receivers.raw(receiver) as there:  # type: ignore[arg-type]
        subscribe(identity, there.url)
        deliver(conversation)
        run()
    attempt = Attempt.objects.get()
    assert attempt.response_status is None
    assert "whole answer" in (attempt.error_detail or "")
    assert 400 <= (attempt.duration_ms or 0) < 1500


@pytest.mark.alone
def test_a_healthy_one_does_not_feel_its_bad_neighbours(
    identity: Identity, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "DEADLINE", 5.0)
    with endpoint() as there, contextlib.ExitStack() as bad:
        subscribe(identity, there.url)
        alone = _p99(there, conversation)
        redirect = receivers.answering(b"HTTP/1.1 302 Go\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n")
        for answer in [receivers.hang] * 20 + [receivers.drip, receivers.flood, redirect]:
            neighbour = make.make_conversation(make.make_identity(identity.organization))
            url = bad.enter_context(receivers.raw(answer)).url
            subscribe(neighbour.identity, url)
            deliver(neighbour, 4)
        beside = _p99(there, conversation)
        assert there.sequences == list(range(1, 81))
    # Below a fiftieth of a second the machine's own noise is what is measured.
    assert beside <= 2 * max(alone, 0.05), f"alone {alone:.3f} s, beside bad neighbours {beside:.3f} s"


def test_a_hung_one_is_called_few_times_at_once(identity: Identity, conversation: Conversation) -> None:
    with receivers.raw(receivers.hang) as there:
        subscribe(identity, there.url)
        deliver(conversation, 30)
        with courier_at_work():
            time.sleep(1)
            assert PER_ENDPOINT <= there.connections <= 2 * PER_ENDPOINT
    assert Delivery.objects.exclude(claimed_until=None).count() == 0, "a worker that stops gives back what it claimed"


def test_workers_beside_each_other_claim_nothing_twice(identity: Identity, conversation: Conversation) -> None:
    for number in range(10):
        subscribe(identity, f"http://127.0.0.1:9/{number}")
    deliver(conversation, 4)
    claimed: list[Claim] = []
    ready = threading.Barrier(6)

    def work() -> None:
        try:
            ready.wait()
            for _ in range(10):
                claimed.extend(claim(most=5))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while more := claim(most=50):
        claimed += more
    assert len(claimed) == len({given.id for given in claimed}) == 40


def test_a_frozen_workers_late_failure_moves_nothing(identity: Identity, conversation: Conversation) -> None:
    subscribe(identity, "http://127.0.0.1:9/")
    (delivery,) = deliver(conversation)
    (frozen,) = claim(most=5)
    Delivery.objects.update(claimed_until=timezone.now())
    (second,) = claim(most=5)
    settle([_outcome(frozen, 500)])
    delivery.refresh_from_db()
    assert (delivery.attempts_made, delivery.claimed_until is None) == (0, False)
    settle([_outcome(second, 200)])
    delivery.refresh_from_db()
    assert (delivery.state, Attempt.objects.count()) == ("delivered", 2)


def test_under_traffic_nothing_goes_to_the_former_address_after_the_change(
    identity: Identity, conversation: Conversation
) -> None:
    def slowly(request: object) -> int:
        time.sleep(0.01)
        return 200

    with endpoint(slowly) as former, endpoint() as there:
        subscription = subscribe(identity, former.url)
        deliver(conversation, 60)
        with courier_at_work():
            while len(former.requests) < 10:
                time.sleep(0.01)
            update_subscription(make.agent_of(identity), subscription, changes={"url": there.url})
            changed = time.monotonic()
            while Delivery.objects.pending().exists():
                time.sleep(0.05)
    assert all(request.at <= changed for request in former.requests)
    assert sorted(former.sequences + there.sequences) == list(range(1, 61))
    assert there.requests


def _p99(there: Endpoint, conversation: Conversation) -> float:
    """Seconds from a text's delivery row to its request, at 40 texts a second."""
    dwells = []
    with courier_at_work():
        time.sleep(0.3)
        for _ in range(40):
            began, seen = time.monotonic(), len(there.requests)
            deliver(conversation)
            courier.poke()
            while len(there.requests) == seen and time.monotonic() - began < 10:
                time.sleep(0.001)
            dwells.append(time.monotonic() - began)
            time.sleep(0.01)
    return sorted(dwells)[-1]


def _outcome(given: Claim, status: int) -> Outcome:
    attempt = Attempt(
        organization_id=given.organization_id,
        identity_id=given.identity_id,
        subscription_id=given.subscription_id,
        delivery_id=given.id,
        number=given.attempts_made + 1,
        url=given.url,
        request_headers={},
        response_status=status,
    )
    return Outcome(given, attempt)
