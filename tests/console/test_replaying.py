"""Sending many deliveries again as a job: against real receivers, with everything that may go on beside it."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.members import actor_of
from accounts.models import Identity, User
from console.models import Job, JobItem
from console.views.deliveries import DELIVERIES, SEND_AGAIN
from console.work import Plan, cancel_job, start_job
from console.work.running import run_job
from core.ids import uuid7
from tests.racing import at_once, failures
from tests.webhooks.conftest import *  # noqa: F403 - endpoints on loopback
from tests.webhooks.endpoints import Endpoint, Request, endpoint, subscribe
from webhooks.models import Delivery, Subscription

pytestmark = [pytest.mark.django_db(transaction=True)]

MANY = 5_000


@pytest.fixture
def watched() -> Iterator[tuple[Endpoint, list[str]]]:
    """A receiver that notes each event which reaches it while an earlier request for it is under way."""
    under_way: Counter[str] = Counter()
    overlaps: list[str] = []
    lock = threading.Lock()

    def answer(request: Request) -> int:
        event = request.headers["webhook-id"]
        with lock:
            under_way[event] += 1
            if under_way[event] > 1:
                overlaps.append(event)
        try:
            return 200
        finally:
            with lock:
                under_way[event] -= 1

    with endpoint(answer) as there:
        yield there, overlaps


def failed(subscription: Subscription, count: int, **fields: Any) -> list[Delivery]:
    """So many deliveries that failed, of a hundred conversations."""
    now, conversations = timezone.now(), [uuid7() for _ in range(100)]
    return Delivery.objects.bulk_create(
        Delivery(
            organization_id=subscription.organization_id,
            identity_id=subscription.identity_id,
            subscription=subscription,
            event_id=uuid7(),
            event_type="message.received",
            conversation_id=conversations[number % 100],
            body="{}",
            created_at=now - timedelta(seconds=count - number),
            **{"state": "failed", "cause": "server", "settled_at": now, **fields},
        )
        for number in range(count)
    )


def begin(user: User, query: str = "", **options: Any) -> Job:
    """The job, as if its hold were over."""
    actor = actor_of(user)
    plan = Plan.of(DELIVERIES.asked(query, actor), chosen=None)
    job = start_job(actor, SEND_AGAIN, plan, options={"missing_only": False, "rate": "0", **options})
    Job.objects.filter(pk=job.pk).update(held_until=timezone.now())
    return job


def work(job: Job) -> Job:
    """Turn after turn, as workers do, until it has ended."""
    while not job.is_finished:
        run_job(job.id)
        job.refresh_from_db()
    return job


def test_all_that_match_are_sent_and_none_twice_at_a_time(
    alice: User, identity: Identity, watched: tuple[Endpoint, list[str]]
) -> None:
    """Acceptance 6: 5,000 deliveries; the preview's count is the count of results; nothing twice while in flight."""
    there, overlaps = watched
    subscription = subscribe(identity, there.url, status="disabled", disabled_reason="failing")
    failed(subscription, MANY)
    failed(subscribe(identity, f"{there.url}/other"), 3, state="delivered", cause="")
    job = work(begin(alice, "?outcome=failed"))
    assert (job.state, job.expected, job.total, job.done) == ("done", MANY, MANY, MANY)
    assert JobItem.objects.filter(job=job, state=JobItem.State.DONE, words__startswith="200 in ").count() == MANY
    assert (len(there.requests), overlaps) == (MANY, [])
    assert len({request.headers["webhook-id"] for request in there.requests}) == MANY
    subscription.refresh_from_db()
    assert (subscription.status, subscription.last_success_at, subscription.succeeded_count) == ("disabled", None, 0)


def test_cancelling_ends_it_within_one_batch(alice: User, identity: Identity) -> None:
    """Acceptance 6: what is under way is finished, nothing of the next batch is begun."""
    job: Job

    def answer(request: Request) -> int:
        if request.headers["webhook-id"] == first.public_event_id:
            cancel_job(actor_of(alice), job)
        return 200

    with endpoint(answer) as there:
        first, *_ = failed(subscribe(identity, there.url), 200)
        job = begin(alice)
        done = work(job)
        assert len(there.requests) <= SEND_AGAIN.at_a_time
    assert done.state == "cancelled"
    assert done.done == len(there.requests)
    assert Delivery.objects.filter(state="delivered").count() == done.done


def test_two_jobs_at_once_send_nothing_twice_at_a_time(
    alice: User, identity: Identity, watched: tuple[Endpoint, list[str]]
) -> None:
    """Acceptance 6: whichever job comes second finds the row under way, or arrived."""
    there, overlaps = watched
    failed(subscribe(identity, there.url), 150)
    jobs = [begin(alice, missing_only=True) for _ in range(2)]
    assert failures(at_once([lambda job=job: work(job) for job in jobs])) == []  # type: ignore[misc]
    assert overlaps == []
    assert [job.finished for job in Job.objects.all()] == [150, 150]
    assert Delivery.objects.filter(state="delivered").count() == 150


def test_missing_only_leaves_out_what_has_arrived(
    alice: User, identity: Identity, watched: tuple[Endpoint, list[str]]
) -> None:
    there, _ = watched
    subscription = subscribe(identity, there.url)
    failed(subscription, 2)
    failed(subscription, 3, state="delivered", cause="")
    job = work(begin(alice, missing_only=True))
    assert (job.total, job.done, job.skipped, len(there.requests)) == (5, 2, 3, 2)
    assert set(JobItem.objects.filter(state=JobItem.State.SKIPPED).values_list("words", flat=True)) == {
        "It has arrived."
    }


def test_the_question_names_endpoints_and_duplicates_and_begins_a_job(as_alice: Client, identity: Identity) -> None:
    subscription = subscribe(identity, "https://agent.example.com", status="disabled")
    failed(subscription, 4)
    failed(subscription, 1, state="delivered", cause="")
    asked = {"list": "deliveries", "query": "", "all": "1", "deed": SEND_AGAIN.name}
    text = as_alice.post(reverse("console:begin_job"), asked).content.decode()
    assert "Send again 5 deliveries" in text
    assert "5 to agent.example.com for @helper, which is disabled: they are sent all the same." in text
    assert "1 have arrived before and would come twice, 4 are missing." in text
    answer = as_alice.post(reverse("console:begin_job"), asked | {"confirmed": "1", "rate": "5", "missing_only": "on"})
    assert answer.status_code == 302
    job = Job.objects.get()
    assert (job.expected, job.options, job.state) == (5, {"rate": "5", "missing_only": True}, "counting")


def test_viewers_and_strangers_begin_none(as_bob: Client, as_charlie: Client, identity: Identity) -> None:
    failed(subscribe(identity, "https://agent.example.com"), 1)
    asked = {"list": "deliveries", "query": "", "all": "1", "deed": SEND_AGAIN.name, "confirmed": "1", "rate": "5"}
    assert as_bob.post(reverse("console:begin_job"), asked).status_code == 403
    assert as_charlie.post(reverse("console:begin_job"), asked).status_code == 302
    assert not Job.objects.exists()
