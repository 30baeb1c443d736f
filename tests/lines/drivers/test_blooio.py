"""The driver of Blooio, against a stand-in in its own process, and its quirks."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from lines.providers.base import (
    Account,
    CallbackRefused,
    Deadlines,
    ErrorClass,
    Group,
    Installed,
    Media,
    Outcome,
    OwnTextSeen,
    ProviderCallFailed,
    ProviderError,
    ReadReported,
    ReplyTarget,
    Scope,
    StatusChanged,
    TapbackArrived,
    TapbackTextArrived,
    TextArrived,
    Unrecognised,
    Upload,
)
from lines.providers.blooio import DRIVER
from tests.lines.drivers import hosted
from tests.lines.drivers.cases import FILE, HUMAN, LINE, NEWCOMER, STRANGER, DriverCases, Failure, Posted, Recorded

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
MS = int(AT.timestamp() * 1000)
GROUP: dict[str, Any] = {"is_group": True, "group_id": "grp_1", "external_id": "grp_1"}
PEOPLE = [{"contact_id": f"ct_{one}", "identifier": one, "name": None} for one in (HUMAN, LINE, STRANGER)]
OURS: dict[str, Any] = {"human": "", "chat": "grp_1"}
THREAD: dict[str, Any] = {"line": LINE, "human": HUMAN, "at": AT}


class Blooio(hosted.Hosted):
    """Blooio with two lines, one of which the cases use; its secret is the one it made itself."""

    driver = DRIVER
    sends_to = "/messages"

    def __init__(self, process: hosted.StandIn) -> None:
        self.process = process
        self.account = Account(process.url, "api-key", deadlines=Deadlines(send=hosted.PATIENCE))
        self.start()

    def start(self) -> None:
        self.process.reset()
        bare = replace(self.account, callback_secrets=())
        made = self.driver.install_callbacks(bare, url=self.callback_url)
        self.account = replace(self.account, callback_secrets=(made.secret,))

    def send_calls(self) -> int:
        return len(self.sends())

    def sends(self) -> list[dict[str, Any]]:
        return [call for call in self.process.calls("/messages") if call["method"] == "POST"]

    def human_texts(self, text: str) -> Posted:
        self.process.ask("text", line=LINE, human=HUMAN, text=text)
        return self.posted()

    def human_replies(self, text: str, handle: str) -> Posted:
        self.process.ask("text", line=LINE, human=HUMAN, text=text, reply_to={"message_id": handle, "part_index": 0})
        return self.posted()

    def human_sends_file(self) -> Posted:
        self.process.ask("text", line=LINE, human=HUMAN, attachments=[FILE], protocol="sms")
        return self.posted()

    def group(self) -> Group:
        members = (HUMAN, STRANGER)
        group = Group(self.process.ask("group", members=members), members)
        self.member_texts(group, "here we are")
        return group

    def member_texts(self, group: Group, text: str) -> Posted:
        self.process.ask("text", line=LINE, human=HUMAN, text=text, group=group.key)
        return self.posted()

    def grows(self, group: Group) -> None:
        self.process.ask("group", group=group.key, members=[*group.members, NEWCOMER])

    def strange(self) -> Posted:
        self.process.ask("event", event="poll.voted", message_id="poll_1", internal_id=LINE, external_id=HUMAN)
        return self.posted()


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Blooio]:
    with hosted.StandIn("tests.lines.drivers.blooio.standin") as process:
        yield Blooio(process)


@pytest.fixture
def anew(stand_in: Blooio) -> Blooio:
    """The stand-in, as if nobody had ever used it."""
    stand_in.start()
    return stand_in


def event(kind: str, **fields: Any) -> bytes:
    """A callback, flat as documented."""
    return json.dumps(
        {
            "event": kind,
            "message_id": "msg_1",
            "external_id": HUMAN,
            "internal_id": LINE,
            "text": "hi",
            "attachments": [],
            "protocol": "imessage",
            "timestamp": MS,
            "sender": None,
            "is_group": False,
            "group_id": None,
            "participants": None,
            **fields,
        }
    ).encode()


def reaction(word: str, **fields: Any) -> bytes:
    told = {"direction": "inbound", "reaction": word, "action": "add", "sender": HUMAN, "original_text": "hi", **fields}
    return event("message.reaction", **told)


def refused(status: int, code: str | None = None, **headers: str) -> dict[str, Any]:
    body = {"error": "ApiError", "message": "No.", "status": status} | ({"code": code} if code else {})
    return {"status": status, "body": body, "headers": headers}


def status(word: str, **fields: Any) -> StatusChanged:
    return StatusChanged(
        **THREAD, handle="msg_1", **{"state": word, "service": "imessage", "downgraded": False} | fields
    )


def own(word: str, service: str = "imessage") -> OwnTextSeen:
    return OwnTextSeen(**THREAD, handle="msg_1", text="hi", state=word, service=service)


def text(**fields: Any) -> TextArrived:
    return TextArrived(**THREAD, handle="msg_1", **{"text": "hi"} | fields)


CANCELLED = ProviderError(ErrorClass.PERMANENT, "cancelled", "Cancelled before it left.")


class TestBlooio(DriverCases):
    failures = [
        Failure("rate", refused(429, **{"retry-after": "9"}), ErrorClass.HELD, Scope.LINE, retry_after=9),
        Failure("rate without a time", refused(429), ErrorClass.HELD, Scope.LINE, retry_after=60),
        Failure("new contacts used up", refused(429, "outbound_limit_reached"), ErrorClass.HELD, Scope.LINE),
        Failure("conversations used up", refused(429, "new_conversation_limit_reached"), ErrorClass.HELD, Scope.LINE),
        Failure(
            "reply-only",
            refused(403, "inbound_only_no_prior_inbound"),
            ErrorClass.HELD,
            Scope.HUMAN,
            until_inbound=True,
        ),
        Failure(
            "conversation v4", refused(429, "conversation_paused"), ErrorClass.HELD, Scope.HUMAN, until_inbound=True
        ),
        Failure("safety v4", refused(403, "safety_hold"), ErrorClass.LINE_DOWN, Scope.LINE, counts=True),
        Failure("other policy", refused(403), ErrorClass.PERMANENT),
        Failure(
            "file first", refused(400, "attachment_first_message_not_allowed"), ErrorClass.PERMANENT, Scope.MESSAGE
        ),
        Failure("device link", refused(502), ErrorClass.RETRYABLE, counts=True),
        Failure("no active number", refused(503), ErrorClass.LINE_DOWN),
        Failure("key revoked", refused(401), ErrorClass.LINE_DOWN, Scope.ACCOUNT),
        Failure("their fault", refused(500), None),
        Failure("a proxy's page", {"status": 504, "body": "<html>"}, None),
        Failure("an answer that says nothing", {"status": 200, "body": []}, None),
        Failure(
            "rejected before dispatch",
            {"status": 202, "body": {"message_id": "msg_0", "status": "failed"}},
            ErrorClass.PERMANENT,
        ),
    ]
    recorded = [
        Recorded("text", event("message.received", sender=HUMAN, received_at=MS), [text()]),
        Recorded(
            "file over SMS",
            event("message.received", text=None, attachments=[{"url": FILE, "name": "1.png"}], protocol="sms"),
            [text(text="", media=(Media(FILE),), service="sms")],
        ),
        Recorded("older file", event("message.received", attachments=[FILE]), [text(media=(Media(FILE),))]),
        Recorded("some SMS", event("message.received", protocol="non-imessage"), [text(service="sms")]),
        Recorded(
            "reply",
            event("message.received", reply_to={"message_id": "msg_0", "guid": "G", "part_index": 2}),
            [text(reply_to=ReplyTarget("msg_0", 2))],
        ),
        Recorded(
            "group",
            event("message.received", **GROUP, sender=HUMAN, group_name="Trip", participants=PEOPLE),
            [text(chat="grp_1", group=Group("grp_1", (HUMAN, STRANGER), "Trip"))],
        ),
        Recorded(
            "tapback over SMS in a group",
            event("message.received", **GROUP, sender=HUMAN, text="Liked “ok”", protocol="sms"),
            [
                TapbackTextArrived(
                    **THREAD,
                    chat="grp_1",
                    handle="msg_1",
                    text="Liked “ok”",
                    kind="like",
                    quoted="ok",
                    service="sms",
                    group=Group("grp_1"),
                )
            ],
        ),
        Recorded(
            "tapback in a group",
            reaction("love", external_id="grp_1"),
            [TapbackArrived(**THREAD, chat="grp_1", handle="msg_1", part=0, kind="love")],
        ),
        Recorded(
            "sent into a group",
            event("message.sent", **GROUP, sent_at=MS),
            [replace(own("sent"), **OURS, group=Group("grp_1")), replace(status("sent"), **OURS)],
        ),
        Recorded(
            "tapback over SMS",
            event("message.received", text="Liked “ok”", protocol="sms"),
            [TapbackTextArrived(**THREAD, handle="msg_1", text="Liked “ok”", kind="like", quoted="ok", service="sms")],
        ),
        Recorded("the same words on iMessage", event("message.received", text="Liked “ok”"), [text(text="Liked “ok”")]),
        Recorded("queued", event("message.queued"), [status("queued")]),
        Recorded("sent", event("message.sent", sent_at=MS), [own("sent"), status("sent")]),
        Recorded("found by a poll", event("message.delivered", polled=True), [own("delivered"), status("delivered")]),
        Recorded("delivered", event("message.delivered", delivered_at=MS), [status("delivered")]),
        Recorded(
            "delivered as SMS",
            event("message.delivered", delivered_at=MS, protocol="sms"),
            [status("delivered", service="sms", downgraded=True)],
        ),
        Recorded(
            "sent over nobody knows what",
            event("message.sent", protocol="pending"),
            [own("sent", service=""), status("sent", service="", downgraded=None)],
        ),
        Recorded("cancelled", event("message.cancelled"), [status("declined", error=CANCELLED)]),
        Recorded(
            "failed",
            event("message.failed", error_code="22", error_message="Not on iMessage"),
            [
                status(
                    "error",
                    error=ProviderError(ErrorClass.PERMANENT, "22", "Not on iMessage", counts_against_line=True),
                )
            ],
        ),
        Recorded("read", event("message.read", read_at=MS), [ReadReported(**THREAD, handle="msg_1")]),
        Recorded("tapback", reaction("love"), [TapbackArrived(**THREAD, handle="msg_1", part=0, kind="love")]),
        Recorded(
            "emoji taken back",
            reaction("🦊", action="remove"),
            [TapbackArrived(**THREAD, handle="msg_1", part=0, kind="custom", emoji="🦊", removed=True)],
        ),
        Recorded(
            "our own tapback",
            reaction("like", direction="outbound", sender=LINE),
            [TapbackArrived(**THREAD, handle="msg_1", part=0, kind="like", mine=True)],
        ),
        Recorded(
            "nothing in it",
            event("message.received", text=None),
            [Unrecognised(**THREAD, raw_type="message without content")],
        ),
        Recorded("poll", event("poll.voted"), [Unrecognised(**THREAD, raw_type="poll.voted")]),
    ]


def test_every_send_has_its_key_and_names_its_line(stand_in: Blooio) -> None:
    order = stand_in.order("named", effect="invisible")
    DRIVER.send(stand_in.account, order)
    call = stand_in.sends()[-1]
    assert call["headers"]["idempotency-key"] == order.key
    assert call["body"] == {"from_number": LINE, "text": "named", "effect": "invisible-ink"}


def test_a_reply_that_cannot_be_is_sent_without_and_noted(anew: Blooio) -> None:
    receipt = DRIVER.send(anew.account, anew.order("plain", reply_to=ReplyTarget("msg_gone")))
    assert (receipt.outcome, list(receipt.notes)) == (Outcome.ACCEPTED, ["reply_dropped"])
    assert anew.on_phone(HUMAN) == ["plain"]


def test_a_file_goes_without_an_effect(anew: Blooio) -> None:
    DRIVER.send(anew.account, anew.order("hi"))
    receipt = DRIVER.send(anew.account, anew.order("", media=[FILE], effect="slam"))
    assert (receipt.outcome, list(receipt.notes)) == (Outcome.ACCEPTED, ["effect_dropped"])
    assert anew.sends()[-1]["body"] == {"from_number": LINE, "attachments": [FILE]}


@pytest.mark.parametrize(("fault", "texts"), [("lost_answers", 1), ("errors_after", 1)])
def test_the_same_key_after_a_lost_answer_is_the_first_text(anew: Blooio, fault: str, texts: int) -> None:
    order = anew.order("once")
    anew.process.set_faults(**{fault: 2})
    outcomes = [DRIVER.send(anew.account, order).outcome for _ in range(3)]
    assert outcomes == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.ACCEPTED]
    assert anew.on_phone(HUMAN) == ["once"] * texts


def test_without_the_key_a_text_is_found_on_its_own_line(anew: Blooio) -> None:
    other_line = anew.order("where?", line="+15555550101")
    DRIVER.send(anew.account, other_line)
    assert DRIVER.find_sent(anew.account, anew.order("where?"), since=AT, known=set()) is None
    handle = DRIVER.send(anew.account, anew.order("where?")).handle
    found = DRIVER.find_sent(anew.account, anew.order("where?"), since=AT, known=set())
    assert found is not None
    assert (found.handle, found.state, found.line) == (handle, "delivered", LINE)


@pytest.mark.parametrize(("service", "first"), [("imessage", True), ("auto", True), ("imessage", False)])
def test_who_is_not_on_imessage_is_written_to_only_where_a_fallback_is_allowed(
    anew: Blooio, service: str, first: bool
) -> None:
    anew.process.ask("service", **{HUMAN: "sms"})
    receipt = DRIVER.send(anew.account, anew.order("hi", service=service, first_contact=first))
    held_back = service == "imessage" and first
    assert receipt.outcome is (Outcome.REFUSED if held_back else Outcome.ACCEPTED)
    assert anew.on_phone(HUMAN) == ([] if held_back else ["hi"])


@pytest.mark.parametrize(
    ("line", "active", "state", "reasons"),
    [
        (LINE, True, "healthy", []),
        (LINE, False, "down", ["inactive"]),
        ("+15555550199", True, "down", ["not_our_line"]),
    ],
)
def test_the_line_s_state_is_read(anew: Blooio, line: str, active: bool, state: str, reasons: list[str]) -> None:
    anew.process.ask("line", line=LINE, is_active=active)
    reading = DRIVER.probe(anew.account, line=line)
    assert (reading.state, list(reading.reasons)) == (state, reasons)


def test_a_tapback_names_its_message(anew: Blooio) -> None:
    handle = DRIVER.send(anew.account, anew.order()).handle
    where: dict[str, Any] = {"line": LINE, "human": HUMAN, "handle": handle, "part": 0}
    DRIVER.tapback(anew.account, **where, kind="love", emoji="", remove=False)
    DRIVER.tapback(anew.account, **where, kind="custom", emoji="🦊", remove=True)
    calls = anew.process.calls("/reactions")
    assert [call["body"]["reaction"] for call in calls] == ["+love", "-🦊"]
    assert calls[0]["path"] == f"/chats/{HUMAN}/messages/{handle}/reactions"


def test_a_name_that_no_phone_shows_is_none(anew: Blooio) -> None:
    key = anew.group().key
    anew.process.set_faults(unsynced=True)
    with pytest.raises(ProviderCallFailed):
        DRIVER.rename_group(anew.account, line=LINE, chat=key, name="Trip")


def test_a_picture_is_put_behind_its_own_thread_alone(anew: Blooio) -> None:
    """The call names no line: it must not reach the thread that the human has with another agent."""
    anew.process.ask("text", line="+15555550101", human=HUMAN, text="to the other")
    with pytest.raises(ProviderCallFailed) as refused:
        DRIVER.background(anew.account, line=LINE, human=HUMAN, media=Upload("1.png", "image/png", b"picture"))
    assert refused.value.error
    assert (refused.value.error.code, anew.process.calls("/background")) == ("other_line", [])


def test_nobody_types_in_another_agent_s_thread(anew: Blooio) -> None:
    anew.process.ask("text", line=LINE, human=HUMAN, text="to the one")
    anew.process.ask("text", line="+15555550101", human=HUMAN, text="to the other")
    for line in (LINE, "+15555550101"):
        DRIVER.typing(anew.account, line=line, human=HUMAN, on=True)
        DRIVER.mark_read(anew.account, line=line, human=HUMAN)
    assert [len(anew.process.calls(path)) for path in ("/typing", "/read")] == [1, 1]


def test_the_secret_is_had_once_and_made_anew_when_it_is_not_known(anew: Blooio) -> None:
    (first,) = anew.process.ask("secrets")
    known = replace(anew.account, callback_secrets=(first,))
    assert DRIVER.install_callbacks(known, url=anew.callback_url) == Installed([anew.callback_url])
    unknown = replace(anew.account, callback_secrets=())
    rotated = DRIVER.install_callbacks(unknown, url=anew.callback_url)
    assert [rotated.secret] == anew.process.ask("secrets") != [first]


def signature(body: bytes, secret: str, at: int) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def header(*secrets: str, body: bytes = b"", off: int = 0) -> str:
    """What Blooio sends with `BODY`; `off` seconds from now."""
    at = int(time.time()) + off
    return ",".join([f"t={at}", *(f"v1={signature(body or BODY, secret, at)}" for secret in secrets)])


BODY = event("message.received")
# Without the time: one page of theirs shows it so.
BARE = hmac.new(b"new", BODY, hashlib.sha256).hexdigest()

PROVES: dict[str, Callable[[], str]] = {
    "newest secret": lambda: header("new"),
    "former secret": lambda: header("former"),
    "several signatures": lambda: header("strange", "former"),
    "some minutes old": lambda: header("new", off=-200),
}
PROVES_NOTHING: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "a time alone": header,
    "strange secret": lambda: header("strange"),
    "other bytes": lambda: header("new", body=BODY + b" "),
    "too old": lambda: header("new", off=-400),
    "too new": lambda: header("new", off=400),
    "two times": lambda: header("new").replace("t=", "t=1,t="),
    "a time before time": lambda: header("new").replace("t=", "t=-"),
    "empty signature": lambda: header() + ",v1=",
    "signature without the time": lambda: header() + f",v1={BARE}",
    "signature alone": lambda: BARE,
    "endless time": lambda: f"t={'9' * 400},v1={BARE}",
    "not ASCII": lambda: header() + ",v1=\u00e4",
}


@pytest.mark.parametrize("sent", PROVES.values(), ids=PROVES)
def test_any_secret_of_now_and_any_of_several_signatures_proves(stand_in: Blooio, sent: Callable[[], str]) -> None:
    account = replace(stand_in.account, callback_secrets=("new", "former"))
    for name in ("x-blooio-signature", "Blooio-Signature"):
        DRIVER.prove(account, headers={name: sent()}, body=BODY, url="")


@pytest.mark.parametrize("sent", PROVES_NOTHING.values(), ids=PROVES_NOTHING)
def test_what_is_not_signed_as_documented_is_refused(stand_in: Blooio, sent: Callable[[], str]) -> None:
    account = replace(stand_in.account, callback_secrets=("new", "former"))
    with pytest.raises(CallbackRefused):
        DRIVER.prove(account, headers={"x-blooio-signature": sent()}, body=BODY, url="")


def test_without_a_secret_nothing_is_proved(stand_in: Blooio) -> None:
    with pytest.raises(CallbackRefused):
        DRIVER.prove(
            replace(stand_in.account, callback_secrets=("",)),
            headers={"x-blooio-signature": header("")},
            body=BODY,
            url="",
        )


def test_lost_repeated_and_reordered_callbacks_leave_the_same_keys_as_a_poll(anew: Blooio) -> None:
    anew.process.set_faults(repeats=2, reorder=7)
    for words in ("one", "two"):
        handle = DRIVER.send(anew.account, anew.order(words)).handle
        anew.process.ask("tapback", handle=handle, reaction="love")
        anew.process.ask("text", line=LINE, human=STRANGER, text=words)
    told = {DRIVER.identify(anew.account, body=body).key for _, body in anew.process.callbacks()}
    read, _ = DRIVER.poll(anew.account, cursor="")
    polled = {DRIVER.identify(anew.account, body=body).key for body in read}
    assert polled <= told
    assert {key for key in told if not key.endswith("message.sent")} == polled


def test_a_tapback_is_each_member_s_own(anew: Blooio) -> None:
    told = (reaction("love", external_id="grp_1", sender=sender) for sender in (HUMAN, STRANGER))
    assert len({DRIVER.identify(anew.account, body=body).key for body in told}) == 2


def test_the_same_tapback_given_and_taken_back_are_two(anew: Blooio) -> None:
    keys = {DRIVER.identify(anew.account, body=reaction("love", action=action)).key for action in ("add", "remove")}
    assert len(keys) == 2


def test_a_poll_passes_by_chats_where_nothing_happened(anew: Blooio) -> None:
    anew.process.ask("text", line=LINE, human=STRANGER, text="long ago")
    later = str(int(time.time() * 1000) + 3_600_000)
    assert DRIVER.poll(anew.account, cursor=later) == ([], later)
    assert [call["path"] for call in anew.process.calls("/chats")] == ["/chats"]


def test_what_became_of_a_text_is_read_back_as_its_callbacks_would_have_told(anew: Blooio) -> None:
    anew.process.set_faults(silent=True)
    handle = DRIVER.send(anew.account, anew.order()).handle
    anew.process.callbacks()
    anew.process.ask("status", handle=handle, status="delivered")
    told = [DRIVER.identify(anew.account, body=body).key for _, body in anew.process.callbacks()]
    read = DRIVER.read_back(anew.account, line=LINE, human=HUMAN, handle=handle)
    assert [DRIVER.identify(anew.account, body=body).key for body in read] == told
    *_, report = DRIVER.parse(anew.account, body=read[0])
    assert isinstance(report, StatusChanged)
    assert (report.state, report.line, report.human) == ("delivered", LINE, HUMAN)


def test_a_text_that_is_called_sent_and_never_arrives_shows_no_error(anew: Blooio) -> None:
    anew.process.set_faults(silent=True)
    assert DRIVER.send(anew.account, anew.order()).outcome is Outcome.ACCEPTED
    ((_, body),) = anew.process.callbacks()
    *_, report = DRIVER.parse(anew.account, body=body)
    assert isinstance(report, StatusChanged)
    assert (report.state, anew.on_phone(HUMAN)) == ("sent", [])
