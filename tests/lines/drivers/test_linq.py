"""The driver of Linq, against a stand-in in its own process, and its quirks."""

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import linq
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from lines.providers.base import (
    Account,
    CallbackRefused,
    Deadlines,
    ErrorClass,
    Group,
    GroupChanged,
    LineReported,
    Media,
    OptedOut,
    Outcome,
    OwnTextSeen,
    ProviderError,
    ReadReported,
    ReplyTarget,
    Scope,
    StatusChanged,
    TapbackArrived,
    TextArrived,
    TextEdited,
    Thread,
    TypingChanged,
    Unrecognised,
)
from lines.providers.linq import DRIVER, WEBHOOK_VERSION
from tests.lines.drivers import hosted
from tests.lines.drivers.cases import (
    FILE,
    HUMAN,
    LINE,
    NEWCOMER,
    STRANGER,
    DriverCases,
    Failure,
    Posted,
    Recorded,
    send,
)
from tests.lines.drivers.linq.standin import SECRET, TOKEN

OTHER_SECRET = "whsec_bmV3IHNlY3JldCBvZiB0aGlydHktdHdvIGJ5dGVzISE="


class Linq(hosted.Hosted):
    """Linq with two lines; the human has written to the first one."""

    driver = DRIVER
    sends_to = "/messages"

    def __init__(self, process: hosted.StandIn) -> None:
        self.process = process
        self.account = Account(process.url, TOKEN, (SECRET,), deadlines=Deadlines(send=hosted.PATIENCE))
        self.human_texts("I write first")

    def send_calls(self) -> int:
        sends = [call for call in self.process.calls("/v3/chats") if call["method"] == "POST"]
        return len([call for call in sends if call["path"].endswith(("/chats", "/messages"))])

    def human_texts(self, text: str) -> Posted:
        self.process.ask("text", human=HUMAN, text=text)
        return self.posted()

    def human_replies(self, text: str, handle: str) -> Posted:
        self.process.ask("text", human=HUMAN, text=text, reply_to={"message_id": handle, "part_index": 0})
        return self.posted()

    def human_sends_file(self) -> Posted:
        self.process.ask("text", human=HUMAN, media=[FILE], service="SMS")
        return self.posted()

    def group(self) -> Group:
        members = (HUMAN, STRANGER)
        return Group(self.process.ask("group", members=members), members)

    def member_texts(self, group: Group, text: str) -> Posted:
        self.process.ask("text", human=HUMAN, text=text, group=group.key)
        return self.posted()

    def grows(self, group: Group) -> None:
        self.process.ask("group", chat=group.key, members=[*group.members, NEWCOMER])

    def strange(self) -> Posted:
        self.process.ask("event", type="weather.changed", data={"chat_id": "c"})
        return self.posted()


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Linq]:
    with hosted.StandIn("tests.lines.drivers.linq.standin") as process:
        yield Linq(process)


@pytest.fixture
def anew(stand_in: Linq) -> Linq:
    """As if nobody had ever used it."""
    stand_in.process.reset()
    stand_in.human_texts("I write first")
    stand_in.process.callbacks()
    return stand_in


def refused(code: int, *, status: int = 400, retry_after: int | None = None) -> dict[str, Any]:
    error = {"status": status, "code": code, "message": "No", "retry_after": retry_after}
    return {"status": status, "body": {"success": False, "error": error, "trace_id": "t"}}


AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHAT: dict[str, Any] = {"id": "c", "is_group": False, "owner_handle": {"handle": LINE, "is_me": True}}
GROUP: dict[str, Any] = {
    "id": "c",
    "is_group": True,
    "handles": [{"handle": LINE, "is_me": True}, {"handle": HUMAN}, {"handle": STRANGER, "left_at": None}],
}
GONE = {"handle": NEWCOMER, "left_at": "2026-01-01T12:00:00Z"}
NAMED = {"chat_id": "c", "old_value": None, "new_value": "Trip", "updated_at": AT.isoformat()}
HEARD: dict[str, Any] = {"line": LINE, "human": HUMAN, "chat": "c", "at": AT, "handle": "m"}
OURS = HEARD | {"human": ""}


def event(type_: str, **data: Any) -> bytes:
    return json.dumps(
        {
            "api_version": "v3",
            "webhook_version": WEBHOOK_VERSION,
            "event_type": type_,
            "event_id": "e",
            "created_at": AT.isoformat(),
            "trace_id": "t",
            "partner_id": "p",
            "data": data,
        }
    ).encode()


def message(type_: str, *, out: bool = True, **data: Any) -> bytes:
    return event(
        type_,
        **{
            "id": "m",
            "chat": CHAT,
            "direction": "outbound" if out else "inbound",
            "sender_handle": {"handle": LINE if out else HUMAN},
            "parts": [{"type": "text", "value": "hi"}],
            "service": "iMessage",
            "preferred_service": "auto" if out else None,
            "idempotency_key": "k" if out else None,
            "sent_at": AT.isoformat(),
            "delivered_at": None,
            "read_at": None,
            **data,
        },
    )


def failed(code: int) -> bytes:
    data = {"chat_id": "c", "message_id": "m", "code": code, "reason": "No", "failed_at": AT.isoformat()}
    return event("message.failed", **data)


def reaction(kind: str, **data: Any) -> bytes:
    usual = {"chat_id": "c", "message_id": "m", "is_from_me": False, "from_handle": {"handle": HUMAN}, "part_index": 0}
    return event(f"reaction.{kind}", **{**usual, "reacted_at": AT.isoformat(), **data})


def line_status(status: str, reputation: str) -> bytes:
    data = {"phone_number": LINE, "previous_status": "ACTIVE", "previous_reputation": "HEALTHY"}
    now = {"new_status": status, "new_reputation": reputation, "changed_at": AT.isoformat()}
    return event("phone_number.status_updated", **data, **now)


OURS_TOLD = (OwnTextSeen, StatusChanged)
PICTURE = {"type": "media", "id": "a", "url": "https://cdn.example/a.png", "mime_type": "image/png", "size_bytes": 9}


class TestLinq(DriverCases):
    failures = [
        Failure("1002 bad input", refused(1002), ErrorClass.PERMANENT, Scope.MESSAGE, counts=False),
        Failure("1007 rate", refused(1007, status=429, retry_after=7), ErrorClass.HELD, retry_after=7),
        Failure("429", {"status": 429, "body": {}, "headers": {"Retry-After": "9"}}, ErrorClass.HELD, retry_after=9),
        Failure("2004 token", refused(2004, status=403), ErrorClass.LINE_DOWN, Scope.ACCOUNT),
        Failure("2005 not ours", refused(2005, status=403), ErrorClass.LINE_DOWN, Scope.ACCOUNT),
        Failure("2008 never wrote", refused(2008, status=403), ErrorClass.HELD, Scope.HUMAN, until_inbound=True),
        Failure("2015 not eligible", refused(2015, status=403), ErrorClass.LINE_DOWN, Scope.LINE),
        Failure("2027 not eligible", refused(2027, status=403), ErrorClass.LINE_DOWN, Scope.LINE),
        Failure("2018 not on that service", refused(2018), ErrorClass.PERMANENT, Scope.MESSAGE),
        Failure("2028 not on that service", refused(2028), ErrorClass.PERMANENT, Scope.MESSAGE),
        Failure("2024 opted out", refused(2024, status=403), ErrorClass.PERMANENT, Scope.HUMAN, counts=False),
        Failure("2026 blocked", refused(2026, status=403), ErrorClass.PERMANENT, Scope.HUMAN, counts=False),
        Failure("3001 theirs", refused(3001, status=500), ErrorClass.RETRYABLE),
        Failure("3007 expired", refused(3007, status=500), None),
        Failure("4004 RCS side", refused(4004, status=503), ErrorClass.RETRYABLE),
        Failure("503", {"status": 503, "body": {}}, ErrorClass.RETRYABLE),
        Failure("502 of a proxy", {"status": 502, "body": "Bad gateway"}, None),
        Failure("4005 cannot take this", refused(4005), ErrorClass.RECIPIENT_UNREACHABLE, Scope.HUMAN, counts=False),
        Failure("4001 counts", refused(4001), ErrorClass.PERMANENT, counts=True),
        Failure("4006 counts", refused(4006), ErrorClass.PERMANENT, counts=True),
        Failure("5001 attachment", refused(5001), ErrorClass.PERMANENT, counts=False),
        Failure("nonsense for an answer", {"status": 200, "body": "moved"}, None),
    ]
    recorded = [
        Recorded("a text", message("message.received", out=False), [TextArrived(**HEARD, text="hi")]),
        Recorded(
            "a picture with words, late, with an effect, in answer to another",
            message(
                "message.received",
                out=False,
                parts=[{"type": "text", "value": "hi"}, PICTURE],
                effect={"type": "screen", "name": "hearts"},
                reply_to={"message_id": "m0", "part_index": 1},
                reconciled_at=AT.isoformat(),
                service="RCS",
            ),
            [
                TextArrived(
                    **HEARD,
                    text="hi",
                    media=(Media("https://cdn.example/a.png", "image/png", 9),),
                    service="rcs",
                    reply_to=ReplyTarget("m0", 1),
                    effect="love",
                    late=True,
                )
            ],
        ),
        Recorded(
            "in a group",
            message("message.received", out=False, chat=CHAT | {"is_group": True}),
            [TextArrived(**HEARD, text="hi", group=Group("c"))],
        ),
        Recorded(
            "our text in a group",
            message("message.sent", chat=CHAT | {"is_group": True}),
            [StatusChanged(**OURS, state="sent", order_key="k", service="imessage", downgraded=False)],
        ),
        Recorded(
            "sent into a group by somebody at Linq",
            message("message.sent", idempotency_key=None, chat=CHAT | {"is_group": True}),
            [OwnTextSeen(**OURS, text="hi", service="imessage", group=Group("c"))],
        ),
        Recorded(
            "a group as it is, without a name",
            event("chat.read_back", **GROUP, display_name=f"{HUMAN}, {STRANGER}"),
            [GroupChanged(line=LINE, human="", group=Group("c", (HUMAN, STRANGER)))],
        ),
        Recorded(
            "a group as it is, one of whom has left",
            event("chat.read_back", **GROUP | {"handles": [*GROUP["handles"], GONE]}, display_name="Trip"),
            [GroupChanged(line=LINE, human="", group=Group("c", (HUMAN, STRANGER), "Trip"))],
        ),
        Recorded("a group is made", event("chat.created", **GROUP), []),
        Recorded(
            "a group is named",
            event("chat.group_name_updated", **NAMED, changed_by_handle={"handle": HUMAN, "is_me": False}),
            [GroupChanged(line="", human=HUMAN, chat="c", at=AT, group=Group("c", name="Trip"))],
        ),
        Recorded("a group has no name any more", event("chat.group_name_updated", **NAMED | {"new_value": None}), []),
        Recorded(
            "somebody came into a group", event("participant.added", chat_id="c", handle=STRANGER, participant={}), []
        ),
        Recorded(
            "a stop word",
            message(
                "message.received",
                out=False,
                chat=CHAT | {"health_status": {"status": "OPTED_OUT"}},
                parts=[{"type": "text", "value": "STOP"}],
            ),
            [TextArrived(**HEARD, text="STOP"), OptedOut(line=LINE, human=HUMAN, chat="c", at=AT, word="STOP")],
        ),
        Recorded(
            "sent",
            message("message.sent"),
            [StatusChanged(**OURS, state="sent", order_key="k", service="imessage", downgraded=False)],
        ),
        Recorded(
            "sent by somebody at Linq",
            message("message.sent", idempotency_key=None),
            [OwnTextSeen(**OURS, text="hi", service="imessage")],
        ),
        Recorded(
            "delivered as SMS",
            message("message.delivered", service="SMS", delivered_at=AT.isoformat()),
            [StatusChanged(**OURS, state="delivered", order_key="k", service="sms", downgraded=True)],
        ),
        Recorded(
            "SMS as was asked",
            message("message.sent", service="SMS", preferred_service="SMS"),
            [StatusChanged(**OURS, state="sent", order_key="k", service="sms", downgraded=False)],
        ),
        Recorded("read", message("message.read", read_at=AT.isoformat()), [ReadReported(**OURS)]),
        Recorded(
            "failed, and counts on the line",
            failed(4006),
            [
                StatusChanged(
                    **OURS | {"line": ""},
                    state="error",
                    error=ProviderError(ErrorClass.PERMANENT, "4006", "No", counts_against_line=True),
                )
            ],
        ),
        Recorded(
            "failed: nobody there",
            failed(4005),
            [
                StatusChanged(
                    **OURS | {"line": ""},
                    state="error",
                    error=ProviderError(ErrorClass.RECIPIENT_UNREACHABLE, "4005", "No", scope=Scope.HUMAN),
                )
            ],
        ),
        Recorded(
            "edited",
            message("message.edited", out=False, part={"index": 1, "text": "ho"}, edited_at=AT.isoformat()),
            [TextEdited(**HEARD, part=1, text="ho")],
        ),
        Recorded("our own edit", message("message.edited", part={"index": 0, "text": "ho"}), []),
        Recorded(
            "a tapback",
            reaction("added", reaction_type="love", part_index=2),
            [TapbackArrived(**HEARD | {"line": ""}, part=2, kind="love")],
        ),
        Recorded(
            "an emoji taken back",
            reaction("removed", reaction_type="custom", custom_emoji="🦊"),
            [TapbackArrived(**HEARD | {"line": ""}, part=0, kind="custom", emoji="🦊", removed=True)],
        ),
        Recorded(
            "our own tapback",
            reaction("added", reaction_type="like", is_from_me=True, from_handle={"handle": LINE}),
            [TapbackArrived(**OURS | {"line": ""}, part=0, kind="like", mine=True)],
        ),
        Recorded(
            "a sticker",
            reaction("added", reaction_type="sticker"),
            [Unrecognised(line="", human="", raw_type="reaction.added:sticker")],
        ),
        Recorded(
            "typing",
            event("chat.typing_indicator.started", chat_id="c", actor_handle={"handle": HUMAN}),
            [TypingChanged(line="", human=HUMAN, chat="c", on=True)],
        ),
        Recorded(
            "typing no more, by whom is not said",
            event("chat.typing_indicator.stopped", chat_id="c"),
            [TypingChanged(line="", human="", chat="c", on=False)],
        ),
        Recorded(
            "flagged",
            line_status("FLAGGED", "AT_RISK"),
            [
                LineReported(
                    line=LINE, human="", at=AT, seen="flagged", reason="flagged", provider_state="FLAGGED/AT_RISK"
                )
            ],
        ),
        Recorded(
            "at risk",
            line_status("ACTIVE", "AT_RISK"),
            [
                LineReported(
                    line=LINE, human="", at=AT, seen="degraded", reason="at_risk", provider_state="ACTIVE/AT_RISK"
                )
            ],
        ),
        Recorded(
            "well again",
            line_status("ACTIVE", "HEALTHY"),
            [
                LineReported(
                    line=LINE, human="", at=AT, seen="healthy", reason="active", provider_state="ACTIVE/HEALTHY"
                )
            ],
        ),
        Recorded(
            "the number is gone",
            event("phone_number.released", phone_number=LINE, changed_at=AT.isoformat()),
            [LineReported(line=LINE, human="", at=AT, seen="down", reason="released", provider_state="RELEASED")],
        ),
        Recorded("a new number", event("phone_number.assigned", phone_number=LINE, changed_at=AT.isoformat()), []),
    ]


# Proof.


def test_our_verdict_on_a_signature_is_the_vendor_s(stand_in: Linq) -> None:
    theirs = linq.LinqAPIV3(api_key="none").webhooks
    posted = stand_in.human_texts("signed")
    for body in (posted.body, posted.body + b" ", posted.body.replace(b"signed", b"forged")):
        for secret in (SECRET, OTHER_SECRET):
            account = dataclasses.replace(stand_in.account, callback_secrets=(secret,))
            try:
                theirs.unwrap(body.decode(), headers=dict(posted.headers), key=secret)
            except (WebhookVerificationError, ValueError):
                with pytest.raises(CallbackRefused):
                    DRIVER.prove(account, headers=posted.headers, body=body, url="")
            else:
                DRIVER.prove(account, headers=posted.headers, body=body, url="")


@pytest.mark.parametrize(("minutes", "proved"), [(-6, False), (-4, True), (4, True), (6, False)])
def test_a_callback_counts_for_five_minutes(stand_in: Linq, minutes: int, proved: bool) -> None:
    body, at = message("message.sent"), datetime.now(UTC) + timedelta(minutes=minutes)
    signature = Webhook(SECRET).sign("e", at, body.decode())
    headers = {"webhook-id": "e", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
    if proved:
        DRIVER.prove(stand_in.account, headers=headers, body=body, url="")
        return
    with pytest.raises(CallbackRefused):
        DRIVER.prove(stand_in.account, headers=headers, body=body, url="")


def test_the_older_headers_prove_nothing(stand_in: Linq) -> None:
    posted = stand_in.human_texts("older")
    older = {name: value for name, value in posted.headers.items() if name.startswith("X-")}
    with pytest.raises(CallbackRefused):
        DRIVER.prove(stand_in.account, headers=older, body=posted.body, url="")


# Chats.


def test_a_stranger_gets_a_chat_and_what_is_said_next_goes_into_it(anew: Linq) -> None:
    first = send(anew, anew.order("one", human=STRANGER, first_contact=True))
    send(anew, anew.order("two", human=STRANGER, chat=first.chat))
    assert [call["path"] for call in anew.process.calls("/v3/")[-2:]] == [
        "/v3/chats",
        f"/v3/chats/{first.chat}/messages",
    ]
    assert anew.on_phone(STRANGER) == ["one", "two"]


def test_a_chat_that_is_gone_is_opened_anew_once(anew: Linq) -> None:
    first = send(anew, anew.order("one"))
    anew.process.ask("forget_chat", chat=first.chat)
    again = send(anew, anew.order("two", chat=first.chat))
    assert (again.outcome, again.chat != first.chat) == (Outcome.ACCEPTED, True)
    assert anew.on_phone(HUMAN) == ["one", "two"]


def test_a_private_text_never_goes_into_a_group(anew: Linq) -> None:
    chats = anew.process.ask("seen")["chats"]
    anew.process.ask("make_group", chat=next(iter(chats)))
    receipt = send(anew, anew.order("private"))
    assert receipt.chat not in chats


def test_a_first_message_has_no_effect_and_no_reply(anew: Linq) -> None:
    order = anew.order("hi", human=STRANGER, first_contact=True, effect="love", reply_to=ReplyTarget("m"))
    receipt = send(anew, order)
    assert (receipt.outcome, list(receipt.notes)) == (Outcome.ACCEPTED, ["effect_dropped", "reply_dropped"])


def test_a_link_to_a_stranger_is_refused_for_good(anew: Linq) -> None:
    receipt = send(anew, anew.order("see https://x.example", human=STRANGER, first_contact=True))
    assert receipt.error == ProviderError(ErrorClass.PERMANENT, "1005", "The first message of a chat may hold no link")
    assert anew.on_phone(STRANGER) == []


def test_an_order_says_all_it_knows(anew: Linq) -> None:
    handle = send(anew, anew.order("one")).handle
    order = anew.order("two", media=["https://x.example/a.png"], effect="slam", reply_to=ReplyTarget(handle, 1))
    send(anew, order)
    assert anew.process.calls("/messages")[-1]["body"]["message"] == {
        "idempotency_key": order.key,
        "parts": [{"type": "text", "value": "two"}, {"type": "media", "url": "https://x.example/a.png"}],
        "preferred_service": "iMessage",
        "effect": {"type": "bubble", "name": "slam"},
        "reply_to": {"message_id": handle, "part_index": 1},
    }


@pytest.mark.parametrize(
    ("service", "on", "wanted"),
    [
        ("imessage", "SMS", []),
        ("auto", "SMS", ["sms"]),
        ("auto", "iMessage", ["imessage"]),
        ("sms", "iMessage", ["sms"]),
    ],
)
def test_the_service_is_the_one_allowed(anew: Linq, service: str, on: str, wanted: list[str]) -> None:
    anew.process.ask("service", **{HUMAN: on})
    send(anew, anew.order("hi", service=service))
    reports = [DRIVER.parse(anew.account, body=body)[0] for _, body in anew.process.callbacks()]
    first = reports[0]
    assert isinstance(first, StatusChanged)
    assert [first.service] * bool(first.service) == wanted
    assert (first.error.code if first.error else "") == ("" if wanted else "4005")


# What a lost answer takes.


def test_a_repeat_after_a_loss_is_one_text_on_the_phone(anew: Linq) -> None:
    order = anew.order("once", human=STRANGER, first_contact=True)
    anew.process.set_faults(lost_answers=2)
    outcomes = [send(anew, order).outcome for _ in range(3)]
    assert outcomes == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.ACCEPTED]
    assert anew.on_phone(STRANGER) == ["once"]


def test_the_library_never_tries_again(anew: Linq) -> None:
    for status in (408, 409, 429, 500, 503):
        before = anew.send_calls()
        anew.misbehave("refuse", status=status, body={})
        send(anew, anew.order())
        assert anew.send_calls() == before + 1, status


# Callbacks and polls.


def test_what_comes_twice_and_in_any_order_has_the_same_keys(anew: Linq) -> None:
    anew.process.set_faults(repeats=1, reorder=3)
    handle = send(anew, anew.order("hi")).handle
    keys = [DRIVER.identify(anew.account, body=body).key for _, body in anew.process.callbacks()]
    assert sorted(keys) == sorted([f"message.sent:{handle}", f"message.delivered:{handle}"] * 2)


def test_all_news_of_one_chat_is_of_one_thread(anew: Linq) -> None:
    receipt = send(anew, anew.order("hi"))
    anew.process.ask("text", human=HUMAN, message=receipt.handle, tapback={"type": "love"})
    threads = {DRIVER.identify(anew.account, body=body).thread for _, body in anew.process.callbacks()}
    assert threads == {f"linq/{receipt.chat}"}


def test_a_poll_finds_what_no_callback_told(anew: Linq) -> None:
    _, cursor = DRIVER.poll(anew.account, cursor="", threads=[Thread(LINE, HUMAN)])
    anew.process.set_faults(drops=9)
    handle = send(anew, anew.order("hi")).handle
    for text in ("one", "two", "three"):
        anew.process.ask("text", human=HUMAN, text=text)
    found, moved = DRIVER.poll(anew.account, cursor=cursor, threads=[Thread(LINE, HUMAN)])
    reports = [report for body in found for report in DRIVER.parse(anew.account, body=body)]
    texts = [report.text for report in reports if isinstance(report, TextArrived)]
    assert texts[-3:] == ["one", "two", "three"]
    ours = [(type(report), report.state, report.human) for report in reports if isinstance(report, OURS_TOLD)]
    assert ours == [(OwnTextSeen, "sent", HUMAN), (StatusChanged, "delivered", HUMAN)]
    assert {DRIVER.identify(anew.account, body=body).key for body in found} > {f"message.delivered:{handle}"}
    assert DRIVER.poll(anew.account, cursor=moved)[1] == moved


def test_a_quiet_poll_costs_a_call_and_a_full_round_asks_for_every_thread(anew: Linq) -> None:
    """A chat may change without saying so; it is found within ten minutes."""
    chat = send(anew, anew.order("hi")).chat
    _, cursor = DRIVER.poll(anew.account, cursor="", threads=[Thread(LINE, HUMAN, chat)])
    anew.process.ask("date_chat", chat=chat, updated_at="2026-01-01T12:00:00Z")
    anew.process.ask("text", human=HUMAN, text="unsaid")
    anew.process.ask("date_chat", chat=chat, updated_at="2026-01-01T12:00:00Z")
    asked = len(anew.process.calls("/v3/"))
    assert DRIVER.poll(anew.account, cursor=cursor, threads=[Thread(LINE, HUMAN, chat)])[0] == []
    assert len(anew.process.calls("/v3/")) == asked + 1
    seen, _, swept = cursor.partition(" ")
    long_ago = datetime.fromisoformat(swept) - timedelta(minutes=11)
    found, _ = DRIVER.poll(anew.account, cursor=f"{seen} {long_ago.isoformat()}", threads=[Thread(LINE, HUMAN, chat)])
    reports = [report for body in found for report in DRIVER.parse(anew.account, body=body)]
    assert "unsaid" in [report.text for report in reports if isinstance(report, TextArrived)]


@pytest.mark.parametrize(
    ("faults", "told"), [({}, ["sent", "delivered"]), ({"silent": True}, ["sent"]), ({"fails": 4001}, ["failed"])]
)
def test_a_text_is_read_back(anew: Linq, faults: dict[str, Any], told: list[str]) -> None:
    anew.process.set_faults(**faults)
    handle = send(anew, anew.order("hi")).handle
    found = DRIVER.read_back(anew.account, line=LINE, human=HUMAN, handle=handle)
    assert [DRIVER.identify(anew.account, body=body).key for body in found] == [f"message.{s}:{handle}" for s in told]


def test_callbacks_ask_for_the_version_we_read_and_give_their_secret_once(anew: Linq) -> None:
    first = DRIVER.install_callbacks(anew.account, url=anew.callback_url)
    again = DRIVER.install_callbacks(anew.account, url=anew.callback_url)
    assert (first.urls, first.secret) == ([f"{anew.callback_url}?version={WEBHOOK_VERSION}"], SECRET)
    assert (again.urls, again.secret) == (first.urls, "")


def test_a_subscription_that_was_changed_is_set_right(anew: Linq) -> None:
    DRIVER.install_callbacks(anew.account, url=anew.callback_url)
    (subscription,) = anew.process.ask("subscriptions").values()
    anew.process.ask("pause", subscription=subscription["id"])
    DRIVER.install_callbacks(anew.account, url=anew.callback_url)
    assert anew.process.ask("subscriptions") == {subscription["id"]: subscription}


# The line.


@pytest.mark.parametrize(
    ("change", "state", "reasons"),
    [
        ({}, "healthy", []),
        ({"reputation": "AT_RISK"}, "degraded", ["at_risk"]),
        ({"reputation": "CRITICAL"}, "flagged", ["critical"]),
        ({"reputation": "EXCELLENT"}, "unknown", ["excellent"]),
    ],
)
def test_a_probe_says_what_linq_thinks_of_the_line(
    anew: Linq, change: dict[str, str], state: str, reasons: list[str]
) -> None:
    anew.process.ask("line", line=LINE, **change)
    reading = DRIVER.probe(anew.account, line=LINE)
    assert (reading.state, list(reading.reasons), reading.authenticated) == (state, reasons, True)
    assert reading.clock_offset is not None
    assert abs(reading.clock_offset) < 5


@pytest.mark.parametrize(
    ("answer", "reading"),
    [
        ({"status": 401, "body": {}}, (True, False)),
        ({"status": 429, "body": {}}, (False, None)),
        ({"status": 502, "body": "Bad gateway"}, (False, None)),
        ({"status": 404, "body": {}}, (True, None)),
    ],
)
def test_a_probe_blames_the_credentials_only_when_they_were_refused(
    anew: Linq, answer: dict[str, Any], reading: tuple[bool, bool | None]
) -> None:
    anew.process.set_faults(answers=[{"path": "/phone_numbers", **answer}])
    seen = DRIVER.probe(anew.account, line=LINE)
    assert (seen.state, seen.reachable, seen.authenticated) == ("down", *reading)


def test_a_number_that_is_not_ours_is_down(stand_in: Linq) -> None:
    reading = DRIVER.probe(stand_in.account, line="+15555550199")
    assert (reading.state, list(reading.reasons)) == ("down", ["line_not_in_account"])


# What a request waits for.


def test_a_tapback_names_its_part_and_any_emoji(anew: Linq) -> None:
    handle = send(anew, anew.order("hi")).handle
    for kind, emoji, remove in (("like", "", False), ("custom", "👀", True)):
        DRIVER.tapback(
            anew.account, line=LINE, human=HUMAN, handle=handle, part=1, kind=kind, emoji=emoji, remove=remove
        )
    assert anew.process.ask("seen")["reactions"] == [
        {"message": handle, "operation": "add", "type": "like", "part_index": 1},
        {"message": handle, "operation": "remove", "type": "custom", "custom_emoji": "👀", "part_index": 1},
    ]


def test_typing_begins_and_ends(anew: Linq) -> None:
    chat = send(anew, anew.order("hi")).chat
    DRIVER.typing(anew.account, line=LINE, human=HUMAN, on=True)
    DRIVER.typing(anew.account, line=LINE, human=HUMAN, on=False, chat=chat)
    DRIVER.typing(anew.account, line=LINE, human=STRANGER, on=True)  # no thread yet: nothing to show
    assert anew.process.ask("seen")["typing"] == [f"POST {chat}", f"DELETE {chat}"]


def test_a_text_is_edited(anew: Linq) -> None:
    handle = send(anew, anew.order("hi")).handle
    DRIVER.edit(anew.account, line=LINE, human=HUMAN, handle=handle, part=0, text="ho")
    assert anew.process.calls(f"/v3/messages/{handle}")[-1]["body"] == {"text": "ho", "part_index": 0}


@pytest.mark.parametrize(("on", "answer"), [("iMessage", "imessage"), ("SMS", "sms"), ("RCS", "rcs"), ("", "unknown")])
def test_a_lookup_says_what_would_carry_a_text(anew: Linq, on: str, answer: str) -> None:
    anew.process.ask("service", **{HUMAN: on})
    assert DRIVER.lookup_service(anew.account, line=LINE, address=HUMAN).service == answer


def test_a_file_of_linq_s_own_is_asked_for_with_the_token_and_no_other(stand_in: Linq) -> None:
    own = DRIVER.media_request(stand_in.account, url=f"{stand_in.account.base_url}/v3/attachments/a")
    assert own is not None
    assert own.headers == {"Authorization": f"Bearer {TOKEN}"}
    for url in ("https://cdn.linqapp.com/a.png", f"{stand_in.account.base_url}.example.com/a"):
        assert DRIVER.media_request(stand_in.account, url=url) is None
