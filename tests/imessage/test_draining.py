"""How a queue is emptied: in order, one text at a time, each decided again before it leaves."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.identities import update_identity
from accounts.models import Identity
from contactrules import rules
from contactrules.models import Decision
from events.models import Event
from imessage import connecting
from imessage.draining import wake_queue
from imessage.jobs import sweep
from imessage.models import Conversation, Message
from imessage.sending import send_message
from lines import health
from lines.models import Dispatch, Line
from lines.providers.base import ErrorClass, Outcome, ProviderError, Scope, SendReceipt
from tests import make
from tests.providers.scripted import (
    ScriptedDriver,
    accepted,
    drain_now,
    forget_jobs,
    let_time_pass,
    refused,
    run_jobs,
    status_event,
    tell,
    text_in,
    unknown,
    waiting_jobs,
)

pytestmark = pytest.mark.django_db

LONG_AGO = timezone.now() - timedelta(hours=2)


def send(conversation: Conversation, text: str = "answer", **fields: Any) -> Message:
    return send_message(make.agent_of(conversation.identity), conversation=conversation, text=text, **fields)


def now_of(message: Message) -> Message:
    message.refresh_from_db()
    return message


def test_the_queue_leaves_in_order(written: Conversation, driver: ScriptedDriver) -> None:
    messages = [send(written, text) for text in ("one", "two", "three")]
    run_jobs()
    assert driver.texts == ["one", "two", "three"]
    assert {now_of(message).status for message in messages} == {"sent"}
    assert driver.sent[0].key == str(messages[0].id)
    assert (driver.sent[0].line, driver.sent[0].human) == (messages[0].line.address, make.HUMAN)


def test_media_and_style_travel_along(written: Conversation, driver: ScriptedDriver) -> None:
    send(written, "look", media_urls=["https://files.example.com/1.png"], send_style="slam")
    run_jobs()
    assert (driver.sent[0].media, driver.sent[0].effect) == (("https://files.example.com/1.png",), "slam")


def test_a_provider_that_only_queued_it_has_accepted_it(written: Conversation, driver: ScriptedDriver) -> None:
    message = send(written)
    driver.answers = [accepted("h1", state="queued")]
    run_jobs()
    assert (now_of(message).status, message.provider_handle) == ("accepted", "h1")
    assert Event.objects.filter(subject_id=message.id, type="message.accepted").count() == 1


@pytest.mark.parametrize("state", ["received", "failed", "nonsense", ""])
def test_a_strange_word_of_the_provider_is_acceptance(
    state: str, written: Conversation, driver: ScriptedDriver
) -> None:
    message = send(written)
    driver.answers = [accepted("h1", state=state)]
    run_jobs()
    assert now_of(message).status == "accepted"
    assert driver.texts == ["answer"]


DECLINES = {
    "recipient_blocked": lambda identity, conversation: rules.create_rule(
        make.admin_of(identity.organization), identity, action="block", match_target=make.HUMAN
    ),
    "identity_not_enabled": lambda identity, conversation: update_identity(
        make.admin_of(identity.organization), identity, changes={"imessage_enabled": False}
    ),
    "connection_released": lambda identity, conversation: connecting.release(
        make.admin_of(identity.organization), conversation.connection
    ),
}


@pytest.mark.parametrize("reason", DECLINES)
def test_what_was_accepted_before_is_declined(
    reason: str, written: Conversation, identity: Identity, driver: ScriptedDriver
) -> None:
    messages = [send(written, "one"), send(written, "two")]
    DECLINES[reason](identity, written)
    run_jobs()
    assert driver.sent == []
    assert [(now_of(message).status, message.error_reason) for message in messages] == [("declined", reason)] * 2
    assert Event.objects.filter(type="message.delivery_failed").count() == 2
    assert Decision.objects.filter(allowed=False).count() == (2 if reason == "recipient_blocked" else 0)


def test_a_text_that_may_be_out_is_never_declined(
    written: Conversation, identity: Identity, driver: ScriptedDriver
) -> None:
    message = send(written)
    Dispatch.objects.create(
        kind="message", order_id=message.id, attempt=1, line=message.line, human=message.human, outcome="unknown"
    )
    let_time_pass()
    make.make_rule(identity)
    driver.looked_up = [accepted("h1")]
    run_jobs()
    assert now_of(message).status == "sent"


def test_a_line_that_is_down_holds_its_queue_and_its_return_wakes_it(
    written: Conversation, line: Line, driver: ScriptedDriver
) -> None:
    message = send(written)
    driver.answers = [refused(ErrorClass.LINE_DOWN, "line_offline")]
    run_jobs()
    line.refresh_from_db()
    assert (line.seen, line.seen_reasons, now_of(message).status) == ("down", ["line_offline"], "queued")
    wake_queue(written.id)
    run_jobs()
    assert len(driver.sent) == 1
    health.probe(line)
    run_jobs()
    assert (len(driver.sent), now_of(message).status) == (2, "sent")


def test_a_paused_line_sends_again_when_it_is_wanted(written: Conversation, line: Line, driver: ScriptedDriver) -> None:
    health.want(make.operator(), line, wanted="paused")
    send(written)
    run_jobs()
    assert driver.sent == []
    health.want(make.operator(), line, wanted="in_service")
    run_jobs()
    assert driver.texts == ["answer"]


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 5), (2, 30), (3, 120), (4, 600), (5, 600)])
def test_a_retryable_error_is_tried_again_later_and_later(
    attempt: int, seconds: int, written: Conversation, driver: ScriptedDriver
) -> None:
    message = send(written)
    driver.answers = [refused(ErrorClass.RETRYABLE)] * attempt
    for _ in range(attempt):
        Conversation.objects.update(next_attempt_at=None)
        drain_now(written)
    written.refresh_from_db()
    assert now_of(message).status == "queued"
    assert written.next_attempt_at
    assert abs((written.next_attempt_at - timezone.now()).total_seconds() - seconds) < 3


def test_the_provider_s_own_time_is_obeyed(written: Conversation, driver: ScriptedDriver) -> None:
    send(written)
    driver.answers = [refused(ErrorClass.HELD, "rate_limited", retry_after=77)]
    run_jobs()
    written.refresh_from_db()
    assert written.next_attempt_at
    assert abs((written.next_attempt_at - timezone.now()).total_seconds() - 77) < 3


def test_half_an_hour_of_errors_is_enough(written: Conversation, driver: ScriptedDriver) -> None:
    message = send(written)
    driver.answers = [refused(ErrorClass.RETRYABLE, "busy")] * 2
    drain_now(written)
    Dispatch.objects.update(claimed_at=timezone.now() - timedelta(minutes=31))
    Conversation.objects.update(next_attempt_at=None)
    drain_now(written)
    assert (now_of(message).status, message.error_code, message.error_reason) == ("error", "busy", "retryable")


@pytest.mark.parametrize(
    ("error_class", "status"),
    [(ErrorClass.PERMANENT, "declined"), (ErrorClass.RECIPIENT_UNREACHABLE, "error")],
)
def test_an_error_for_good_ends_the_message_and_the_next_goes_on(
    error_class: ErrorClass, status: str, written: Conversation, driver: ScriptedDriver
) -> None:
    first, second = send(written, "one"), send(written, "two")
    driver.answers = [refused(error_class, "bad")]
    run_jobs()
    assert (now_of(first).status, first.error_reason, now_of(second).status) == (status, error_class, "sent")
    assert Event.objects.filter(type="message.delivery_failed").count() == 1


def test_a_new_text_waits_behind_one_that_is_tried_again(written: Conversation, driver: ScriptedDriver) -> None:
    send(written, "one")
    driver.answers = [refused(ErrorClass.RETRYABLE)]
    run_jobs()
    send(written, "two")
    run_jobs()
    assert driver.texts == ["one"]
    planned = [job["at"] for job in waiting_jobs("imessage.drain")]
    written.refresh_from_db()
    assert planned == [written.next_attempt_at], "the planned attempt must survive an early wake-up"
    let_time_pass()
    drain_now(written)
    assert driver.texts == ["one", "one", "two"]


def test_the_sweep_finds_a_queue_that_nobody_woke(written: Conversation, driver: ScriptedDriver) -> None:
    send(written)
    forget_jobs()
    sweep(0)
    assert waiting_jobs("imessage.drain") == []
    Message.objects.update(created_at=timezone.now() - timedelta(seconds=11))
    sweep(0)
    run_jobs()
    assert driver.texts == ["answer"]


def test_the_sweep_leaves_held_lines_alone(written: Conversation, line: Line) -> None:
    send(written)
    forget_jobs()
    Message.objects.update(created_at=timezone.now() - timedelta(seconds=11))
    for field, value in [("seen", "down"), ("wanted", "paused")]:
        Line.objects.filter(pk=line.pk).update(**{"seen": "healthy", "wanted": "in_service", field: value})
        sweep(0)
        assert waiting_jobs("imessage.drain") == []


@pytest.mark.parametrize("wanted", Line.Wanted.values)
@pytest.mark.parametrize("seen", Line.Seen.values)
def test_the_sweep_and_the_drain_agree_which_lines_hold(wanted: str, seen: str, account: object) -> None:
    line = make.make_line(wanted=wanted, seen=seen, account=account)
    assert Line.objects.flowing().filter(pk=line.pk).exists() == (not line.holds_queue)


def test_an_old_claim_is_not_acted_on(written: Conversation, driver: ScriptedDriver, monkeypatch: Any) -> None:
    """A worker that froze between the claim and the call must not call when it thaws."""
    message = send(written)
    with monkeypatch.context() as frozen:
        frozen.setattr("lines.dispatching.LEASE", timedelta(seconds=-1))
        drain_now(written)
    assert driver.sent == []
    assert Dispatch.objects.get().outcome == "in_flight"
    let_time_pass()
    driver.has_send_key = True
    drain_now(written)
    assert (now_of(message).status, driver.texts) == ("sent", ["answer"])


def test_a_failed_report_during_the_call_ends_the_message(
    written: Conversation, line: Line, driver: ScriptedDriver
) -> None:
    message = send(written)

    def fail_first(order: object) -> Any:
        error = {"code": "lost", "message": ""}
        tell(line.account, status_event(message, "failed", message_id="h1", error=error))
        return accepted("h1")

    driver.answers = [fail_first]
    run_jobs()
    assert (now_of(message).status, message.error_code, driver.texts) == ("error", "lost", ["answer"])


def test_a_line_s_pace_holds_the_queue_and_says_until_when(written: Conversation, driver: ScriptedDriver) -> None:
    with_limits(written, human_gap=100)
    first, second = send(written, "one"), send(written, "two")
    drain_now(written)
    assert driver.texts == ["one"]
    written.refresh_from_db()
    assert written.next_attempt_at
    assert timedelta(seconds=90) < written.next_attempt_at - timezone.now() < timedelta(seconds=101)
    assert [step.state for step in second.delivery_steps.all()] == ["queued", "held"]
    let_time_pass()
    drain_now(written)
    assert driver.texts == ["one", "two"]
    assert now_of(first).status == now_of(second).status == "sent"


def test_a_text_that_would_be_held_too_long_is_declined(written: Conversation, driver: ScriptedDriver) -> None:
    with_limits(written, human_gap=100, hold_seconds=20)
    send(written, "one")
    late = send(written, "two")
    drain_now(written)
    assert (now_of(late).status, late.error_reason) == ("declined", "pace_human")
    assert driver.texts == ["one"]


def test_unanswered_texts_wait_for_the_human(written: Conversation, driver: ScriptedDriver) -> None:
    with_limits(written, unanswered=2)
    for text in ("one", "two", "three"):
        send(written, text)
    drain_now(written)
    assert driver.texts == ["one", "two"]
    text_in(written.connection.line, "I am here")
    run_jobs()
    assert driver.texts == ["one", "two", "three"]


def test_a_provider_that_wants_the_human_to_write_first_gets_it(written: Conversation, driver: ScriptedDriver) -> None:
    error = ProviderError(ErrorClass.HELD, "reply_first", "Later.", until_inbound=True)
    driver.answers = [SendReceipt(outcome=Outcome.REFUSED, error=error)]
    message = send(written)
    run_jobs()
    assert (now_of(message).status, len(driver.sent)) == ("queued", 1)
    assert "Until the human writes." in message.delivery_steps.get(state="held").detail
    text_in(written.connection.line, "I am here")
    run_jobs()
    assert (now_of(message).status, len(driver.sent)) == ("sent", 2)


def test_a_provider_that_asks_for_patience_holds_its_line(written: Conversation, driver: ScriptedDriver) -> None:
    error = ProviderError(ErrorClass.HELD, "cap", "Later.", 600, scope=Scope.LINE)
    driver.answers = [SendReceipt(outcome=Outcome.REFUSED, error=error)]
    message = send(written)
    drain_now(written)
    line = Line.objects.get(pk=message.line_id)
    assert line.paced_until
    assert timedelta(seconds=590) < line.paced_until - timezone.now() < timedelta(seconds=601)
    assert (now_of(message).status, driver.texts) == ("queued", ["answer"])


def test_an_outcome_that_the_provider_cannot_tell_is_looked_up(written: Conversation, driver: ScriptedDriver) -> None:
    driver.answers = [refused(ErrorClass.UNKNOWN, "unresolved")]
    driver.looked_up = [accepted("found")]
    message = send(written)
    drain_now(written)
    assert Dispatch.objects.get(order_id=message.id).outcome == "unknown"
    let_time_pass()
    drain_now(written)
    assert (now_of(message).status, message.provider_handle, len(driver.texts)) == ("sent", "found", 1)


def with_limits(conversation: Conversation, **limits: Any) -> None:
    account = conversation.connection.line.account
    account.limits = limits
    account.save(update_fields=["limits"])


def test_a_line_that_stays_down_fails_what_waited_for_it(written: Conversation, driver: ScriptedDriver) -> None:
    message = send(written)
    health.see(message.line, seen="down", reasons=["offline"])
    drain_now(written)
    assert now_of(message).status == "queued"
    Message.objects.filter(pk=message.pk).update(created_at=LONG_AGO, updated_at=LONG_AGO)
    sweep(0)
    run_jobs()
    assert (now_of(message).status, message.error_reason, driver.sent) == ("error", "line_unavailable", [])


def test_a_text_that_may_be_out_is_never_failed_by_its_line(written: Conversation, driver: ScriptedDriver) -> None:
    driver.answers = [unknown()]
    message = send(written)
    drain_now(written)
    health.see(message.line, seen="down", reasons=["offline"])
    Message.objects.filter(pk=message.pk).update(created_at=LONG_AGO, updated_at=LONG_AGO)
    let_time_pass()
    drain_now(written)
    assert now_of(message).status == "queued"


def test_refused_credentials_stop_every_line_of_the_account(written: Conversation, driver: ScriptedDriver) -> None:
    other = make.make_line(account=written.connection.line.account)
    error = ProviderError(ErrorClass.LINE_DOWN, "unauthorized", "No.", scope=Scope.ACCOUNT)
    driver.answers = [SendReceipt(outcome=Outcome.REFUSED, error=error)]
    send(written)
    drain_now(written)
    other.refresh_from_db()
    assert other.seen == "down"


def test_another_line_than_asked_for_stops_the_line_at_once(written: Conversation, driver: ScriptedDriver) -> None:
    driver.answers = [SendReceipt(outcome=Outcome.ACCEPTED, handle="h", line="me@example.com")]
    first, second = send(written, "one"), send(written, "two")
    drain_now(written)
    assert (now_of(first).status, now_of(second).status, driver.texts) == ("sent", "queued", ["one"])
    assert (first.line.seen, first.line.seen_reasons) == ("flagged", ["wrong_sender"])


def test_what_was_left_out_and_the_name_of_the_thread_are_kept(written: Conversation, driver: ScriptedDriver) -> None:
    driver.answers = [
        SendReceipt(outcome=Outcome.ACCEPTED, handle="h", chat="chat-1", notes=["effect_dropped"]),
        accepted(),
    ]
    first = send(written, "one")
    send(written, "two")
    drain_now(written)
    assert "note" in [step.state for step in first.delivery_steps.all()]
    assert [order.chat for order in driver.sent] == ["", "chat-1"]
    assert [order.first_contact for order in driver.sent] == [False, False]
    assert f"/{first.id}/" in driver.sent[0].status_url


def test_a_key_is_not_trusted_for_ever(written: Conversation, driver: ScriptedDriver) -> None:
    driver.has_send_key, driver.answers, driver.looked_up = True, [unknown()], [accepted("found")]
    message = send(written)
    drain_now(written)
    let_time_pass(timedelta(hours=1))
    drain_now(written)
    assert (now_of(message).provider_handle, len(driver.sent)) == ("found", 1)
