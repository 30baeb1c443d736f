"""When iMessage cannot carry a text it goes as SMS: only then, once, and the message says so."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Identity
from events.models import Event
from imessage.models import Connection, Conversation, Message
from imessage.receiving import apply_callback
from imessage.sending import send_message
from lines import providers
from lines.callbacks import store
from lines.models import Dispatch, Line, Recipient, Route
from lines.providers.base import ErrorClass, OptedOut, ServiceAnswer
from tests import make
from tests.providers.scripted import (
    ScriptedDriver,
    accepted,
    drain_now,
    event,
    let_time_pass,
    refused,
    run_jobs,
    text_in,
    unknown,
)

pytestmark = pytest.mark.django_db

NOT_ON_IMESSAGE = {"code": "not_on_imessage", "message": "No."}


@pytest.fixture
def driver(driver: ScriptedDriver) -> ScriptedDriver:
    """A Mac: iMessage and nothing else."""
    driver.card = replace(driver.card, services=("imessage",), lookup=False)
    return driver


@pytest.fixture
def carrier(monkeypatch: pytest.MonkeyPatch) -> ScriptedDriver:
    scripted = ScriptedDriver()
    scripted.card = replace(scripted.card, services=("sms",), lookup=False)
    monkeypatch.setitem(providers._DRIVERS, "carrier", scripted)
    return scripted


@pytest.fixture
def number(db: None, carrier: ScriptedDriver) -> Line:
    """An SMS number."""
    account = make.make_account("carrier", provider="carrier")
    return make.make_line("+15555550190", account=account, service="sms")


def send(conversation: Conversation, text: str = "answer", **fields: Any) -> Message:
    message = send_message(make.agent_of(conversation.identity), conversation=conversation, text=text)
    Message.objects.filter(pk=message.pk).update(**fields)
    run_jobs()
    message.refresh_from_db()
    return message


def unreachable() -> Any:
    return refused(ErrorClass.RECIPIENT_UNREACHABLE, "not_on_imessage")


def test_a_human_without_imessage_gets_sms_from_the_second_address(
    written: Conversation, number: Line, driver: ScriptedDriver, carrier: ScriptedDriver
) -> None:
    driver.answers = [unreachable()]
    message = send(written)
    assert (message.status, message.service, message.was_downgraded, message.line) == ("sent", "sms", True, number)
    assert [(order.service, order.text) for order in carrier.sent] == [("sms", "answer")]
    route = Route.objects.get(line=number)
    assert (route.role, route.human, route.identity, route.held_until) == ("sms", make.HUMAN, written.identity, None)
    assert [(call.line, call.service, call.outcome) for call in Dispatch.objects.order_by("attempt")] == [
        (written.connection.line, "imessage", "refused"),
        (number, "sms", "accepted"),
    ]
    told = Event.objects.filter(subject_id=message.id).order_by("number").values_list("type", flat=True)
    assert list(told) == ["message.queued", "message.downgraded", "message.sent"]


def test_the_human_s_answer_to_the_number_reaches_the_agent(
    written: Conversation, number: Line, driver: ScriptedDriver
) -> None:
    driver.answers = [unreachable()]
    send(written)
    assert text_in(number, "thanks", service="sms").state == "applied"
    heard = Message.objects.latest("position")
    assert (heard.conversation, heard.line, heard.service) == (written, number, "sms")


@pytest.mark.parametrize(
    ("policy", "at_once", "later"),
    [("never", False, False), ("if_unsupported", True, False), ("if_unsupported_or_failed", True, True)],
)
def test_each_order_says_when_sms_may_carry_it(
    policy: str,
    at_once: bool,
    later: bool,
    written: Conversation,
    number: Line,
    driver: ScriptedDriver,
    carrier: ScriptedDriver,
) -> None:
    driver.answers = [unreachable()]
    refused_at_once = send(written, "one", fallback=policy)
    accepted_first = send(written, "two", fallback=policy)
    report(accepted_first, "failed", error=NOT_ON_IMESSAGE)
    assert carrier.texts == ["one"] * at_once + ["two"] * later
    for message, fell in ((refused_at_once, at_once), (accepted_first, later)):
        message.refresh_from_db()
        assert (message.status, message.was_downgraded) == (("sent", True) if fell else ("error", None))


def report(message: Message, status: str, *, call: Dispatch | None = None, **data: Any) -> None:
    """A status report of a message's first call, or of the one given."""
    call = call or Dispatch.objects.filter(order_id=message.id).earliest("attempt")
    body = event("message.status", call.line, message.human, message_id=call.handle, status=status, **data)
    store(call.line.account, body, polled=False)
    apply_callback(call.line.account.callbacks.latest("id").id)
    run_jobs()


@pytest.mark.parametrize("answer", [unknown(), refused(ErrorClass.RETRYABLE), refused(ErrorClass.PERMANENT)])
def test_nothing_else_opens_the_way(
    answer: Any, written: Conversation, number: Line, driver: ScriptedDriver, carrier: ScriptedDriver
) -> None:
    driver.answers = [answer]
    message = send(written)
    let_time_pass()
    driver.looked_up = [None]
    drain_now(written)
    assert carrier.sent == []
    assert (message.service, message.was_downgraded) == ("imessage", None)


def test_a_text_that_is_not_delivered_yet_is_waited_for(
    written: Conversation, number: Line, carrier: ScriptedDriver, driver: ScriptedDriver
) -> None:
    send(written)
    let_time_pass()
    drain_now(written)
    assert carrier.sent == []


def test_without_an_sms_number_the_message_fails(written: Conversation, driver: ScriptedDriver) -> None:
    driver.answers = [unreachable()]
    message = send(written)
    assert (message.status, message.error_reason) == ("error", "recipient-unreachable")


def test_without_a_healthy_number_the_failure_stands(
    written: Conversation, number: Line, driver: ScriptedDriver, carrier: ScriptedDriver
) -> None:
    message = send(written)
    Line.objects.filter(pk=number.pk).update(seen="down")
    report(message, "failed", error=NOT_ON_IMESSAGE)
    report(message, "failed", error=NOT_ON_IMESSAGE)
    message.refresh_from_db()
    # No number is healthy: the failure stands.
    assert (message.status, carrier.sent) == ("error", [])


def test_an_arrival_of_the_first_call_before_sms_leaves_stops_the_sms(
    written: Conversation, number: Line, driver: ScriptedDriver, carrier: ScriptedDriver
) -> None:
    first = send(written, "one")
    report(first, "failed", error=NOT_ON_IMESSAGE)  # binds the number
    second = send(written, "two")
    Line.objects.filter(pk=number.pk).update(seen="down")
    report(second, "failed", error=NOT_ON_IMESSAGE)
    second.refresh_from_db()
    assert (second.status, second.line, carrier.texts) == ("queued", number, ["one"])
    report(second, "delivered", service="imessage")
    Line.objects.filter(pk=number.pk).update(seen="healthy")
    drain_now(written)
    second.refresh_from_db()
    assert (second.status, second.service, second.was_downgraded) == ("delivered", "imessage", False)
    assert carrier.texts == ["one"]


def test_errors_of_the_first_call_that_come_again_do_not_touch_the_sms(
    written: Conversation, number: Line, driver: ScriptedDriver, carrier: ScriptedDriver
) -> None:
    message = send(written)
    for _ in range(3):
        report(message, "failed", error=NOT_ON_IMESSAGE)
    message.refresh_from_db()
    assert (message.status, carrier.texts) == ("sent", ["answer"])
    assert Event.objects.filter(subject_id=message.id, type="message.sent").count() == 1


def test_after_two_failed_rounds_sms_goes_at_once_for_a_day(
    written: Conversation, number: Line, driver: ScriptedDriver, carrier: ScriptedDriver
) -> None:
    driver.answers = [unreachable(), unreachable()]
    assert [send(written, text).service for text in ("one", "two", "three")] == ["sms"] * 3
    assert (driver.texts, carrier.texts) == (["one", "two"], ["one", "two", "three"])
    Recipient.objects.update(sms_until=timezone.now() - timedelta(seconds=1))
    assert send(written, "four").service == "imessage"


def test_an_arrival_over_imessage_forgets_the_failures(
    written: Conversation, number: Line, driver: ScriptedDriver
) -> None:
    driver.answers = [unreachable()]
    send(written, "one")
    report(send(written, "two"), "delivered", service="imessage")
    assert Recipient.objects.get().downgrades == 0


def test_what_sms_lacks_is_left_out_and_a_large_file_becomes_a_link(
    written: Conversation, number: Line, driver: ScriptedDriver, carrier: ScriptedDriver
) -> None:
    driver.answers = [unreachable()]
    message = send_message(
        make.agent_of(written.identity),
        conversation=written,
        text="look",
        send_style="slam",
        media_urls=["https://files.example.com/1.png"],
    )
    message.parts.filter(kind="media").update(size=6 * 1024 * 1024)
    run_jobs()
    order = carrier.sent[0]
    assert (order.text, order.media, order.effect) == ("look\nhttps://files.example.com/1.png", (), "")


def test_a_provider_with_sms_of_its_own_keeps_the_number(
    written: Conversation, number: Line, driver: ScriptedDriver, carrier: ScriptedDriver
) -> None:
    driver.card = replace(driver.card, services=("imessage", "sms"))
    driver.answers = [replace(accepted(), service="sms")]
    message = send(written)
    assert (driver.sent[0].service, carrier.sent) == ("auto", [])
    assert (message.service, message.was_downgraded, message.line) == ("sms", True, written.connection.line)
    send(written, "no SMS", fallback="never")
    assert driver.sent[1].service == "imessage"


def test_a_lookup_on_first_contact_saves_the_failing_round(
    conversation: Conversation,
    number: Line,
    driver: ScriptedDriver,
    carrier: ScriptedDriver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def look_up(account: Any, *, line: str, address: str) -> ServiceAnswer:
        asked.append(address)
        return ServiceAnswer("sms", timezone.now())

    driver.card = replace(driver.card, lookup=True)
    monkeypatch.setattr(driver, "lookup_service", look_up)
    elsewhere = make.make_line("+15555550102", account=conversation.connection.line.account)
    make.make_message(conversation, "hello", provider_handle="first")
    Connection.objects.update(line=elsewhere)  # as after a move: nobody wrote on this line yet
    conversation.refresh_from_db()
    assert [send(conversation, text).service for text in ("one", "two")] == ["sms"] * 2
    assert (driver.sent, carrier.texts, asked) == ([], ["one", "two"], [make.HUMAN])


def test_a_stop_word_on_sms_ends_the_connection_on_both_services(
    written: Conversation,
    number: Line,
    driver: ScriptedDriver,
    carrier: ScriptedDriver,
) -> None:
    driver.answers = [unreachable()]
    send(written)
    connection = Connection.objects.get()
    store(number.account, event("stop", number), polled=False)
    stop = OptedOut(line=number.address, human=make.HUMAN, word="STOP")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(carrier, "parse", lambda account, *, body: [stop])
        apply_callback(number.account.callbacks.latest("id").id)
    connection.refresh_from_db()
    assert connection.status == "released"
    assert text_in(number, "hello").state == text_in(connection.line, "hello").state == "unrouted"
    assert not Route.objects.live().exists()


def test_one_sms_number_serves_one_agent_per_human(
    written: Conversation, number: Line, charlies_identity: Identity, line: Line, driver: ScriptedDriver
) -> None:
    other = make.make_connection(charlies_identity, line=make.make_line("+15555550103", account=line.account))
    theirs = make.make_conversation(connection=other)
    make.make_message(theirs, "hi", provider_handle="other")
    driver.answers = [unreachable(), unreachable()]
    assert send(written).line == number
    assert send(theirs).status == "error"
