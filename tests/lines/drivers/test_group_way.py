"""A group on a number of an agent's own, over each driver: through our callbacks' door, the queue, and back."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import Client

from accounts.models import Identity
from imessage.models import Conversation, Message, Tapback
from imessage.sending import send_message
from lines import polling
from lines.models import Dispatch, Line, ProviderAccount
from lines.providers.base import Group
from lines.provisioning import add_account, install_callbacks
from lines.reading_back import read_back
from tests import make
from tests.lines.drivers import hosted
from tests.lines.drivers.cases import HUMAN, LINE, NEWCOMER, STRANGER, Posted
from tests.lines.drivers.process import served
from tests.lines.drivers.test_blooio import Blooio
from tests.lines.drivers.test_bluebubbles import BlueBubbles
from tests.lines.drivers.test_linq import Linq
from tests.lines.drivers.test_sendblue import Sendblue
from tests.providers.scripted import drain_now, run_jobs

pytestmark = pytest.mark.django_db

BASE = "https://switchboard.example.com"
MEMBERS = [HUMAN, STRANGER]


@pytest.fixture(scope="module", params=["bluebubbles", "linq", "blooio", "sendblue"])
def stand_in(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "bluebubbles":
        with served("tests.lines.drivers.bluebubbles.server") as url:
            yield BlueBubbles(url)
        return
    with hosted.StandIn(f"tests.lines.drivers.{request.param}.standin") as process:
        yield {"linq": Linq, "blooio": Blooio, "sendblue": Sendblue}[request.param](process)


@dataclass
class Way:
    """One provider, with a number of the agent's own on it."""

    stand_in: Any
    account: ProviderAccount
    line: Line
    client: Client = field(default_factory=Client)

    def bring(self, *told: Posted) -> None:
        """These callbacks, and what else the provider has for us, knock at the door; then it is asked for the rest."""
        for posted in (*told, *self._posts()):
            is_ours = posted.url.startswith(f"{BASE}/callbacks/{self.account.id}")
            path = posted.url.removeprefix(BASE) if is_ours else f"/callbacks/{self.account.id}"
            headers = {name: value for name, value in posted.headers.items() if name.lower() != "content-type"}
            answer = self.client.post(path, posted.body, content_type="application/json", headers=headers)
            assert answer.status_code == 204, path
        if isinstance(self.stand_in, BlueBubbles):
            self.account.poll_cursor = ""  # else it is asked once a second
        polling.poll(self.account)
        run_jobs()

    def said(self, group: Group, text: str) -> list[Posted]:
        """A member writes; a Mac's server posts that by itself."""
        posted = self.stand_in.member_texts(group, text)
        return [] if isinstance(self.stand_in, BlueBubbles) else [posted]

    def _posts(self) -> list[Posted]:
        if isinstance(self.stand_in, BlueBubbles):
            return [Posted({}, post["body"].encode(), post["url"]) for post in self.stand_in.hand.posts()]
        return [Posted(headers, body, url) for url, headers, body in self.stand_in.process.posts()]

    def love(self, key: str, handle: str) -> None:
        """A member loves our text."""
        match self.stand_in:
            case BlueBubbles(hand=hand):
                target = {"associatedMessageGuid": f"p:0/{handle}", "associatedMessageType": "love"}
                hand.hear(HUMAN, "Loved “booked”", chat=key, **target)
            case Linq(process=process):
                process.ask("text", human=HUMAN, group=key, message=handle, tapback={"type": "love"})
            case Blooio(process=process):
                process.ask("tapback", handle=handle, reaction="love", sender=HUMAN)
            case Sendblue(process=process):
                process.ask("text", line=LINE, human=HUMAN, group=key, content="Loved “booked”")


@pytest.fixture
def way(stand_in: Any, identity: Identity, settings: Any) -> Way:
    settings.BASE_URL = BASE
    given = {"base_url": stand_in.account.base_url, "token": stand_in.account.token}
    if isinstance(stand_in, BlueBubbles):  # whose secret is ours to make
        stand_in.hand.forget()
    else:
        stand_in.process.reset()
        given["callback_secret"] = stand_in.account.callback_secrets[0]
    account = add_account(make.operator(), name="own", provider=stand_in.driver.name, **given)
    install_callbacks(account)
    account.refresh_from_db()
    return Way(stand_in, account, make.make_owned_line(identity, LINE, account=account))


def test_a_group_is_heard_answered_loved_and_joined(way: Way) -> None:
    stand_in = way.stand_in
    group = stand_in.group()
    way.bring(*way.said(group, "where to?"))
    asked = Message.objects.get(text="where to?")
    conversation = asked.conversation
    assert (conversation.is_group, conversation.thread_key, asked.human) == (True, group.key, HUMAN)

    agent = make.agent_of(conversation.identity)
    answer = send_message(agent, conversation=conversation, text="booked", reply_to=asked.id)
    drain_now(conversation)
    read_back(Dispatch.objects.get().id, turn=0)
    way.bring()
    answer.refresh_from_db()
    assert (answer.status, answer.reply_unresolved) == ("delivered", False)
    assert stand_in.on_phone(group.key) == ["booked"]

    way.love(group.key, answer.provider_handle)
    way.bring()
    stand_in.grows(group)
    way.bring(*way.said(group, "one more comes"))
    assert [(tapback.message, tapback.human) for tapback in Tapback.objects.live()] == [(answer, HUMAN)]
    present = conversation.participants.present().values_list("human", flat=True)
    assert set(present) == {HUMAN, STRANGER, NEWCOMER}
    assert Conversation.objects.filter(is_group=True).count() == 1


@pytest.mark.parametrize("stand_in", ["sendblue"], indirect=True)  # whose answer leaves its name out
def test_a_group_that_the_agent_makes_is_the_one_it_is_answered_in(way: Way) -> None:
    identity = way.line.routes.get().identity
    first = send_message(make.agent_of(identity), line=way.line, identity=identity, recipients=MEMBERS, text="hello")
    drain_now(first.conversation)
    first.refresh_from_db()
    group = Group(first.conversation.thread_key, tuple(MEMBERS))
    way.bring(*way.said(group, "hello yourself"))
    assert Message.objects.get(text="hello yourself").conversation == first.conversation
