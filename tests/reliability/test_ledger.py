"""The ledger: every text once on a phone, and every row telling what the phone tells, over providers that lose answers
after sending and repeat, delay and reorder what they report."""

import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from core import secrets
from imessage.jobs import sweep
from imessage.models import Conversation, Message
from imessage.sending import send_message
from lines.callbacks import callback_url
from lines.models import ProviderAccount
from lines.providers.base import UNLIMITED
from lines.provisioning import install_callbacks
from tests import make
from tests.lines.drivers import hosted
from tests.lines.drivers.cases import LINE
from tests.providers.scripted import drain_now, forget_jobs, let_time_pass, run_jobs

pytestmark = pytest.mark.django_db

SEED = int(os.environ.get("CORDBOARD_SEED", "20261121"))
MUDDLED = 0.30
MOST_LATE = 20  # a signature is good for five minutes
TOKENS = {"sendblue": "key-id:key-secret", "blooio": "api-key"}  # without a send key, and with a true one


class Ledger:
    """One provider with one line, many humans who talk with an agent each, and what became of every text."""

    def __init__(self, process: hosted.StandIn, provider: str, *, humans: int, lost: float) -> None:
        self.process, self.random, self.client, self.loses = process, random.Random(SEED), Client(), lost
        self.account = _account(process, provider)
        line = make.make_line(LINE, account=self.account)
        self.conversations = [self._talk(line, number) for number in range(humans)]
        self.process.posts()  # of the greetings, which are here already
        self.late: list[tuple[str, dict[str, str], bytes]] = []
        self.counts: Counter[str] = Counter()

    def _talk(self, line: Any, number: int) -> Conversation:
        human, words = f"+1555556{number:04}", "content" if self.account.provider == "sendblue" else "text"
        self.process.ask("text", line=LINE, human=human, **{words: "hello"})
        connection = make.make_connection(human=human, line=line)
        conversation = make.make_conversation(connection=connection)
        make.make_message(conversation, "hello")
        return conversation

    def say(self, conversation: Conversation, text: str) -> None:
        """One text; the answer to it is lost now and then, after it has left."""
        lose = self.random.random() < self.loses
        if lose:
            self.process.set_faults(lost_answers=1)
            self.counts["answers lost"] += 1
        send_message(make.admin_of(conversation.organization), conversation=conversation, text=text)
        drain_now(conversation)
        if lose:
            self.process.heal()
        self.bring()

    def bring(self, *, everything: bool = False) -> None:
        """The callbacks knock: many once and in order, the others twice, out of order or much later."""
        posts: list[tuple[str, dict[str, str], bytes]] = []
        if everything or len(self.late) >= MOST_LATE:
            posts, self.late = self.late, []
        for post in self.process.posts():
            muddled = self.random.random() < MUDDLED
            self.counts["callbacks"] += 1
            self.counts["callbacks muddled"] += muddled
            if not muddled:
                posts.append(post)
            elif self.random.random() < 0.5:
                posts += [post, post]
            else:
                self.late.append(post)
        if everything or self.random.random() < MUDDLED:
            self.random.shuffle(posts)
        for post in posts:
            self._post(*post)
        run_jobs()

    def _post(self, url: str, headers: dict[str, str], body: bytes) -> None:
        path = (url or callback_url(self.account)).split("/callbacks/")[1]
        answer = self.client.post(f"/callbacks/{path}", body, content_type="application/json", headers=headers)
        assert answer.status_code == 204

    def settle(self) -> None:
        """Time passes: lost answers are looked into, and what is late arrives."""
        self.bring(everything=True)
        for _ in range(4):
            let_time_pass()
            for conversation in self.conversations:
                drain_now(conversation)
            self.bring()
        self.bring(everything=True)
        sweep(0)  # what was told before its call was settled waits for this
        run_jobs()

    def close(self) -> dict[str, int]:
        """What the phones and our rows say, side by side."""
        on_phone = Counter(
            text for conversation in self.conversations for text in self.process.texts(conversation.human)
        )
        said = list(Message.objects.filter(direction="outbound"))
        left = [message for message in said if message.error_reason == "outcome_unknown"]
        wrong = [
            message
            for message in said
            if message not in left and (message.status == "delivered") != (message.text in on_phone)
        ]
        return {
            "sent": len(said),
            "sent twice": sum(count - 1 for count in on_phone.values()),
            "lost": sum(message.text not in on_phone for message in said if message not in left),
            "wrong final state": len(wrong),
            "left to the operator": len(left),
        }


@pytest.fixture(params=list(TOKENS))
def process(request: pytest.FixtureRequest) -> Iterator[tuple[str, hosted.StandIn]]:
    with hosted.StandIn(f"tests.lines.drivers.{request.param}.standin") as process:
        yield request.param, process
    forget_jobs()


@pytest.mark.parametrize(
    ("humans", "texts", "lost"),
    [pytest.param(3, 6, 0.25, id="18"), pytest.param(40, 50, 0.05, id="2000", marks=pytest.mark.soak)],
)
def test_every_text_is_on_the_phone_once(
    process: tuple[str, hosted.StandIn], humans: int, texts: int, lost: float
) -> None:
    provider, stand_in = process
    ledger = Ledger(stand_in, provider, humans=humans, lost=lost)
    for number in range(texts):
        for conversation in ledger.conversations:
            ledger.say(conversation, f"{conversation.human} {number}")
    ledger.settle()
    closed = ledger.close()
    print(provider, closed, dict(ledger.counts))
    assert closed == {
        "sent": humans * texts,
        "sent twice": 0,
        "lost": 0,
        "wrong final state": 0,
        "left to the operator": 0,
    }


def _account(process: hosted.StandIn, provider: str) -> ProviderAccount:
    process.reset()
    account = make.make_account(
        provider,
        provider=provider,
        base_url=process.url,
        limits=UNLIMITED,
        sealed_token=secrets.seal(TOKENS[provider]),
        # Blooio makes its own; Sendblue is told ours.
        sealed_callback_secret=secrets.seal("ours" if provider == "sendblue" else ""),
    )
    install_callbacks(account)
    account.refresh_from_db()
    return account
