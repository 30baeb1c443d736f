"""A vendor's own client library, unchanged, in a process of its own: a JSON command a line in, a result a line out.

A command is `{"call": "imessage.send", "args": [...], "kwargs": {...}}`; with `list` it asks for the names of what
a resource can do. The result is `{"ok": value}`, or `{"refused": {"type": ..., "words": ..., ...}}` for what the client
raises.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.installation import CHECKOUT, PYTHON

HERE = Path(__file__).parent


class Refused(Exception):
    """The client raised; `type` is its exception's class name, `facts` what else it says."""

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__(f"{facts['type']}: {facts['words']}")
        self.type = facts["type"]
        self.words = facts["words"]
        self.facts = facts


class Client:
    """The process; it remembers every method it was asked for."""

    def __init__(self, command: Sequence[str | Path], *, env: Mapping[str, str]) -> None:
        self.called: set[str] = set()
        self._process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __call__(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method; raises `Refused`."""
        self.called.add(name)
        return self._tell({"call": name, "args": args, "kwargs": kwargs})

    def refusal(self, name: str, /, *args: Any, **kwargs: Any) -> Refused:
        """How a call is refused; fails the test if it is not."""
        try:
            done = self(name, *args, **kwargs)
        except Refused as refused:
            return refused
        raise AssertionError(f"{name} was not refused: {done}")

    def methods(self, *resources: str) -> set[str]:
        """What the resources can do, by the names that calls have."""
        return {f"{name}.{method}" for name in resources for method in self._tell({"call": name, "list": True})}

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(10)

    def _tell(self, command: dict[str, Any]) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        answer = self._process.stdout.readline()
        assert answer, f"The client ended at {command['call']}."
        result = json.loads(answer)
        if "refused" in result:
            raise Refused(result["refused"])
        return result["ok"]


def python_client(name: str, driver: str, *, env: Mapping[str, str]) -> Client:
    """A Python library out of `var/clients`, which stands on its own locked dependencies."""
    return Client([PYTHON, "-S", HERE / driver], env={"PYTHONPATH": str(_installed(name)), **env})


def node_client(name: str, driver: str, *, env: Mapping[str, str], preload: str | None = None) -> Client:
    """A JavaScript library out of `var/clients`; `preload` is a module that Node runs first."""
    first = ["--import", (HERE / preload).as_uri()] if preload else []
    return Client(
        ["node", *first, HERE / driver], env={"CLIENT": str(_installed(name)), "PATH": os.environ["PATH"], **env}
    )


def _installed(name: str) -> Path:
    folder = CHECKOUT / "var" / "clients" / name
    assert folder.is_dir(), f"{folder} is missing; bin/test installs it."
    return folder
