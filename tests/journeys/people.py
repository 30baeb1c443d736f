"""Who takes part in a journey: a human with a phone, and an agent's program with one of Inkbox's own clients."""

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.installation import CHECKOUT, PYTHON, Installation, waited

ROUTER = "+15555550100"
DRIVER = Path(__file__).with_name("sdk_driver.py")

_numbers = itertools.count(1)


class Refused(Exception):
    """The client raised; `type` is its exception's class name, `facts` the exception's fields."""

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__(facts["words"])
        self.type = facts["type"]
        self.status = facts.get("status_code")
        self.detail = facts.get("detail")
        self.facts = facts


class Sdk:
    """One process with one client library of one version, holding one key. Values come back as plain JSON."""

    def __init__(self, version: str, *, base_url: str, key: str) -> None:
        client = CHECKOUT / "var" / "clients" / f"inkbox-{version}"
        assert client.is_dir(), f"{client} is missing; bin/test installs it."
        # Without site-packages: the client stands on its own locked dependencies.
        self._process = subprocess.Popen(
            [PYTHON, "-S", DRIVER],
            env={"PYTHONPATH": str(client), "INKBOX_BASE_URL": base_url, "INKBOX_API_KEY": key},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, name: str, *args: Any, of: str | None = None, **kwargs: Any) -> Any:
        """Call a method of the client, or of the identity `of`; raises `Refused`."""
        return self._tell({"of": of, "call": name, "args": args, "kwargs": kwargs})

    def methods(self, resource: str) -> set[str]:
        """The names of what one of the client's resources can do."""
        return set(self._tell({"of": None, "call": resource, "list": True}))

    def _tell(self, command: dict[str, Any]) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"The client ended at {command['call']}."
        result = json.loads(answer)
        if "refused" in result:
            raise Refused(result["refused"])
        return result["ok"]

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(10)


class Agent:
    """An identity as one key sees it: its program's, or an admin's."""

    def __init__(self, sdk: Sdk, handle: str) -> None:
        self.sdk = sdk
        self.handle = handle

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the client's identity object."""
        return self.sdk.call(name, *args, of=self.handle, **kwargs)

    def messages(self, conversation: str, **filters: Any) -> list[dict[str, Any]]:
        """The conversation, oldest first."""
        return list(reversed(self.call("list_imessages", conversation_id=conversation, **filters)))

    def texts(self, conversation: str, **filters: Any) -> list[str | None]:
        """What is written in the conversation, oldest first."""
        return [message["content"] for message in self.messages(conversation, **filters)]

    def message(self, message_id: str, conversation: str) -> dict[str, Any]:
        """One message, as the list shows it now."""
        return next(found for found in self.messages(conversation) if found["id"] == message_id)

    def conversations(self, **filters: Any) -> list[dict[str, Any]]:
        """Summaries, the latest first."""
        return list(self.call("list_imessage_conversations", limit=200, **filters))

    def summary(self, human: "Human", **filters: Any) -> dict[str, Any] | None:
        """The human's conversation in the list, None when it is not there."""
        return next((found for found in self.conversations(**filters) if found["remote_number"] == human.number), None)

    def assignment(self, human: "Human") -> dict[str, Any] | None:
        """The human's active connection."""
        rows = self.call("list_imessage_assignments", limit=200)
        return next((row for row in rows if row["remote_number"] == human.number), None)

    def send(self, words: str, **where: Any) -> dict[str, Any]:
        """Send a text by `conversation_id` or `to`."""
        return dict(self.call("send_imessage", text=words, **where))

    def rule(self, action: str, human: "Human") -> dict[str, Any]:
        """A new contact rule."""
        create = "imessage_contact_rules.create"
        return dict(self.sdk.call(create, self.handle, action=action, match_target=human.number))

    def refusal(self, name: str, *args: Any, **kwargs: Any) -> Refused:
        """How a call is refused; fails the test if it is not."""
        try:
            done = self.call(name, *args, **kwargs)
        except Refused as refused:
            return refused
        raise AssertionError(f"{name} was not refused: {done}")


class Human:
    """A phone with a number that nobody else has."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.number = f"+1555556{next(_numbers):04d}"
        self.line = ""
        self._cursor = self._news(seconds=0)["next"]

    def tell_router(self, words: str) -> str:
        """Text the router and return its answer; the line of a new connection is remembered."""
        known = len(self.inbox(ROUTER))
        self.write(words, to=ROUTER)
        answer = str(waited(lambda: self._received(ROUTER, since=known), what=f"an answer to {words!r}")[0]["text"])
        if found := re.search(r"Text it at (\+[\d -]+\d)", answer):
            self.line = "+" + re.sub(r"\D", "", found[1])
        return answer

    def connect(self, handle: str) -> Self:
        """Ask the router for an agent, and get it."""
        answer = self.tell_router(f"connect @{handle}")
        assert answer.startswith("You are connected"), answer
        return self

    def write(self, words: str, *, to: str | None = None) -> dict[str, Any]:
        """Text the agent's line; the bubble."""
        return self.installation.handset("POST", self.number, "texts", {"to": to or self.line, "text": words})

    def answer(self, bubble: dict[str, Any], words: str) -> dict[str, Any]:
        """Answer one bubble inline; the new one."""
        body = {"to": self.line, "text": words, "reply_to": {"id": bubble["id"], "part": 0}}
        return self.installation.handset("POST", self.number, "texts", body)

    def react(self, kind: str, *, emoji: str | None = None, remove: bool = False) -> None:
        """Put a tapback on the agent's last bubble, or take it back."""
        body = {"bubble": "last", "with": self.line, "kind": kind, "emoji": emoji, "remove": remove}
        self.installation.handset("POST", self.number, "tapbacks", body)

    def groups(self) -> list[dict[str, Any]]:
        """The groups that the human is in: each with its key, line, members and name."""
        phones = self.installation.network("GET", "/control/handsets")["handsets"]
        return [group for phone in phones if phone["number"] == self.number for group in phone["groups"]]

    def inbox(self, line: str | None = None) -> list[dict[str, Any]]:
        """The bubbles of the agent's thread, oldest first."""
        found = self.installation.handset("GET", self.number, f"inbox?with={(line or self.line).replace('+', '%2B')}")
        return list(found["bubbles"])

    def wait_for_bubble(self, words: str) -> dict[str, Any]:
        """The one bubble with these words, once it has arrived."""
        found = waited(lambda: [b for b in self.inbox() if b["text"] == words], what=f"a bubble {words!r}")
        assert len(found) == 1
        return found[0]

    def wait_for_news(self, **facts: Any) -> dict[str, Any]:
        """The first thing the agent does, such as `type="typing", on=True`, after what was waited for before."""
        return waited(lambda: self._next_news(facts), what=f"{facts} on the handset")

    def _next_news(self, facts: dict[str, Any]) -> dict[str, Any] | None:
        news = self._news(seconds=1)
        for event in news["events"]:
            self._cursor = event["cursor"]
            if facts.items() <= event.items():
                return dict(event)
        return None

    def _news(self, *, seconds: float) -> dict[str, Any]:
        after = f"&after={self._cursor}" if hasattr(self, "_cursor") else ""
        return self.installation.handset("GET", self.number, f"wait?seconds={seconds}{after}")

    def _received(self, line: str, *, since: int) -> list[dict[str, Any]]:
        return [bubble for bubble in self.inbox(line)[since:] if bubble["direction"] == "received"]
