"""Sending deliveries again by hand: one, many, to disabled endpoints, and never beside a request under way."""

import asyncio
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Identity
from core.actor import Role
from core.errors import Forbidden
from events.models import Event
from imessage.models import Conversation
from tests import make
from tests.racing import at_once, failures
from tests.webhooks.endpoints import Endpoint, Request, deliver, endpoint, subscribe
from webhooks import replaying
from webhooks.courier import deliver_due
from webhooks.delivering import UnderWay, resend, send_test
from webhooks.models import Attempt, Delivery, Subscription
from webhooks.replaying import preview, send_again

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("courier_at_home")]


def fail_all() -> None:
    Delivery.objects.update(state="failed", settled_at=timezone.now())


def test_each_is_sent_once_more_and_says_what_came_of_it(
    identity: Identity, conversation: Conversation, there: Endpoint
) -> None:
    subscribe(identity, there.url)
    rows = deliver(conversation, 3)
    fail_all()
    there.answer = lambda request: 503 if request.payload["sequence"] == 2 else 200
    results = send_again(make.admin_of(identity.organization), [row.id for row in rows])
    assert [result.delivery_id for result in results] == [row.id for row in rows]
    assert [result.outcome for result in results] == ["delivered", "failed", "delivered"]
    assert results[1].words.startswith("503 in ")
    assert results[1].words.endswith("The endpoint failed")
    assert [row.state for row in Delivery.objects.order_by("id")] == ["delivered", "failed", "delivered"]
    assert [payload["sequence"] for payload in there.payloads] == [1, 2, 3]
    assert {attempt.is_replay for attempt in Attempt.objects.all()} == {True}


def test_a_replay_leaves_the_endpoints_health_alone(
    identity: Identity, conversation: Conversation, there: Endpoint
) -> None:
    long_ago = timezone.now() - timedelta(days=9)
    health = {"failing_since": long_ago, "last_success_at": None, "succeeded_count": 0, "failed_count": 7}
    subscription = subscribe(identity, there.url, **health)
    admin = make.admin_of(identity.organization)
    rows = deliver(conversation, 2)
    fail_all()
    send_again(admin, [rows[0].id])
    there.answer = lambda request: 410
    resend(admin, rows[1])
    subscription.refresh_from_db()
    assert {name: getattr(subscription, name) for name in health} == health
    assert subscription.is_active


def test_a_disabled_endpoint_is_sent_to_and_stays_disabled(
    identity: Identity, conversation: Conversation, there: Endpoint
) -> None:
    subscription = subscribe(identity, there.url, status="disabled", disabled_reason="failing")
    (delivery,) = deliver(conversation)
    assert (delivery.state, delivery.ending) == ("failed", "dropped")
    assert resend(make.admin_of(identity.organization), delivery).response_status == 200
    delivery.refresh_from_db()
    subscription.refresh_from_db()
    assert (delivery.state, delivery.ending, delivery.tries) == ("delivered", "", 1)
    assert subscription.status == "disabled"


def test_a_failed_replay_leaves_the_schedule_as_it_was(identity: Identity, conversation: Conversation) -> None:
    with endpoint(lambda request: 500) as there:
        subscribe(identity, there.url)
        deliver(conversation)
        asyncio.run(deliver_due(stay=0))
        before = Delivery.objects.get()
        send_again(make.admin_of(identity.organization), [before.id])
    after = Delivery.objects.get()
    assert (after.state, after.attempts_made, after.next_attempt_at) == ("pending", 1, before.next_attempt_at)
    assert (after.tries, after.cause, after.last_status, after.claimed_until) == (2, "server", 500, None)


def test_what_is_under_way_is_not_sent_beside(identity: Identity, conversation: Conversation, there: Endpoint) -> None:
    admin = make.admin_of(identity.organization)
    subscribe(identity, there.url)
    (delivery,) = deliver(conversation)
    Delivery.objects.update(claimed_until=timezone.now() + timedelta(seconds=30))
    with pytest.raises(UnderWay):
        resend(admin, delivery)
    assert send_again(admin, [delivery.id])[0].words == replaying.UNDER_WAY
    assert there.requests == []


def test_two_replays_and_the_courier_never_overlap_on_an_event(identity: Identity, conversation: Conversation) -> None:
    under_way: Counter[str] = Counter()
    overlaps: list[str] = []

    def answer(request: Request) -> int:
        event = request.headers["webhook-id"]
        under_way[event] += 1
        if under_way[event] > 1:
            overlaps.append(event)
        time.sleep(0.01)
        under_way[event] -= 1
        return 200

    with endpoint(answer) as there:
        subscribe(identity, there.url)
        ids = [row.id for row in deliver(conversation, 40)]
        admin = make.admin_of(identity.organization)
        deeds = [
            lambda: send_again(admin, ids),
            lambda: send_again(admin, ids),
            lambda: asyncio.run(deliver_due(stay=0)),
        ]
        assert failures(at_once(deeds)) == []
    assert overlaps == []
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_what_may_not_be_sent_again_is_left_out_with_its_reason(
    identity: Identity, conversation: Conversation, there: Endpoint
) -> None:
    admin = make.admin_of(identity.organization)
    held = subscribe(identity, there.url, held_until=timezone.now() + timedelta(hours=1))
    gone = subscribe(identity, f"{there.url}/gone")
    narrow = subscribe(identity, f"{there.url}/narrow")
    deliver(conversation)
    Subscription.objects.filter(pk=gone.pk).update(status="deleted")
    Subscription.objects.filter(pk=narrow.pk).update(event_types=["message.sent"])
    test = Delivery.objects.get(pk=send_test(admin, held).delivery_id)
    ids = {row.subscription_id: row.id for row in Delivery.objects.filter(kind="event")}
    there.requests.clear()
    words = [r.words for r in send_again(admin, [ids[held.id], ids[gone.id], ids[narrow.id], test.id])]
    assert words[0].startswith("The endpoint asked us to stay away until")
    assert words[1:] == [
        "The subscription was deleted.",
        "The subscription no longer selects this type of event.",
        "A test is not sent again.",
    ]
    assert there.requests == []


def test_the_rate_is_kept(identity: Identity, conversation: Conversation, there: Endpoint) -> None:
    subscribe(identity, there.url)
    ids = [row.id for row in deliver(conversation, 5)]
    began = time.monotonic()
    send_again(make.admin_of(identity.organization), ids, per_second=20)
    assert time.monotonic() - began >= 4 / 20


def test_a_preview_counts_by_endpoint_and_what_has_arrived(
    identity: Identity, conversation: Conversation, there: Endpoint
) -> None:
    subscribe(identity, there.url)
    deliver(conversation, 2)
    subscribe(identity, f"{there.url}/second")
    deliver(conversation)
    Delivery.objects.filter(pk=Delivery.objects.order_by("id").first().pk).update(state="delivered")  # type: ignore[union-attr]
    found = preview(Delivery.objects.all())
    assert (found.count, found.arrived, found.missing) == (4, 1, 3)
    assert [(share.subscription.url, share.count, share.arrived) for share in found.shares] == [
        (there.url, 3, 1),
        (f"{there.url}/second", 1, 0),
    ]


def test_one_sent_again_is_in_the_record(identity: Identity, conversation: Conversation, there: Endpoint) -> None:
    subscribe(identity, there.url)
    (delivery,) = deliver(conversation)
    resend(make.admin_of(identity.organization), delivery)
    event = Event.objects.get(type="webhook.replayed")
    assert event.data == {"count": 1, "event_id": delivery.public_event_id}


def test_viewers_send_nothing_again(identity: Identity, conversation: Conversation, there: Endpoint) -> None:
    subscribe(identity, there.url)
    (delivery,) = deliver(conversation)
    viewer = make.admin_of(identity.organization, role=Role.VIEWER)
    for deed in (lambda: resend(viewer, delivery), lambda: send_again(viewer, [delivery.id])):
        with pytest.raises(Forbidden):
            deed()
    assert there.requests == []
