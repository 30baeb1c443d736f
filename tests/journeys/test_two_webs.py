"""Hard counts over two web processes that share one port: the send cap, and one idempotency key."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.installation import Installation, waited
from tests.journeys.people import Human

WEB_PROCESSES = 2
CAP = 100
THREADS = 20
SENDS = 120
TWINS = 50


@dataclass
class Talk:
    """An agent of its own, with its cap untouched, and a human who has written to it."""

    installation: Installation
    key: str
    human: Human
    conversation: str

    def send(self, words: str, **headers: str) -> httpx.Response:
        """One send over a connection of its own, so that any of the web processes may take it."""
        return httpx.post(
            f"{self.installation.base_url}/api/v1/imessage/messages",
            json={"conversation_id": self.conversation, "text": words},
            headers={"X-API-Key": self.key, **headers},
            timeout=60,
        )

    def messages(self) -> list[dict[str, Any]]:
        query = {"conversation_id": self.conversation, "limit": 200}
        return list(get(self.installation, self.key, "/imessage/messages", **query))

    def arrived(self) -> list[str]:
        """The texts that reached the handset from the agent, by the phone network's own record."""
        lines = self.installation.journal("delivered_to_handset")
        return [found["text"] for found in lines if (found["line"], found["human"]) == self.address]

    @property
    def address(self) -> tuple[str, str]:
        return self.human.line, self.human.number


@pytest.fixture
def talk(installation: Installation, admin_key: str, human: Human) -> Talk:
    handle = f"agent-{human.number[-4:]}"
    made = httpx.post(
        f"{installation.base_url}/api/v1/identities/",
        json={"agent_handle": handle, "imessage_enabled": True},
        headers={"X-API-Key": admin_key},
    )
    assert made.status_code == 201
    key = installation.create_key(identity=handle)
    human.connect(handle).write("hello")
    [conversation] = waited(lambda: get(installation, key, "/imessage/conversations"), what="the conversation")
    return Talk(installation, key, human, conversation["id"])


def test_exactly_a_hundred_of_a_hundred_and_twenty_sends_are_taken(talk: Talk) -> None:
    began = time.time()
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda number: talk.send(f"text {number}"), range(SENDS)))
    assert Counter(answer.status_code for answer in answers) == {201: CAP, 429: SENDS - CAP}
    for refused in (answer for answer in answers if answer.status_code == 429):
        wait, reset = int(refused.headers["Retry-After"]), int(refused.headers["X-RateLimit-Reset"])
        assert (refused.headers["X-RateLimit-Limit"], refused.headers["X-RateLimit-Remaining"]) == (str(CAP), "0")
        assert 5 < wait <= 86_400
        assert began + 86_400 - 1 <= reset <= time.time() + 86_400 + 1
        assert refused.json()["detail"]
    accepted = sorted(answer.json()["message"]["content"] for answer in answers if answer.status_code == 201)
    waited(lambda: len(talk.arrived()) >= CAP, within=60, what=lambda: f"{CAP} texts, only {len(talk.arrived())}")
    waited(lambda: {found["status"] for found in outbound(talk)} == {"delivered"}, within=30, what="all delivered")
    assert sorted(talk.arrived()) == accepted
    assert talk.arrived() == [found["content"] for found in reversed(outbound(talk))]


def test_one_key_fifty_times_is_one_text(talk: Talk) -> None:
    answers = at_once(TWINS, lambda: talk.send("once", **{"Idempotency-Key": "one-and-only"}))
    assert Counter(answer.status_code for answer in answers) == {201: TWINS}
    assert len({answer.content for answer in answers}) == 1
    talk.human.wait_for_bubble("once")

    other = talk.send("twice", **{"Idempotency-Key": "one-and-only"})
    assert (other.status_code, other.json()["detail"]["error"]) == (409, "idempotency_key_reused")

    for name in ("web-1", "web-2"):
        talk.installation.wait_for_restart(name, former=talk.installation.kill(name))
    again = talk.send("once", **{"Idempotency-Key": "one-and-only"})
    assert (again.status_code, again.content) == (201, answers[0].content)

    # A thread is sent in order: were there another text, it would have come before this one.
    talk.send("the end")
    talk.human.wait_for_bubble("the end")
    assert talk.arrived() == ["once", "the end"]
    assert [found["content"] for found in outbound(talk)] == ["the end", "once"]


def test_both_web_processes_answer(talk: Talk) -> None:
    """The counts above mean something only while two processes share the port."""
    pids = talk.installation.state["pids"]
    assert {"web-1", "web-2"} <= pids.keys()
    before = {name: cpu_time(pids[name]) for name in ("web-1", "web-2")}
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda _: talk.messages(), range(200)))
    assert len(answers) == 200
    assert all(cpu_time(pids[name]) > spent for name, spent in before.items())


def at_once(count: int, deed: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """So many threads that start together."""
    barrier = threading.Barrier(count)

    def go(_: int) -> httpx.Response:
        barrier.wait(30)
        return deed()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(go, range(count)))


def outbound(talk: Talk) -> list[dict[str, Any]]:
    """What the agent has sent, newest first."""
    return [found for found in talk.messages() if found["direction"] == "outbound"]


def get(installation: Installation, key: str, path: str, **query: Any) -> Any:
    response = httpx.get(f"{installation.base_url}/api/v1{path}", params=query, headers={"X-API-Key": key}, timeout=30)
    assert response.status_code == 200, response.text
    return json.loads(response.content)


def cpu_time(pid: int) -> int:
    """Clock ticks that a process has spent."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
