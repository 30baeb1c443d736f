"""The driver of Sendblue, against a stand-in in its own process, and its quirks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from lines.providers.base import (
    Account,
    Capabilities,
    Deadlines,
    ErrorClass,
    Group,
    LineReported,
    Media,
    OptedOut,
    Outcome,
    OwnTextSeen,
    ProviderCallFailed,
    ProviderError,
    ReplyTarget,
    Scope,
    StatusChanged,
    TapbackTextArrived,
    TextArrived,
    TypingChanged,
    Unrecognised,
)
from lines.providers.sendblue import DRIVER
from tests.lines.drivers import hosted
from tests.lines.drivers.cases import FILE, HUMAN, LINE, NEWCOMER, STRANGER, DriverCases, Failure, Posted, Recorded

SECRET = "shared secret"
STATUS_URL = "https://switchboard.example.com/callbacks/1/2/3"
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
GROUP: dict[str, Any] = {"group_id": "g1", "message_type": "group", "participants": [HUMAN, LINE, STRANGER]}
OURS: dict[str, Any] = {"human": "", "chat": "g1"}
THREAD: dict[str, Any] = {"line": LINE, "human": HUMAN, "at": AT}


class Sendblue(hosted.Hosted):
    """Sendblue with two lines, one of which the cases use."""

    driver = DRIVER
    sends_to = "-message"

    def __init__(self, process: hosted.StandIn) -> None:
        self.process = process
        deadlines = Deadlines(send=hosted.PATIENCE)
        self.account = Account(process.url, "key-id:key-secret", (SECRET,), deadlines=deadlines)
        self.driver.install_callbacks(self.account, url=self.callback_url)

    def send_calls(self) -> int:
        return len(self.process.calls("/send-message"))

    def human_texts(self, text: str) -> Posted:
        self.process.ask("text", line=LINE, human=HUMAN, content=text)
        return self.posted()

    def human_replies(self, text: str, handle: str) -> Posted:
        self.process.ask("text", line=LINE, human=HUMAN, content=text, reply_to={"message_handle": handle})
        return self.posted()

    def human_sends_file(self) -> Posted:
        self.process.ask("text", line=LINE, human=HUMAN, media_url=FILE, service="SMS")
        return self.posted()

    def group(self) -> Group:
        members = (HUMAN, STRANGER)
        return Group(self.process.ask("group", members=members), members)

    def member_texts(self, group: Group, text: str) -> Posted:
        self.process.ask("text", line=LINE, human=HUMAN, content=text, group=group.key)
        return self.posted()

    def grows(self, group: Group) -> None:
        self.process.ask("group", group=group.key, members=[*group.members, NEWCOMER])

    def strange(self) -> Posted:
        self.process.ask("event", type="weather_changed", sendblue_number=LINE)
        return self.posted()


@pytest.fixture(scope="module")
def process() -> Iterator[hosted.StandIn]:
    with hosted.StandIn("tests.lines.drivers.sendblue.standin") as process:
        yield process


@pytest.fixture(scope="module")
def stand_in(process: hosted.StandIn) -> Sendblue:
    return Sendblue(process)


@pytest.fixture
def anew(stand_in: Sendblue) -> Sendblue:
    """The stand-in, as if nobody had ever used it."""
    stand_in.process.reset()
    stand_in.driver.install_callbacks(stand_in.account, url=stand_in.callback_url)
    return stand_in


def message(*, out: bool = False, **fields: Any) -> bytes:
    """A message as webhooks and lists carry it."""
    return json.dumps(
        {
            "accountEmail": "olga@example.com",
            "content": "hi",
            "is_outbound": out,
            "status": "DELIVERED" if out else "RECEIVED",
            "error_code": None,
            "error_message": None,
            "message_handle": "SB-1",
            "date_sent": "2026-01-01T12:00:00.000Z",
            "date_updated": "2026-01-01T12:00:00.000Z",
            "from_number": LINE if out else HUMAN,
            "number": HUMAN,
            "to_number": HUMAN if out else LINE,
            "sendblue_number": LINE,
            "was_downgraded": False if out else None,
            "plan": "dedicated",
            "media_url": "",
            "message_type": "message",
            "group_id": "",
            "opted_out": False,
            "service": "iMessage",
            **fields,
        }
    ).encode()


def other(**event: Any) -> bytes:
    return json.dumps({"sendblue_number": LINE, "number": HUMAN, **event}).encode()


def refused(status: int, code: int | None = None, key: str | None = None, **headers: str) -> dict[str, Any]:
    body = {"status": "ERROR", "error_code": code, "error_key": key, "error_message": "No."}
    return {"status": status, "body": body, "headers": headers}


def status(word: str, **fields: Any) -> StatusChanged:
    return StatusChanged(
        **THREAD, handle="SB-1", **{"state": word, "service": "imessage", "downgraded": False} | fields
    )


def tapback(text: str, kind: str, **fields: Any) -> TapbackTextArrived:
    named = {"quoted": "See you at 5", "service": "imessage", **fields}
    return TapbackTextArrived(**THREAD, handle="SB-1", text=text, kind=kind, **named)


UNANSWERED = "PRE_REPLY_LIMIT_REACHED"
FAILED = {"status": "ERROR", "error_message": "Failed."}


class TestSendblue(DriverCases):
    failures = [
        Failure("key revoked", refused(403), ErrorClass.LINE_DOWN, Scope.ACCOUNT),
        Failure("request rate", refused(429, **{"retry-after": "7"}), ErrorClass.RETRYABLE, retry_after=7),
        Failure("busy", refused(400, 5003), ErrorClass.RETRYABLE),
        Failure("busy, as a server error", refused(503, 5509), ErrorClass.RETRYABLE),
        Failure("another error of theirs", refused(400, 4001), ErrorClass.RETRYABLE),
        Failure("bad input", refused(400, 4000), ErrorClass.PERMANENT, counts=False),
        Failure("blocked", refused(400, 4002), ErrorClass.PERMANENT, Scope.HUMAN),
        Failure("opted out", refused(400, 4000, "OPTED_OUT"), ErrorClass.PERMANENT, Scope.HUMAN),
        Failure("hourly limit", refused(400, 429, "LINE_HOURLY_LIMIT_REACHED"), ErrorClass.HELD, Scope.LINE),
        Failure("a limit without a word", refused(400, 429), ErrorClass.HELD, Scope.LINE),
        Failure("SMS limit", refused(400, None, "SMS_DAILY_LIMIT_REACHED"), ErrorClass.HELD, Scope.LINE),
        Failure(
            "no answer yet",
            refused(400, None, "PRE_REPLY_LIMIT_REACHED"),
            ErrorClass.HELD,
            Scope.HUMAN,
            until_inbound=True,
        ),
        Failure("failed to send", refused(400, 10001), ErrorClass.PERMANENT, counts=True),
        Failure("unresolved", refused(400, 10002), None),
        Failure("their fault", refused(500, 5000), None),
        Failure("a proxy's page", {"status": 502, "body": "<html>"}, None),
        Failure("taken, and declined in the same breath", {**refused(200, 4002), "status": 202}, ErrorClass.PERMANENT),
        Failure("an answer that says nothing", {"status": 200, "body": []}, None),
    ]
    recorded = [
        Recorded("text", message(), [TextArrived(**THREAD, handle="SB-1", text="hi")]),
        Recorded(
            "file over SMS",
            message(content="", media_url=FILE, service="SMS"),
            [TextArrived(**THREAD, handle="SB-1", text="", media=(Media(FILE),), service="sms")],
        ),
        Recorded(
            "reply",
            message(reply_to={"message_handle": "SB-0", "part_index": 1}),
            [TextArrived(**THREAD, handle="SB-1", text="hi", reply_to=ReplyTarget("SB-0", 1))],
        ),
        Recorded(
            "a place",
            message(content="", message_type="location"),
            [Unrecognised(**THREAD, raw_type="message location")],
        ),
        Recorded(
            "group",
            message(**GROUP, group_display_name="Trip"),
            [TextArrived(**THREAD, chat="g1", handle="SB-1", text="hi", group=Group("g1", (HUMAN, STRANGER), "Trip"))],
        ),
        Recorded(
            "love as text in a group",
            message(**GROUP, content="Loved “See you at 5”"),
            [replace(tapback("Loved “See you at 5”", "love"), chat="g1", group=Group("g1", (HUMAN, STRANGER)))],
        ),
        Recorded(
            "delivered in a group, found by a poll",
            message(out=True, polled=True, **GROUP),
            [
                OwnTextSeen(
                    **THREAD | OURS, handle="SB-1", text="hi", state="delivered", group=Group("g1", (HUMAN, STRANGER))
                ),
                replace(status("delivered"), **OURS),
            ],
        ),
        Recorded(
            "stop word",
            message(content="STOP", opted_out=True),
            [TextArrived(**THREAD, handle="SB-1", text="STOP"), OptedOut(**THREAD, word="STOP")],
        ),
        *(
            Recorded(f"{kind} as text", message(content=text), [tapback(text, kind)])
            for kind, text in {
                "love": "Loved “See you at 5”",
                "like": "Liked “See you at 5”",
                "dislike": "Disliked “See you at 5”",
                "laugh": "Laughed at “See you at 5”",
                "emphasize": "Emphasized “See you at 5”",
                "question": "Questioned “See you at 5”",
            }.items()
        ),
        Recorded(
            "emoji as text",
            message(content="Reacted 🦊 to “See you at 5”"),
            [tapback("Reacted 🦊 to “See you at 5”", "custom", emoji="🦊")],
        ),
        Recorded(
            "a text that only starts like one",
            message(content="Loved “Dune”, you?"),
            [TextArrived(**THREAD, handle="SB-1", text="Loved “Dune”, you?")],
        ),
        Recorded("delivered", message(out=True), [status("delivered")]),
        Recorded(
            "found by a poll",
            message(out=True, polled=True),
            [OwnTextSeen(**THREAD, handle="SB-1", text="hi", state="delivered"), status("delivered")],
        ),
        Recorded("registered", message(out=True, status="REGISTERED"), [status("pending")]),
        Recorded("queued", message(out=True, status="QUEUED"), [status("queued")]),
        Recorded("accepted", message(out=True, status="ACCEPTED"), [status("accepted")]),
        Recorded(
            "sent as SMS, for ever",
            message(out=True, status="SENT", service="SMS", was_downgraded=True),
            [status("sent", service="sms", downgraded=True)],
        ),
        Recorded("success", message(out=True, status="SUCCESS"), [status("sent")]),
        Recorded(
            "declined",
            message(out=True, **FAILED | {"status": "DECLINED", "error_key": "OPTED_OUT"}),
            [
                status(
                    "declined",
                    error=ProviderError(
                        ErrorClass.PERMANENT, "OPTED_OUT", "Failed.", scope=Scope.HUMAN, reason="opted_out"
                    ),
                )
            ],
        ),
        Recorded(
            "failed for a reason of its own",
            message(out=True, **FAILED, error_code=77),
            [status("error", error=ProviderError(ErrorClass.PERMANENT, "77", "Failed.", counts_against_line=True))],
        ),
        Recorded(
            "an unknown status",
            message(out=True, status="LOST"),
            [Unrecognised(**THREAD, raw_type="status LOST")],
        ),
        Recorded(
            "typing",
            other(is_typing=True, from_number=LINE, timestamp="2026-01-01T12:00:00Z"),
            [TypingChanged(**THREAD, on=True)],
        ),
        Recorded(
            "line blocked",
            other(type="line_blocked"),
            [
                LineReported(
                    line=LINE, human=HUMAN, seen="flagged", reason="line_blocked", provider_state="line_blocked"
                )
            ],
        ),
        Recorded(
            "contact", other(type="contact_created"), [Unrecognised(line=LINE, human=HUMAN, raw_type="contact_created")]
        ),
    ]


def test_every_send_names_its_line_and_where_its_status_goes(stand_in: Sendblue) -> None:
    DRIVER.send(stand_in.account, stand_in.order("named", status_url=STATUS_URL, effect="slam"))
    assert stand_in.process.calls("/send-message")[-1]["body"] == {
        "number": HUMAN,
        "from_number": LINE,
        "content": "named",
        "send_style": "slam",
        "status_callback": STATUS_URL,
    }


def test_a_text_into_a_group_says_as_much(stand_in: Sendblue) -> None:
    group, how = stand_in.group(), {"status_url": STATUS_URL, "effect": "slam", "media": [FILE]}
    DRIVER.send(stand_in.account, stand_in.order("hi", human="", group=group, **how))
    assert stand_in.process.calls("/send-group-message")[-1]["body"] == {
        "from_number": LINE,
        "group_id": group.key,
        "content": "hi",
        "media_url": FILE,
        "send_style": "slam",
        "status_callback": STATUS_URL,
    }


def test_a_reply_names_a_part_only_where_there_are_several(stand_in: Sendblue) -> None:
    for part in (0, 2):
        DRIVER.send(stand_in.account, stand_in.order(reply_to=ReplyTarget("SB-9", part)))
    replies = [call["body"]["reply_to"] for call in stand_in.process.calls("/send-message")[-2:]]
    assert replies == [{"message_handle": "SB-9"}, {"message_handle": "SB-9", "part_index": 2}]


@pytest.mark.parametrize(("window", "year"), [("hourly", 2126), ("daily", 2126)])
def test_a_line_at_its_cap_holds_new_contacts_until_it_says(anew: Sendblue, window: str, year: int) -> None:
    DRIVER.send(anew.account, anew.order())
    anew.process.ask("line", line=LINE, **{window: 0})
    error = DRIVER.send(anew.account, anew.order(human=STRANGER)).error
    assert error is not None
    assert error.retry_after is not None
    assert (error.error_class, error.scope) == (ErrorClass.HELD, Scope.LINE)
    ends = datetime.now(UTC).timestamp() + error.retry_after
    assert datetime.fromtimestamp(ends, UTC).year == year
    assert DRIVER.send(anew.account, anew.order()).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(("service", "first"), [("imessage", True), ("auto", True), ("imessage", False)])
def test_who_is_not_on_imessage_is_written_to_only_where_a_fallback_is_allowed(
    anew: Sendblue, service: str, first: bool
) -> None:
    anew.process.ask("service", **{HUMAN: "SMS"})
    receipt = DRIVER.send(anew.account, anew.order("hi", service=service, first_contact=first))
    if service == "imessage" and first:
        assert receipt.error is not None
        assert receipt.error.error_class is ErrorClass.RECIPIENT_UNREACHABLE
        assert anew.on_phone(HUMAN) == []
    else:
        assert (receipt.outcome, receipt.service, receipt.downgraded) == (Outcome.ACCEPTED, "sms", True)


def test_a_failed_send_to_a_number_without_imessage_is_unreachable(anew: Sendblue) -> None:
    anew.process.ask("service", **{HUMAN: "SMS"})
    anew.misbehave("refuse", **refused(400, 10001))
    error = DRIVER.send(anew.account, anew.order()).error
    assert error is not None
    assert (error.error_class, error.counts_against_line) == (ErrorClass.RECIPIENT_UNREACHABLE, False)


def test_a_text_that_failed_after_a_lost_answer_is_found_as_refused(stand_in: Sendblue) -> None:
    order = stand_in.order("will fail")
    stand_in.process.set_faults(lost_answers=1, fails={"error_code": 4001, "error_message": "No."})
    assert DRIVER.send(stand_in.account, order).outcome is Outcome.UNKNOWN
    found = DRIVER.find_sent(stand_in.account, order, since=AT, known=set())
    assert found is not None
    assert found.error is not None
    assert (found.outcome, found.error.error_class) == (Outcome.REFUSED, ErrorClass.RETRYABLE)


def test_a_text_that_they_cannot_resolve_is_not_called_missing(stand_in: Sendblue) -> None:
    order = stand_in.order("in limbo")
    stand_in.process.set_faults(lost_answers=1, fails={"error_code": 10002, "error_message": "Unresolved."})
    DRIVER.send(stand_in.account, order)
    with pytest.raises(ProviderCallFailed):
        DRIVER.find_sent(stand_in.account, order, since=AT, known=set())


def test_typing_to_a_stranger_is_no_error(anew: Sendblue) -> None:
    DRIVER.typing(anew.account, line=LINE, human=STRANGER, on=True)
    DRIVER.typing(anew.account, line=LINE, human=STRANGER, on=False)
    assert [call["body"]["state"] for call in anew.process.calls("/send-typing-indicator")] == ["start", "stop"]


@pytest.mark.parametrize(
    ("word", "state", "reasons"),
    [
        ("ONLINE", "healthy", []),
        ("DEGRADED", "degraded", ["degraded"]),
        ("OFFLINE", "down", ["offline"]),
        ("UNKNOWN", "unknown", ["unknown"]),
        ("SOMETHING", "unknown", ["something"]),
    ],
)
def test_the_line_s_state_is_read_with_its_allowance(anew: Sendblue, word: str, state: str, reasons: list[str]) -> None:
    anew.process.ask("line", line=LINE, status=word, hourly=3, daily=0)
    reading = DRIVER.probe(anew.account, line=LINE)
    assert (reading.state, list(reading.reasons), reading.provider_state) == (state, reasons, word)
    assert (reading.new_contacts_hour, reading.new_contacts_day) == (3, 0)
    assert reading.resets_at == datetime(2126, 1, 2, 8, tzinfo=UTC)
    assert reading.clock_offset is not None
    assert abs(reading.clock_offset) < 3


def test_a_line_that_is_not_ours_any_more_is_down(stand_in: Sendblue) -> None:
    reading = DRIVER.probe(stand_in.account, line="+15555550199")
    assert (reading.state, list(reading.reasons)) == ("down", ["not_our_line"])


def test_callbacks_are_installed_once_and_again_when_the_secret_changes(anew: Sendblue) -> None:
    other_hook = {"url": "https://elsewhere.example/", "secret": "theirs"}
    anew.process.reset()
    DRIVER.install_callbacks(anew.account, url="https://ours.example/")
    once = anew.process.ask("webhooks")
    assert set(once) == {"receive", "typing_indicator", "line_blocked", "line_assigned"}
    DRIVER.install_callbacks(anew.account, url="https://ours.example/")
    assert anew.process.ask("webhooks") == once
    anew.process.ask("hook", type="receive", **other_hook)
    DRIVER.install_callbacks(replace(anew.account, callback_secrets=("new", SECRET)), url="https://ours.example/")
    assert anew.process.ask("webhooks")["receive"] == [other_hook, {"url": "https://ours.example/", "secret": "new"}]


@pytest.mark.parametrize("sent", ["", "wrong", "shared secre", "sh\u00e4red"])
def test_only_a_whole_secret_proves(stand_in: Sendblue, sent: str) -> None:
    account = replace(stand_in.account, callback_secrets=("", SECRET, "former"))
    with pytest.raises(Exception, match="secret"):
        DRIVER.prove(account, headers={"sb-signing-secret": sent}, body=b"{}", url="")
    DRIVER.prove(account, headers={"SB-Signing-Secret": "former"}, body=b"{}", url="")


def test_a_status_callback_is_proved_by_its_address(stand_in: Sendblue) -> None:
    DRIVER.prove(stand_in.account, headers={}, body=message(out=True), url="", order_key="key")


def test_lost_repeated_and_reordered_callbacks_leave_the_same_keys_as_a_poll(anew: Sendblue) -> None:
    anew.process.set_faults(repeats=2, reorder=7)
    for text in ("one", "two", "three"):
        DRIVER.send(anew.account, anew.order(text, status_url=STATUS_URL))
        anew.process.ask("text", line=LINE, human=HUMAN, content=text)
    told = {DRIVER.identify(anew.account, body=body).key for _, body in anew.process.callbacks()}
    read, _ = DRIVER.poll(anew.account, cursor="")
    polled = [DRIVER.identify(anew.account, body=body).key for body in read]
    assert len(polled) == 6
    assert set(polled) <= told


def test_a_poll_reads_every_page(anew: Sendblue) -> None:
    anew.process.set_faults(drops=1000)
    for number in range(130):
        anew.process.ask("text", line=LINE, human=HUMAN, content=str(number))
    read, cursor = DRIVER.poll(anew.account, cursor="")
    assert [json.loads(body)["content"] for body in read] == [str(number) for number in range(130)]
    assert DRIVER.poll(anew.account, cursor=cursor)[1] == cursor


def test_a_text_that_is_called_sent_and_never_arrives_shows_no_error(anew: Sendblue) -> None:
    anew.process.set_faults(silent=True)
    assert DRIVER.send(anew.account, anew.order(status_url=STATUS_URL)).outcome is Outcome.ACCEPTED
    ((_, body),) = anew.process.callbacks()
    (report,) = DRIVER.parse(anew.account, body=body)
    assert isinstance(report, StatusChanged)
    assert (report.state, anew.on_phone(HUMAN)) == ("sent", [])


def test_the_card_says_what_cannot_be_done() -> None:
    card: Capabilities = DRIVER.card
    assert (card.send_key, card.tapback_remove, card.tapback_emoji, card.reads_in) == (False, False, False, False)
    assert (card.tapbacks_in, card.most_media) == ("text", 1)
