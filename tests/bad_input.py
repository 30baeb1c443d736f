"""Requests that must be refused with a 4xx, an explanation, and nothing changed: plain data, for any client.

`cases()` crosses the operations with everything that is wrong in a body, a query, a path or a header. Words in
angle brackets (`<conversation_id>`, `<handle>`) stand for what the caller has made; `fill` puts them in.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

UNKNOWN_ID = "018f3c5e-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Operation:
    """A good request: its path and query templates, and the kinds of the fields of its body."""

    name: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One bad request, by whoever holds an admin key."""

    name: str
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


_PAGE = {"limit": "page size", "offset": "offset"}
_OF = {"agent_identity_id": "id"}

OPERATIONS = [
    Operation("whoami", "GET", "/api/whoami"),
    Operation("list identities", "GET", "/api/v1/identities/"),
    Operation(
        "create identity",
        "POST",
        "/api/v1/identities/",
        {"agent_handle": "newcomer", "display_name": "New", "description": "d", "imessage_enabled": True},
        {"agent_handle": "handle", "display_name": "name", "description": "words", "imessage_enabled": "bool"},
        required=("agent_handle",),
    ),
    Operation("get identity", "GET", "/api/v1/identities/<handle>"),
    Operation(
        "update identity",
        "PATCH",
        "/api/v1/identities/<handle>",
        {},
        {
            "agent_handle": "handle",
            "display_name": "name",
            "description": "words",
            "imessage_enabled": "bool",
            "imessage_filter_mode": "word",
            "status": "status",
        },
    ),
    Operation("triage number", "GET", "/api/v1/imessage/triage-number"),
    Operation(
        "send",
        "POST",
        "/api/v1/imessage/messages",
        {"conversation_id": "<conversation_id>", "text": "hi"},
        {"conversation_id": "id", "text": "text", "media_urls": "urls", "send_style": "word"},
        query={"agent_identity_id": "id"},
        required=("conversation_id", "text"),
    ),
    Operation(
        "send to",
        "POST",
        "/api/v1/imessage/messages?agent_identity_id=<identity_id>",
        {"to": "<human>", "text": "hi"},
        {"to": "phone", "text": "text"},
        required=("to", "text"),
    ),
    Operation(
        "list messages",
        "GET",
        "/api/v1/imessage/messages",
        query={**_PAGE, **_OF, "conversation_id": "malformed id", "is_read": "bool", "is_blocked": "bool"},
    ),
    Operation(
        "list conversations",
        "GET",
        "/api/v1/imessage/conversations",
        query={**_PAGE, **_OF, "is_blocked": "bool"},
    ),
    Operation("get conversation", "GET", "/api/v1/imessage/conversations/<conversation_id>", query=_OF),
    Operation("list assignments", "GET", "/api/v1/imessage/assignments", query={**_PAGE, **_OF}),
    Operation(
        "mark read",
        "POST",
        "/api/v1/imessage/mark-read",
        {"conversation_id": "<conversation_id>"},
        {"conversation_id": "id"},
        required=("conversation_id",),
    ),
    Operation(
        "typing",
        "POST",
        "/api/v1/imessage/typing",
        {"conversation_id": "<conversation_id>"},
        {"conversation_id": "id"},
        required=("conversation_id",),
    ),
    Operation(
        "react",
        "POST",
        "/api/v1/imessage/reactions",
        {"message_id": "<message_id>", "reaction": "like"},
        {"message_id": "id", "reaction": "word", "part_index": "part"},
        required=("message_id", "reaction"),
    ),
    Operation(
        "list rules",
        "GET",
        "/api/v1/imessage/identities/<handle>/contact-rules",
        query={**_PAGE, "action": "word", "match_type": "word"},
    ),
    Operation(
        "create rule",
        "POST",
        "/api/v1/imessage/identities/<handle>/contact-rules",
        {"action": "block", "match_target": "+15555550199"},
        {"action": "word", "match_target": "phone", "match_type": "word"},
        required=("action", "match_target"),
    ),
    Operation("get rule", "GET", "/api/v1/imessage/identities/<handle>/contact-rules/<rule_id>"),
    Operation(
        "update rule",
        "PATCH",
        "/api/v1/imessage/identities/<handle>/contact-rules/<rule_id>",
        {"action": "allow"},
        {"action": "word", "status": "word", "direction": "word", "apply_to": "word"},
        required=("action",),
    ),
    Operation(
        "list all rules",
        "GET",
        "/api/v1/imessage/contact-rules",
        query={**_PAGE, "agent_identity_id": "id", "action": "word", "match_type": "word", "direction": "word"},
    ),
    Operation(
        "create key",
        "POST",
        "/api/v1/api-keys",
        {"label": "bot", "scoped_identity_id": "<identity_id>"},
        {"label": "label", "description": "long words", "scoped_identity_id": "id"},
        required=("label", "scoped_identity_id"),
    ),
    Operation("own key", "GET", "/api/v1/api-keys/self"),
    Operation("get message", "GET", "/api/v1/imessage/messages/<message_id>", query=_OF),
    Operation(
        "get thread",
        "GET",
        "/api/v1/imessage/messages/<message_id>/thread",
        query={**_OF, "limit": "page size", "cursor": "cursor"},
    ),
    Operation(
        "get conversation thread",
        "GET",
        "/api/v1/imessage/conversations/<conversation_id>/threads/<message_id>",
        query={**_OF, "limit": "page size", "cursor": "cursor"},
    ),
    Operation(
        "messages of a time",
        "GET",
        "/api/v1/imessage/messages",
        query={"start_datetime": "moment", "end_datetime": "moment", "tz": "zone", "thread_id": "malformed id"},
    ),
    Operation(
        "look up a send",
        "GET",
        "/api/v1/message-sends/lookup",
        query={"sender_kind": "word", "sender_id": "id", "operation": "word"},
    ),
    Operation(
        "create subscription",
        "POST",
        "/api/v1/webhooks/subscriptions",
        {
            "url": "https://10.0.0.1/",
            "event_types": ["imessage.received"],
            "agent_identity_id": "<identity_id>",
        },
        {
            "url": "name",
            "event_types": "event types",
            "agent_identity_id": "id",
            "context_config": "context",
            "auth_token": "token",
        },
        required=("url", "event_types", "agent_identity_id"),
    ),
    Operation(
        "list subscriptions",
        "GET",
        "/api/v1/webhooks/subscriptions",
        query={"agent_identity_id": "id", "mailbox_id": "malformed id", "scope": "word"},
    ),
    Operation(
        "list deliveries",
        "GET",
        "/api/v1/webhooks/deliveries",
        query={"subscription_id": "malformed id", "success": "bool", "offset": "offset"},
    ),
    Operation("signing key", "GET", "/api/v1/identities/<handle>/signing-key"),
    Operation("delete rule", "DELETE", "/api/v1/imessage/identities/<handle>/contact-rules/<rule_id>"),
]

# Bodies that are wrong whatever the operation.
BODIES = {
    "no body": b"",
    "malformed": b'{"a": ',
    "not JSON": b"to=%2B15555550123&text=hi",
    "trailing comma": b'{"a": 1,}',
    "two values": b"{} {}",
    "a list": b"[]",
    "null": b"null",
    "a text": b'"text"',
    "a number": b"12",
    "invalid UTF-8": b'{"text": "\xff\xfe"}',
    "UTF-16": '{"text": "hi"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "raw NUL": b'{"text": "a\x00b"}',
    "duplicate keys": b'{"text": "a", "text": "b"}',
    "nested duplicate keys": b'{"x": [{"text": "a", "text": "b"}]}',
    "NaN": b'{"part_index": NaN}',
    "Infinity": b'{"part_index": -Infinity}',
    "endless float": b'{"part_index": 1e999}',
    "endless integer": b'{"part_index": ' + b"9" * 5000 + b"}",
    "long integer": b'{"part_index": ' + b"9" * 60 + b"}",
    "deep lists": b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a": ' * 500 + b"1" + b"}" * 500,
    "too large": b'{"text": "' + b"a" * 1_100_000 + b'"}',
}

_NOT_TEXT: list[Any] = [1, True, 1.5, [], {}, ["a"], {"a": "b"}, 10**38]
_NOT_STORABLE = ["\x00", "a\x00b", "\ud800", "a\udfff"]

# Values that are wrong for a kind of field.
VALUES: dict[str, list[Any]] = {
    "id": [*_NOT_TEXT, *_NOT_STORABLE, "", "abc", "018f3c5e", UNKNOWN_ID + "0", UNKNOWN_ID, "<foreign_id>", "x" * 9999],
    "text": [*_NOT_TEXT, *_NOT_STORABLE, "", " \n ", "x" * 18_997, "\U0001f642" * 19_000],
    "words": [*_NOT_TEXT, *_NOT_STORABLE, "x" * 10_001],
    "name": [*_NOT_TEXT, *_NOT_STORABLE, "x" * 256],
    "handle": [
        *_NOT_TEXT,
        *_NOT_STORABLE,
        "",
        "@",
        "@@a",
        "-a",
        "a-",
        "a b",
        "a/b",
        "a_b",
        "ä",
        "\uff41",
        "x" * 64,
        "x" * 99_999,
        "<foreign_handle>",
    ],
    "bool": [*[value for value in _NOT_TEXT if value is not True], None, "true", "yes", 0],
    "word": [*_NOT_TEXT, *_NOT_STORABLE, "", "LIKE", "custom", "deleted", "x" * 9999],
    "status": [*_NOT_TEXT, *_NOT_STORABLE, None, "", "deleted", "gone"],
    "label": [*_NOT_TEXT, *_NOT_STORABLE, None, "", "x" * 256],
    "long words": [*_NOT_TEXT, *_NOT_STORABLE, "x" * 1001],
    "event types": [*[value for value in _NOT_TEXT if value != ["a"]], ["a"], [""], [None], [1], ["imessage.x"] * 2],
    "context": [1, True, "a", [], {"fax": None}, {"texts": {}}, {"texts": {"mode": "count", "count": 0}}],
    "token": [*_NOT_TEXT, *_NOT_STORABLE, "", "two words", "x" * 2001],
    "part": [-1, 1, 99, 32_768, 2**31, 10**38, "0", "a", 0.5, None, [], {}, True],
    "phone": [
        *_NOT_TEXT,
        *_NOT_STORABLE,
        "",
        "5555550123",
        "+1",
        "+05555550123",
        "+1 555 555 0123",
        "+1555555012345678",
        "+1555555012\u0663",
        "\uff0b15555550123",
        "+15555550123\n",
        "tel:+15555550123",
        "human@example.com",
        "+" + "9" * 9999,
    ],
    "urls": [
        "https://example.com/a.png",
        [1],
        [""],
        [None],
        ["ftp://example.com/a"],
        ["file:///etc/passwd"],
        ["//example.com/a"],
        ["https://"],
        ["http://[::1"],
        ["https://example.com/\x00"],
        ["https://example.com/\ud800"],
        ["https://example.com/" + "a" * 2000],
        ["https://example.com/a", "https://example.com/b"],
        {},
        1,
    ],
}

# Values of query parameters that are wrong, as they stand in a URL.
QUERIES: dict[str, list[str]] = {
    "page size": ["0", "-1", "201", "abc", "", "1.5", "9" * 30, "9" * 5000, "%00", "1%00", "NaN"],
    "offset": ["-1", "10000001", "abc", "", "1.5", "9" * 30, "%00"],
    "bool": ["1", "0", "yes", "True", "FALSE", "", "null", "%00", "%ED%A0%80"],
    "id": ["", "abc", "%00", UNKNOWN_ID + "0", UNKNOWN_ID, "<foreign_identity_id>", "%ED%A0%80", "x" * 3000],
    "malformed id": ["", "abc", "%00", UNKNOWN_ID + "0", "%ED%A0%80"],
    "moment": [
        "",
        "soon",
        "2026-13-01",
        "9999-12-31",
        "0001-01-01",
        "%00",
        "2026-06-09T99:00",
        "%ED%A0%80",
        "x" * 3000,
    ],
    "zone": ["", "Mars/Phobos", "../../etc/passwd", "%00", "x" * 3000],
    "cursor": ["", "abc", "cur_", "%00", "x" * 3000, UNKNOWN_ID],
    "word": ["", "ALLOW", "x", "%00", "%ED%A0%80"],
}

# What is wrong in place of an id or a handle in a path.
PATH_PARTS = [
    UNKNOWN_ID,
    "abc",
    "%00",
    "a%00b",
    "%ED%A0%80",
    "%FF",
    "..",
    "%2e%2e",
    "@",
    "a%20b",
    "-",
    "x" * 3000,
    "%F0",
]

HEADERS: list[dict[str, str]] = [
    {"X-API-Key": ""},
    {"X-API-Key": "nonsense"},
    {"X-API-Key": "ApiKey_00000000-0000-4000-8000-000000000000." + "a" * 40},
    {"X-API-Key": "\xe4"},
    {"X-API-Key": "x" * 5000},
]

IDEMPOTENCY_KEYS = ["", " ", "x" * 256, "\xe4", "a\tb"]


def cases(operation: Operation) -> list[Case]:
    """Everything that is wrong with one operation."""
    return [*_bodies(operation), *_queries(operation), *_paths(operation), *_headers(operation), *_methods(operation)]


def fill(text: str, made: Mapping[str, str]) -> str:
    """`text` with the words in angle brackets replaced by what was made."""
    for name, value in made.items():
        text = text.replace(f"<{name}>", value)
    return text


def _bodies(operation: Operation) -> Iterable[Case]:
    if operation.body is None:
        return
    for name, body in BODIES.items():
        yield _case(operation, name, body=body)
    for name in operation.required:
        yield _case(operation, f"without {name}", body=_json({k: v for k, v in operation.body.items() if k != name}))
    for name, kind in operation.kinds.items():
        for value in VALUES[kind]:
            yield _case(operation, f"{name}={value!r:.40}", body=_json({**operation.body, name: value}))


def _queries(operation: Operation) -> Iterable[Case]:
    body = _json(operation.body) if operation.body is not None else b""
    for name, kind in operation.query.items():
        for value in QUERIES[kind]:
            yield _case(operation, f"?{name}={value:.40}", query=f"{name}={value}", body=body)


def _paths(operation: Operation) -> Iterable[Case]:
    body = _json(operation.body) if operation.body is not None else b""
    for word in ("<handle>", "<conversation_id>", "<rule_id>", "<message_id>"):
        if word in operation.path:
            for part in [*PATH_PARTS, word.replace("<", "<foreign_")]:
                path = operation.path.replace(word, part)
                yield Case(f"{operation.name}: path {part:.40}", operation.method, path, body=body)


def _headers(operation: Operation) -> Iterable[Case]:
    body = _json(operation.body) if operation.body is not None else b""
    for headers in HEADERS:
        yield _case(operation, f"headers {headers!r:.40}", headers=headers, body=body)
    if operation.name == "send":
        for key in IDEMPOTENCY_KEYS:
            yield _case(operation, f"idempotency key {key!r:.40}", headers={"Idempotency-Key": key}, body=body)


def _methods(operation: Operation) -> Iterable[Case]:
    for method in ("PUT", "TRACE", "OPTIONS"):
        yield Case(f"{operation.name}: {method}", method, operation.path.partition("?")[0])


def _case(operation: Operation, what: str, *, query: str = "", **rest: Any) -> Case:
    return Case(f"{operation.name}: {what}", operation.method, operation.path, query=query, **rest)


def _json(value: Any) -> bytes:
    """ASCII with escapes, so that lone surrogates and NUL arrive as JSON escapes."""
    return json.dumps(value).encode()
