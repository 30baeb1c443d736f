"""A lost answer is unknown, not failed: never a blind second send (contract/lines.md 2.7)."""

from typing import Any

import pytest

from imessage.models import Conversation, DeliveryStep, Message
from imessage.sending import send_message
from lines import dispatching
from lines.models import Dispatch, Line
from lines.providers.base import ErrorClass, SendReceipt
from tests import make
from tests.providers.scripted import (
    ScriptedDriver,
    accepted,
    could_not_tell,
    drain_now,
    let_time_pass,
    refused,
    run_jobs,
    status_event,
    tell,
    unknown,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def message(written: Conversation, driver: ScriptedDriver) -> Message:
    """A message whose first call's answer was lost."""
    message = send_message(make.agent_of(written.identity), conversation=written, text="answer")
    driver.answers = [unknown()]
    drain_now(written)
    assert (Dispatch.objects.get().outcome, now_of(message).status) == ("unknown", "queued")
    return message


def now_of(message: Message) -> Message:
    message.refresh_from_db()
    return message


def later(written: Conversation) -> None:
    let_time_pass()
    drain_now(written)


def outcomes() -> list[str]:
    return list(Dispatch.objects.order_by("attempt").values_list("outcome", flat=True))


def test_nothing_is_looked_up_too_early(message: Message, written: Conversation, driver: ScriptedDriver) -> None:
    drain_now(written)
    assert driver.known == []
    assert DeliveryStep.objects.filter(message=message, state="unknown").count() == 1


def test_the_text_is_found(message: Message, written: Conversation, driver: ScriptedDriver) -> None:
    driver.looked_up = [accepted("h1")]
    later(written)
    assert (now_of(message).status, message.provider_handle, driver.texts) == ("sent", "h1", ["answer"])
    assert outcomes() == ["accepted"]


def test_enough_honest_noes_allow_one_new_attempt(
    message: Message, written: Conversation, driver: ScriptedDriver
) -> None:
    driver.looked_up = [None, None, None]
    for asked in (1, 2):
        later(written)
        assert (len(driver.known), driver.texts) == (asked, ["answer"])
    later(written)
    assert driver.texts == ["answer", "answer"]
    assert (now_of(message).status, outcomes()) == ("sent", ["not_sent", "accepted"])


def test_the_second_loss_is_for_an_operator(message: Message, written: Conversation, driver: ScriptedDriver) -> None:
    driver.looked_up = [None] * 6
    driver.answers = [unknown()]
    for _ in range(8):
        later(written)
    assert driver.texts == ["answer", "answer"]
    assert (now_of(message).status, message.error_reason) == ("error", "outcome_unknown")
    assert outcomes() == ["not_sent", "not_sent"]


def test_a_lookup_that_failed_is_no_no(message: Message, written: Conversation, driver: ScriptedDriver) -> None:
    driver.looked_up = [could_not_tell()] * 9
    for _ in range(9):
        later(written)
    assert (driver.texts, Dispatch.objects.get().lookups, now_of(message).status) == (["answer"], 0, "queued")


def test_the_next_text_waits_until_it_is_settled(
    message: Message, written: Conversation, driver: ScriptedDriver
) -> None:
    send_message(make.agent_of(written.identity), conversation=written, text="next")
    drain_now(written)
    assert driver.texts == ["answer"]
    driver.looked_up = [accepted()]
    later(written)
    assert driver.texts == ["answer", "next"]


def test_a_report_settles_it(message: Message, written: Conversation, line: Line, driver: ScriptedDriver) -> None:
    tell(line.account, status_event(message, "delivered", message_id="h1"))
    later(written)
    assert (now_of(message).status, message.provider_handle, driver.known) == ("delivered", "h1", [])
    assert outcomes() == ["accepted"]


def test_a_report_lets_the_next_text_go_at_once(
    message: Message, written: Conversation, line: Line, driver: ScriptedDriver
) -> None:
    send_message(make.agent_of(written.identity), conversation=written, text="next")
    run_jobs()
    tell(line.account, status_event(message, "sent", message_id="h1"))
    run_jobs()
    assert driver.texts == ["answer", "next"]


def test_other_texts_handles_are_not_mistaken_for_it(written: Conversation, driver: ScriptedDriver) -> None:
    driver.answers = [accepted("h1"), unknown()]
    for _ in range(2):
        send_message(make.agent_of(written.identity), conversation=written, text="same words")
    drain_now(written)
    driver.looked_up = [None]
    later(written)
    assert driver.known == [{"h1"}]


def test_with_a_send_key_the_order_is_repeated(message: Message, written: Conversation, driver: ScriptedDriver) -> None:
    driver.has_send_key = True
    later(written)
    assert [order.key for order in driver.sent] == [str(message.id)] * 2
    assert (now_of(message).status, outcomes()) == ("sent", ["accepted"])


@pytest.mark.parametrize(
    "answer", [unknown(), refused(ErrorClass.LINE_DOWN), refused(ErrorClass.RETRYABLE), refused(ErrorClass.HELD)]
)
def test_a_repeat_that_did_not_get_through_says_nothing_of_the_first(
    answer: SendReceipt, message: Message, written: Conversation, driver: ScriptedDriver
) -> None:
    driver.has_send_key = True
    driver.answers = [answer]
    later(written)
    assert (outcomes(), now_of(message).status) == (["unknown"], "queued")
    later(written)
    assert (outcomes(), now_of(message).status) == (["accepted"], "sent")


def test_a_dead_worker_s_call_is_looked_up(written: Conversation, driver: ScriptedDriver) -> None:
    message = send_message(make.agent_of(written.identity), conversation=written, text="answer")
    Dispatch.objects.create(
        kind="message", order_id=message.id, attempt=1, line=message.line, human=message.human, text="answer"
    )
    drain_now(written)
    assert (driver.texts, driver.known) == ([], [])
    driver.looked_up = [accepted("h1")]
    later(written)
    assert (driver.texts, now_of(message).provider_handle, Dispatch.objects.get().generation) == ([], "h1", 2)


def thawed(message: Message, driver: ScriptedDriver, late: SendReceipt, lookup: Any) -> Any:
    """An answer of the first call that comes after another worker took the call over."""

    def answer(order: object) -> SendReceipt:
        let_time_pass()
        driver.looked_up = [lookup]
        driver.answers = []
        drain_now(message.conversation)
        return late

    return answer


def test_a_frozen_worker_s_late_refusal_is_ignored(written: Conversation, driver: ScriptedDriver) -> None:
    message = send_message(make.agent_of(written.identity), conversation=written, text="answer")
    driver.answers = [thawed(message, driver, refused(ErrorClass.PERMANENT), None)]
    drain_now(written)
    dispatch = Dispatch.objects.get()
    assert (dispatch.outcome, dispatch.generation, now_of(message).status) == ("unknown", 2, "queued")


def test_a_frozen_worker_s_late_acceptance_is_kept(written: Conversation, driver: ScriptedDriver) -> None:
    message = send_message(make.agent_of(written.identity), conversation=written, text="answer")
    driver.answers = [thawed(message, driver, accepted("h1"), None)]
    drain_now(written)
    assert (outcomes(), now_of(message).status, message.provider_handle) == (["accepted"], "sent", "h1")


def test_a_frozen_worker_leaves_the_queue_to_its_successor(written: Conversation, driver: ScriptedDriver) -> None:
    first = send_message(make.agent_of(written.identity), conversation=written, text="answer")
    send_message(make.agent_of(written.identity), conversation=written, text="next")
    driver.answers = [thawed(first, driver, accepted("h1"), None)]
    drain_now(written)
    assert driver.texts == ["answer"]
    drain_now(written)
    assert driver.texts == ["answer", "next"]


def test_a_call_that_a_report_settled_is_not_taken_over(message: Message, line: Line) -> None:
    """The report lands between the reading of the call and its take-over."""
    read_before = Dispatch.objects.get()
    tell(line.account, status_event(message, "sent", message_id="h1"))
    assert dispatching.take_over(read_before) is None
    assert Dispatch.objects.get().outcome == "accepted"


def test_a_no_that_a_report_overtook_does_not_count(message: Message, line: Line, settings: Any) -> None:
    settings.FIND_SENT_WAITS = [1]
    read_before = Dispatch.objects.get()
    tell(line.account, status_event(message, "sent", message_id="h1"))
    assert dispatching.note_not_found(read_before) is False
    assert Dispatch.objects.get().outcome == "accepted"
