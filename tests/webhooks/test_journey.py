"""Once round with everything real: a human texts, the worker tells the endpoint, the vendor's own client verifies."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.installation import Installation, waited
from tests.webhooks.endpoints import Endpoint

CLIENTS = Path(__file__).resolve().parents[2] / "var" / "clients"
HUMAN = "+15555550177"

_VERIFY = """
import json, sys
from inkbox.signing_keys import verify_webhook
given = json.load(sys.stdin)
print(verify_webhook(payload=given["body"].encode(), headers=given["headers"], secret=given["key"]))
"""


def test_a_text_is_told_within_a_moment_and_verified(there: Endpoint) -> None:
    with Installation() as running:
        key = running.create_key(identity="echo")
        identity = _call(running, key, "GET", "/identities/echo")
        made = _call(
            running,
            key,
            "POST",
            "/webhooks/subscriptions",
            {
                "agent_identity_id": identity["id"],
                "url": there.url,
                "event_types": ["imessage.received", "imessage.sent"],
            },
        )
        running.phone(HUMAN, "text", "connect @echo", "--wait", "15")
        line = _line(running)
        running.handset("POST", HUMAN, "texts", {"to": line, "text": "hello"})
        began = time.monotonic()
        waited(lambda: there.requests, what="a webhook")
        took = there.requests[0].at - began
    request = there.requests[0]
    assert (request.payload["event_type"], request.payload["sequence"]) == ("imessage.received", 1)
    assert request.payload["data"]["message"]["content"] == "hello"
    assert _verified(request.body.decode(), request.headers, made["signing_key"])
    assert took < 3


def _call(running: Installation, key: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{running.base_url}/api/v1{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-API-Key": key, "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=15) as answer:
        return dict(json.load(answer))


def _line(running: Installation) -> str:
    rows = running.sql(
        "SELECT line.address FROM imessage_connection c JOIN lines_line line ON line.id = c.line_id WHERE c.human = %s",
        HUMAN,
    )
    return str(rows[0][0])


def _verified(body: str, headers: dict[str, str], key: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", _VERIFY],
        input=json.dumps({"body": body, "headers": headers, "key": key}),
        env={"PYTHONPATH": str(CLIENTS / "inkbox-0.7.20")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip() == "True"
