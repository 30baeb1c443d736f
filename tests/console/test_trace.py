"""The trace of one text: from any id to the same page, every step in order of time."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from console import tracing
from contactrules.models import Decision
from core.errors import NotFound
from events.models import Event
from events.record import record
from imessage.models import Conversation, DeliveryStep, Message
from imessage.shapes import message_shape
from lines.models import Dispatch
from tests import make
from webhooks.models import Attempt, Delivery, Subscription


@pytest.fixture
def message(conversation: Conversation) -> Message:
    return make.make_message(conversation, "dinner?", created_at=timezone.now() - timedelta(minutes=5))


@pytest.fixture
def event(message: Message) -> Event:
    return record(
        make.operator(),
        "message.received",
        organization_id=message.organization_id,
        identity_id=message.identity_id,
        conversation_id=message.conversation_id,
        subject_id=message.id,
        data={"message": message_shape(message)},
    )


@pytest.fixture
def attempt(message: Message, event: Event) -> Attempt:
    subscription = Subscription.objects.create(
        organization_id=message.organization_id,
        identity=message.identity,
        url="https://hooks.example.com/in",
        event_types=["message.received"],
    )
    delivery = Delivery.objects.create(
        organization_id=message.organization_id,
        identity=message.identity,
        subscription=subscription,
        event_id=event.id,
        event_type="message.received",
        conversation_id=message.conversation_id,
        order_number=1,
        body="{}",
    )
    return Attempt.objects.create(
        organization_id=message.organization_id,
        identity=message.identity,
        subscription=subscription,
        delivery=delivery,
        number=1,
        url=subscription.url,
        request_headers={},
        response_status=500,
        duration_ms=12,
    )


def titles(client: Client, message: Message) -> list[str]:
    return [step.title for step in client.get(f"/console/trace/{message.id}/").context["steps"]]


def test_every_id_leads_to_the_text(as_alice: Client, message: Message, event: Event, attempt: Attempt) -> None:
    ids = [event.id, event.public_id, event.number, attempt.id, attempt.delivery_id, message.conversation_id]
    for any_id in ids:
        assert as_alice.get(f"/console/trace/{any_id}/").headers["Location"] == f"/console/trace/{message.id}/", any_id


@pytest.mark.parametrize("any_id", ["nonsense", "9" * 30, "evt_nonsense", "0190a0de-0000-7000-8000-000000000000"])
def test_an_unknown_id_is_not_found(as_alice: Client, any_id: str) -> None:
    assert as_alice.get(f"/console/trace/{any_id}/").status_code == 404
    assert "Nothing is known" in as_alice.get(f"/console/trace/?id={any_id}").content.decode()


def test_a_strangers_id_is_unknown(as_charlie: Client, message: Message, event: Event, attempt: Attempt) -> None:
    for any_id in [message.id, event.id, event.number, attempt.id, attempt.delivery_id, message.conversation_id]:
        assert as_charlie.get(f"/console/trace/{any_id}/").status_code == 404


def test_the_way_of_a_text_is_told_in_order(
    as_alice: Client, conversation: Conversation, message: Message, event: Event, attempt: Attempt
) -> None:
    Message.objects.filter(pk=message.pk).update(read_at=timezone.now())
    answer = make.make_message(conversation, "at seven", direction="outbound", status="delivered")
    DeliveryStep.objects.create(message=answer, state="delivered")
    assert titles(as_alice, message) == [
        "Stored in the thread",
        "Verdict: let through",
        "Event message.received",
        "Webhook to hooks.example.com",
        "Marked read by the agent",
        "The agent answered",
        "Delivered",
        "Webhook to hooks.example.com is due",
    ]


def test_a_blocked_text_ends_at_its_verdict(as_alice: Client, conversation: Conversation) -> None:
    rule = make.make_rule(conversation.identity)
    blocked = make.make_message(conversation, "psst", is_blocked=True, rule_id=rule.id)
    Decision.objects.create(
        organization_id=blocked.organization_id,
        identity_id=blocked.identity_id,
        human=blocked.human,
        direction="inbound",
        subject="message",
        allowed=False,
        mode="blacklist",
        revision=1,
        message_id=blocked.id,
    )
    assert titles(as_alice, blocked) == ["Stored in the thread", "Verdict: block rule"]


def test_only_operators_see_the_calls_to_the_provider(
    as_alice: Client, as_operator: Client, conversation: Conversation
) -> None:
    sent = make.make_message(conversation, "at seven", direction="outbound", status="sent")
    Dispatch.objects.create(kind="message", order_id=sent.id, attempt=1, line=sent.line, human=sent.human)
    call = "Call 1 to the line's provider"
    assert (call in titles(as_operator, sent), call in titles(as_alice, sent)) == (True, False)


def test_long_gaps_are_marked_and_the_text_form_has_no_words_of_the_human(as_alice: Client, message: Message) -> None:
    Message.objects.filter(pk=message.pk).update(read_at=timezone.now())
    page = as_alice.get(f"/console/trace/{message.id}/").content.decode()
    assert "waited" in page
    note = as_alice.get(f"/console/trace/{message.id}/?as=text")
    assert (note.headers["Content-Type"], "dinner" in note.content.decode()) == ("text/plain; charset=utf-8", False)
    assert "Stored in the thread" in note.content.decode()


def test_nothing_is_found_for_nobody(message: Message, other_organization: object) -> None:
    with pytest.raises(NotFound):
        tracing.find(make.admin_of(other_organization), str(message.id))  # type: ignore[arg-type]
