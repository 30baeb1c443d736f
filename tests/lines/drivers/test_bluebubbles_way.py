"""From an agent's message to a phone behind a Mac and back, through the real queue and the real door."""

import random
from dataclasses import dataclass, field

import pytest
from django.test import Client

from core import secrets
from events.models import Event
from imessage.models import Conversation, Message, Tapback
from imessage.sending import send_message
from lines import health
from lines.jobs import poll_all
from lines.models import Callback, Dispatch, Line, ProviderAccount, Route
from lines.provisioning import add_account, install_callbacks
from lines.reading_back import read_back
from tests import make
from tests.lines.drivers.bluebubbles.mac import LINE
from tests.lines.drivers.bluebubbles.running import Hand
from tests.providers.scripted import drain_now, let_time_pass, run_jobs, waiting_jobs

pytestmark = pytest.mark.django_db


@dataclass
class Way:
    """A conversation over a Mac that is stood in for."""

    hand: Hand
    account: ProviderAccount
    line: Line
    conversation: Conversation
    client: Client = field(default_factory=Client)

    def say(self, text: str, *faults: str) -> Message:
        self.hand.fault(text=list(faults))
        message = send_message(make.admin_of(self.conversation.organization), conversation=self.conversation, text=text)
        drain_now(self.conversation)
        return message

    def look_again(self) -> None:
        let_time_pass()
        drain_now(self.conversation)

    def bring(self) -> set[int]:
        """Every callback that the server posted knocks at the door; the answers."""
        answers = {self.post(post["url"].split("/callbacks/")[1], post["body"]) for post in self.hand.posts()}
        run_jobs()
        return answers

    def post(self, path: str, body: str) -> int:
        return self.client.post(f"/callbacks/{path}", body, content_type="application/json").status_code

    def poll(self) -> None:
        poll_all(0)
        run_jobs()

    def heard(self) -> list[str]:
        return list(Message.objects.filter(direction="inbound").order_by("position").values_list("text", flat=True))

    def on_phone(self) -> list[str]:
        return [left["text"] for left in self.hand.left()]


@pytest.fixture
def way(hand: Hand, db: None) -> Way:
    hand.forget()
    account = add_account(make.operator(), name="mac-1", provider="bluebubbles", base_url=hand.url, token=Hand.password)
    install_callbacks(account)
    line = make.make_line(LINE, account=account)
    conversation = make.make_conversation(connection=make.make_connection(line=line))
    way = Way(hand, account, line, conversation)
    hand.hear(make.HUMAN, "hello")
    way.bring()
    return way


def state_of(message: Message) -> tuple[str, str]:
    message.refresh_from_db()
    return message.status, message.error_reason


# Out.


@pytest.mark.parametrize("callbacks", [{}, {"duplicated": True}, {"reordered": True}, {"deaf": True}])
def test_a_text_goes_out_once_and_is_delivered_whatever_callbacks_do(way: Way, callbacks: dict[str, bool]) -> None:
    way.hand.set(**callbacks)
    message = way.say("hi")
    assert way.bring() <= {204}
    way.poll()
    assert (state_of(message), way.on_phone()) == (("delivered", ""), ["hi"])
    assert way.heard() == ["hello"]
    assert not Event.objects.filter(type="text.sent_outside").exists()


@pytest.mark.parametrize("fault", ["cut", "timeout_left", "row_missing"])
def test_a_lost_answer_never_sends_twice(way: Way, fault: str) -> None:
    message = way.say("once", fault)
    assert Dispatch.objects.get().outcome == "unknown"
    way.look_again()
    assert (state_of(message)[0], way.on_phone()) == ("sent", ["once"])


def test_its_own_mirror_settles_a_lost_answer(way: Way) -> None:
    message = way.say("once", "timeout_left")
    way.bring()
    assert (Dispatch.objects.get().outcome, state_of(message)[0]) == ("accepted", "sent")
    way.look_again()
    assert way.on_phone() == ["once"]


def test_a_text_that_never_left_has_one_more_try(way: Way) -> None:
    message = way.say("again", "timeout_not_left")
    for _ in range(4):
        way.look_again()
    assert (state_of(message)[0], way.on_phone()) == ("sent", ["again"])


def test_a_number_that_no_event_tells_is_read_back(way: Way) -> None:
    message = way.say("to nobody", "error_22")
    way.bring()
    assert state_of(message)[0] == "sent"
    read_back(Dispatch.objects.get().id, turn=0)
    run_jobs()
    assert state_of(message) == ("error", "recipient-unreachable")


def test_a_text_is_read_back_until_it_is_final(way: Way) -> None:
    way.hand.set(humans={make.HUMAN: "off"})
    way.say("to a phone that is off")
    dispatch = Dispatch.objects.get()
    for turn in range(4):
        read_back(dispatch.id, turn=turn)
    assert [job["args"]["turn"] for job in waiting_jobs("lines.read_back")] == [0, 1, 2, 3]
    way.hand.change(dispatch.handle, event="", isDelivered=True)
    read_back(dispatch.id, turn=0)
    assert len(waiting_jobs("lines.read_back")) == 4


@pytest.mark.soak
def test_a_ledger_of_ninety_texts_over_a_mac_that_loses_and_muddles(way: Way) -> None:
    """One answer in ten is lost after the text left, one in twenty before; callbacks come twice and in any order."""
    chance, expected = random.Random(20261121), [f"text {number}" for number in range(90)]
    for text in expected:
        if text.endswith(("0", "4", "8")):  # nobody is written to five times without an answer
            way.hand.set(deaf=False)
            way.hand.hear(make.HUMAN, "go on")
            way.bring()
        way.hand.set(duplicated=chance.random() < 0.3, reordered=chance.random() < 0.3, deaf=chance.random() < 0.1)
        lost = chance.choices(["", "cut", "timeout_left", "timeout_not_left"], [85, 5, 5, 5])[0]
        message = way.say(text, *([lost] if lost else []))
        for _ in range(5):
            if state_of(message)[0] not in {"queued"}:
                break
            way.bring()
            way.look_again()
    way.bring()
    for dispatch in Dispatch.objects.filter(outcome="accepted"):
        way.hand.change(dispatch.handle, event="", isDelivered=True)
        read_back(dispatch.id, turn=3)
    run_jobs()
    assert way.on_phone() == expected
    assert set(Message.objects.filter(direction="outbound").values_list("status", flat=True)) == {"delivered"}


def test_without_the_helper_plain_texts_go_on_and_the_line_is_degraded(way: Way) -> None:
    way.hand.set(helper=False)
    message = way.say("still here")
    assert (state_of(message)[0], way.on_phone()) == ("sent", ["still here"])
    assert health.probe(way.line).seen_reasons in (["helper_lost"], [])


# In.


def test_a_text_is_heard_once_however_it_is_told_again(way: Way) -> None:
    row = way.hand.hear(make.HUMAN, "are you there?")
    way.hand.change(row["guid"], event="new-message", dateRead=row["dateCreated"] + 1)
    way.hand.change(row["guid"], event="new-message", dateEdited=row["dateCreated"] + 2, text="are you here?")
    assert way.bring() == {204}
    way.poll()
    assert way.heard() == ["hello", "are you there?"]


def test_with_a_dead_watcher_the_poll_brings_what_came(way: Way) -> None:
    way.hand.set(watcher=False)
    row = way.hand.hear(make.HUMAN, "anybody?")
    way.hand.change(row["guid"], event="", dateCreated=row["dateCreated"] - 60_000)
    assert way.bring() == set()
    way.poll()
    way.poll()
    assert way.heard() == ["hello", "anybody?"]
    assert Message.objects.get(text="anybody?").is_late


def test_a_server_that_starts_is_read_back_and_looked_at_at_once(way: Way) -> None:
    way.hand.set(deaf=True)
    way.hand.hear(make.HUMAN, "while you were away")
    way.hand.set(deaf=False)
    way.hand.event("hello-world")
    way.bring()
    assert way.heard() == ["hello", "while you were away"]


def test_a_group_s_text_reaches_no_agent_and_teaches_no_chat(way: Way) -> None:
    way.hand.hear(make.HUMAN, "to all of you", chat="iMessage;+;chat7")
    way.bring()
    assert (way.heard(), Route.objects.get().chat) == (["hello"], f"iMessage;-;{make.HUMAN}")
    assert Callback.objects.latest("id").state == "unrouted"


def test_what_somebody_writes_on_the_mac_is_seen_and_never_heard(way: Way) -> None:
    row = way.hand.hear(make.HUMAN, "typed by hand", isFromMe=True)
    way.hand.change(row["guid"], isDelivered=True, dateDelivered=row["dateCreated"])
    way.hand.change(row["guid"], event="new-message", dateRead=row["dateCreated"])
    way.bring()
    way.poll()
    assert way.heard() == ["hello"]
    assert [event.data["human"] for event in Event.objects.filter(type="text.sent_outside")] == [make.HUMAN]
    told = Callback.objects.filter(event_key__startswith=row["guid"])
    assert set(told.values_list("state", flat=True)) == {"applied"}


def test_a_tapback_reaches_the_agent_and_our_own_does_not_come_back(way: Way) -> None:
    message = way.say("See you at 5")
    message.refresh_from_db()
    target = {"associatedMessageGuid": f"p:0/{message.provider_handle}"}
    way.hand.hear(make.HUMAN, "Loved “See you at 5”", associatedMessageType="love", **target)
    way.hand.hear(make.HUMAN, "Liked “See you at 5”", associatedMessageType="like", isFromMe=True, **target)
    way.bring()
    assert [(tapback.message, tapback.kind) for tapback in Tapback.objects.live()] == [(message, "love")]
    assert way.heard() == ["hello"]


def test_a_lost_alias_stops_the_line_at_once(way: Way) -> None:
    way.hand.event("imessage-aliases-removed", {"aliases": [LINE]})
    way.bring()
    way.line.refresh_from_db()
    assert (way.line.seen, way.line.holds_queue) == ("flagged", True)


# The door.


def test_only_a_path_with_a_secret_of_now_is_taken(way: Way) -> None:
    way.hand.hear(make.HUMAN, "prove it")
    (post,) = way.hand.posts()
    path = post["url"].split("/callbacks/")[1]
    account_id, _, secret = path.partition("/")
    assert [way.post(one, post["body"]) for one in (account_id, f"{account_id}/x{secret}", path)] == [401, 401, 204]
    newer = secrets.seal("newer")
    former = [{"sealed": way.account.sealed_callback_secret, "until": "2099-01-01T00:00:00+00:00"}]
    ProviderAccount.objects.update(sealed_callback_secret=newer, former_callback_secrets=former)
    assert [way.post(one, post["body"]) for one in (path, f"{account_id}/newer")] == [204, 204]
    ProviderAccount.objects.update(former_callback_secrets=[])
    assert way.post(path, post["body"]) == 401
