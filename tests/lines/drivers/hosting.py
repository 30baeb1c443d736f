"""What the stand-ins of hosted providers share: an HTTP server with faults, phones and an outbox of callbacks.

A stand-in runs in a process of its own and imports nothing of ours. The paths under `/_control/` are the test's: what
humans do, what goes wrong, what was asked of the provider and what reached a phone.
"""

import base64
import contextlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Json = dict[str, Any]


class Lost(Exception):
    """The connection is closed instead of an answer."""


@dataclass
class Answer:
    """What a call is answered with."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0


@dataclass
class Call:
    """One request, as a provider sees it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class Hosted:
    """A provider's side of everything. Faults, each a key of `faults`:

    `offline` (connections are closed), `lost_answers`, `errors_after` and `slow_answers` (the next so many sends are
    taken, then no answer, a 500, or one `slow` seconds late), `answers` (a list of {path, status, body, headers}: the
    next calls there, nothing taken), `silent` (taken and called sent, never delivered), `fails` (taken, then failed
    with this error), `drops` (the next so many callbacks are lost), `repeats` (every callback so many times more),
    `reorder` (a seed).
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.faults: Json = {}
        self.calls: list[Call] = []
        self.phones: dict[str, list[Json]] = {}
        self.outbox: list[tuple[str, dict[str, str], bytes]] = []

    def answer(self, call: Call) -> Answer:
        """A provider's answer; each stand-in has its own."""
        raise NotImplementedError

    def control(self, call: Call) -> Any:
        """What only this stand-in's tests ask for."""
        raise NotImplementedError

    def sign(self, body: bytes) -> dict[str, str]:
        """The headers that prove a callback."""
        raise NotImplementedError

    def handle(self, call: Call) -> Answer:
        if call.path.startswith("/_control/"):
            return Answer(self._control(call))
        self.calls.append(call)
        if self.faults.get("offline"):
            raise Lost
        for index, scripted in enumerate(self.faults.get("answers", [])):
            if scripted["path"] in call.path:
                self.faults["answers"].pop(index)
                return Answer(scripted.get("body"), scripted.get("status", 200), scripted.get("headers", {}))
        return self.answer(call)

    def taken(self, answer: Answer) -> Answer:
        """The answer to a send that was taken: it may be lost, or an error may stand in its place."""
        if self._strikes("lost_answers"):
            raise Lost
        if self._strikes("errors_after"):
            return Answer({"message": "Internal error"}, 500)
        if self._strikes("slow_answers"):
            answer.delay = self.faults["slow"]
        return answer

    def show(self, human: str, **bubble: Any) -> None:
        """A text arrives on a phone."""
        self.phones.setdefault(human, []).append(bubble)

    def post(self, event: Any, *, url: str = "") -> None:
        """Put a callback into the outbox, unless it is lost: signed, or bare to a `url` of its own."""
        if not self._strikes("drops"):
            body = json.dumps(event, ensure_ascii=False).encode()
            self.outbox.append((url, {} if url else self.sign(body), body))

    def _strikes(self, fault: str) -> bool:
        left = self.faults.get(fault, 0)
        self.faults[fault] = max(0, left - 1)
        return left > 0

    def _control(self, call: Call) -> Any:
        match call.path.removeprefix("/_control/"):
            case "reset":
                return self.reset()
            case "heal":
                return self.faults.clear()
            case "faults":
                return self.faults.update(call.body)
            case "calls":
                return [vars(seen) for seen in self.calls]
            case "phone":
                return self.phones.get(call.query["human"], [])
            case "callbacks":
                return self._callbacks()
        return self.control(call)

    def _callbacks(self) -> list[Json]:
        """Empty the outbox, in the order and as often as the faults say."""
        posts, self.outbox = self.outbox * (1 + self.faults.get("repeats", 0)), []
        if "reorder" in self.faults:
            random.Random(self.faults["reorder"]).shuffle(posts)
        return [{"url": url, "headers": head, "body": base64.b64encode(body).decode()} for url, head, body in posts]


def serve(standin: Hosted) -> None:
    """Serve on a free port, which is printed, until the other end of standard input is closed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(standin.handle))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


def _read(raw: bytes, content_type: str) -> Any:
    """JSON, or a form's fields with all their values; of an upload how long it is."""
    if "multipart" in content_type:
        return {"uploaded": len(raw)}
    if "form-urlencoded" in content_type:
        return parse_qs(raw.decode(), keep_blank_values=True)
    return json.loads(raw) if raw else None


def _handler(handle: Callable[[Call], Answer]) -> type[BaseHTTPRequestHandler]:
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _take(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            call = Call(
                method=self.command,
                path=unquote(url.path),
                query={name: values[-1] for name, values in parse_qs(url.query).items()},
                headers={name.lower(): value for name, value in self.headers.items()},
                body=_read(raw, self.headers.get("Content-Type", "")),
            )
            try:
                with one_at_a_time:
                    answer = handle(call)
            except Lost:
                self.close_connection = True
                return
            time.sleep(answer.delay)
            body = b"" if answer.status == 204 else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # the client's patience ended first
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _take  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None: ...

    return Handler
