"""The stand-in as a process, and a client for its control."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.lines.drivers.bluebubbles.server import PASSWORD

ROOT = Path(__file__).parents[4]


class StandIn:
    """One server process; it ends when this side of its standard input closes."""

    password = PASSWORD

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.lines.drivers.bluebubbles.server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=20)

    def close(self) -> None:
        self.http.close()
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)

    def forget(self) -> None:
        self._control("forget")

    def set(self, **state: Any) -> None:
        self._control("set", **state)

    def fault(self, **faults: list[str]) -> None:
        """What the next calls of a kind (text, chat, attachment) meet, in order."""
        self._control("fault", **faults)

    def hear(self, human: str, text: str | None = None, **fields: Any) -> dict[str, Any]:
        return self._control("hear", human=human, text=text, **fields)

    def change(self, guid: str, **fields: Any) -> dict[str, Any]:
        return self._control("change", guid=guid, **fields)

    def event(self, type: str, data: Any = None) -> None:
        self._control("event", type=type, data=data)

    def calls(self, path: str = "") -> list[dict[str, Any]]:
        return [call for call in self._control("calls") if call["path"].startswith(path)]

    def left(self) -> list[dict[str, Any]]:
        return self._control("left")

    def settled(self) -> None:
        """Return once every callback has been posted."""
        self._control("settled")

    def _control(self, deed: str, **body: Any) -> Any:
        answer = self.http.post(f"/control/{deed}", json=body)
        answer.raise_for_status()
        return answer.json()["data"]
