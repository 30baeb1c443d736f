"""No request in this dialect, however odd, gets anything but a 4xx that says what is wrong; nothing is left behind.

What no field may hold is `tests.bad_input`'s; the JSON itself is read by what reads Inkbox's.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from accounts.models import Identity
from core.ids import prefixed, uuid7
from imessage.models import Conversation
from tests import make
from tests.api.agentphone.conftest import NUMBER
from tests.api.test_bad_input import row_counts
from tests.bad_input import BODIES, QUERIES, VALUES
from tests.bad_input import fill as filled

_NOT_TEXT: list[Any] = [1, [], {}]
_NOT_STORABLE = ["a\x00b", "\ud800"]
_TIMES = ["1999-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "3000-01-01T00:00:00Z", 4102444800, "4102444800"]
_NUMBERS = [{"a": 2**63}, {"a": [-(2**63)]}, {"a": {"b": 1e300}}]
_FORTY = [f"+155555501{number}" for number in range(10, 50)]

WRONG: dict[str, list[Any]] = {
    "id": [*_NOT_TEXT, *_NOT_STORABLE, "", "abc", "x" * 9999],
    "phone": [*_NOT_TEXT, *_NOT_STORABLE, "", "12345", "+05555550123", "tel:", "human@example.com", "+" + "9" * 9999],
    "phones": ["+15555550123", [], ["+15555550123"], [1, 2], ["+15555550123", "x"], _FORTY],
    "text": [*_NOT_TEXT, *_NOT_STORABLE, "", " ", "x" * 18_997],
    "words": [*_NOT_TEXT, *_NOT_STORABLE, "x" * 10_001],
    "name": [*_NOT_TEXT, *_NOT_STORABLE, "", " ", "x" * 256],
    "word": [*_NOT_TEXT, *_NOT_STORABLE, "", "LOVE", "sparkle"],
    "url": [*_NOT_TEXT, *_NOT_STORABLE, "", "ftp://example.com/a", "//example.com", "https://", "http://[::1"],
    "urls": VALUES["urls"][:12],
    "bool": [1, "true", [], {}],
    "limit": ["x", 1.5, -1, 10**38, True, []],
    "time": [*_NOT_TEXT, "soon", "2026-13-01", "2026-01-01T00:00:00", *_TIMES],
    "object": [1, "x", [], True, {"a": "b\x00"}, {"a": "\ud800"}, {"a": "x" * 40_000}, *_NUMBERS],
    "area code": [*_NOT_TEXT, "41", "4155", "abc", "\uff14\uff11\uff15"],
    "country": [*_NOT_TEXT, "U", "USA", "\u00dcS"],
}
ASKED = {
    "page": QUERIES["page size"][:4],
    "offset": QUERIES["offset"][:4],
    "cursor": QUERIES["moment"][:5],
    "hours": ["0", "169", "x"],
    "phone": ["", "12", "%00"],
}
PATH_PARTS = ["abc", "%00", "%ED%A0%80", ".."]


@dataclass(frozen=True)
class Operation:
    """A good request, and of which kind its fields are."""

    method: str
    path: str
    body: dict[str, Any] | None = None
    kinds: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)


_WINDOW = {"limit": "page", "offset": "offset"}
_HISTORY = {"limit": "page", "before": "cursor", "after": "cursor"}

OPERATIONS = [
    Operation(
        "POST",
        "/messages",
        {"from_number": NUMBER, "to_number": "+15555550149", "body": "hi"},
        {
            "from_number": "id",
            "to_number": "phone",
            "body": "text",
            "media_urls": "urls",
            "media_url": "url",
            "send_style": "word",
            "reply_to_message_id": "id",
            "channel": "name",
        },
    ),
    Operation("POST", "/messages", {"number_id": "<num>", "recipients": [], "body": "hi"}, {"recipients": "phones"}),
    Operation(
        "POST", "/messages", {"agent_id": "<agt>", "to_number": "+15555550149", "body": "hi"}, {"agent_id": "id"}
    ),
    Operation("POST", "/messages/<msg>/reactions", {"reaction": "love"}, {"reaction": "word"}),
    Operation("GET", "/conversations", query=_WINDOW),
    Operation("GET", "/conversations/<conv>", query={"message_limit": "page"}),
    Operation("PATCH", "/conversations/<conv>", {}, {"metadata": "object", "group_name": "name"}),
    Operation("GET", "/conversations/<conv>/messages", query=_HISTORY),
    Operation("POST", "/conversations/<conv>/background", {"image_url": "https://10.0.0.1/"}, {"image_url": "url"}),
    Operation("GET", "/numbers", query=_WINDOW),
    Operation(
        "POST",
        "/numbers",
        {"areaCode": "999"},
        {"country": "country", "areaCode": "area code", "agentId": "id", "type": "word", "expiresAt": "time"},
    ),
    Operation("PATCH", "/numbers/<num>", {}, {"externalId": "words", "expiresAt": "time"}),
    Operation("GET", "/numbers/lookup", query={"phoneNumbers": "phone"}),
    Operation("GET", "/numbers/available", query={"limit": "page"}),
    Operation("GET", "/numbers/<num>/messages", query=_HISTORY),
    Operation("PUT", "/numbers/<num>/contact-card", {}, {"firstName": "words", "avatarUrl": "url"}),
    Operation("POST", "/agents", {"name": ""}, {"name": "name"}),
    Operation("PATCH", "/agents/<agt>", {}, {"name": "name", "description": "words", "enableMessaging": "bool"}),
    Operation("POST", "/agents/<agt>/numbers", {}, {"numberId": "id"}),
    Operation("GET", "/agents/<agt>/conversations", query=_WINDOW),
    Operation("POST", "/contacts", {"name": "Ada"}, {"phoneNumber": "phone"}),
    Operation("POST", "/contacts", {"phoneNumber": "+15555550149"}, {"name": "name"}),
    Operation("GET", "/contacts", query=_WINDOW),
    Operation("GET", "/contacts/capabilities", query={"phone_number": "phone"}),
    Operation("POST", "/webhooks", {}, {"url": "url"}),
    Operation("POST", "/webhooks", {"url": "https://10.0.0.1/"}, {"contextLimit": "limit", "timeout": "limit"}),
    Operation("POST", "/agents/<agt>/webhook", {"contextLimit": 1}, {"url": "url"}),
    Operation("GET", "/webhooks/deliveries", query={**_WINDOW, "hours": "hours"}),
    Operation("GET", "/webhooks/deliveries/stats", query={"hours": "hours"}),
]


def requests(operation: Operation) -> Iterator[tuple[str, str, bytes]]:
    """Everything that is wrong with one operation: what, the path with its query, and the body."""
    good = json.dumps(operation.body).encode() if operation.body is not None else b""
    for name, kind in operation.kinds.items():
        for value in WRONG[kind]:
            yield f"{name}={value!r:.40}", operation.path, json.dumps({**(operation.body or {}), name: value}).encode()
    for name, kind in operation.query.items():
        for text in ASKED[kind]:
            yield f"?{name}={text:.40}", f"{operation.path}?{name}={text}", b""
    if "<" in operation.path:
        start, _, rest = operation.path.partition("<")
        for part in PATH_PARTS:
            yield f"path {part:.40}", f"{start}{part}{rest.partition('>')[2]}", good
    if operation.kinds:
        for name in ("malformed", "a list", "duplicate keys"):
            yield name, operation.path, BODIES[name]


def test_every_bad_request_is_refused_and_leaves_nothing(
    thread: Conversation, identity: Identity, admin_key: str
) -> None:
    ids = {
        "msg": prefixed("msg", make.make_message(thread, "hm", provider_handle="handle-1").id),
        "conv": prefixed("conv", thread.id),
        "num": prefixed("num", thread.line.id),
        "agt": prefixed("agt", identity.id),
    }
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {admin_key}"})
    before, wrong, count = row_counts(), [], 0
    for operation in OPERATIONS:
        for what, path, body in requests(operation):
            count += 1
            whole = f"/v1{filled(path, ids)}"
            response = client.generic(operation.method, whole, filled(body.decode("latin-1"), ids).encode("latin-1"))
            if problem := _problem(response.status_code, response.content):
                wrong.append(f"{operation.method} {operation.path} {what}: {problem}")
    assert wrong == []
    assert row_counts() == before
    assert count > 300


def _problem(status: int, answer: bytes) -> str:
    """What is wrong with an answer, or nothing."""
    if not 400 <= status < 500:
        return f"{status} {answer[:200]!r}"
    said = json.loads(answer)
    error = said.get("error", {})
    whole = said.get("detail") and error.get("message") and error.get("code") and error.get("type")
    return "" if whole else f"{status}, not in its shape: {answer[:200]!r}"


def test_an_id_of_another_kind_is_missing(admin_key: str, thread: Conversation) -> None:
    client = Client(headers={"Authorization": f"Bearer {admin_key}"})
    for prefix in ("msg", "num", "conv_conv", ""):
        assert client.get(f"/v1/conversations/{prefixed(prefix, uuid7())}").status_code == 404
