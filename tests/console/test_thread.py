"""One thread: the order of what was said, what is told of each message, and the fragments that keep it live."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.models import Identity, User
from console.thread.window import MOST, NEWEST
from contactrules.rules import create_rule, set_filter_mode, update_rule
from core.actor import Actor
from events.models import Event
from events.record import record
from imessage.models import Connection, ConnectionMove, Conversation, DeliveryStep, Message
from tests import make
from webhooks.models import Attempt, Delivery, Subscription


def positions(page: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb'data-position="(\d+)"', page)]


def read(client: Client, conversation: Conversation, part: str = "", **query: Any) -> bytes:
    answer = client.get(f"/console/threads/{conversation.id}/{part}", query)
    assert answer.status_code == 200
    return answer.content


def happen(message: Message, type: str) -> Event:
    with transaction.atomic():
        return record(
            Actor.system("tests"),
            type,
            organization_id=message.organization_id,
            identity_id=message.identity_id,
            conversation_id=message.conversation_id,
            subject_id=message.id,
        )


def test_messages_stand_in_the_order_of_their_positions(as_alice: Client, conversation: Conversation) -> None:
    now = timezone.now()
    for minutes in (5, 9, 7):
        make.make_message(conversation, created_at=now - timedelta(minutes=minutes))
    assert positions(read(as_alice, conversation)) == [1, 2, 3]


def test_a_thread_opens_with_its_newest_messages(as_alice: Client, conversation: Conversation) -> None:
    for _ in range(NEWEST + 3):
        make.make_message(conversation)
    page = read(as_alice, conversation)
    assert positions(page) == list(range(4, NEWEST + 4))
    assert b"start=1" in page
    assert positions(read(as_alice, conversation, start=1)) == list(range(1, NEWEST + 4))


def test_a_stretch_far_back_is_not_live_and_leads_on_and_to_the_newest(
    as_alice: Client, conversation: Conversation, monkeypatch: Any
) -> None:
    monkeypatch.setattr("console.thread.window.MOST", 5)
    monkeypatch.setattr("console.thread.window.STRETCH", 3)
    for _ in range(9):
        make.make_message(conversation)
    page = read(as_alice, conversation, start=1)
    assert positions(page) == [1, 2, 3]
    assert b"data-live-tail" not in page
    assert b"To the newest" in page
    assert b"start=4" in page
    assert positions(read(as_alice, conversation, start=5)) == [5, 6, 7, 8, 9]
    assert positions(read(as_alice, conversation, "log/", **{"from": 1})) == [5, 6, 7, 8, 9]
    assert MOST > NEWEST


def test_everything_told_of_a_message_is_there(as_alice: Client, conversation: Conversation) -> None:
    message = make.make_message(
        conversation,
        "hello",
        direction="outbound",
        status="delivered",
        send_style="slam",
        was_downgraded=True,
        service="sms",
    )
    make.make_media(message)
    make.make_tapback(message, "love")
    make.make_tapback(message, "laugh", ended_at=timezone.now())
    DeliveryStep.objects.create(message=message, state="claimed")
    page = read(as_alice, conversation).decode()
    for expected in (
        "with slam",
        "fell back to SMS",
        "Delivered",
        "love from the human",
        "Open attachment",
        "Taken up by",
    ):
        assert expected in page
    assert "laugh from the human" not in page


def test_a_failure_is_told_in_words(as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation, direction="outbound", status="error", error_message="The line was down.")
    assert b"The line was down." in read(as_alice, conversation)


def test_a_blocked_message_stands_in_place_with_its_verdict(as_bob: Client, conversation: Conversation) -> None:
    rule = make.make_rule(conversation.identity)
    make.make_message(conversation, "first")
    make.make_message(conversation, "held", is_blocked=True, rule_id=rule.id, rule_revision=4)
    make.make_message(conversation, "other", is_blocked=True, filter_mode="whitelist")
    page = read(as_bob, conversation).decode()
    assert positions(page.encode()) == [1, 2, 3]
    assert "Block rule · blacklist mode, revision 4" in page
    assert "Not on the whitelist · whitelist mode" in page


def test_connects_and_disconnects_stand_where_they_happened(as_alice: Client, conversation: Conversation) -> None:
    start = timezone.now() - timedelta(hours=2)
    assert conversation.connection
    conversation.connection.created_at = start
    conversation.connection.status = "released"
    conversation.connection.released_at = start + timedelta(minutes=30)
    conversation.connection.released_by = "human"
    conversation.connection.save()
    make.make_message(conversation, "one", created_at=start + timedelta(minutes=10))
    make.make_message(conversation, "two", created_at=start + timedelta(minutes=50))
    page = read(as_alice, conversation, "log/").decode()
    places = [page.index(text) for text in (">Connected<", ">one<", ">The human disconnected<", ">two<")]
    assert places == sorted(places)


def test_a_move_stands_where_it_happened_and_names_the_line_to_operators_only(
    as_alice: Client, operator: User, conversation: Conversation
) -> None:
    start = timezone.now() - timedelta(hours=2)
    connection, other = conversation.connection, make.make_line("+15555550107")
    assert connection
    ConnectionMove.objects.create(
        organization_id=connection.organization_id,
        connection=connection,
        from_line=connection.line,
        to_line=other,
        move_id=connection.id,
        at=start + timedelta(minutes=30),
    )
    Connection.objects.filter(pk=connection.pk).update(created_at=start, line=other)
    make.make_message(conversation, "one", created_at=start + timedelta(minutes=10))
    make.make_message(conversation, "two", created_at=start + timedelta(minutes=50))
    page = read(as_alice, conversation, "log/").decode()
    places = [page.index(text) for text in (">Connected<", ">one<", ">Moved to another line<", ">two<")]
    assert places == sorted(places)
    as_operator = Client()
    as_operator.force_login(operator)
    assert "Moved to another line, +1 555-555-0107" in read(as_operator, conversation, "log/").decode()


def test_the_tail_holds_only_what_is_new(as_alice: Client, conversation: Conversation) -> None:
    for _ in range(4):
        make.make_message(conversation)
    assert positions(read(as_alice, conversation, "tail/", after=2)) == [3, 4]
    assert read(as_alice, conversation, "tail/", after=4).strip() == b""


def test_the_tail_holds_what_events_changed(as_alice: Client, conversation: Conversation) -> None:
    sent = make.make_message(conversation, direction="outbound", status="sent")
    make.make_message(conversation)
    make.make_message(conversation)
    number = happen(sent, "message.delivered").number
    assert positions(read(as_alice, conversation, "tail/", after=2, since=number)) == [1, 3]
    assert positions(read(as_alice, conversation, "tail/", after=2, since=number + 1)) == [3]


def test_a_tail_that_makes_no_sense_is_read_as_from_the_start(as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation)
    assert positions(read(as_alice, conversation, "tail/", after="x", since="99999999999999999999")) == [1]


def test_the_panel_tells_line_and_organization_to_operators_only(
    as_alice: Client, as_operator: Client, conversation: Conversation
) -> None:
    assert b"<dt>Line</dt>" not in read(as_alice, conversation)
    assert b"<dt>Line</dt>" in read(as_operator, conversation)


def test_the_panel_tells_the_budget(as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation, direction="outbound", status="sent")
    assert b"1 of 100" in read(as_alice, conversation)


def test_a_thread_asks_the_database_the_same_few_questions(
    as_alice: Client, conversation: Conversation, django_assert_max_num_queries: Any
) -> None:
    asked = []
    for _ in range(2):
        for number in range(20):
            message = make.make_message(conversation, is_blocked=number % 5 == 0)
            make.make_tapback(message)
        read(as_alice, conversation)
        with django_assert_max_num_queries(40) as queries:
            read(as_alice, conversation)
        asked.append(len(queries))
    assert asked[0] == asked[1]


def test_viewers_see_that_a_text_was_blocked_and_not_what_it_said(
    as_alice: Client, as_bob: Client, conversation: Conversation
) -> None:
    make.make_media(make.make_message(conversation, "the secret", is_blocked=True))
    assert b"the secret" in read(as_alice, conversation)
    for address in ("", "log/", "tail/"):
        page = read(as_bob, conversation, address)
        assert b"the secret" not in page
        assert b"Open attachment" not in page
        assert b"Text hidden from viewers" in page
    assert b"the secret" not in as_bob.get("/console/threads/").content


def test_why_a_send_failed_is_said_in_words(as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation, direction="outbound", status="error", error_code="22", error_message="It failed.")
    make.make_message(conversation, direction="outbound", status="error", error_code="9", error_message="It failed.")
    page = read(as_alice, conversation).decode()
    assert "The number is not on iMessage." in page
    assert page.count("It failed.") == 1


def test_the_systems_own_lines_stand_between_the_messages(
    as_alice: Client, conversation: Conversation, identity: Identity
) -> None:
    make.make_message(conversation, "before")
    admin = make.admin_of(identity.organization)
    rule = create_rule(admin, identity, action="block", match_target=make.HUMAN, reason="spam")
    create_rule(admin, identity, action="block", match_target=make.OTHER_HUMAN)
    set_filter_mode(admin, identity, mode="whitelist")
    update_rule(admin, rule, changes={"status": "paused"})
    make.make_message(conversation, "after")
    page = read(as_alice, conversation).decode()
    told = ["before</p>", "Block rule for this number added", "Filter mode changed to whitelist", "paused", "after</p>"]
    places = [page.index(words, page.index('id="thread-log"')) for words in told]
    assert places == sorted(places)
    assert "by tests: spam" in page
    assert page.count("rule for this number added") == 1


@pytest.mark.parametrize("of_all", [False, True])
def test_a_webhook_that_failed_and_came_through_is_a_line(
    as_alice: Client, conversation: Conversation, of_all: bool
) -> None:
    message = make.make_message(conversation)
    event = happen(message, "message.received")
    subscription = Subscription.objects.create(
        organization_id=conversation.organization_id,
        identity_id=None if of_all else conversation.identity_id,
        url="https://hooks.example.com/x",
        event_types=["message.received"],
    )
    delivery = Delivery.objects.create(
        organization_id=conversation.organization_id,
        identity_id=conversation.identity_id,
        subscription=subscription,
        event_id=event.id,
        event_type="message.received",
        conversation_id=conversation.id,
        body="{}",
    )
    for number, status in ((1, 500), (2, None), (3, 200)):
        Attempt.objects.create(
            organization_id=conversation.organization_id,
            identity_id=conversation.identity_id,
            subscription=subscription,
            delivery=delivery,
            number=number,
            url=subscription.url,
            request_headers={},
            response_status=status,
        )
    page = read(as_alice, conversation).decode()
    assert "Webhook to hooks.example.com failed: answered 500" in page
    assert "Webhook to hooks.example.com delivered at last: answered 200" in page
    assert page.count("Webhook to hooks.example.com") == 2
    assert "message.received to hooks.example.com" in page
