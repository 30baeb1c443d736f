"""The driver of a BlueBubbles server, against one that answers and fails as documented."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from lines.providers.base import (
    Account,
    AliasLost,
    Deadlines,
    ErrorClass,
    OwnTextSeen,
    ProviderError,
    ReadReported,
    ReplyTarget,
    Restarted,
    Scope,
    StatusChanged,
    TapbackArrived,
    TextArrived,
    TextEdited,
    TextUnsent,
    TypingChanged,
    Unrecognised,
)
from lines.providers.bluebubbles import DRIVER
from tests.lines.drivers.bluebubbles.running import Hand
from tests.lines.drivers.cases import HUMAN, LINE, DriverCases, Failure, Posted, Recorded, StandIn
from tests.lines.drivers.process import served

SECRET = "a path of 256 bits/and a slash"
CHAT = f"iMessage;-;{HUMAN}"
SLOW = 0.4


class BlueBubbles(StandIn):
    """The server in its own process, with one human whom Messages knows."""

    driver = DRIVER

    def __init__(self, url: str) -> None:
        self.hand = Hand(url)
        self.account = Account(url, Hand.password, (SECRET,), deadlines=Deadlines(send=SLOW))
        self.forget()

    def forget(self) -> None:
        self.hand.forget()
        self.hand.hear(HUMAN, "I was here before.")

    def on_phone(self, human: str) -> list[str]:
        return [left["text"] for left in self.hand.left() if left["human"] == human]

    def send_calls(self) -> int:
        sends = ("message/text", "message/attachment", "message/multipart", "chat/new")
        return sum(call["path"] in sends for call in self.hand.calls())

    def misbehave(self, how: str, **arrange: Any) -> None:
        faults = {"lose_answer": "cut", "fail_after": "timeout_left", "too_slow": "slow", **arrange}
        self.hand.fault(text=[faults[how]])

    def behave(self) -> None:
        self.hand.set(helper=True, private_api=True)

    def human_texts(self, text: str) -> Posted:
        return self._posted({"type": "new-message", "data": self.hand.hear(HUMAN, text)})

    def strange(self) -> Posted:
        return self._posted({"type": "weather-changed", "data": {"guid": "1"}})

    def _posted(self, event: dict[str, Any]) -> Posted:
        return Posted(
            {"content-type": "application/json"},
            json.dumps(event).encode(),
            f"{self.callback_url}/{quote(SECRET, safe='')}",
        )


@pytest.fixture(scope="module")
def stand_in() -> Iterator[BlueBubbles]:
    with served("tests.lines.drivers.bluebubbles.server") as url:
        yield BlueBubbles(url)


AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
MS, LATER_MS = int(AT.timestamp() * 1000), int(LATER.timestamp() * 1000)
THREAD: dict[str, Any] = {"line": "", "human": HUMAN, "chat": CHAT}
BARE: dict[str, Any] = {**THREAD, "chat": ""}


def event(type: str, *, chat: str = CHAT, **fields: Any) -> bytes:
    """A row as the server posts it; an updated one comes without its chat."""
    row = {
        "originalROWID": 7,
        "guid": "G",
        "text": "hi",
        "handle": {"address": HUMAN, "service": "iMessage"},
        "attachments": [],
        "error": 0,
        "dateCreated": MS,
        "dateRead": None,
        "dateDelivered": None,
        "isFromMe": False,
        "itemType": 0,
        "groupActionType": 0,
        "associatedMessageGuid": None,
        "associatedMessageType": None,
        **({"chats": [{"guid": chat, "style": 43 if ";+;" in chat else 45}]} if chat else {}),
        **fields,
    }
    return json.dumps({"type": type, "data": row}).encode()


def tapback(word: str, text: str = "", **fields: Any) -> bytes:
    return event(
        "new-message", text=text, associatedMessageGuid="p:1/T", associatedMessageType=word, **fields
    )  # fmt: skip


def own(**fields: Any) -> OwnTextSeen:
    return OwnTextSeen(**{**THREAD, "at": AT, "handle": "G", "text": "hi", **fields})


FAILED = ProviderError(
    ErrorClass.PERMANENT, "1", "Messages marked the text with error 1.", scope=Scope.LINE, counts_against_line=True
)
NOT_THERE = ProviderError(
    ErrorClass.RECIPIENT_UNREACHABLE, "22", "The recipient is not on iMessage.", scope=Scope.HUMAN
)


class TestBlueBubbles(DriverCases):
    failures = [
        Failure("no row in time", {"refuse": "row_missing"}, None),
        Failure("timed out", {"refuse": "timeout_not_left"}, None),
        Failure("gateway", {"refuse": "gateway"}, None),
        Failure("the first try is still running", {"refuse": "queued"}, None),
        Failure(
            "not on iMessage",
            {"refuse": "failed_22"},
            ErrorClass.RECIPIENT_UNREACHABLE,
            Scope.HUMAN,
            False,
            order={"text": "22"},
        ),
        Failure("another number", {"refuse": "failed_1"}, ErrorClass.PERMANENT, Scope.LINE, True, order={"text": "1"}),
        Failure("a number that says nothing", {"refuse": "failed_4"}, None, order={"text": "4"}),
        Failure("invalid", {"refuse": "invalid"}, ErrorClass.PERMANENT, Scope.MESSAGE, False),
    ]
    recorded = [
        Recorded("a text", event("new-message"), [TextArrived(**THREAD, at=AT, handle="G", text="hi")]),
        Recorded(
            "a text with everything",
            event(
                "new-message",
                subject="About",
                text="\ufffchi",
                expressiveSendStyleId="com.apple.messages.effect.CKConfettiEffect",
                threadOriginatorGuid="O",
                threadOriginatorPart="2:0:5",
                attachments=[{"guid": "P", "transferName": "x.pluginPayloadAttachment", "totalBytes": 1}],
            ),
            [
                TextArrived(
                    **THREAD,
                    at=AT,
                    handle="G",
                    text="About\nhi",
                    effect="confetti",
                    reply_to=ReplyTarget("O", 2),
                )
            ],
        ),
        Recorded(
            "a text over SMS of macOS 14",
            event("new-message", chat=f"SMS;-;{HUMAN}"),
            [TextArrived(**{**THREAD, "chat": f"SMS;-;{HUMAN}"}, at=AT, handle="G", text="hi", service="sms")],
        ),
        Recorded(
            "a text of macOS 26",
            event("new-message", chat=f"any;-;{HUMAN}"),
            [TextArrived(**{**THREAD, "chat": f"any;-;{HUMAN}"}, at=AT, handle="G", text="hi")],
        ),
        Recorded(
            "a group's text",
            event("new-message", chat="iMessage;+;chat7"),
            [TextArrived(**BARE, at=AT, handle="G", text="hi", group="iMessage;+;chat7")],
        ),
        Recorded("a group's action", event("new-message", itemType=1, groupActionType=1), []),
        Recorded("our text mirrored", event("new-message", isFromMe=True, tempGuid="K"), [own(order_key="K")]),
        Recorded(
            "our text delivered, after the server forgot it",
            event("new-message", isFromMe=True, isDelivered=True, dateDelivered=LATER_MS),
            [own(), StatusChanged(**THREAD, handle="G", state="delivered", at=LATER)],
        ),
        Recorded(
            "our text read, in an event without its chat",
            event("updated-message", chat="", isFromMe=True, dateDelivered=LATER_MS, dateRead=LATER_MS),
            [
                own(chat=""),
                StatusChanged(**BARE, handle="G", state="delivered", at=LATER),
                ReadReported(**BARE, handle="G", at=LATER),
            ],
        ),
        Recorded(
            "our text failed",
            event("message-send-error", isFromMe=True, error=22),
            [own(), StatusChanged(**THREAD, handle="G", state="error", error=NOT_THERE)],
        ),
        Recorded(
            "our text failed without anybody knowing why",
            event("updated-message", chat="", isFromMe=True, error=1),
            [own(chat=""), StatusChanged(**BARE, handle="G", state="error", error=FAILED)],
        ),
        Recorded("a number that leaves it open", event("polled", isFromMe=True, error=4), [own()]),
        Recorded(
            "our text as SMS, read back",
            event("read-back", isFromMe=True, _service="sms"),
            [own(service="sms"), StatusChanged(**THREAD, handle="G", state="sent", service="sms", downgraded=True)],
        ),
        Recorded("a text read by us elsewhere", event("updated-message", chat="", dateRead=LATER_MS), []),
        Recorded(
            "a text edited",
            event("updated-message", chat="", text="hi!", dateEdited=LATER_MS),
            [TextEdited(**BARE, at=LATER, handle="G", text="hi!")],
        ),
        Recorded(
            "a text unsent",
            event("updated-message", chat="", text=None, dateRetracted=LATER_MS),
            [TextUnsent(**BARE, at=LATER, handle="G")],
        ),
        Recorded("a tapback", tapback("love"), [TapbackArrived(**THREAD, at=AT, handle="T", part=1, kind="love")]),
        Recorded(
            "a tapback taken back",
            tapback("-love"),
            [TapbackArrived(**THREAD, at=AT, handle="T", part=1, kind="love", removed=True)],
        ),
        Recorded(
            "any emoji",
            tapback("2006", "Reacted 🦊 to “hi”"),
            [TapbackArrived(**THREAD, at=AT, handle="T", part=1, kind="custom", emoji="🦊")],
        ),
        Recorded(
            "any emoji taken back",
            tapback("3006", "Removed 🦊 from “hi”"),
            [TapbackArrived(**THREAD, at=AT, handle="T", part=1, kind="custom", emoji="🦊", removed=True)],
        ),
        Recorded(
            "our tapback mirrored",
            tapback("like", isFromMe=True),
            [TapbackArrived(**THREAD, at=AT, handle="T", part=1, kind="like", mine=True)],
        ),
        Recorded("a sticker", tapback("sticker"), [Unrecognised(**THREAD, raw_type="tapback sticker")]),
        Recorded(
            "a game's move",
            event("new-message", text=None, balloonBundleId="com.example.game"),
            [Unrecognised(**THREAD, raw_type="balloon com.example.game")],
        ),
        Recorded(
            "typing",
            json.dumps({"type": "typing-indicator", "data": {"display": True, "guid": CHAT}}).encode(),
            [TypingChanged(line="", human=HUMAN, on=True)],
        ),
        Recorded(
            "an alias lost",
            json.dumps({"type": "imessage-aliases-removed", "data": {"aliases": [LINE]}}).encode(),
            [AliasLost(line="", human="", address=LINE)],
        ),
        Recorded("the server started", b'{"type": "hello-world"}', [Restarted(line="", human="")]),
        Recorded("our own state elsewhere", b'{"type": "chat-read-status-changed", "data": {"read": true}}', []),
    ]
