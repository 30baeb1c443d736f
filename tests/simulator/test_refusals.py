"""Bad requests: each gets a 4xx in the one error shape, and never a 500."""

from typing import Any

import pytest

from tests.simulator.running import HUMAN, LINE, Network

SEND = {"from": LINE, "to": HUMAN, "text": "hi"}


def raw(network: Network, body: bytes, path: str = "/v1/messages") -> Any:
    headers = {"Authorization": "Bearer provider-token", "Content-Type": "application/json"}
    return network.http.post(path, content=body, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "token"),
    [
        ("GET", "/v1/lines", "control-token"),
        ("GET", "/v1/nowhere", "wrong"),
        ("GET", "/control/stats", "provider-token"),
        ("PUT", "/control/lines/x", "provider-token"),
    ],
)
def test_each_api_has_its_own_token(network_once: Network, method: str, path: str, token: str) -> None:
    answer = network_once.http.request(method, path, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


def test_health_needs_no_token(network_once: Network) -> None:
    assert network_once.http.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"hi"', b"\xff\xfe", b'{"text": NaN}', b"[" * 100_000, b'{"part": ' + b"9" * 5_000 + b"}"],
)
def test_what_is_not_a_json_object_is_400(network_once: Network, body: bytes) -> None:
    answer = raw(network_once, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_json")


@pytest.mark.parametrize(
    "wrong",
    [
        {"from": None},
        {"to": "+1555"},
        {"to": "15555550142"},
        {"to": "+1555555014２"},
        {"to": LINE},
        {"to": ["+15555550142"]},
        {"text": ""},
        {"text": 5},
        {"text": "a\0b"},
        {"text": "x" * 20_001},
        {"media": "https://example.com/a"},
        {"media": ["ftp://example.com/a"]},
        {"media": ["https://example.com:99999/"]},
        {"service": "rcs"},
        {"effect": {}},
        {"idempotency_key": "k" * 256},
        {"idempotency_key": ""},
        {"reply_to": "msg"},
        {"reply_to": {"id": "msg", "part": -1}},
    ],
)
def test_wrong_values_are_422(network_once: Network, wrong: dict[str, Any]) -> None:
    answer = network_once.v1("POST", "/messages", {**SEND, **wrong})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


def test_lone_surrogates_are_422(network_once: Network) -> None:
    answer = raw(network_once, b'{"from":"+15555550100","to":"+15555550142","text":"\\ud83d"}')
    assert answer.status_code == 422


def test_the_longest_text_passes(network_once: Network) -> None:
    assert network_once.send("🦊" * 20_000).status_code == 202


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/v1/messages", {**SEND, "from": "+15555550199"}, "unknown_line"),
        ("GET", "/v1/lines/+15555550199", None, "unknown_line"),
        ("GET", "/v1/messages/msg_0", None, "unknown_message"),
        ("POST", "/v1/messages/msg_0/tapbacks", {"action": "add", "kind": "love"}, "unknown_message"),
        ("POST", "/v1/threads/typing", {"line": "+15555550199", "human": HUMAN, "on": True}, "unknown_line"),
        ("GET", "/v1/callback", None, "no_callback"),
        ("GET", "/v1/nowhere", None, "not_found"),
        ("PUT", "/control/lines/+15555550199/faults", {}, "unknown_line"),
        ("POST", "/control/handsets/+15555550142/texts", {"to": "+15555550199", "text": "hi"}, "unknown_line"),
        ("POST", "/control/handsets/+15555550142/reads", {"with": "+15555550199"}, "unknown_line"),
        ("POST", "/control/handsets/+15555550142/tapbacks", {"bubble": "msg_0", "kind": "love"}, "no_bubble"),
        ("GET", "/nowhere", None, "not_found"),
    ],
)
def test_what_is_not_there_is_404(network_once: Network, method: str, path: str, body: Any, code: str) -> None:
    token = "control-token" if path.startswith("/control") else "provider-token"
    answer = network_once.http.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/messages?limit=0",
        "/v1/messages?limit=99999999999999999999",
        "/v1/messages?line=x",
        "/v1/messages?since=yesterday",
        "/v1/messages?direction=up",
        "/v1/events?after=-1",
        "/v1/lookup",
        "/v1/lines/x%00",
        "/control/handsets/+15555550142/wait?seconds=1e3",
        "/control/handsets/+15555550142/inbox?with=",
        "/control/journal?type=%00",
    ],
)
def test_wrong_queries_are_refused(network_once: Network, path: str) -> None:
    token = "control-token" if path.startswith("/control") else "provider-token"
    answer = network_once.http.get(path, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == (200 if path.endswith("with=") else 422), answer.text


@pytest.mark.parametrize("emoji", [None, "", 5, "x" * 33])
def test_an_emoji_tapback_needs_its_emoji(network_once: Network, emoji: Any) -> None:
    body = {"action": "add", "kind": "emoji", "emoji": emoji}
    assert network_once.v1("POST", "/messages/msg_0/tapbacks", body).status_code == 422


@pytest.mark.parametrize("url", ["", "x", "ftp://example.com", "http://", "http://a b", 5])
def test_a_callback_needs_a_web_url(network_once: Network, url: Any) -> None:
    assert network_once.v1("PUT", "/callback", {"url": url, "secret": "whsec_" + "a" * 40}).status_code == 422


@pytest.mark.parametrize("secret", ["", "secret", "whsec_", "whsec_###", "whsec_YWJj", None])
def test_a_callback_needs_a_proper_secret(network_once: Network, secret: Any) -> None:
    answer = network_once.v1("PUT", "/callback", {"url": "http://127.0.0.1:1/", "secret": secret})
    assert answer.status_code == 422


def test_a_body_over_the_limit_is_413(network_once: Network) -> None:
    assert raw(network_once, b" " * (1024 * 1024 + 1)).json()["error"]["code"] == "too_large"


def test_a_wrong_method_is_405(network_once: Network) -> None:
    assert network_once.v1("DELETE", "/messages").json()["error"]["code"] == "method_not_allowed"
