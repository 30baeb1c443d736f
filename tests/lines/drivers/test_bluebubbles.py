"""The driver of a BlueBubbles server, against one that answers and fails as documented."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from lines.providers.base import (
    Account,
    AliasLost,
    Deadlines,
    ErrorClass,
    Group,
    GroupChanged,
    Outcome,
    OwnTextSeen,
    ProviderCallFailed,
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
    Upload,
)
from lines.providers.bluebubbles import DRIVER, place, wire
from lines.providers.bluebubbles.place import Place
from tests.lines.drivers.bluebubbles.running import Hand
from tests.lines.drivers.cases import (
    HUMAN,
    LINE,
    NEWCOMER,
    STRANGER,
    DriverCases,
    Failure,
    Posted,
    Recorded,
    StandIn,
    now,
)
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
        self.hand.fault(text=[faults[how]], chat=[faults[how]])

    def behave(self) -> None:
        self.hand.heal()
        self.hand.set(helper=True, private_api=True)

    def human_texts(self, text: str) -> Posted:
        return self._posted({"type": "new-message", "data": self.hand.hear(HUMAN, text)})

    def human_replies(self, text: str, handle: str) -> Posted:
        return self._posted({"type": "new-message", "data": self.hand.hear(HUMAN, text, threadOriginatorGuid=handle)})

    def group(self) -> Group:
        members = (HUMAN, STRANGER)
        return Group(self.hand.group(list(members)), members)

    def member_texts(self, group: Group, text: str) -> Posted:
        return self._posted({"type": "new-message", "data": self.hand.hear(HUMAN, text, chat=group.key)})

    def grows(self, group: Group) -> None:
        self.hand.group([*group.members, NEWCOMER], guid=group.key, by=HUMAN)

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
TRIP: dict[str, Any] = {"guid": "iMessage;+;chat7", "style": 43, "displayName": "Trip"}
NOBODY: dict[str, Any] = {"human": "", "chat": ""}


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


def left(type: str, *, members: Sequence[str] = ()) -> bytes:
    """Somebody left a group."""
    there = {"participants": [{"address": address} for address in members]} if members else {}
    return event(type, text=None, itemType=3, chats=[TRIP | there])


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
            [TextArrived(**BARE, at=AT, handle="G", text="hi", group=Group("iMessage;+;chat7"))],
        ),
        Recorded("somebody left a group, and nobody says who stayed", left("participant-left"), []),
        Recorded(
            "somebody left a group, as a poll tells it",
            left("polled", members=[HUMAN, STRANGER]),
            [GroupChanged(line="", human=HUMAN, at=AT, group=Group("iMessage;+;chat7", (HUMAN, STRANGER), "Trip"))],
        ),
        Recorded(
            "a group as a poll shows it",
            json.dumps({"type": "group-seen", "data": {**TRIP, "participants": [{"address": HUMAN}]}}).encode(),
            [GroupChanged(line="", human="", group=Group("iMessage;+;chat7", (HUMAN,), "Trip"))],
        ),
        Recorded(
            "a group has another name",
            event("group-name-change", chat="iMessage;+;chat7", itemType=2, groupTitle="Trip", isFromMe=True),
            [GroupChanged(line="", human="", at=AT, group=Group("iMessage;+;chat7", name="Trip"))],
        ),
        Recorded(
            "our text in a group, delivered",
            event("new-message", chat="iMessage;+;chat7", isFromMe=True, tempGuid="K", isDelivered=True),
            [
                own(**NOBODY, order_key="K", group=Group("iMessage;+;chat7")),
                StatusChanged(**THREAD | NOBODY, handle="G", order_key="K", state="delivered"),
            ],
        ),
        Recorded(
            "a tapback in a group",
            tapback("love", chat="iMessage;+;chat7"),
            [TapbackArrived(**BARE, at=AT, handle="T", part=1, kind="love")],
        ),
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


@pytest.fixture
def mac(stand_in: BlueBubbles) -> Iterator[BlueBubbles]:
    """The same server with a Mac of its own."""
    stand_in.forget()
    yield stand_in
    stand_in.forget()


# What the helper carries, and what is left without it.


def test_without_the_helper_a_plain_text_leaves_by_applescript(mac: BlueBubbles) -> None:
    mac.hand.set(helper=False)
    receipt = DRIVER.send(mac.account, mac.order("still here", effect="slam"))
    assert (receipt.outcome, list(receipt.notes)) == (Outcome.ACCEPTED, ["effect_dropped"])
    assert [call["body"]["method"] for call in mac.hand.calls("message/text")] == ["private-api", "apple-script"]
    assert mac.on_phone(HUMAN) == ["still here"]


def test_without_the_helper_the_card_is_less(mac: BlueBubbles) -> None:
    mac.hand.set(helper=False)
    reading = DRIVER.probe(mac.account, line=LINE)
    card = DRIVER.card.without(reading.lost)
    assert (reading.state, list(reading.reasons)) == ("degraded", ["helper_lost"])
    assert not (card.effects)
    assert not (card.reply)
    assert not (card.tapback)
    assert not (card.typing)
    assert not (card.read_receipt)
    assert not (card.lookup)
    with pytest.raises(ProviderCallFailed) as refused:
        DRIVER.mark_read(mac.account, line=LINE, human=HUMAN)
    assert refused.value.error
    assert refused.value.error.error_class is ErrorClass.RETRYABLE


def test_the_typing_bubble_is_never_taken_back(mac: BlueBubbles) -> None:
    """The call that should end it starts it."""
    DRIVER.typing(mac.account, line=LINE, human=HUMAN, on=False)
    assert mac.hand.calls("chat/") == []


# Chats, by whichever name.


def test_a_chat_of_macos_26_is_found(mac: BlueBubbles) -> None:
    mac.hand.set(chat_form="any", chats={})
    mac.hand.hear(HUMAN, "hello")
    receipt = DRIVER.send(mac.account, mac.order("hi"))
    assert (receipt.outcome, receipt.chat) == (Outcome.ACCEPTED, f"any;-;{HUMAN}")
    DRIVER.mark_read(mac.account, line=LINE, human=HUMAN, chat=receipt.chat)


def test_somebody_messages_does_not_know_gets_a_new_chat(mac: BlueBubbles) -> None:
    receipt = DRIVER.send(mac.account, mac.order("hi", human=STRANGER))
    assert (receipt.outcome, mac.on_phone(STRANGER)) == (Outcome.ACCEPTED, ["hi"])


def test_a_group_or_an_sms_thread_is_no_hint_of_where_to_write(mac: BlueBubbles) -> None:
    for chat in ("iMessage;+;chat7", f"SMS;-;{HUMAN}"):
        DRIVER.send(mac.account, mac.order("hi", chat=chat))
    assert {call["body"]["chatGuid"] for call in mac.hand.calls("message/text")} == {CHAT}


def test_a_group_waits_for_the_helper_and_is_never_half_made(mac: BlueBubbles) -> None:
    """AppleScript makes none; texts into one that is there go on."""
    mac.hand.set(helper=False)
    made = DRIVER.send(mac.account, mac.order("hi", human="", group=Group("", (HUMAN, STRANGER))))
    assert made.error
    assert (made.outcome, made.error.error_class) == (Outcome.REFUSED, ErrorClass.RETRYABLE)
    there = mac.hand.group([HUMAN, STRANGER])
    assert DRIVER.send(mac.account, mac.order("hi", human="", group=Group(there))).outcome is Outcome.ACCEPTED
    assert [left["human"] for left in mac.hand.left()] == [there]


def test_the_same_roster_is_told_by_an_event_and_a_poll_under_two_keys(mac: BlueBubbles) -> None:
    """The event leaves the members out: what the poll says must not pass for known."""
    keys = {DRIVER.identify(mac.account, body=body).key for body in (left("polled"), left("polled", members=[HUMAN]))}
    assert len(keys) == 2


def test_a_new_chat_that_failed_may_have_been_written_to(mac: BlueBubbles) -> None:
    mac.hand.fault(chat=["server_error"])
    since, order = now(), mac.order("hi", human=STRANGER, first_contact=True)
    assert DRIVER.send(mac.account, order).outcome is Outcome.UNKNOWN
    found = DRIVER.find_sent(mac.account, order, since=since, known=set())
    assert found
    assert found.outcome is Outcome.ACCEPTED


def test_a_number_that_says_nothing_leaves_it_open(mac: BlueBubbles) -> None:
    mac.hand.fault(text=["failed_4"])
    since, order = now(), mac.order("hi")
    DRIVER.send(mac.account, order)
    with pytest.raises(ProviderCallFailed):
        DRIVER.find_sent(mac.account, order, since=since, known=set())


# Files.


def read_media(link: str) -> Upload:
    return Upload(link, "image/png", link.encode())


def test_one_file_and_several_with_a_text_are_one_text_each(mac: BlueBubbles) -> None:
    for media, text in (["1.png"], ""), (["2.png", "3.png"], "look"):
        order = mac.order(text, media=media, read_media=read_media)
        since, receipt = now(), DRIVER.send(mac.account, order)
        found = DRIVER.find_sent(mac.account, order, since=since, known=set())
        assert (receipt.outcome, found and found.handle) == (Outcome.ACCEPTED, receipt.handle)
    sent = [[file["transferName"] for file in left["attachments"]] for left in mac.hand.left()]
    assert sent == [["1.png"], ["2.png", "3.png"]]


@pytest.mark.parametrize(("helper", "minutes", "can_tell"), [(True, 1, True), (False, 1, False), (False, 30, True)])
def test_a_file_by_applescript_is_given_its_twenty_minutes(
    mac: BlueBubbles, helper: bool, minutes: int, can_tell: bool
) -> None:
    mac.hand.set(helper=helper)
    order, since = mac.order("", media=["1.png"], read_media=read_media), now() - timedelta(minutes=minutes)
    if can_tell:
        assert DRIVER.find_sent(mac.account, order, since=since, known=set()) is None
        return
    with pytest.raises(ProviderCallFailed):
        DRIVER.find_sent(mac.account, order, since=since, known=set())


def test_a_file_is_fetched_with_the_password_and_named_without_it(mac: BlueBubbles) -> None:
    row = mac.hand.hear(HUMAN, None, files=[{"name": "1.txt", "mime_type": "text/plain", "content": "hello"}])
    body = json.dumps({"type": "new-message", "data": row}).encode()
    (text,) = DRIVER.parse(mac.account, body=body)
    assert isinstance(text, TextArrived)
    (file,) = text.media
    assert (file.content_type, file.size, "password" in file.url) == ("text/plain", 5, False)
    request = DRIVER.media_request(mac.account, url=file.url)
    assert request
    assert httpx.get(request.url, trust_env=False).text == "hello"
    assert DRIVER.media_request(mac.account, url="https://elsewhere.example.com/1.txt") is None


# What became of a text.


@pytest.mark.parametrize(
    ("arranged", "state", "service"),
    [
        ({"humans": {HUMAN: "imessage"}}, "delivered", ""),
        ({"humans": {HUMAN: "off"}}, None, ""),
        ({"humans": {HUMAN: "none"}}, "error", ""),
        ({"humans": {HUMAN: "off"}, "hidden": {"service": "SMS", "was_downgraded": 1}}, "sent", "sms"),
    ],
)
def test_a_text_is_read_back(mac: BlueBubbles, arranged: dict[str, Any], state: str | None, service: str) -> None:
    mac.hand.set(humans=arranged["humans"])
    receipt = DRIVER.send(mac.account, mac.order("hi"))
    mac.hand.change(receipt.handle, event="", hidden=arranged.get("hidden", {}))
    (body,) = DRIVER.read_back(mac.account, line=LINE, human=HUMAN, handle=receipt.handle)
    told = [report for report in DRIVER.parse(mac.account, body=body) if isinstance(report, StatusChanged)]
    assert [(report.state, report.service) for report in told] == ([(state, service)] if state else [])


def test_a_text_that_is_gone_tells_nothing(mac: BlueBubbles) -> None:
    assert DRIVER.read_back(mac.account, line=LINE, human=HUMAN, handle="gone") == []


# The line.


@pytest.mark.parametrize(
    ("state", "seen", "reason"),
    [
        ({"login": "Signed out"}, "down", "signed_out"),
        ({"aliases": []}, "down", "signed_out"),
        ({"active_alias": "line@example.org"}, "flagged", "wrong_sender"),
        ({"private_api": False}, "degraded", "sign_in_unknown"),
        ({"up": False}, "down", "no_answer"),
    ],
)
def test_a_probe_says_what_is_wrong(mac: BlueBubbles, state: dict[str, Any], seen: str, reason: str) -> None:
    mac.hand.set(**state)
    reading = DRIVER.probe(mac.account, line=LINE)
    assert (reading.state, list(reading.reasons)) == (seen, [reason])


def test_a_probe_tells_of_the_clock_the_version_and_the_addresses(mac: BlueBubbles) -> None:
    mac.hand.set(clock_offset=12.5)
    reading = DRIVER.probe(mac.account, line=LINE)
    assert (reading.clock_offset, reading.software) == (12.5, "BlueBubbles 1.9.9, macOS 14.6")
    assert list(reading.addresses) == [LINE, "line@example.org"]
    assert Hand.password not in repr(reading)


def test_what_went_wrong_never_holds_the_password(mac: BlueBubbles) -> None:
    mac.hand.fault(text=["gateway"])
    said = [DRIVER.send(mac.account, mac.order()), DRIVER.send(mac.away(), mac.order())]
    assert not any(Hand.password in repr(receipt) or "password" in repr(receipt) for receipt in said)


# Callbacks.


def test_a_callback_with_other_events_or_an_older_secret_is_replaced(mac: BlueBubbles) -> None:
    url, older, foreign = "https://us/callbacks/1/new", "https://us/callbacks/1/old", "https://other/hook"
    for known in (url, older, foreign):
        mac.hand.http.post(
            "/api/v1/webhook", params={"password": Hand.password}, json={"url": known, "events": ["new-message"]}
        )
    assert sorted(DRIVER.install_callbacks(mac.account, url=url).urls) == [foreign, url]
    DRIVER.install_callbacks(mac.account, url=url)
    assert [call["method"] for call in mac.hand.calls("webhook")].count("DELETE") == 2
    assert mac.hand.calls("webhook")[-1]["method"] == "GET"


def test_the_same_news_has_one_key_whichever_way_it_comes(mac: BlueBubbles) -> None:
    def key(type: str, **fields: Any) -> str:
        return DRIVER.identify(mac.account, body=event(type, **fields)).key

    told = {"isFromMe": True, "dateDelivered": LATER_MS}
    assert key("new-message", **told) == key("updated-message", chat="", **told) == key("polled", **told)
    assert key("new-message", isFromMe=True) != key("new-message", **told)
    assert key("new-message") == key("new-message", dateRead=LATER_MS) != key("new-message", dateEdited=LATER_MS)


# Polls.

MINUTE = 60_000


def test_a_poll_overlaps_the_last_one() -> None:
    assert Place(read_to=10 * MINUTE).towards(10 * MINUTE + 15_000).start == 5 * MINUTE


def test_after_an_outage_all_of_it_is_read_again_for_a_while() -> None:
    """A Mac that wakes writes down old texts slowly, with the times at which they were sent."""
    back = Place(read_to=10 * MINUTE).towards(60 * MINUTE).after(3)
    later = back.towards(60 * MINUTE + 15_000).after(3)
    assert (back.start, Place.read(str(later), now=0).start) == (5 * MINUTE, 5 * MINUTE)
    assert Place(**{**dataclasses.asdict(later), "read_to": 76 * MINUTE}).towards(76 * MINUTE).start == 71 * MINUTE


def test_more_than_a_page_is_read_page_by_page(mac: BlueBubbles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "MOST_ROWS", 2)
    monkeypatch.setattr(wire, "MOST_ROWS", 2)
    for number in range(4):
        mac.hand.hear(HUMAN, f"text {number}")
    bodies, cursor = [], ""
    for _ in range(4):
        found, cursor = DRIVER.poll(mac.account, cursor=cursor)
        bodies += found
    assert [json.loads(body)["data"]["text"] for body in bodies][1:] == [f"text {number}" for number in range(4)]
