"""A Mac finds late that a human has no iMessage; Twilio carries the text as SMS, and the answer comes back there."""

from collections.abc import Iterator
from typing import Any

import pytest

from imessage.sending import send_message
from lines.models import Dispatch, Line, Route
from lines.provisioning import add_account, add_line, install_callbacks
from lines.reading_back import read_back
from tests import make
from tests.lines.drivers import hosted
from tests.lines.drivers.bluebubbles.mac import LINE as MAC
from tests.lines.drivers.bluebubbles.running import Hand
from tests.lines.drivers.cases import HUMAN
from tests.lines.drivers.twilio.standin import AUTH_TOKEN, LINES, TOKEN
from tests.providers.scripted import run_jobs

pytestmark = pytest.mark.django_db

NUMBER = LINES[1]


@pytest.fixture(scope="module")
def twilio() -> Iterator[hosted.StandIn]:
    with hosted.StandIn("tests.lines.drivers.twilio.standin") as process:
        yield process


def test_a_late_failure_on_a_mac_becomes_one_sms(hand: Hand, twilio: hosted.StandIn, settings: Any) -> None:
    settings.BASE_URL = "https://switchboard.example.com"
    mac = add_account(make.operator(), name="mac", provider="bluebubbles", base_url=hand.url, token=Hand.password)
    sms = add_account(
        make.operator(), name="sms", provider="twilio", base_url=twilio.url, token=TOKEN, callback_secret=AUTH_TOKEN
    )
    install_callbacks(mac)
    line = make.make_line(MAC, account=mac)
    number = add_line(make.operator(), sms, address=NUMBER, kind="pool")
    Line.objects.filter(pk=number.pk).update(seen="healthy")
    conversation = make.make_conversation(connection=make.make_connection(human=HUMAN, line=line))
    make.make_message(conversation, "hello", provider_handle="first")

    hand.set(humans={HUMAN: "none"})
    message = send_message(make.agent_of(conversation.identity), conversation=conversation, text="by any means")
    run_jobs()
    message.refresh_from_db()
    assert (message.status, message.line) == ("sent", line)
    read_back(Dispatch.objects.get().id, turn=0)
    run_jobs()

    message.refresh_from_db()
    assert (message.service, message.was_downgraded, message.line) == ("sms", True, number)
    assert message.status in {"accepted", "sent", "delivered"}
    assert twilio.texts(HUMAN) == ["by any means"]
    calls = Dispatch.objects.order_by("attempt").values_list("line__address", "service", "outcome")
    assert list(calls) == [(MAC, "imessage", "failed"), (NUMBER, "sms", "accepted")]
    assert Route.objects.get(line=number).identity == conversation.identity
