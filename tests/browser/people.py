"""Who talks while an operator watches: a human with a phone, and an agent with an API key."""

import itertools
import re
import time
from collections.abc import Iterable
from typing import Any

import httpx

from tests.installation import Installation, waited

_numbers = itertools.count(1)


class Human:
    """A phone of its own that is connected to @concierge."""

    def __init__(self, product: Installation) -> None:
        self.product = product
        self.number = f"+1555556{next(_numbers):04d}"
        self.line = self._connect()

    def text(self, words: str) -> str:
        """Text the agent; the bubble's id on the phone."""
        bubble = self.product.handset("POST", self.number, "texts", {"to": self.line, "text": words})
        return str(bubble["id"])

    def say(self, texts: Iterable[str], *, per_second: float) -> list[float]:
        """Text one after the other at this pace; the times just before each, in seconds since 1970."""
        sent = []
        begins = time.monotonic()
        for number, words in enumerate(texts):
            time.sleep(max(0.0, begins + number / per_second - time.monotonic()))
            sent.append(time.time())
            self.text(words)
        return sent

    def tapback(self, kind: str, *, remove: bool = False) -> None:
        """Put a tapback on the newest text of the agent, or take it back."""
        body = {"bubble": "last", "with": self.line, "kind": kind, "remove": remove}
        self.product.handset("POST", self.number, "tapbacks", body)

    def type(self, *, on: bool) -> None:
        """Begin or stop typing."""
        self.product.handset("POST", self.number, "typing", {"with": self.line, "on": on})

    def read(self) -> None:
        """Read all that the agent sent."""
        self.product.handset("POST", self.number, "reads", {"with": self.line})

    def heard(self) -> list[str]:
        """Texts that reached the phone from the agent."""
        return [bubble["text"] for bubble in self._inbox() if bubble["from"] == self.line]

    def slow_the_line(self, *, seconds: float) -> None:
        """The next text to this phone waits at the provider."""
        self.product.network(
            "PUT", f"/control/lines/{self.line}/faults", {"hold_before": {"next": 1, "seconds": seconds}}
        )

    def _connect(self) -> str:
        router = _printed(self.product, "Router")
        self.product.handset("POST", self.number, "texts", {"to": router, "text": "connect @concierge"})
        told = waited(self._told_line, what="an answer of the router")
        return "+" + "".join(char for char in told if char.isdigit())

    def _told_line(self) -> str:
        found = re.search(r"Text it at (\+[\d -]+):", "\n".join(bubble["text"] for bubble in self._inbox()))
        return found[1] if found else ""

    def _inbox(self) -> list[dict[str, Any]]:
        bubbles: list[dict[str, Any]] = self.product.handset("GET", self.number, "inbox?limit=1000")["bubbles"]
        return bubbles


class Agent:
    """@concierge's program: plain HTTP with a key bound to the identity."""

    def __init__(self, product: Installation) -> None:
        key = product.create_key(identity="concierge", label="browser tests")
        self.client = httpx.Client(
            base_url=f"{product.base_url}/api/v1/imessage", headers={"X-API-Key": key}, timeout=30, trust_env=False
        )

    def conversation(self, human: Human) -> str:
        """The id of the conversation with this human, as soon as there is one."""

        def found() -> str:
            rows = self._get("/conversations", limit=200)
            return next((row["id"] for row in rows if row["remote_number"] == human.number), "")

        return waited(found, what=f"a conversation with {human.number}")

    def texts(self, human: Human) -> list[str]:
        """What the agent's key sees of the conversation, oldest first."""
        rows = self._get("/messages", conversation_id=self.conversation(human), limit=200)
        return [row["content"] for row in reversed(rows)]

    def send(self, human: Human, text: str) -> httpx.Response:
        """Answer the human, or be refused."""
        return self.client.post("/messages", json={"conversation_id": self.conversation(human), "text": text})

    def like(self, human: Human) -> None:
        """Put a tapback on the human's newest text."""
        newest = self._get("/messages", conversation_id=self.conversation(human), limit=200)
        heard = next(row for row in newest if row["direction"] == "inbound")
        self._post("/reactions", message_id=heard["id"], reaction="like")

    def mark_read(self, human: Human) -> None:
        """Send a read receipt."""
        self._post("/mark-read", conversation_id=self.conversation(human))

    def subscribe(self, url: str) -> None:
        """Have the texts of humans, and what becomes of one's own, told to an address."""
        api = str(self.client.base_url).removesuffix("imessage/")
        own = self.client.get(f"{api}identities/concierge").json()["id"]
        types = ["imessage.received", "imessage.sent", "imessage.delivered"]
        self._post(f"{api}webhooks/subscriptions", agent_identity_id=own, url=url, event_types=types)

    def type(self, human: Human) -> None:
        """Show the typing bubble."""
        self._post("/typing", conversation_id=self.conversation(human))

    def _get(self, path: str, **query: Any) -> list[dict[str, Any]]:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()
        return rows

    def _post(self, path: str, **body: Any) -> None:
        answer = self.client.post(path, json=body)
        assert answer.is_success, answer.text


class Operator:
    """Who `bin/run` made and told us of."""

    def __init__(self, product: Installation) -> None:
        self.email = _printed(product, "Operator")
        self.password = _printed(product, "Password")


def _printed(product: Installation, name: str) -> str:
    found = re.search(rf"^  {name} +(\S+)$", product.told, re.MULTILINE)
    assert found, product.told
    return found[1]
