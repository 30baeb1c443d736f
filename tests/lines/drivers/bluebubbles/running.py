"""A client for the stand-in's control."""

from typing import Any

import httpx

from tests.lines.drivers.bluebubbles.server import PASSWORD
from tests.simulator.running import TLS


class Hand:
    """What a test may do to the Mac and its server, and what it may ask them."""

    password = PASSWORD

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=20, verify=TLS)

    def forget(self) -> None:
        self._control("forget")

    def set(self, **state: Any) -> None:
        self._control("set", **state)

    def fault(self, **faults: list[str]) -> None:
        """What the next calls of a kind (text, chat, attachment) meet, in order."""
        self._control("fault", **faults)

    def heal(self) -> None:
        """No call meets anything any more."""
        self._control("heal")

    def hear(self, human: str, text: str | None = None, **fields: Any) -> dict[str, Any]:
        return self._control("hear", human=human, text=text, **fields)

    def group(self, members: list[str] | None = None, **fields: Any) -> str:
        """A group's guid; one that has a `guid` changes, and the server tells of it."""
        return str(self._control("group", **({"members": members} if members else {}), **fields))

    def change(self, guid: str, **fields: Any) -> dict[str, Any]:
        return self._control("change", guid=guid, **fields)

    def event(self, type: str, data: Any = None) -> None:
        self._control("event", type=type, data=data)

    def calls(self, path: str = "") -> list[dict[str, Any]]:
        return [call for call in self._control("calls") if call["path"].startswith(path)]

    def left(self) -> list[dict[str, Any]]:
        return self._control("left")

    def posts(self) -> list[dict[str, Any]]:
        """The callbacks since the last time: `url` and `body`."""
        return self._control("posts")

    def _control(self, deed: str, **body: Any) -> Any:
        answer = self.http.post(f"/control/{deed}", json=body)
        answer.raise_for_status()
        return answer.json()["data"]
