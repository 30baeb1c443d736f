"""A hosted provider's stand-in as a test holds it: its process, and a client for its control paths."""

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from tests.lines.drivers import cases
from tests.lines.drivers.cases import Posted

ROOT = Path(__file__).parents[3]
# Never used, but costly to make anew for every client.
TLS = httpx.create_ssl_context(trust_env=False)
# How long a send may take, in seconds: what is too slow takes twice that.
PATIENCE = 0.4


class StandIn:
    """One running stand-in; `module` names its program."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url.startswith("http://"), f"{module} did not start"
        self._http = httpx.Client(base_url=f"{self.url}/_control", trust_env=False, timeout=10, verify=TLS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._http.close()
        self._process.communicate(timeout=10)

    def reset(self) -> None:
        self.ask("reset")

    def set_faults(self, **faults: Any) -> None:
        self.ask("faults", **faults)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.ask("heal")

    def calls(self, path: str = "") -> list[dict[str, Any]]:
        """What was asked of the provider, oldest first, where the path holds these words."""
        return [call for call in self.ask("calls") if path in call["path"]]

    def texts(self, human: str) -> list[str]:
        """What really stands on the human's phone."""
        return [bubble["text"] for bubble in self._http.get("/phone", params={"human": human}).json()]

    def callbacks(self) -> list[tuple[dict[str, str], bytes]]:
        """Headers and raw body of every callback that has not been taken yet, as the faults would have them come."""
        return [(headers, body) for _, headers, body in self.posts()]

    def posts(self) -> list[tuple[str, dict[str, str], bytes]]:
        """The same with the address; empty for the one that is registered for all."""
        return [(post["url"], post["headers"], base64.b64decode(post["body"])) for post in self.ask("callbacks")]

    def ask(self, what: str, **body: Any) -> Any:
        """One of the stand-in's own controls."""
        return self._http.post(f"/{what}", json=body).raise_for_status().json()


class Hosted(cases.StandIn):
    """A hosted provider as the shared cases need it; `sends_to` is what the path of a send ends with."""

    process: StandIn
    sends_to: str

    def on_phone(self, human: str) -> list[str]:
        return self.process.texts(human)

    def misbehave(self, how: str, **arrange: Any) -> None:
        faults: dict[str, Any] = {
            "lose_answer": {"lost_answers": 1},
            "fail_after": {"errors_after": 1},
            "too_slow": {"slow_answers": 1, "slow": PATIENCE * 2},
            "refuse": {"answers": [{"path": self.sends_to, **arrange}]},
        }
        self.process.set_faults(**faults[how])

    def behave(self) -> None:
        self.process.heal()
        self.process.callbacks()

    def posted(self) -> Posted:
        """The newest callback."""
        headers, body = self.process.callbacks()[-1]
        return Posted(headers, body, self.callback_url)
