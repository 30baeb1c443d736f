"""What becomes of a sent message: reports in any order end the same."""

import itertools
from datetime import timedelta

import pytest
from django.db import transaction

from accounts.models import Identity
from events.models import Event
from imessage import receipts
from imessage.models import Conversation, DeliveryStep, Message
from lines.models import Dispatch, Line
from lines.providers.base import ErrorClass, ProviderError, SendReceipt
from tests import make
from tests.providers.scripted import ScriptedDriver, accepted, drain_now, status_event, tell

pytestmark = pytest.mark.django_db

REPORTS = ["queued", "sent", "delivered", "failed", "read"]


def ending(reports: set[str]) -> str:
    """Delivered beats an error, an error beats the rest; read means delivered."""
    if reports & {"delivered", "read"}:
        return "delivered"
    return "error" if "failed" in reports else "sent" if "sent" in reports else "queued"


def sent_message(conversation: Conversation) -> Message:
    """A message whose call is under way, and whose handle a report may already have told."""
    message = make.make_message(conversation, "answer", direction="outbound", status="queued")
    message.provider_handle = f"handle of {message.id}"
    message.save()
    Dispatch.objects.create(
        kind="message", order_id=message.id, attempt=1, line=message.line, human=message.human, text="answer"
    )
    return message


@pytest.mark.parametrize(("count", "step"), [(1, 1), (2, 1), (3, 1), (4, 8), (5, 8)])
def test_reports_in_every_order_end_the_same(count: int, step: int, written: Conversation, line: Line) -> None:
    """Every order of up to three reports, each eighth of four and five."""
    for order in list(itertools.permutations(REPORTS, count))[::step]:
        message = sent_message(written)
        for report in order:
            error = {"code": "lost", "message": "x"} if report == "failed" else None
            tell(line.account, status_event(message, report, error=error))
        message.refresh_from_db()
        assert message.status == ending(set(order)), order
        assert (message.peer_read_at is not None) == ("read" in order), order
        assert (message.failed_at is not None) == (message.status == "error"), order
        assert (message.error_code == "lost") == (message.status == "error"), order
        states = list(DeliveryStep.objects.filter(message=message).values_list("state", flat=True))
        assert len(states) == len(set(states)), order
        message.delete()


def test_a_message_that_jumps_to_delivered_tells_both(written: Conversation, line: Line) -> None:
    message = sent_message(written)
    tell(line.account, status_event(message, "delivered"))
    told = Event.objects.filter(subject_id=message.id).order_by("number").values_list("type", flat=True)
    assert list(told) == ["message.sent", "message.delivered"]


def test_a_correction_is_told_after_a_failure(written: Conversation, line: Line) -> None:
    message = sent_message(written)
    for report in ["failed", "delivered", "failed"]:
        tell(line.account, status_event(message, report))
    told = Event.objects.filter(subject_id=message.id).order_by("number").values_list("type", flat=True)
    assert list(told) == ["message.delivery_failed", "message.sent", "message.delivered"]


def test_reading_covers_what_came_before_but_not_what_never_arrived(written: Conversation, line: Line) -> None:
    failed = make.make_message(written, "1", direction="outbound", status="error")
    sent = make.make_message(written, "2", direction="outbound", status="sent")
    last = make.make_message(written, "3", direction="outbound", status="sent", provider_handle="last")
    later = make.make_message(written, "4", direction="outbound", status="sent")
    tell(line.account, status_event(last, "read", message_id="last"))
    for message in (failed, sent, last, later):
        message.refresh_from_db()
    assert [message.peer_read_at is not None for message in (failed, sent, last, later)] == [False, True, True, False]
    assert [message.status for message in (failed, sent, last, later)] == ["error", "delivered", "delivered", "sent"]


def test_nothing_is_read_before_it_arrived(written: Conversation) -> None:
    """A provider's clock may lag behind its own earlier report."""
    message = sent_message(written)
    arrived = receipts.advance(make.operator(), message, "delivered").delivered_at
    assert arrived
    with transaction.atomic():
        receipts.apply_read_report(make.operator(), message, at=arrived - timedelta(seconds=3))
    steps = DeliveryStep.objects.filter(message=message).order_by("at", "id")
    assert [(step.state, step.at) for step in steps][-1] == ("read", arrived)
    message.refresh_from_db()
    assert message.peer_read_at == arrived


def test_a_fallback_to_sms_is_kept_and_no_older_report_undoes_it(written: Conversation, line: Line) -> None:
    message = sent_message(written)
    tell(line.account, status_event(message, "delivered", service="sms", downgraded=True))
    tell(line.account, status_event(message, "sent", service="imessage", downgraded=False))
    message.refresh_from_db()
    assert (message.service, message.was_downgraded, message.status) == ("sms", True, "delivered")


def test_an_error_names_no_line(written: Conversation, line: Line) -> None:
    message = sent_message(written)
    error = ProviderError(ErrorClass.PERMANENT, "bad", f"{line.address} refused")
    receipts.advance(make.operator(), message, "error", error=error)
    message.refresh_from_db()
    assert message.error_detail == "the line refused"
    assert message.error_message == "The provider refused the message."


def test_mark_read_touches_visible_messages_only(
    written: Conversation, identity: Identity, driver: ScriptedDriver
) -> None:
    blocked = make.make_message(written, "blocked", is_blocked=True)
    agent = make.agent_of(identity)
    assert receipts.mark_read(agent, written) == 1
    assert receipts.mark_read(agent, written) == 0
    blocked.refresh_from_db()
    written.refresh_from_db()
    assert not blocked.is_read
    assert (written.visible_unread, written.blocked_unread) == (0, 1)
    assert len(driver.direct) == 1
    assert Event.objects.filter(type="message.read").count() == 1


def test_a_text_that_comes_during_the_read_receipt_stays_unread(
    written: Conversation, identity: Identity, driver: ScriptedDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late_text(call: object) -> None:
        written.refresh_from_db()
        make.make_message(written, "meanwhile")

    monkeypatch.setattr(driver, "_direct", late_text)
    receipts.mark_read(make.agent_of(identity), written)
    written.refresh_from_db()
    assert written.visible_unread == 1
    assert Message.objects.get(is_read=False).text == "meanwhile"


def test_drained_and_reported_at_once_is_sent_once(written: Conversation, line: Line, driver: ScriptedDriver) -> None:
    """The report of a call overtakes its answer."""
    message = make.make_message(written, "answer", direction="outbound", status="queued")

    def report_first(order: object) -> SendReceipt:
        tell(line.account, status_event(message, "delivered", message_id="h1"))
        return accepted("h1", "sent")

    driver.answers = [report_first]
    drain_now(written)
    message.refresh_from_db()
    assert (message.status, message.provider_handle, driver.texts) == ("delivered", "h1", ["answer"])
