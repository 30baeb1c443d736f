"""What comes in over callbacks and polls: stored once, routed, judged."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Identity
from contactrules.models import Decision
from events.models import Event
from imessage.jobs import sweep
from imessage.models import Conversation, Message, RouterMessage, Tapback
from imessage.receiving import apply_callback
from lines.callbacks import store
from lines.models import Callback, Line
from lines.providers.base import Account
from lines.providers.simulated import SimulatedDriver
from tests import make
from tests.providers.scripted import (
    ScriptedDriver,
    accepted,
    drain_now,
    event,
    forget_jobs,
    run_jobs,
    tell,
    text_event,
    text_in,
    waiting_jobs,
)

pytestmark = pytest.mark.django_db


def test_a_text_becomes_a_message_of_the_conversation(conversation: Conversation, line: Line) -> None:
    assert text_in(line, "hello").state == "applied"
    message = Message.objects.get()
    conversation.refresh_from_db()
    assert (message.text, message.direction, message.status, message.position) == ("hello", "inbound", "received", 1)
    assert (conversation.visible_total, conversation.visible_unread, conversation.visible_last) == (1, 1, message)
    assert Event.objects.filter(type="message.received", subject_id=message.id).count() == 1
    assert Decision.objects.get().message_id == message.id


def test_the_first_text_makes_the_conversation(identity: Identity, line: Line) -> None:
    connection = make.make_connection(identity, line=line)
    text_in(line)
    assert Conversation.objects.get().connection == connection


def test_a_repeat_is_neither_stored_nor_applied_again(conversation: Conversation, line: Line) -> None:
    body = text_event(line, "hello")
    assert [store(line.account, body, polled=polled) for polled in (False, False, True)] == [True, False, False]
    callback = Callback.objects.get()
    assert apply_callback(callback.id) == "applied"
    assert apply_callback(callback.id) is None
    assert Message.objects.count() == 1
    assert len(waiting_jobs("imessage.receive")) == 1


def test_jobs_of_one_thread_share_a_lock(conversation: Conversation, line: Line) -> None:
    store(line.account, text_event(line, "one"), polled=False)
    store(line.account, text_event(line, "two"), polled=False)
    assert [job["lock"] for job in waiting_jobs()] == [f"{line.address}/{make.HUMAN}"] * 2
    run_jobs()
    assert list(Message.objects.order_by("position").values_list("text", flat=True)) == ["one", "two"]


def test_a_text_whose_job_was_lost_is_not_overtaken(conversation: Conversation, line: Line) -> None:
    store(line.account, text_event(line, "one"), polled=False)
    forget_jobs()
    store(line.account, text_event(line, "two"), polled=False)
    run_jobs()
    assert list(Message.objects.order_by("position").values_list("text", flat=True)) == ["one", "two"]


def test_a_report_that_cannot_be_applied_stops_only_itself(
    conversation: Conversation, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(self: SimulatedDriver, account: Account, *, body: bytes) -> Any:
        if b"poison" in body:
            raise RuntimeError
        return parsed(self, account, body=body)

    parsed = SimulatedDriver.parse
    monkeypatch.setattr(SimulatedDriver, "parse", parse)
    store(line.account, text_event(line, "poison"), polled=False)
    forget_jobs()
    store(line.account, text_event(line, "two"), polled=False)
    run_jobs()
    assert list(Message.objects.values_list("text", flat=True)) == ["two"]


def test_a_blocked_text_is_stored_and_audited_and_silent(
    conversation: Conversation, identity: Identity, line: Line
) -> None:
    text_in(line, "before")
    identity.reach_revision = 7
    identity.save()
    rule = make.make_rule(identity)
    text_in(line, "blocked")
    message = Message.objects.get(text="blocked")
    conversation.refresh_from_db()
    assert (message.is_blocked, message.rule_id, message.rule_revision) == (True, rule.id, 7)
    assert (conversation.visible_total, conversation.visible_unread, conversation.visible_last.text) == (1, 1, "before")
    assert (conversation.blocked_total, conversation.blocked_unread, conversation.blocked_last) == (1, 1, message)
    decision = Decision.objects.get(message_id=message.id)
    assert (decision.allowed, decision.revision, decision.rule_id, decision.mode) == (False, 7, rule.id, "blacklist")
    assert list(Event.objects.filter(subject_id=message.id).values_list("type", flat=True)) == ["message.blocked"]


def test_an_agent_sees_nothing_of_a_blocked_text(conversation: Conversation, identity: Identity, line: Line) -> None:
    make.make_rule(identity)
    text_in(line, "blocked words")
    agent = make.agent_of(identity)
    assert not Message.objects.visible_to(agent).exists()
    assert not Decision.objects.visible_to(agent).exists()
    assert "blocked words" not in json.dumps([event.data for event in Event.objects.visible_to(agent)])
    assert Message.objects.visible_to(make.admin_of(identity.organization)).count() == 1


def test_a_stored_message_keeps_its_verdict_when_the_rule_goes(
    conversation: Conversation, identity: Identity, line: Line
) -> None:
    rule = make.make_rule(identity)
    text_in(line, "blocked")
    rule.delete()
    text_in(line, "allowed")
    assert list(Message.objects.order_by("position").values_list("is_blocked", flat=True)) == [True, False]


def test_a_text_to_a_disabled_identity_is_stored(conversation: Conversation, identity: Identity, line: Line) -> None:
    identity.imessage_enabled = False
    identity.save()
    text_in(line)
    assert not Message.objects.get().is_blocked
    assert Event.objects.get(type="message.received").data["identity_reachable"] is False


def test_a_text_without_a_route_is_kept_and_hinted_at_once_a_day(line: Line, router: Line) -> None:
    assert [text_in(line, text).state for text in ("one", "two")] == ["unrouted"] * 2
    hint = RouterMessage.objects.get()
    assert (hint.line, hint.human, hint.direction) == (line, make.HUMAN, "outbound")
    assert router.address in hint.text
    assert Event.objects.filter(type="text.unrouted").count() == 2
    RouterMessage.objects.update(created_at="2026-01-01T00:00:00Z")
    text_in(line, "three")
    assert RouterMessage.objects.count() == 2


def test_a_text_after_the_disconnect_does_not_reach_the_agent(identity: Identity, line: Line, router: Line) -> None:
    make.make_connection(identity, line=line, status="released")
    assert text_in(line).state == "unrouted"
    assert not Message.objects.exists()


def test_a_text_on_an_unknown_line_is_kept(line: Line) -> None:
    body = text_event(Line(address="+15555559999"), "hello")
    callback = tell(line.account, body)
    assert (callback.state, bytes(callback.body)) == ("unrouted", body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"id": "x", "type": "message.received"}',
        b'{"id": "x", "type": "message.received", "data": {}}',
        b'{"id": 5, "type": "unheard.of", "data": {}}',
        b'{"id": "x", "type": "tapback.added", "data": {"message_id": "m", "part": "x", "kind": "like"}}',
        b'{"id": "x", "type": "message.received", "created_at": "soon", "data": {"message_id": "m"}}',
    ],
)
def test_a_body_that_nobody_can_read_is_kept_for_the_operator(line: Line, body: bytes) -> None:
    callback = tell(line.account, body)
    assert callback.state in {"unrecognised", "unrouted"}
    assert bytes(callback.body) == body


@pytest.mark.parametrize(
    "data",
    [{"message_id": "m" * 300}, {"media": [{"url": "https://x.example/\x00"}]}, {"message_id": "a\x00b"}],
)
def test_what_does_not_fit_is_kept_and_never_tried_again(
    conversation: Conversation, line: Line, data: dict[str, object]
) -> None:
    assert text_in(line, **data).state == "unrecognised"
    assert not Message.objects.exists()


@pytest.mark.parametrize(("text", "stored"), [("a\x00b", "ab"), ("x\ud800", "x\ufffd\ufffd\ufffd"), ("\x00", None)])
def test_what_cannot_be_stored_is_taken_out_of_a_text(
    conversation: Conversation, line: Line, text: str, stored: str | None
) -> None:
    assert text_in(line, text).state == "applied"
    assert Message.objects.get().text == stored


def test_long_event_keys_that_begin_alike_are_two_events(conversation: Conversation, line: Line) -> None:
    for end in "ab":
        tell(line.account, _with_id(text_event(line, end), "k" * 300 + end))
    assert Message.objects.count() == 2


def _with_id(body: bytes, id: str) -> bytes:
    return json.dumps({**json.loads(body), "id": id}).encode()


def test_several_pictures_are_one_message_with_ordered_parts(conversation: Conversation, line: Line) -> None:
    media = [{"url": f"https://files.example.com/{n}.png", "content_type": "image/png"} for n in range(3)]
    text_in(line, "look", media=media)
    message = Message.objects.get()
    assert message.message_type == "carousel"
    assert [(part.index, part.kind) for part in message.parts.all()] == [
        (0, "text"),
        (1, "media"),
        (2, "media"),
        (3, "media"),
    ]


def test_what_only_a_poll_found_is_late(conversation: Conversation, line: Line) -> None:
    just_now = (timezone.now() - timedelta(minutes=1)).isoformat()
    tell(line.account, text_event(line, "late", sent_at=just_now), polled=True)
    tell(line.account, text_event(line, "in time", sent_at=just_now))
    assert dict(Message.objects.values_list("text", "is_late")) == {"late": True, "in time": False}


@pytest.mark.parametrize(("minutes", "is_late"), [(1, False), (6, True)])
def test_a_text_that_was_long_on_its_way_is_late(
    conversation: Conversation, line: Line, minutes: int, is_late: bool
) -> None:
    tell(line.account, text_event(line, sent_at=(timezone.now() - timedelta(minutes=minutes)).isoformat()))
    assert Message.objects.get().is_late is is_late


def test_a_tapback_before_its_message_waits_for_it(written: Conversation, line: Line) -> None:
    body = event("tapback.added", line, message_id="not yet", kind="love", part=0)
    callback = tell(line.account, body)
    assert callback.state == "waiting"
    text_in(line, "late text", message_id="not yet")
    sweep(0)
    run_jobs()
    callback.refresh_from_db()
    assert callback.state == "applied"
    assert Tapback.objects.get().message.text == "late text"


def test_a_report_whose_subject_never_comes_is_given_up(line: Line) -> None:
    callback = tell(line.account, event("message.read", line, up_to_message_id="never"))
    Callback.objects.update(received_at="2026-01-01T00:00:00Z")
    apply_callback(callback.id)
    callback.refresh_from_db()
    assert callback.state == "unmatched"
    assert apply_callback(callback.id) is None


def test_a_status_before_the_record_of_the_send_waits(
    written: Conversation, line: Line, driver: ScriptedDriver
) -> None:
    callback = tell(line.account, event("message.status", line, message_id="h9", status="delivered"))
    assert callback.state == "waiting"
    message = make.make_message(written, "answer", direction="outbound", status="queued")
    driver.answers = [accepted("h9")]
    drain_now(written)
    sweep(0)
    run_jobs()
    message.refresh_from_db()
    assert message.status == "delivered"


def test_a_status_of_a_stranger_s_order_is_no_error(written: Conversation, line: Line) -> None:
    callback = tell(
        line.account, event("message.status", line, message_id="h", status="sent", reference="not one of our ids")
    )
    assert callback.state == "waiting"


def test_a_stored_callback_whose_job_was_lost_is_applied_by_the_sweep(conversation: Conversation, line: Line) -> None:
    store(line.account, text_event(line, "hello"), polled=False)
    forget_jobs()
    Callback.objects.update(received_at="2026-01-01T00:00:00Z")
    sweep(0)
    run_jobs()
    assert Message.objects.get().text == "hello"


def test_typing_is_shown_and_never_stored(conversation: Conversation, line: Line) -> None:
    before = Event.objects.count()
    assert tell(line.account, event("typing.changed", line, on=True)).state == "applied"
    assert Event.objects.count() == before


def test_reports_on_the_router_s_own_texts_are_applied(line: Line, router: Line, driver: ScriptedDriver) -> None:
    text_in(router, "help")
    answer = RouterMessage.objects.get(direction="outbound")
    run_jobs()
    answer.refresh_from_db()
    body = event("message.status", router, message_id=answer.provider_handle, status="delivered")
    assert tell(router.account, body).state == "applied"
    read = event("message.read", router, up_to_message_id=answer.provider_handle)
    assert tell(router.account, read).state == "applied"
    answer.refresh_from_db()
    assert answer.status == "delivered"
