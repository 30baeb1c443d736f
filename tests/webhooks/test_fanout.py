"""Which events become deliveries, for whom, in which order, with which words."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import Identity
from dialects import inkbox
from events.models import Event
from imessage.models import Conversation
from imessage.shapes import message_shape, tapback_shape
from tests import make
from tests.webhooks.endpoints import deliver, happen, subscribe
from webhooks.catalog import example_of
from webhooks.fanout import TASK, fan_out, take_up_given_up
from webhooks.jobs import sweep
from webhooks.models import Delivery

pytestmark = pytest.mark.django_db

URL = "https://agent.example.com/hook"


def payloads() -> list[dict[str, Any]]:
    return [json.loads(body) for body in Delivery.objects.order_by("id").values_list("body", flat=True)]


@pytest.mark.parametrize(
    ("type", "direction", "word"),
    [
        ("message.received", "inbound", "imessage.received"),
        ("message.sent", "outbound", "imessage.sent"),
        ("message.delivered", "outbound", "imessage.delivered"),
        ("message.delivery_failed", "outbound", "imessage.delivery_failed"),
    ],
)
def test_messages_are_told(
    type: str, direction: str, word: str, identity: Identity, conversation: Conversation
) -> None:
    subscribe(identity, URL)
    message = make.make_message(conversation, direction=direction)
    assert fan_out(happen(message, type).number) == 1
    (payload,) = payloads()
    assert payload["event_type"] == word
    assert payload["data"]["message"]["id"] == str(message.id)
    assert payload["data"]["reaction"] is None


@pytest.mark.parametrize(("type", "told"), [("tapback.added", 1), ("tapback.replaced", 1), ("tapback.removed", 0)])
def test_a_humans_tapbacks_are_told(type: str, told: int, identity: Identity, conversation: Conversation) -> None:
    subscribe(identity, URL)
    message = make.make_message(conversation, direction="outbound")
    tapback = make.make_tapback(message)
    event = happen(message, type, tapback=tapback_shape(tapback, message))
    assert fan_out(event.number) == told
    for payload in payloads():
        assert payload["event_type"] == "imessage.reaction_received"
        assert payload["data"]["reaction"] == inkbox.reaction(tapback_shape(tapback, message))
        assert payload["data"]["message"] is None


def test_an_agents_own_tapback_is_not_told(identity: Identity, conversation: Conversation) -> None:
    subscribe(identity, URL)
    message = make.make_message(conversation)
    tapback = make.make_tapback(message, direction="outbound")
    assert fan_out(happen(message, "tapback.added", tapback=tapback_shape(tapback, message)).number) == 0


@pytest.mark.parametrize(
    "type", ["message.blocked", "tapback.blocked", "message.queued", "message.read", "rule.created"]
)
def test_nothing_else_is_told(type: str, identity: Identity, conversation: Conversation) -> None:
    subscribe(identity, URL)
    assert fan_out(happen(make.make_message(conversation, is_blocked=True), type).number) == 0
    assert not ProcrastinateJob.objects.filter(task_name="webhooks.fanout").exists()


def test_what_came_in_while_unreachable_is_not_told_later(identity: Identity, conversation: Conversation) -> None:
    subscribe(identity, URL)
    event = happen(make.make_message(conversation), identity_reachable=False)
    assert fan_out(event.number) == 0


@pytest.mark.parametrize("changes", [{"status": "paused"}, {"status": "deleted"}, {"imessage_enabled": False}])
def test_an_unreachable_identity_is_silent(
    changes: dict[str, Any], identity: Identity, conversation: Conversation
) -> None:
    subscribe(identity, URL)
    Identity.objects.filter(pk=identity.pk).update(**changes)
    assert fan_out(happen(make.make_message(conversation)).number) == 0


def test_only_endpoints_that_want_it_are_told(
    identity: Identity, charlies_identity: Identity, conversation: Conversation
) -> None:
    subscribe(identity, URL, ["message.sent"])
    subscribe(charlies_identity, URL)
    subscribe(identity, URL + "1", status="deleted")
    wanted = subscribe(identity, URL + "2", ["message.received"])
    deliver(conversation)
    assert Delivery.objects.get().subscription == wanted


def test_nothing_is_told_of_what_happened_before_a_subscription(identity: Identity, conversation: Conversation) -> None:
    event = happen(make.make_message(conversation))
    subscription = subscribe(identity, URL)
    type(subscription).objects.update(created_at=timezone.now() + timedelta(seconds=1))
    assert fan_out(event.number) == 0


def test_a_repeated_job_makes_nothing_twice(identity: Identity, conversation: Conversation) -> None:
    subscribe(identity, URL)
    event = happen(make.make_message(conversation))
    assert (fan_out(event.number), fan_out(event.number)) == (1, 0)
    deliver(conversation)
    assert [payload["sequence"] for payload in payloads()] == [1, 2]


def test_each_conversation_and_endpoint_counts_by_itself(identity: Identity, conversation: Conversation) -> None:
    other = make.make_conversation(identity, make.OTHER_HUMAN)
    everything, sent = subscribe(identity, URL), subscribe(identity, URL + "2", ["message.sent"])
    deliver(conversation, 3)
    deliver(other, 2)
    fan_out(happen(make.make_message(conversation, direction="outbound"), "message.sent").number)
    numbers = Delivery.objects.order_by("id").values_list("order_number", flat=True)
    assert list(numbers.filter(subscription=everything, conversation_id=conversation.id)) == [1, 2, 3, 4]
    assert list(numbers.filter(subscription=everything, conversation_id=other.id)) == [1, 2]
    assert list(numbers.filter(subscription=sent)) == [1]


@pytest.mark.django_db(transaction=True)
def test_parallel_jobs_leave_no_gap(identity: Identity, conversation: Conversation) -> None:
    subscribe(identity, URL)
    events = [happen(make.make_message(conversation)).number for _ in range(12)]
    ready = threading.Barrier(12)

    def run(number: int) -> None:
        try:
            ready.wait()
            fan_out(number)
            fan_out(number)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[number]) for number in events]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Delivery.objects.values_list("order_number", flat=True)) == list(range(1, 13))


def test_an_event_wakes_the_fanout_in_its_transaction(conversation: Conversation) -> None:
    event = happen(make.make_message(conversation))
    job = ProcrastinateJob.objects.get(task_name="webhooks.fanout")
    assert (job.args, job.lock) == ({"number": event.number}, f"fanout:{conversation.id}")


class TestGivenUp:
    """Fan-outs that failed over and over: what the sweep makes of them."""

    def test_it_is_taken_up_once_and_the_job_is_gone(self, identity: Identity, conversation: Conversation) -> None:
        subscribe(identity, URL)
        given_up(happen(make.make_message(conversation)))
        deliver(conversation)
        assert (take_up_given_up(), take_up_given_up()) == (1, 0)
        assert [payload["sequence"] for payload in payloads()] == [1, 2]
        assert not ProcrastinateJob.objects.filter(task_name=TASK, status="failed").exists()

    def test_one_that_fails_again_stays_and_holds_nobody_up(
        self, identity: Identity, conversation: Conversation, caplog: pytest.LogCaptureFixture
    ) -> None:
        subscribe(identity, URL)
        bad = happen(make.make_message(conversation))
        type(bad).objects.filter(pk=bad.pk).update(data={"message": "not one"})
        given_up(bad)
        given_up(happen(make.make_message(conversation)))
        assert take_up_given_up() == 1
        assert ProcrastinateJob.objects.get(task_name=TASK, status="failed").args == {"number": bad.number}
        assert "cannot be fanned out" in caplog.text

    def test_the_sweep_leaves_what_still_waits(self, identity: Identity, conversation: Conversation) -> None:
        subscribe(identity, URL)
        happen(make.make_message(conversation))
        sweep(timestamp=0)
        assert not Delivery.objects.exists()
        given_up(happen(make.make_message(conversation)))
        sweep(timestamp=0)
        assert ProcrastinateJob.objects.filter(task_name="webhooks.deliver").exists()


def given_up(event: Event) -> None:
    """As a worker leaves an event's job after the last try."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'failed' WHERE task_name = %s AND (args->>'number')::bigint = %s",
            [TASK, event.number],
        )


def test_texts_before_come_along_when_asked_for(identity: Identity, conversation: Conversation) -> None:
    subscribe(
        identity,
        URL,
        context_config={"texts": {"mode": "count", "count": 2}, "email": None, "calls": {"mode": "window", "hours": 2}},
    )
    deliver(conversation, 4)
    *_, last = payloads()
    texts, calls = last["data"]["context"]["texts"], last["data"]["context"]["calls"]
    assert [item["text"] for item in texts.pop("items")] == ["text 1", "text 2"]
    assert texts == {"scope": "conversation", "truncated": True, "mode": "count", "requested": 2}
    assert calls == {"scope": "conversation", "items": [], "truncated": False, "mode": "window", "hours": 2}
    assert "email" not in last["data"]["context"]


@pytest.mark.parametrize("event_type", inkbox.WEBHOOK_EVENTS)
def test_examples_have_the_shape_of_real_events(
    event_type: str, identity: Identity, conversation: Conversation
) -> None:
    message = make.make_message(conversation, direction="outbound")
    example = example_of(event_type, organization_id="o", identity_id="i")
    assert example["message"].keys() == message_shape(message).keys()
    if "tapback" in example:
        assert example["tapback"].keys() == tapback_shape(make.make_tapback(message), message).keys()
    assert inkbox.event_type_of(inkbox.WEBHOOK_EVENTS[event_type]) == event_type
