"""The real process on a free port, a client for its two APIs, and a receiver for its callbacks."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

LINE = "+15555550100"
OTHER_LINE = "+15555550101"
HUMAN = "+15555550142"
OTHER_HUMAN = "+15555550143"
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
ROOT = Path(__file__).parents[2]
# Never used, but costly to make anew for every client.
TLS = httpx.create_ssl_context(trust_env=False)


class Network:
    """One simulator process with its folder; it can be killed and started again."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.start()

    def start(self) -> None:
        self.process = spawn("--port", "0", "--data", str(self.data))
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert "Simulated phone network on" in said, said
        self.url = said.split()[-1]
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=20, verify=TLS)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.http.close()

    def terminate(self) -> int:
        self.process.terminate()
        code = self.process.wait(10)
        self.http.close()
        return code

    def v1(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return self._call(method, f"/v1{path}", "provider", body, query)

    def control(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return self._call(method, f"/control{path}", "control", body, query)

    def _call(self, method: str, path: str, token: str, body: Any, query: dict[str, Any]) -> httpx.Response:
        return self.http.request(
            method, path, json=body, params=query, headers={"Authorization": f"Bearer {token}-token"}
        )

    def send(self, text: str = "hi", **more: Any) -> httpx.Response:
        return self.v1("POST", "/messages", {"from": LINE, "to": HUMAN, "text": text, **more})

    def text_in(self, text: str = "hello", human: str = HUMAN, to: str = LINE, **more: Any) -> dict[str, Any]:
        return self.control("POST", f"/handsets/{human}/texts", {"to": to, "text": text, **more}).json()

    def set_faults(self, line: str = LINE, **faults: Any) -> httpx.Response:
        return self.control("PUT", f"/lines/{line}/faults", faults)

    def set_service(self, service: str) -> httpx.Response:
        return self.control("PUT", f"/handsets/{HUMAN}/service", {"service": service})

    def inbox(self, human: str = HUMAN, **query: Any) -> list[dict[str, Any]]:
        return self.control("GET", f"/handsets/{human}/inbox", **query).json()["bubbles"]

    def texts_shown(self) -> list[str]:
        return [bubble["text"] for bubble in self.inbox()]

    def journal(self, kind: str) -> list[dict[str, Any]]:
        return self.control("GET", "/journal", type=kind).json()["lines"]

    def events(self) -> list[dict[str, Any]]:
        return self.v1("GET", "/events").json()["events"]

    def statuses(self) -> list[str]:
        return [event["data"]["status"] for event in self.events() if event["type"] == "message.status"]

    def pending(self) -> int:
        return self.control("GET", "/stats").json()["callbacks"]["pending"]


class Receiver:
    """A receiver of callbacks that keeps all posts and answers what it is told to."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.taken: list[dict[str, Any]] = []
        self.status: Callable[[dict[str, Any]], int] = lambda event: 204
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/callbacks"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def types(self) -> list[str]:
        return [event["type"] for event in self.taken]

    def texts(self) -> list[str]:
        return [event["data"]["text"] for event in self.taken if event["type"] == "message.received"]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                event = json.loads(body)
                status = receiver.status(event)
                receiver.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
                if status < 300:
                    receiver.taken.append(event)
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


def spawn(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    tokens = {"SIMULATOR_PROVIDER_TOKEN": "provider-token", "SIMULATOR_CONTROL_TOKEN": "control-token"}
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments],
        cwd=ROOT,
        env={**os.environ, **tokens, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def eventually(condition: Callable[[], Any], seconds: float = 8) -> None:
    """Return once the condition holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.02)
