"""Once and only once: texts out and in while the worker, the web process and PostgreSQL are killed with -9.

The lines have no send key, so nothing but our own care keeps a human from being texted twice. The count is taken
from the raw journal of the phone network, which is fsynced before the provider answers.
"""

import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from tests.installation import Installation, waited

SEED = int(os.environ.get("CORDBOARD_SEED", "20261121"))
IDENTITIES = 4
HUMANS_EACH = 5
TEXTS_EACH = 15  # 4 x 5 x 15 = 300
HEARD_EACH = 3
PAUSE = 2.0  # seconds between the texts of one conversation: the kills come while texts flow
PATIENCE = 180


class World:
    """An installation, the people on it and the hands that break it."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.random = random.Random(SEED)
        self.api = httpx.Client(
            base_url=f"{installation.base_url}/api/v1",
            headers={"X-API-Key": installation.create_key()},
            trust_env=False,
            timeout=15,
        )
        self.kills: Counter[str] = Counter()

    # --- the people

    def connect_everybody(self) -> list[dict[str, Any]]:
        """Every human connected to one identity and heard once, so that the agent may answer."""
        for number in range(IDENTITIES):
            self.api.post("/identities", json={"agent_handle": f"once-{number}", "imessage_enabled": True})
        router = self.api.get("/imessage/triage-number").json()["number"]
        pairs = [
            (f"once-{n}", f"+1555555{2000 + n * 100 + h:04}") for n in range(IDENTITIES) for h in range(HUMANS_EACH)
        ]
        for handle, human in pairs:
            self.text(human, router, f"connect @{handle}")
        for _, human in pairs:
            waited(lambda human=human: self.line_of(human), within=PATIENCE, what=f"{human} to be connected")
            self.text(human, self.line_of(human), "hello")
        return waited(lambda: self._conversations(len(pairs)), within=PATIENCE, what="every conversation")

    def text(self, human: str, to: str, text: str) -> None:
        self.installation.handset("POST", human, "texts", {"to": to, "text": text})

    def line_of(self, human: str) -> str:
        rows = self.sql(
            "SELECT l.address FROM lines_route r JOIN lines_line l ON l.id = r.line_id WHERE human = %s", human
        )
        return rows[0][0] if rows else ""

    def send_all(self, conversation: dict[str, Any]) -> None:
        """One conversation's texts, in order, each repeated under its key until it is accepted."""
        for number in range(TEXTS_EACH):
            time.sleep(PAUSE)
            text = f"{conversation['remote_number']} {number:02}"
            body = {"conversation_id": conversation["id"], "text": text}
            query = {"agent_identity_id": conversation["identity_id"]}
            waited(
                lambda body=body, query=query, text=text: self._accepted(body, query, text),
                within=PATIENCE,
                what=f"{text} to be accepted",
            )

    def _accepted(self, body: dict[str, str], query: dict[str, str], key: str) -> bool:
        try:
            answer = self.api.post("/imessage/messages", json=body, params=query, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            return False
        assert answer.status_code in {201, 409, 500, 502, 503}, answer.text
        return answer.status_code == 201

    def hear_all(self, conversations: list[dict[str, Any]]) -> None:
        for number in range(HEARD_EACH):
            for conversation in conversations:
                human = conversation["remote_number"]
                self.text(human, self.line_of_safe(human), f"heard {human} {number}")
                time.sleep(PAUSE / len(conversations) * TEXTS_EACH / HEARD_EACH)

    def line_of_safe(self, human: str) -> str:
        return waited(lambda: self._maybe(lambda: self.line_of(human)), within=PATIENCE, what="the route")

    def _conversations(self, count: int) -> list[dict[str, Any]]:
        rows = self.sql(
            "SELECT c.id::text, c.human, c.identity_id::text FROM imessage_conversation c"
            " JOIN accounts_identity i ON i.id = c.identity_id WHERE i.handle LIKE 'once-%%'"
        )
        found = [{"id": row[0], "remote_number": row[1], "identity_id": row[2]} for row in rows]
        return found if len(found) == count else []

    # --- what really happened

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.installation.sql(query, *values)

    def sent_texts(self) -> list[dict[str, Any]]:
        """The raw lines of the network's journal about our texts that reached a handset."""
        lines = self.installation.journal("delivered_to_handset")
        return [line for line in lines if line["text"].startswith("+1555555")]

    # --- the breaking

    def break_things(self) -> None:
        """Every kind of kill, round after round, for as long as texts are being sent."""
        deeds = [self.kill_after_claim, self.kill_after_accepted, self.kill_after_commit, self.kill_web]
        for deed in [*deeds, self.kill_postgres, *self.random.sample(deeds, 2)]:
            time.sleep(self.random.uniform(0.5, 1.5))
            waited(lambda deed=deed: self._hit(deed), within=PATIENCE, what=deed.__name__)

    def _hit(self, deed: Callable[[], None]) -> bool:
        before = self.kills.total()
        self._maybe(deed)
        return self.kills.total() > before

    def kill_after_claim(self) -> None:
        """The attempt is written down, the provider has not acted and never will."""
        self.set_faults(hold_before={"next": 1, "seconds": 2, "abandon": True})
        if self._seen(lambda: self._in_flight() - self._on_handsets()):
            self.kill("worker", "after the claim")

    def kill_after_accepted(self) -> None:
        """The text is on the phone, the outcome is not in the database."""
        self.set_faults(hold_after={"next": 1, "seconds": 2})
        if self._seen(lambda: self._in_flight() & self._on_handsets()):
            self.kill("worker", "after the provider accepted")

    def kill_after_commit(self) -> None:
        before = self._settled()
        if self._seen(lambda: self._settled() > before):
            self.kill("worker", "after the commit")

    def kill_web(self) -> None:
        self.kill("web", "web")

    def kill_postgres(self) -> None:
        self.installation.kill_postgres()
        self.kills["postgres"] += 1

    def kill(self, name: str, point: str) -> None:
        self.installation.kill(name)
        self.kills[point] += 1

    def set_faults(self, **faults: object) -> None:
        for line in self.pool():
            self.installation.network("PUT", f"/control/lines/{line}/faults", faults)

    def pool(self) -> list[str]:
        return [row[0] for row in self.sql("SELECT address FROM lines_line WHERE kind = 'pool'")]

    def _in_flight(self) -> set[str]:
        rows = self.sql("SELECT text FROM lines_dispatch WHERE outcome = 'in_flight' AND kind = 'message'")
        return {row[0] for row in rows}

    def _settled(self) -> int:
        return int(self.sql("SELECT count(*) FROM lines_dispatch WHERE outcome = 'accepted'")[0][0])

    def _on_handsets(self) -> set[str]:
        return {line["text"] for line in self.sent_texts()}

    def _seen(self, what: Callable[[], object]) -> bool:
        ends = time.monotonic() + 4
        while time.monotonic() < ends:
            if what():
                return True
            time.sleep(0.05)
        return False

    def _maybe(self, deed: Callable[[], Any]) -> Any:
        try:
            return deed()
        except (psycopg.Error, httpx.TransportError):
            return None  # what it looked through was just killed


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Installation(env={"CORDBOARD_FIND_SENT_WAITS": "1,3,6"}, prepared=True) as installation:
        yield World(installation)


def test_every_text_arrives_once_and_in_order_whatever_is_killed(world: World) -> None:
    conversations = world.connect_everybody()
    world.set_faults(send_key=False, lost_answer={"probability": 0.05, "seed": SEED})
    with ThreadPoolExecutor(len(conversations) + 2) as people:
        nemesis = people.submit(world.break_things)
        hearing = people.submit(world.hear_all, conversations)
        sending = [people.submit(world.send_all, conversation) for conversation in conversations]
        for job in [*sending, hearing]:
            job.result()
        nemesis.result()
    world.set_faults(hold_before=None, hold_after=None)

    expected = IDENTITIES * HUMANS_EACH * TEXTS_EACH
    waited(
        lambda: len({line["text"] for line in world.sent_texts()}) >= expected,
        within=PATIENCE,
        what="every text to reach its handset",
    )
    waited(lambda: world._maybe(lambda: unsettled(world) == 0), within=PATIENCE, what="every message to be settled")

    texts = world.sent_texts()
    assert [text for text, times in Counter(line["text"] for line in texts).items() if times > 1] == []
    assert len(texts) == expected
    by_thread = defaultdict(list)
    for line in texts:
        by_thread[line["human"]].append(line["text"])
    assert all(thread == sorted(thread) for thread in by_thread.values())
    print(f"\n{len(texts)} texts, none twice; kills: {dict(world.kills)}; seed {SEED}")


def test_every_humans_text_is_stored_once(world: World) -> None:
    waited(
        lambda: world._maybe(lambda: heard(world)[0] >= IDENTITIES * HUMANS_EACH * HEARD_EACH),
        within=PATIENCE,
        what="every human's text",
    )
    assert heard(world) == (IDENTITIES * HUMANS_EACH * HEARD_EACH, IDENTITIES * HUMANS_EACH * HEARD_EACH)


def test_every_named_point_was_hit(world: World) -> None:
    assert {"after the claim", "after the provider accepted", "after the commit", "web", "postgres"} <= set(world.kills)


def unsettled(world: World) -> int:
    rows = world.sql(
        "SELECT count(*) FROM imessage_message WHERE direction = 'outbound' AND text LIKE '+1555555%%'"
        " AND status NOT IN ('sent', 'delivered')"
    )
    return int(rows[0][0])


def heard(world: World) -> tuple[int, int]:
    rows = world.sql("SELECT count(*), count(DISTINCT text) FROM imessage_message WHERE text LIKE 'heard %%'")
    return int(rows[0][0]), int(rows[0][1])
