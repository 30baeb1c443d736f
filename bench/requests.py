"""The requests of a measurement as the bytes on the wire, made before it begins."""

import base64
import hashlib
import hmac
import itertools
import json
import re
import time
from collections.abc import Sequence
from typing import Any

from bench.population import CALLBACK_SECRET, Population

TEXT = "A message of quite ordinary length, as agents write them."
_numbers = itertools.count(1)


def get(port: int, path: str, key: str = "") -> bytes:
    """A GET, with an API key if one is given."""
    return _request("GET", path, port, {"X-API-Key": key} if key else {})


def page(port: int, path: str, cookie: str) -> bytes:
    """A page of the console for whoever the session's cookie belongs to."""
    return _request("GET", path, port, {"Cookie": cookie})


def sends(port: int, agents: Sequence[Any], count: int) -> list[bytes]:
    """Sends of all agents in turn, each with an idempotency key of its own."""
    return [
        _request(
            "POST",
            "/api/v1/imessage/messages",
            port,
            {"X-API-Key": key, "Idempotency-Key": f"bench-{next(_numbers)}"},
            {"conversation_id": str(conversation.id), "text": TEXT},
        )
        for _, key, conversation in itertools.islice(itertools.cycle(agents), count)
    ]


def plain_sends(port: int, agents: Sequence[Any], count: int) -> list[bytes]:
    """The same texts for the plain Django baseline."""
    return [
        _request("POST", "/send", port, {}, {"conversation_id": str(conversation.id), "text": TEXT})
        for _, _, conversation in itertools.islice(itertools.cycle(agents), count)
    ]


def callbacks(port: int, population: Population, count: int) -> list[bytes]:
    """Texts of all humans in turn, signed as Standard Webhooks; signatures are good for five minutes."""
    path, secret = f"/callbacks/{population.account.id}", base64.b64decode(CALLBACK_SECRET.removeprefix("whsec_"))
    made = []
    for _, _, conversation in itertools.islice(itertools.cycle(population.agents), count):
        event_id, now = f"evt_bench_{next(_numbers)}", str(int(time.time()))
        data = {"line": population.line.address, "human": conversation.human, "message_id": event_id, "text": TEXT}
        body = {"id": event_id, "type": "message.received", "data": {**data, "media": []}}
        signed = hmac.new(secret, f"{event_id}.{now}.{json.dumps(body)}".encode(), hashlib.sha256).digest()
        signature = "v1," + base64.b64encode(signed).decode()
        headers = {"webhook-id": event_id, "webhook-timestamp": now, "webhook-signature": signature}
        made.append(_request("POST", path, port, headers, body))
    return made


def key_of(request: bytes) -> str | None:
    """The idempotency key of a request."""
    found = re.search(rb"Idempotency-Key: (\S+)", request)
    return found[1].decode() if found else None


def _request(method: str, path: str, port: int, headers: dict[str, str], body: Any = None) -> bytes:
    content = json.dumps(body).encode() if body is not None else b""
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content
