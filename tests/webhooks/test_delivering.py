"""Deliveries to real receivers: what is sent, what counts as success, when it is tried again."""

import asyncio
import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from standardwebhooks import Webhook

from accounts.models import Identity
from events.models import Event
from imessage.models import Conversation
from tests import make
from tests.core import receivers
from tests.webhooks.endpoints import Endpoint, deliver, endpoint, make_due, subscribe
from webhooks import signing
from webhooks.courier import deliver_due
from webhooks.delivering import replay, replay_failed_since, send_test
from webhooks.models import Attempt, Delivery, Subscription
from webhooks.schedule import SCHEDULE
from webhooks.subscribing import delete_subscription, update_subscription

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("courier_at_home")]


def run() -> int:
    return asyncio.run(deliver_due(stay=0))


def test_a_text_arrives_signed_with_both_signatures(
    identity: Identity, conversation: Conversation, there: Endpoint
) -> None:
    _, key = signing.rotate_key(make.admin_of(identity.organization), identity)
    subscribe(identity, there.url)
    (delivery,) = deliver(conversation)
    assert run() == 1
    (request,) = there.requests
    event = Event.objects.get(id=delivery.event_id)
    message = event.data["message"]
    assert request.payload == {
        "id": event.public_id,
        "event_type": "imessage.received",
        "timestamp": event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "sequence": 1,
        "data": {
            "message": {
                **request.payload["data"]["message"],
                "id": message["id"],
                "conversation_id": str(conversation.id),
                "direction": "inbound",
                "content": "text 0",
                "status": "received",
                "recipients": None,
                "reactions": [],
            },
            "reaction": None,
            "contacts": [],
            "agent_identities": [{"id": str(identity.id), "agent_handle": "helper", "display_name": "Helper"}],
        },
    }
    assert "is_blocked" not in request.payload["data"]["message"]
    Webhook(key).verify(request.body, request.headers)
    assert request.headers["x-inkbox-signature"] == _inkbox_signature(key, request.headers, request.body)
    assert request.headers["webhook-id"] == event.public_id
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts_made, delivery.claimed_until) == ("delivered", 1, None)
    attempt = Attempt.objects.get()
    assert (attempt.response_status, attempt.request_body.encode()) == (200, request.body)
    assert attempt.request_id == request.headers["x-inkbox-request-id"]
    assert key.removeprefix("whsec_") not in str(attempt.request_headers)
    assert request.headers["webhook-signature"] not in str(attempt.request_headers)


def test_without_a_key_it_is_unsigned(identity: Identity, conversation: Conversation, there: Endpoint) -> None:
    subscribe(identity, there.url)
    deliver(conversation)
    run()
    assert "x-inkbox-signature" not in there.requests[0].headers
    assert "webhook-signature" not in there.requests[0].headers


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_any_answer_but_2xx_is_tried_again(status: int, identity: Identity, conversation: Conversation) -> None:
    with endpoint(lambda request: status) as there:
        subscribe(identity, there.url)
        (delivery,) = deliver(conversation)
        run()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts_made) == ("pending", 1)
    assert timedelta(seconds=3) < delivery.next_attempt_at - timezone.now() < timedelta(seconds=7)
    assert Attempt.objects.get().response_status == status


def test_every_attempt_has_the_same_body_and_event_but_its_own_request(
    identity: Identity, conversation: Conversation
) -> None:
    answers = [500, 500, 204]
    with endpoint(lambda request: answers.pop(0)) as there:
        subscribe(identity, there.url)
        deliver(conversation)
        for _ in range(3):
            run()
            make_due()
    assert len({request.body for request in there.requests}) == 1
    assert len({request.headers["webhook-id"] for request in there.requests}) == 1
    assert len({request.headers["x-inkbox-request-id"] for request in there.requests}) == 3
    assert Delivery.objects.get().state == "delivered"
    assert list(Attempt.objects.order_by("at").values_list("number", "response_status")) == [
        (1, 500),
        (2, 500),
        (3, 204),
    ]


def test_the_last_attempt_fails_the_delivery(identity: Identity, conversation: Conversation) -> None:
    with endpoint(lambda request: 500) as there:
        subscribe(identity, there.url)
        deliver(conversation)
        for _ in range(SCHEDULE.attempts + 2):
            run()
            make_due()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts_made) == ("failed", SCHEDULE.attempts)
    assert len(there.requests) == SCHEDULE.attempts


def test_an_endpoint_that_says_gone_hears_nothing_more(identity: Identity, conversation: Conversation) -> None:
    with endpoint(lambda request: 410) as there:
        subscription = subscribe(identity, there.url)
        deliver(conversation)
        run()
        deliver(conversation)
        run()
    assert len(there.requests) == 1
    subscription.refresh_from_db()
    assert (subscription.status, subscription.disabled_reason) == ("disabled", "gone")
    event = Event.objects.get(type="webhook.disabled")
    assert (event.identity_id, event.data["reason"], event.data["last_status"]) == (identity.id, "gone", 410)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"failed"}


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("120", 119, 121), ("{date}", 3500, 3601), ("99999999", 86_390, 86_401), ("9" * 5000, 86_390, 86_401)],
)
def test_retry_after_is_obeyed_by_the_whole_endpoint(
    value: str, least: int, most: int, identity: Identity, conversation: Conversation
) -> None:
    date = (timezone.now() + timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    answer = f"HTTP/1.1 429 Slow\r\nRetry-After: {value.format(date=date)}\r\nContent-Length: 0\r\n\r\n".encode()
    with receivers.raw(receivers.answering(answer)) as there:
        subscription = subscribe(identity, there.url)
        (delivery,) = deliver(conversation)
        run()
        delivery.refresh_from_db()
        assert least < (delivery.next_attempt_at - timezone.now()).total_seconds() < most
        deliver(conversation)
        assert run() == 0
        subscription.refresh_from_db()
        assert subscription.held_until is not None
        assert there.connections == 1


def test_five_days_of_failures_disable_and_one_success_saves(identity: Identity, conversation: Conversation) -> None:
    status = 500
    with endpoint(lambda request: status) as there:
        subscription = subscribe(identity, there.url)
        deliver(conversation)
        run()
        long_ago = timezone.now() - timedelta(days=5, minutes=1)
        Subscription.objects.update(failing_since=long_ago)
        status = 200
        make_due()
        run()
        subscription.refresh_from_db()
        assert subscription.failing_since is None
        Subscription.objects.update(failing_since=long_ago)
        status = 500
        deliver(conversation)
        run()
    subscription.refresh_from_db()
    assert (subscription.status, subscription.disabled_reason) == ("disabled", "failing")
    assert Event.objects.filter(type="webhook.disabled").count() == 1


def test_a_disabled_endpoint_catches_up_with_a_replay(
    identity: Identity, conversation: Conversation, there: Endpoint
) -> None:
    admin = make.admin_of(identity.organization)
    subscription = subscribe(identity, "http://127.0.0.1:9/gone", status="disabled", disabled_reason="failing")
    began = timezone.now()
    deliver(conversation, 3)
    assert replay_failed_since(admin, began) == 0
    subscription = update_subscription(admin, subscription, changes={"url": there.url})
    assert subscription.status == "active"
    assert replay_failed_since(admin, began, subscription) == 3
    assert run() == 3
    assert there.sequences == [1, 2, 3]
    assert set(Attempt.objects.values_list("is_replay", flat=True)) == {True}
    assert replay_failed_since(admin, began) == 0


def test_replayed_failures_do_not_count_against_the_endpoint(identity: Identity, conversation: Conversation) -> None:
    with endpoint(lambda request: 500) as there:
        subscription = subscribe(identity, there.url)
        began = timezone.now()
        deliver(conversation)
        Delivery.objects.update(state="failed")
        replay_failed_since(make.admin_of(identity.organization), began)
        run()
    subscription.refresh_from_db()
    assert (subscription.failing_since, subscription.failed_count, subscription.last_failure_at) == (None, 0, None)


def test_one_attempt_is_replayed_to_the_present_address(
    identity: Identity, conversation: Conversation, there: Endpoint
) -> None:
    agent = make.agent_of(identity)
    with endpoint(lambda request: 500) as former:
        subscription = subscribe(identity, former.url)
        deliver(conversation)
        run()
    update_subscription(agent, subscription, changes={"url": there.url})
    again = replay(agent, Attempt.objects.get())
    assert (again.is_replay, again.response_status, again.url) == (True, 200, there.url)
    assert there.requests[0].body == former.requests[0].body
    assert there.requests[0].headers["webhook-id"] == former.requests[0].headers["webhook-id"]
    assert there.requests[0].headers["x-inkbox-request-id"] != former.requests[0].headers["x-inkbox-request-id"]
    assert Delivery.objects.get().state == "delivered"
    make_due()
    assert run() == 0


def test_a_test_event_of_the_catalogue_is_sent_at_once(identity: Identity, there: Endpoint) -> None:
    subscription = subscribe(identity, there.url, ["tapback.received"])
    attempt = send_test(make.agent_of(identity), subscription)
    assert (attempt.response_status, attempt.is_replay) == (200, False)
    (payload,) = there.payloads
    assert (payload["event_type"], payload["test"], payload["sequence"]) == ("imessage.reaction_received", True, None)
    assert payload["data"]["reaction"]["reaction"] == "like"


def test_nothing_goes_to_an_address_that_was_left_or_deleted(
    identity: Identity, conversation: Conversation, there: Endpoint
) -> None:
    agent = make.agent_of(identity)
    with endpoint() as former, endpoint() as ended:
        moved, deleted = subscribe(identity, former.url), subscribe(identity, ended.url)
        deliver(conversation, 3)
        update_subscription(agent, moved, changes={"url": there.url})
        delete_subscription(agent, deleted)
        run()
        assert (len(former.requests), len(ended.requests), len(there.requests)) == (0, 0, 3)
    assert Delivery.objects.filter(subscription=deleted, state="cancelled").count() == 3


@pytest.mark.parametrize("changes", [{"status": "paused"}, {"imessage_enabled": False}])
def test_a_paused_identity_is_silent_until_it_is_back(
    changes: dict[str, Any], identity: Identity, conversation: Conversation, there: Endpoint
) -> None:
    subscribe(identity, there.url)
    deliver(conversation)
    Identity.objects.update(**changes)
    deliver(conversation)
    assert run() == 0
    Identity.objects.update(status="active", imessage_enabled=True)
    assert run() == 1
    assert there.sequences == [1]


def test_a_worker_that_died_with_the_answer_delivers_again(
    identity: Identity, conversation: Conversation, there: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(outcomes: object) -> None:
        raise RuntimeError("killed")

    subscribe(identity, there.url)
    deliver(conversation)
    with monkeypatch.context() as broken:
        broken.setattr("webhooks.courier.settle", die)
        with pytest.raises(RuntimeError):
            run()
    assert run() == 0, "the claim is still held"
    Delivery.objects.update(claimed_until=timezone.now())
    assert run() == 1
    assert len({request.headers["webhook-id"] for request in there.requests}) == 1
    assert Delivery.objects.get().state == "delivered"


def test_an_address_inside_is_not_called_and_the_words_do_not_tell_why(
    identity: Identity, conversation: Conversation, settings: Any, there: Endpoint
) -> None:
    settings.INTERNAL_HOSTS = []
    subscribe(identity, there.url.replace("http", "https"))
    deliver(conversation)
    run()
    assert there.requests == []
    assert Attempt.objects.get().response_status is None


def test_answers_are_kept_to_four_kilobytes(identity: Identity, conversation: Conversation) -> None:
    with receivers.raw(receivers.flood) as there:
        subscribe(identity, there.url)
        deliver(conversation)
        run()
    attempt = Attempt.objects.get()
    assert attempt.response_body == "x" * 4096


def _inkbox_signature(key: str, headers: dict[str, str], body: bytes) -> str:
    message = f"{headers['x-inkbox-request-id']}.{headers['x-inkbox-timestamp']}.".encode() + body
    return "sha256=" + hmac.new(key.removeprefix("whsec_").encode(), message, hashlib.sha256).hexdigest()
