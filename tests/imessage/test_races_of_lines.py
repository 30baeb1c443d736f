"""Picks, moves and fallbacks that happen at once: threads on a real PostgreSQL, all begun together."""

from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction

from accounts.models import Identity
from imessage import connecting, moving
from imessage.draining import ConversationQueue, drain
from imessage.models import Connection, Conversation, Message
from imessage.receiving import apply_callback
from imessage.sending import send_message
from lines import providers
from lines.callbacks import store
from lines.models import Callback, Dispatch, Line, ProviderAccount, Route
from lines.moving import start_move
from tests import make
from tests.providers.scripted import ScriptedDriver, event, run_jobs, text_event
from tests.racing import at_once, failures

pytestmark = pytest.mark.usefixtures("racing")


def test_parallel_connects_do_not_overfill_a_line(identity: Identity, line: Line, router: Line) -> None:
    Line.objects.filter(pk=line.pk).update(capacity=5)
    agents = [identity, make.make_identity(), make.make_identity()]
    deeds = [
        lambda n=n: transaction.atomic(connecting.hear)(
            router, human=f"+1555556{n:04}", text=f"connect @{agents[n % 3].handle}", handle=""
        )
        for n in range(9)
    ]
    assert not failures(at_once(deeds))
    assert Connection.objects.count() == Route.objects.carrying().count() == 4


def test_a_move_loses_nothing_that_is_said_meanwhile(
    written: Conversation, line: Line, account: ProviderAccount, driver: ScriptedDriver
) -> None:
    other = make.make_line("+15555550102", account=account)
    move = start_move(make.operator(), line)
    for n in range(4):
        store(line.account, text_event(line, f"in {n}"), polled=False)
    heard = list(Callback.objects.order_by("id").values_list("id", flat=True))
    agent = make.agent_of(written.identity)
    deeds: list[Any] = [lambda id=id: apply_callback(id) for id in heard]
    deeds += [lambda n=n: send_message(agent, conversation=written, text=f"out {n}") for n in range(4)]
    deeds += [lambda: moving.go_on(move.id), lambda: drain(ConversationQueue(written.id))]
    assert not failures(at_once(deeds))
    run_jobs()
    assert Connection.objects.get().line == other
    assert Message.objects.filter(direction="inbound", text__startswith="in ").count() == 4
    assert sorted(text for text in driver.texts if text.startswith("out ")) == [f"out {n}" for n in range(4)]
    opened = driver.texts.index(moving.opener(written.identity))
    assert all(order.line == line.address for order in driver.sent[:opened])


def test_a_failure_that_is_reported_over_and_over_becomes_one_sms(
    written: Conversation, line: Line, driver: ScriptedDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.card = replace(driver.card, services=("imessage",), lookup=False)
    carrier = ScriptedDriver()
    carrier.card = replace(carrier.card, services=("sms",))
    monkeypatch.setitem(providers._DRIVERS, "carrier", carrier)
    make.make_line("+15555550190", account=make.make_account("carrier", provider="carrier"), service="sms")
    send_message(make.agent_of(written.identity), conversation=written, text="once")
    run_jobs()
    handle = Dispatch.objects.get().handle
    error = {"code": "not_on_imessage", "message": "No."}
    for _ in range(4):
        body = event("message.status", line, make.HUMAN, message_id=handle, status="failed", error=error)
        store(line.account, body, polled=False)
    ids = list(Callback.objects.order_by("id").values_list("id", flat=True))
    deeds: list[Any] = [lambda id=id: apply_callback(id) for id in ids]
    assert not failures(at_once([*deeds, lambda: drain(ConversationQueue(written.id))]))
    run_jobs()
    message = Message.objects.get(direction="outbound")
    assert (message.status, message.service, message.was_downgraded) == ("sent", "sms", True)
    assert carrier.texts == ["once"]
