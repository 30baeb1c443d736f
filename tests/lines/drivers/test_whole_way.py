"""From an agent's message to the phone and back over each hosted driver, through the real queue and the real door."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import Client

from core import secrets
from events.models import Event
from imessage.models import Conversation, Message, Tapback
from imessage.receiving import apply_callback
from imessage.sending import send_message
from lines.callbacks import callback_url, status_url
from lines.jobs import poll_all
from lines.models import Callback, Dispatch, Line, ProviderAccount
from lines.provisioning import install_callbacks
from tests import make
from tests.lines.drivers import hosted
from tests.providers.scripted import drain_now, let_time_pass, run_jobs

pytestmark = pytest.mark.django_db

TOKENS = {"sendblue": "key-id:key-secret", "blooio": "api-key"}
LINE = "+15555550100"


@pytest.fixture(scope="module")
def processes() -> Iterator[dict[str, hosted.StandIn]]:
    modules = {name: f"tests.lines.drivers.{name}.standin" for name in TOKENS}
    with hosted.StandIn(modules["sendblue"]) as sendblue, hosted.StandIn(modules["blooio"]) as blooio:
        yield {"sendblue": sendblue, "blooio": blooio}


@dataclass
class Way:
    """A conversation on a line of a provider that is stood in for."""

    process: hosted.StandIn
    account: ProviderAccount
    line: Line
    conversation: Conversation
    client: Client = field(default_factory=Client)

    def say(self, text: str, **faults: Any) -> Message:
        self.process.set_faults(**faults)
        message = send_message(make.admin_of(self.conversation.organization), conversation=self.conversation, text=text)
        drain_now(self.conversation)
        return message

    def settle(self) -> None:
        """The lost answers are looked into, as often as it takes."""
        self.process.heal()
        for _ in range(4):
            let_time_pass()
            drain_now(self.conversation)

    def hear(self, words: str, **fields: Any) -> None:
        key = "content" if self.account.provider == "sendblue" else "text"
        self.process.ask("text", line=LINE, human=make.HUMAN, **{key: words}, **fields)

    def bring(self) -> set[int]:
        """Every callback that the provider would post now knocks at the door; the answers."""
        answers = set()
        for url, headers, body in self.process.posts():
            path = (url or callback_url(self.account)).split("/callbacks/")[1]
            answers.add(self.post(path, headers, body))
        run_jobs()
        return answers

    def post(self, path: str, headers: dict[str, str], body: bytes) -> int:
        posted = self.client.post(f"/callbacks/{path}", body, content_type="application/json", headers=headers)
        return posted.status_code


@pytest.fixture(params=list(TOKENS))
def way(request: pytest.FixtureRequest, processes: dict[str, hosted.StandIn], db: None) -> Way:
    provider = request.param
    processes[provider].reset()
    account = make.make_account(
        provider,
        provider=provider,
        base_url=processes[provider].url,
        sealed_token=secrets.seal(TOKENS[provider]),
        # Blooio makes its own; Sendblue is told ours.
        sealed_callback_secret=secrets.seal("ours" if provider == "sendblue" else ""),
    )
    install_callbacks(account)
    account.refresh_from_db()
    line = make.make_line(LINE, account=account)
    conversation = make.make_conversation(connection=make.make_connection(line=line))
    make.make_message(conversation, "hello")
    return Way(processes[provider], account, line, conversation)


def test_a_text_goes_out_once_and_is_delivered_once(way: Way) -> None:
    message = way.say("hi", repeats=2, reorder=3)
    assert way.bring() == {204}
    message.refresh_from_db()
    assert (message.status, way.process.texts(make.HUMAN)) == ("delivered", ["hi"])
    assert Dispatch.objects.get().outcome == "accepted"


@pytest.mark.parametrize("fault", ["lost_answers", "errors_after"])
def test_a_lost_answer_never_sends_twice(way: Way, fault: str) -> None:
    message = way.say("once", **{fault: 1}, drops=100)
    assert Dispatch.objects.get().outcome == "unknown"
    way.settle()
    message.refresh_from_db()
    assert (message.status, way.process.texts(make.HUMAN)) in [
        ("sent", ["once"]),
        ("accepted", ["once"]),
        ("delivered", ["once"]),
    ]
    poll_all(0)
    run_jobs()
    message.refresh_from_db()
    assert message.status == "delivered"


def test_a_status_callback_settles_a_lost_answer(way: Way) -> None:
    """Told before anybody knows the handle, the states wait until the lookup or the repeat under the key has it."""
    message = way.say("once", lost_answers=1)
    assert way.bring() == {204}
    way.settle()
    run_jobs()
    for waiting in Callback.objects.filter(state="waiting"):
        apply_callback(waiting.id)
    message.refresh_from_db()
    assert (message.status, way.process.texts(make.HUMAN)) == ("delivered", ["once"])


def test_a_text_comes_in_once_however_often_it_is_told(way: Way) -> None:
    way.process.set_faults(repeats=3)
    way.hear("are you there?")
    assert way.bring() == {204}
    poll_all(0)
    run_jobs()
    assert list(Message.objects.filter(direction="inbound").values_list("text", flat=True)) == [
        "hello",
        "are you there?",
    ]


def test_what_no_callback_told_a_poll_finds(way: Way) -> None:
    way.process.set_faults(drops=1)
    way.hear("did you get it?")
    assert way.bring() == set()
    poll_all(0)
    run_jobs()
    assert Message.objects.filter(text="did you get it?").count() == 1


def test_what_somebody_writes_at_the_provider_itself_is_noted_and_no_agent_s(way: Way) -> None:
    way.process.ask("dashboard", line=LINE, human=make.HUMAN, words="from the dashboard")
    way.bring()
    poll_all(0)
    run_jobs()
    assert Event.objects.filter(type="text.sent_outside").exists()
    assert not Message.objects.filter(text="from the dashboard").exists()


@pytest.mark.parametrize("way", ["sendblue"], indirect=True)
def test_a_stop_word_is_read_and_ends_the_connection(way: Way) -> None:
    way.process.ask("text", line=LINE, human=make.HUMAN, content="STOP", opted_out=True)
    assert way.bring() == {204}
    way.conversation.connection.refresh_from_db()
    assert (way.conversation.connection.status, way.conversation.connection.released_by) == ("released", "human")
    assert Message.objects.filter(text="STOP").exists()
    assert Callback.objects.get().kind == "opted_out"


def test_a_tapback_reaches_the_agent_as_one(way: Way) -> None:
    message = way.say("See you at 5")
    way.bring()
    message.refresh_from_db()
    if way.account.provider == "sendblue":
        way.hear("Loved “See you at 5”")
    else:
        way.process.ask("tapback", handle=message.provider_handle, reaction="love")
    way.bring()
    assert [(tapback.message, tapback.kind) for tapback in Tapback.objects.live()] == [(message, "love")]
    assert Message.objects.filter(direction="inbound").count() == 1


def test_two_secrets_prove_while_one_takes_over_and_nothing_else_does(way: Way) -> None:
    way.hear("before")
    ((_, headers, body),) = way.process.posts()
    old, new = way.account.sealed_callback_secret, secrets.seal("newer")
    way.account.sealed_callback_secret = new
    way.account.former_callback_secrets = [{"sealed": old, "until": "2099-01-01T00:00:00+00:00"}]
    way.account.save()
    path = str(way.account.id)
    assert way.post(path, headers, body) == 204
    assert way.post(path, {}, body) == 401
    way.account.former_callback_secrets = [{"sealed": old, "until": "2020-01-01T00:00:00+00:00"}]
    way.account.save()
    assert way.post(path, headers, body) == 401


@pytest.mark.parametrize("way", ["sendblue"], indirect=True)
def test_the_address_of_a_status_proves_a_status_and_nothing_more(way: Way) -> None:
    message = way.say("hi")
    path = status_url(way.account, str(message.id)).split("/callbacks/")[1]
    (_, _, body), *_ = way.process.posts()
    way.hear("forged")
    _, _, inbound = way.process.posts()[-1]
    assert way.post(path, {}, body) == 204
    assert way.post(path[:-1] + "x", {}, body) == 401
    assert way.post(path, {}, inbound) == 401
    assert way.post(path, {}, b"not JSON") == 401
    assert json.loads(bytes(Callback.objects.get().body)) == json.loads(body)
