"""What must hold when everything happens at once: threads on a real PostgreSQL, all begun together."""

import itertools
import threading
import time
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.identities import update_identity
from accounts.models import Identity
from contactrules import rules
from imessage import connecting, receipts
from imessage.draining import ConversationQueue, drain
from imessage.errors import CapReached, NotEnabled, RecipientBlocked
from imessage.models import Connection, Conversation, Message, RouterMessage, Tapback, TapbackChange
from imessage.receiving import apply_callback
from imessage.sending import send_message
from lines.callbacks import store
from lines.models import Callback, Line, Route
from lines.providers.base import SendOrder, SendReceipt
from tests import make
from tests.providers.scripted import (
    ScriptedDriver,
    accepted,
    drain_router_now,
    forget_jobs,
    run_jobs,
    tapback_event,
    text_event,
    waiting_jobs,
)
from tests.racing import at_once, failures

pytestmark = pytest.mark.usefixtures("racing")


def send(conversation: Conversation, text: str = "answer") -> Message:
    return send_message(make.agent_of(conversation.identity), conversation=conversation, text=text)


def stored(line: Line, *bodies: bytes) -> list[Any]:
    """One deed for each callback: to apply it."""
    for body in bodies:
        store(line.account, body, polled=False)
    ids = Callback.objects.filter(state="stored").order_by("id").values_list("id", flat=True)
    return [lambda id=id: apply_callback(id) for id in ids]


def test_parallel_repeats_are_stored_and_applied_once(conversation: Conversation, line: Line) -> None:
    body = text_event(line, "hello")
    results = at_once([lambda: store(line.account, body, polled=False)] * 8)
    assert sorted(results) == [False] * 7 + [True]
    callback = Callback.objects.get()
    applied = at_once([lambda: apply_callback(callback.id)] * 6)
    assert [result for result in applied if result] == ["applied"]
    assert Message.objects.count() == 1
    assert len(waiting_jobs("imessage.receive")) == 1


def test_the_cap_holds_under_parallel_sends(
    written: Conversation, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imessage.sending.CAP", 5)
    results = at_once([lambda: send(written)] * 16)
    assert sum(isinstance(result, Message) for result in results) == 5
    assert sum(isinstance(result, CapReached) for result in results) == 11
    assert sorted(Message.objects.values_list("position", flat=True)) == list(range(1, 7))


def test_fifty_parallel_tapbacks_leave_one(written: Conversation, line: Line) -> None:
    message = Message.objects.get()
    kinds = itertools.islice(itertools.cycle(["like", "love", "laugh", "dislike"]), 50)
    deeds = stored(line, *(tapback_event(message, kind, second=second) for second, kind in enumerate(kinds)))
    assert not failures(at_once(deeds))
    assert Tapback.objects.live().count() == 1
    assert Tapback.objects.live().get().kind == "love"  # the fiftieth, by the provider's time
    assert TapbackChange.objects.count() == 50


def test_parallel_connects_open_one_connection(identity: Identity, line: Line, router: Line) -> None:
    make.make_line(account=router.account)
    assert not failures(at_once(stored(router, *(text_event(router, "connect @helper") for _ in range(8)))))
    assert Connection.objects.count() == Route.objects.count() == 1


def test_one_human_connecting_to_two_agents_at_once_gets_two_lines(
    identity: Identity, charlies_identity: Identity, line: Line, router: Line
) -> None:
    make.make_line(account=router.account)
    bodies = [text_event(router, f"connect @{handle}") for handle in ["helper", "stranger"]]
    assert not failures(at_once(stored(router, *bodies)))
    assert len(set(Connection.objects.values_list("line_id", flat=True))) == 2


def test_two_agents_and_one_line_leave_one_connected(
    identity: Identity, charlies_identity: Identity, line: Line, router: Line
) -> None:
    deeds = [
        lambda handle=handle: transaction.atomic(connecting.hear)(
            router, human=make.HUMAN, text=f"connect @{handle}", handle=""
        )
        for handle in ["helper", "stranger"] * 3
    ]
    assert not failures(at_once(deeds))
    assert Connection.objects.count() == 1
    assert RouterMessage.objects.filter(outcome="no_free_line").count() == 3


def test_sends_and_texts_in_take_positions_one_by_one(written: Conversation, line: Line) -> None:
    deeds = stored(line, *(text_event(line, f"in {n}") for n in range(8)))
    deeds += [lambda: send(written)] * 8
    assert not failures(at_once(deeds))
    written.refresh_from_db()
    assert sorted(Message.objects.values_list("position", flat=True)) == list(range(1, 18))
    assert (written.visible_total, written.visible_unread, written.next_position) == (17, 9, 18)


def test_reading_against_arriving_texts_keeps_the_count(written: Conversation, identity: Identity, line: Line) -> None:
    deeds = stored(line, *(text_event(line, str(n)) for n in range(10)))
    deeds += [lambda: receipts._mark(make.agent_of(identity), written, up_to=5)] * 4
    assert not failures(at_once(deeds))
    written.refresh_from_db()
    assert written.visible_unread == Message.objects.filter(is_read=False).count()


SHUTTERS = {
    "rule": lambda identity, connection: rules.create_rule(
        make.admin_of(identity.organization), identity, action="block", match_target=make.HUMAN
    ),
    "mode": lambda identity, connection: rules.set_filter_mode(
        make.admin_of(identity.organization), identity, mode="whitelist"
    ),
    "disabled": lambda identity, connection: update_identity(
        make.admin_of(identity.organization), identity, changes={"imessage_enabled": False}
    ),
    "released": lambda identity, connection: connecting.release(make.admin_of(identity.organization), connection),
}


@pytest.mark.parametrize("name", SHUTTERS)
def test_nothing_leaves_after_the_word_was_given(
    name: str, written: Conversation, identity: Identity, driver: ScriptedDriver
) -> None:
    """F6 to F8: a text decided before may still be under way, but not when the change has been answered."""
    for n in range(5):
        send(written, str(n))
    under_way = threading.Event()
    left: list[float] = []

    def slow(order: SendOrder) -> SendReceipt:
        if order.text == "2":
            under_way.set()
            time.sleep(0.3)
        left.append(time.monotonic())
        return accepted()

    def shut() -> float:
        under_way.wait(10)
        SHUTTERS[name](identity, written.connection)
        return time.monotonic()

    driver.answers = [slow] * 5
    shut_at, drained = at_once([shut, lambda: drain(ConversationQueue(written.id))])
    assert drained is None
    assert isinstance(shut_at, float), shut_at
    assert len(left) == 3
    assert max(left) <= shut_at
    assert Message.objects.filter(status="declined").count() == 2


def test_a_hung_provider_does_not_hold_up_a_rule_for_ever(
    written: Conversation, identity: Identity, driver: ScriptedDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.gate.LONGEST_WAIT", 100)
    send(written)
    hanging, may_end = threading.Event(), threading.Event()

    def hang(order: SendOrder) -> SendReceipt:
        hanging.set()
        may_end.wait(10)
        return accepted()

    driver.answers = [hang]

    def block() -> float:
        hanging.wait(10)
        began = time.monotonic()
        SHUTTERS["rule"](identity, written.connection)
        took = time.monotonic() - began
        may_end.set()
        return took

    took, _ = at_once([block, lambda: drain(ConversationQueue(written.id))])
    assert 0.1 <= took < 2
    assert Message.objects.get(direction="outbound").status == "sent"


def test_the_call_lies_in_no_transaction(written: Conversation, driver: ScriptedDriver) -> None:
    send(written)
    run_jobs()
    assert driver.in_transaction == [False]


def test_a_drain_that_overtakes_its_writer_waits_for_it(
    written: Conversation, identity: Identity, driver: ScriptedDriver
) -> None:
    """The lost wake-up: the twin of the writer's job runs before the writer has committed."""
    wrote = threading.Event()

    def write() -> None:
        with transaction.atomic():
            send(written)
            wrote.set()
            time.sleep(0.2)

    def drain_early() -> None:
        wrote.wait(10)
        drain(ConversationQueue(written.id))

    assert not failures(at_once([write, drain_early]))
    assert driver.texts == ["answer"]


def test_a_router_drain_that_overtakes_its_writer_waits_for_it(router: Line, driver: ScriptedDriver) -> None:
    wrote = threading.Event()

    def write() -> None:
        with transaction.atomic():
            connecting.say(router, make.HUMAN, "answer")
            wrote.set()
            time.sleep(0.2)

    def drain_early() -> None:
        wrote.wait(10)
        drain_router_now(router)

    assert not failures(at_once([write, drain_early]))
    assert driver.texts == ["answer"]


def test_a_rule_shuts_sends_and_texts_in_at_once(written: Conversation, identity: Identity, line: Line) -> None:
    """F7: whatever is accepted or shown was so before the rule; all that came after is refused or hidden."""
    deeds = stored(line, *(text_event(line, str(n)) for n in range(6)))
    deeds += [lambda: send(written)] * 6
    deeds += [lambda: SHUTTERS["rule"](identity, written.connection)]
    results = at_once(deeds)
    assert all(isinstance(failure, RecipientBlocked) for failure in failures(results))
    after = Message.objects.filter(rule_revision=1, direction="inbound")
    assert all(message.is_blocked for message in after)
    assert not Message.objects.filter(rule_revision=1, direction="outbound").exists()
    assert not Message.objects.filter(rule_revision=0, is_blocked=True).exists()


def test_everything_at_once_deadlocks_nobody(
    written: Conversation, identity: Identity, line: Line, router: Line, driver: ScriptedDriver
) -> None:
    """F12, small: every kind of write on one identity."""
    for n in range(4):
        make.make_message(written, str(n), direction="outbound", status="sent", provider_handle=f"o{n}")
        written.refresh_from_db()
    bodies = [text_event(line, "in"), text_event(router, "disconnect @helper"), text_event(router, "connect @helper")]
    bodies += [tapback_event(message, "like") for message in Message.objects.exclude(provider_handle="")]
    deeds = stored(line, *bodies)
    deeds += [lambda: send(written)] * 4
    deeds += [lambda: drain(ConversationQueue(written.id))] * 2
    deeds += [lambda: receipts.mark_read(make.agent_of(identity), written)]
    deeds += [
        lambda number=f"+1555555{n}": rules.create_rule(make.operator(), identity, action="block", match_target=number)
        for n in range(7001, 7004)
    ]
    deeds += [lambda: update_identity(make.operator(), identity, changes={"description": "x"})] * 2
    wrong = [
        failure for failure in failures(at_once(deeds)) if "deadlock" in str(failure) or not hasattr(failure, "code")
    ]
    assert wrong == []


def test_nothing_of_the_gate_is_left_behind(written: Conversation, driver: ScriptedDriver) -> None:
    send(written)
    run_jobs()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert cursor.fetchone() == (0,)


def test_disabling_refuses_what_comes_after(written: Conversation, identity: Identity) -> None:
    results = at_once([lambda: send(written)] * 5 + [lambda: SHUTTERS["disabled"](identity, written.connection)])
    assert all(isinstance(failure, NotEnabled) for failure in failures(results))
    forget_jobs()


def test_two_queues_never_take_the_same_place_of_a_line(line: Line, driver: ScriptedDriver) -> None:
    line.account.limits = {"line_per_second": 0.01, "line_burst": 2}
    line.account.save(update_fields=["limits"])
    talks = [
        make.make_conversation(connection=make.make_connection(human=f"+1555555{number:04}", line=line))
        for number in range(4)
    ]
    for talk in talks:
        make.make_message(talk)
        send(talk)
    assert failures(at_once([lambda talk=talk: drain(ConversationQueue(talk.id)) for talk in talks])) == []
    assert len(driver.sent) == 2
    assert Conversation.objects.filter(next_attempt_at__isnull=False).count() == 2
