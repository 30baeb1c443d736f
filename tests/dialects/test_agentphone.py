"""AgentPhone's words, from our canonical shapes alone."""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from core.ids import prefixed
from dialects import agentphone
from dialects.webhooks import Posting, Telling
from imessage.models import SendStyle, Service, TapbackKind

KEYS = [UUID(int=7 << 76 | 1 << 63 | number) for number in range(10)]
LINE = {"id": str(KEYS[0]), "address": "+15555550100", "kind": "dedicated", "service": "imessage"}
CONVERSATION = {"id": str(KEYS[1]), "is_group": False, "group_name": "", "metadata": {"step": 2}, "participants": []}
HUMAN = "+15555550123"
AT = "2026-06-09T12:00:00Z"


def shape(**changes: Any) -> dict[str, Any]:
    return {
        "id": str(KEYS[2]),
        "conversation_id": str(KEYS[1]),
        "line_id": str(KEYS[0]),
        "direction": "inbound",
        "human": HUMAN,
        "sender": None,
        "is_group": False,
        "participants": None,
        "text": "hello",
        "message_type": "message",
        "service": "imessage",
        "send_style": None,
        "media": [],
        "status": "received",
        "error": None,
        "tapbacks": [],
        "reply_to": None,
        "reply_unresolved": None,
        "created_at": AT,
        "delivered_at": None,
        "peer_read_at": None,
    } | changes


def image(number: int, *, part_index: int = 0) -> dict[str, Any]:
    url = f"https://files.example.com/{number}.png"
    return {"id": str(KEYS[number]), "url": url, "content_type": "image/png", "size": 9, "part_index": part_index}


def tapback(part_index: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(KEYS[9]),
        "message_id": str(KEYS[2]),
        "direction": "inbound",
        "kind": "love",
        "emoji": None,
        "human": HUMAN,
        "part_index": part_index,
        "created_at": AT,
    } | changes


def telling(event_type: str = "message.received", **data: Any) -> Telling:
    return Telling(
        event_id=KEYS[8],
        event_type=event_type,
        at=datetime(2026, 6, 9, 12, tzinfo=UTC),
        data={"message": shape(), "line": LINE, "conversation": CONVERSATION, **data},
        agent={"id": str(KEYS[7]), "handle": "helper", "display_name": "Helper"},
        history=[shape(text="before")],
    )


def test_its_words_are_among_ours() -> None:
    assert set(SendStyle.values) > agentphone.SEND_STYLES
    assert set(TapbackKind.values) > agentphone.REACTIONS


@pytest.mark.parametrize(
    ("service", "has_media", "channel"),
    [("imessage", True, "imessage"), ("sms", False, "sms"), ("sms", True, "mms"), ("rcs", True, "rcs")],
)
def test_an_sms_with_files_is_an_mms(service: str, has_media: bool, channel: str) -> None:
    assert service in Service.values
    assert agentphone.channel_of(service, has_media=has_media) == channel


def test_an_outbound_carousel_is_one_row() -> None:
    [row] = agentphone.messages(
        shape(direction="outbound", status="sent", text=None, media=[image(3), image(4)]), address=LINE["address"]
    )
    assert (row["body"], len(row["mediaUrls"])) == ("", 2)
    assert (row["fromNumber"], row["toNumber"]) == (LINE["address"], HUMAN)


def test_an_inbound_carousel_is_a_row_for_each_image_and_one_for_its_text() -> None:
    rows = agentphone.messages(
        shape(media=[image(3, part_index=1), image(4, part_index=2)], tapbacks=[tapback(2)]), address=LINE["address"]
    )
    found = [(row["id"], row["body"], row["mediaUrls"], len(row["reactions"])) for row in rows]
    assert found == [
        (prefixed("msg", KEYS[4]), "", [image(4)["url"]], 1),
        (prefixed("msg", KEYS[3]), "", [image(3)["url"]], 0),
        (prefixed("msg", KEYS[2]), "hello", [], 0),
    ]


def test_a_message_in_a_group_names_its_sender_and_an_answer_goes_to_the_group() -> None:
    group = {"is_group": True, "human": HUMAN, "sender": HUMAN}
    [inbound] = agentphone.messages(shape(**group), address=LINE["address"])
    [outbound] = agentphone.messages(
        shape(direction="outbound", status="sent", is_group=True, human=""), address=LINE["address"]
    )
    assert (inbound["fromNumber"], inbound["senderIdentifier"]) == (HUMAN, HUMAN)
    assert outbound["toNumber"] == prefixed("grp", KEYS[1])


def test_a_reply_shows_what_it_hangs_on_unless_it_hangs_on_nothing() -> None:
    reply_to = {"message_id": str(KEYS[3]), "part_index": 0}
    parent = shape(id=str(KEYS[3]), text="the question")
    [threaded] = agentphone.messages(shape(reply_to=reply_to), address="", parent=parent)
    [plain] = agentphone.messages(shape(reply_to=reply_to, reply_unresolved=True), address="", parent=parent)
    assert threaded["replyTo"] == {"messageId": prefixed("msg", KEYS[3]), "message": "the question", "mediaUrls": []}
    assert plain["replyTo"] is None


@pytest.mark.parametrize(
    ("kind", "emoji", "word"), [("love", None, "love"), ("custom", "🔥", "🔥"), ("question", None, "question")]
)
def test_a_tapback_is_one_of_six_or_its_emoji(kind: str, emoji: str | None, word: str) -> None:
    [row] = agentphone.messages(shape(tapbacks=[tapback(0, kind=kind, emoji=emoji)]), address="")
    assert row["reactions"][0]["reactionType"] == word
    assert agentphone.tapback_of(word) == (kind, emoji or "")


def test_an_inbound_text_is_told_whole() -> None:
    contact = {"id": str(KEYS[6]), "name": "Ada", "email": None, "phone_number": HUMAN}
    [body] = agentphone.webhook_payloads(telling(contact=contact))
    message_id, number_id = prefixed("msg", KEYS[2]), prefixed("num", KEYS[0])
    assert body.told_id == f"del_{message_id.removeprefix('msg_')}_{number_id}"
    assert body.payload == {
        "event": "agent.message",
        "channel": "imessage",
        "timestamp": AT,
        "agentId": prefixed("agt", KEYS[7]),
        "data": {
            "messageId": message_id,
            "conversationId": prefixed("conv", KEYS[1]),
            "numberId": number_id,
            "from": HUMAN,
            "to": LINE["address"],
            "contact": {"id": prefixed("con", KEYS[6]), "name": "Ada", "email": None, "phoneNumber": HUMAN},
            "message": "hello",
            "mediaUrl": None,
            "mediaUrls": [],
            "direction": "inbound",
            "receivedAt": AT,
            "senderIdentifier": None,
            "group": None,
        },
        "conversationState": {"step": 2},
        "recentHistory": [
            {"messageId": message_id, "content": "before", "direction": "inbound", "channel": "imessage", "at": AT}
        ],
    }


def test_an_inbound_carousel_is_told_once_for_each_image() -> None:
    carousel = shape(message_type="carousel", text=None, media=[image(3), image(4)])
    bodies = agentphone.webhook_payloads(telling(message=carousel))
    assert [body.payload["data"]["mediaUrl"] for body in bodies] == [image(3)["url"], image(4)["url"]]
    assert len({body.told_id for body in bodies}) == 2


def test_a_text_in_a_group_is_told_with_the_roster() -> None:
    roster = [{"human": HUMAN, "name": "Ada"}, {"human": "+15555550124", "name": ""}]
    group = {**CONVERSATION, "is_group": True, "group_name": "Trip", "participants": roster}
    [body] = agentphone.webhook_payloads(telling(message=shape(is_group=True, sender=HUMAN), conversation=group))
    assert body.payload["data"]["group"] == {
        "isGroup": True,
        "groupId": prefixed("grp", KEYS[1]),
        "groupName": "Trip",
        "groupIconUrl": None,
        "participants": [{"identifier": HUMAN, "name": "Ada"}, {"identifier": "+15555550124", "name": None}],
    }


def test_a_tapback_is_told_with_what_it_is_on() -> None:
    carousel = shape(direction="outbound", status="sent", text=None, media=[image(3), image(4)])
    [body] = agentphone.webhook_payloads(
        telling("tapback.received", message=carousel, tapback=tapback(1, kind="custom", emoji="🔥"))
    )
    assert body.payload["event"] == "agent.reaction"
    assert body.payload["data"] == {
        "conversationId": prefixed("conv", KEYS[1]),
        "numberId": prefixed("num", KEYS[0]),
        "reactionType": "🔥",
        "fromNumber": HUMAN,
        "direction": "inbound",
        "messageId": prefixed("msg", KEYS[2]),
        "messageBody": None,
        "messageMediaUrl": image(3)["url"],
        "messageMediaUrls": [image(3)["url"], image(4)["url"]],
        "createdAt": AT,
    }


def test_a_tapback_on_a_humans_own_message_is_not_told() -> None:
    assert agentphone.webhook_payloads(telling("tapback.received", message=shape(), tapback=tapback(0))) == []


def test_the_secret_signs_with_its_prefix_and_the_timestamp() -> None:
    posting = Posting("r", "del_1", "message.received", 1781000000, "{“}".encode())
    digest = hmac.new(b"whsec_x", b"1781000000." + posting.body, hashlib.sha256).hexdigest()
    assert agentphone.webhook_headers(["whsec_x", "whsec_older"], posting) == {
        "X-Webhook-ID": "del_1",
        "X-Webhook-Event": "agent.message",
        "X-Webhook-Timestamp": "1781000000",
        "X-Webhook-Signature": f"sha256={digest}",
    }


def test_a_422_is_said_in_both_of_its_shapes() -> None:
    error = {"loc": ["body", "to_number"], "msg": "Must be a number.", "type": "not_e164", "input": 3}
    assert agentphone.invalid_body([error]) == {
        "detail": [{"loc": ["body", "to_number"], "msg": "Must be a number.", "type": "not_e164"}],
        "error": {
            "message": "to_number: Must be a number.",
            "code": "VALIDATION_ERROR",
            "type": "validation_error",
            "details": [{"field": "to_number", "message": "Must be a number.", "type": "not_e164"}],
        },
    }
