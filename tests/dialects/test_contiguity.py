"""Contiguity's words for our shapes: what its clients read, above all the strict Python one."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from core.ids import prefixed
from dialects import contiguity
from dialects.webhooks import Posting, Telling

KEY = UUID("018f3c5e-0000-7000-8000-000000000001")
AT = datetime(2026, 6, 9, 12, 0, 0, 250_000, tzinfo=UTC)
IMESSAGE_LINE = {"address": "+15555550100", "service": "imessage"}
TEXT_LINE = {"address": "+15555550199", "service": "sms"}
CAT = {"url": "https://files.example.com/a/my%20cat.png?x=1", "content_type": "image/png", "size": 3}


def shape(**changes: Any) -> dict[str, Any]:
    """An inbound iMessage with its line."""
    return {
        "id": str(KEY),
        "direction": "inbound",
        "human": "+15555550123",
        "text": "hello",
        "service": "imessage",
        "status": "received",
        "media": [],
        "error": None,
        "created_at": "2026-06-09T12:00:00.250000Z",
        "updated_at": "2026-06-09T12:00:01Z",
        "sent_at": None,
        "delivered_at": None,
        "failed_at": None,
        "peer_read_at": None,
        "read_at": None,
        "line": IMESSAGE_LINE,
        **changes,
    }


def told(event_type: str, *, line: dict[str, str] = IMESSAGE_LINE, group: bool = False, **more: Any) -> list[Any]:
    data = {"line": line, "conversation": {"is_group": group}, **more}
    telling = Telling(event_id=KEY, event_type=event_type, at=AT, data=data, agent=None)
    return [body.payload for body in contiguity.webhook_payloads(telling)]


def test_metadata_stands_beside_the_data_and_within() -> None:
    about = {"id": prefixed("req", KEY), "timestamp": 1781006400250, "api_version": "v2026.8.2", "object": "response"}
    assert contiguity.answer({"a": 1}, key=KEY, at=AT) == {**about, "data": {"a": 1, "metadata": about}}


def test_a_row_of_history_has_its_sender_as_text_and_as_a_number() -> None:
    (row,) = contiguity.history([shape()], [], limit=20, total=7, steps={})["conversation"]
    assert row == {
        "to": "+15555550100",
        "from": "+15555550123",
        "from_": 15555550123,
        "message": "hello",
        "timestamp": 1781006400250,
        "read": 0,
        "delivery": {"status": "delivered", "delayed": False, "timestamp": 1781006400250},
        "risk": {"auto_reported_as_spam": False, "marked_as_spam": False},
        "attachments": [],
    }


@pytest.mark.parametrize(
    ("status", "moment", "word"),
    [
        ("queued", "sent_at", "delayed"),
        ("accepted", "sent_at", "delayed"),
        ("sent", "sent_at", "delayed"),
        ("delivered", "delivered_at", "delivered"),
        ("error", "failed_at", "failed"),
        ("declined", "failed_at", "failed"),
    ],
)
def test_three_words_tell_how_a_message_fares(status: str, moment: str, word: str) -> None:
    out = shape(direction="outbound", status=status, **{moment: "2026-06-09T12:00:02Z"})
    (row,) = contiguity.history([out], [], limit=20, total=1, steps={})["conversation"]
    assert row["delivery"] == {"status": word, "delayed": word == "delayed", "timestamp": 1781006402000}


def test_texts_have_nothing_that_only_apple_tells() -> None:
    found = contiguity.text_history([shape(service="sms", line=TEXT_LINE)], [], limit=5, steps={})
    assert found["chat"] == {"limit": 5, "total": 1, "count": 1}
    assert not {"read", "risk"} & found["conversation"][0].keys()


def test_a_timeline_is_told_in_the_words_of_the_network_that_carried_it() -> None:
    steps = [{"state": state, "at": "2026-06-09T12:00:02Z"} for state in ("queued", "held", "delivered")]
    events = [step["event"] for step in contiguity.message(shape(), steps=steps)["tracking"]]
    assert events == ["imessage.delivery.queued", "imessage.delivery.confirmed"]


@pytest.mark.parametrize(
    ("word", "tapback"),
    [
        ("love", ("love", "")),
        ("question", ("question", "")),
        ("thumbsdown", ("dislike", "")),
        ("\N{PARTY POPPER}", ("custom", "\N{PARTY POPPER}")),
        ("", None),
        ("hate", None),
        ("h\u00e9", None),
        ("\u597d\N{PARTY POPPER}", None),
        ("\u200d", None),
        ("1\ufe0f\u20e3", ("custom", "1\ufe0f\u20e3")),
    ],
)
def test_a_tapback_is_named_by_a_word_of_either_kind_or_an_emoji(word: str, tapback: object) -> None:
    assert contiguity.tapback_of(word) == tapback


@pytest.mark.parametrize("on_text_line", [True, False])
def test_a_message_is_found_by_its_id(on_text_line: bool) -> None:
    assert contiguity.message_key(contiguity.message_id(KEY, on_text_line=on_text_line)) == KEY


@pytest.mark.parametrize("text", ["", "imsg_", str(KEY), prefixed("msg", KEY), "imsg_" + "1" * 26])
def test_no_other_text_is_a_message_s_id(text: str) -> None:
    assert contiguity.message_key(text) is None


@pytest.mark.parametrize(
    ("changes", "word", "more"),
    [
        ({}, "imessage.incoming", {"attachments": []}),
        ({"service": "sms"}, "text.incoming.sms", {}),
        (
            {"service": "sms", "media": [CAT]},
            "text.incoming.mms",
            {"attachments": [{"url": CAT["url"], "mime": "image/png", "filename": "my cat.png"}]},
        ),
    ],
)
def test_what_comes_in_is_named_by_what_carried_it(changes: dict[str, Any], word: str, more: dict[str, Any]) -> None:
    assert told("message.received", message=shape(**changes)) == [
        {
            "id": prefixed("evt", KEY),
            "type": word,
            "timestamp": 1781006400,
            "api_version": "v2026.8.2",
            "data": {"from": "+15555550123", "to": "+15555550100", "body": "hello", "timestamp": 1781006400, **more},
        }
    ]


def test_how_a_text_fared_is_told() -> None:
    out = {"direction": "outbound", "service": "sms"}
    arrived = shape(**out, status="delivered", delivered_at="2026-06-09T12:00:02Z")
    (confirmed,) = told("message.delivered", line=TEXT_LINE, message=arrived)
    fate = {"from": "+15555550199", "to": "+15555550123", "message_id": prefixed("text", KEY), "timestamp": 1781006402}
    assert (confirmed["type"], confirmed["data"]) == ("text.delivery.confirmed", fate)
    lost = shape(**out, status="error", failed_at="2026-06-09T12:00:02Z", error={"message": "It could not."})
    (failed,) = told("message.delivery_failed", line=TEXT_LINE, message=lost)
    assert (failed["type"], failed["data"]) == ("text.delivery.failed", {**fate, "error": "It could not."})


def test_of_groups_and_of_how_an_imessage_fared_nothing_is_told() -> None:
    assert told("message.received", group=True, message=shape()) == []
    assert told("message.delivered", message=shape(status="delivered")) == []
    assert told("message.delivery_failed", message=shape(status="error")) == []


def test_another_number_than_the_one_asked_for_is_told() -> None:
    lines = {name: {"address": number, "service": "sms"} for name, number in (("original", "+1a"), ("used", "+1b"))}
    (payload,) = told("line.substituted", **lines, message_id=str(KEY))
    assert payload["type"] == "numbers.substitution"
    assert payload["data"] == {
        "original_number": "+1a",
        "used_number": "+1b",
        "reason": "requested_unavailable_random_used",
        "message_id": prefixed("text", KEY),
        "timestamp": 1781006400,
    }


def test_the_newest_secret_signs_verbatim() -> None:
    posting = Posting(request_id="r", told_id="evt", event_type="message.received", timestamp=12, body=b'{"a":1}')
    digest = hmac.new(b"whsec_new", b'12.{"a":1}', hashlib.sha256).hexdigest()
    assert contiguity.webhook_headers(["whsec_new", "whsec_old"], posting) == {
        "Contiguity-Signature": f"t=12,v1={digest}"
    }
    assert contiguity.webhook_headers([], posting) == {}


def test_every_payload_is_json() -> None:
    json.dumps(told("message.received", message=shape()))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("**bold** and _italic_", "bold and italic"),
        ("*italic*, ~~gone~~ and __under__!", "italic, gone and under!"),
        ("**bold with _both_ in it**", "bold with both in it"),
        ("(**so**)", "(so)"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("https://example.com/_a_/__b__/c", "https://example.com/_a_/__b__/c"),
        ("** not bold **", "** not bold **"),
        ("**", "**"),
        ("*" * 40, "*" * 40),
    ],
)
def test_markup_is_taken_off(message: str, said: str) -> None:
    assert contiguity.plain_text(message) == said
