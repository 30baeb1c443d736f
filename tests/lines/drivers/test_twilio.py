"""The driver of Twilio, against a stand-in in its own process, and its quirks."""

import base64
import dataclasses
import hashlib
import hmac
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

from lines.providers.base import (
    NOT_SUPPORTED,
    Account,
    CallbackRefused,
    Deadlines,
    ErrorClass,
    Media,
    OptedIn,
    OptedOut,
    Outcome,
    ProviderError,
    ReplyTarget,
    Scope,
    SendOrder,
    StatusChanged,
    TapbackTextArrived,
    TextArrived,
    Unrecognised,
)
from lines.providers.twilio import DRIVER
from tests.lines.drivers import hosted
from tests.lines.drivers.cases import (
    HUMAN,
    LINE,
    STRANGER,
    DriverCases,
    Failure,
    Posted,
    Recorded,
    now,
    refusal,
    send,
)
from tests.lines.drivers.twilio.standin import ACCOUNT, AUTH_TOKEN, CALLBACK_URL, TOKEN

STATUS_URL = "https://switchboard.example.com/callbacks/1/2/token"
RETRIES = "#rc=3&rp=5xx,ct,rt"


class Twilio(hosted.Hosted):
    """Twilio with two numbers that point at us."""

    driver = DRIVER
    sends_to = "/Messages.json"

    def __init__(self, process: hosted.StandIn) -> None:
        self.process = process
        self.account = Account(process.url, TOKEN, (AUTH_TOKEN,), deadlines=Deadlines(send=hosted.PATIENCE))

    def send_calls(self) -> int:
        return len([call for call in self.process.calls("/Messages.json") if call["method"] == "POST"])

    def human_texts(self, text: str) -> Posted:
        self.process.ask("text", human=HUMAN, text=text)
        return self.posted()

    def human_sends_file(self) -> Posted:
        self.process.ask("text", human=HUMAN, media=["1.png"])
        return self.posted()

    def strange(self) -> Posted:
        handle = send(self, self.order("strange", status_url=STATUS_URL)).handle
        self.process.ask("status", message=handle, status="teleported")
        return self.posted()

    def posted(self) -> Posted:
        """The newest callback."""
        url, headers, body = self.process.posts()[-1]
        return Posted(headers, body, url)

    def order(self, text: str = "hi", **fields: Any) -> SendOrder:
        return super().order(text, **{"service": "sms", **fields})


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Twilio]:
    with hosted.StandIn("tests.lines.drivers.twilio.standin") as process:
        yield Twilio(process)


@pytest.fixture
def anew(stand_in: Twilio) -> Twilio:
    """As if nobody had ever used it."""
    stand_in.process.reset()
    return stand_in


def refused(code: int, *, status: int = 400) -> dict[str, Any]:
    return {"status": status, "body": {"code": code, "message": "No", "more_info": "", "status": status}}


THREAD: dict[str, Any] = {"line": LINE, "human": HUMAN}


def heard(**fields: str) -> bytes:
    usual = {"MessageSid": "SM1", "SmsStatus": "received", "From": HUMAN, "To": LINE, "NumMedia": "0", "Body": "hi"}
    return urlencode({**usual, **fields}).encode()


def status(word: str, **fields: str) -> bytes:
    usual = {"MessageSid": "SM1", "MessageStatus": word, "SmsStatus": word, "From": LINE, "To": HUMAN}
    return urlencode({**usual, **fields}).encode()


def told(state: str, **more: Any) -> StatusChanged:
    return StatusChanged(**THREAD, handle="SM1", state=state, service="sms", **more)


def failed(code: int, error_class: ErrorClass, *, state: str = "error", **more: Any) -> StatusChanged:
    return told(state, error=ProviderError(error_class, str(code), "", **more))


OF_THE_LINE = {21606: Scope.LINE, 30032: Scope.LINE, 30034: Scope.LINE, 20003: Scope.ACCOUNT, 30002: Scope.ACCOUNT}


class TestTwilio(DriverCases):
    failures = [
        *[Failure(f"{code}", refused(code), ErrorClass.RETRYABLE) for code in (21611, 30001, 30022)],
        Failure("20429", refused(20429, status=429), ErrorClass.RETRYABLE),
        *[
            Failure(f"{code}", refused(code), ErrorClass.RECIPIENT_UNREACHABLE, Scope.HUMAN, counts=False)
            for code in (21211, 21614, 21635, 30005, 30006)
        ],
        Failure("30003", refused(30003), ErrorClass.RECIPIENT_UNREACHABLE, Scope.HUMAN, retry_after=600),
        *[
            Failure(f"{code}", refused(code), ErrorClass.PERMANENT, Scope.HUMAN, counts=False)
            for code in (21610, 30004)
        ],
        *[Failure(f"{code}", refused(code), ErrorClass.PERMANENT, counts=True) for code in (30007, 30008)],
        Failure("30036 too old", refused(30036), ErrorClass.PERMANENT, counts=False),
        Failure("21617 too long", refused(21617), ErrorClass.PERMANENT, counts=False),
        *[Failure(f"{code}", refused(code), ErrorClass.LINE_DOWN, scope) for code, scope in OF_THE_LINE.items()],
        Failure("502 of a proxy", {"status": 502, "body": "Bad gateway"}, None),
        Failure("500 of theirs", refused(20500, status=500), None),
        Failure("nonsense for an answer", {"status": 200, "body": "moved"}, None),
        Failure("no iMessage here", {}, ErrorClass.PERMANENT, order={"service": "imessage"}),
    ]
    recorded = [
        Recorded("a text", heard(), [TextArrived(**THREAD, handle="SM1", text="hi", service="sms")]),
        Recorded(
            "two pictures",
            heard(
                MessageSid="MM1",
                Body="",
                NumMedia="2",
                MediaUrl0="https://api.twilio.com/1",
                MediaContentType0="image/png",
                MediaUrl1="https://api.twilio.com/2",
                MediaContentType1="image/png",
            ),
            [
                TextArrived(
                    **THREAD,
                    handle="MM1",
                    text="",
                    media=tuple(Media(f"https://api.twilio.com/{number}", "image/png") for number in (1, 2)),
                    service="sms",
                )
            ],
        ),
        Recorded(
            "a tapback",
            heard(Body="Loved “see you”"),
            [TapbackTextArrived(**THREAD, handle="SM1", text="Loved “see you”", kind="love", quoted="see you")],
        ),
        Recorded(
            "a stop word",
            heard(Body="Stop "),
            [
                TextArrived(**THREAD, handle="SM1", text="Stop ", service="sms"),
                OptedOut(**THREAD, word="STOP"),
            ],
        ),
        Recorded(
            "a stop word of the account's own",
            heard(Body="basta", OptOutType="STOP"),
            [TextArrived(**THREAD, handle="SM1", text="basta", service="sms"), OptedOut(**THREAD, word="BASTA")],
        ),
        Recorded(
            "a start word",
            heard(Body="START"),
            [TextArrived(**THREAD, handle="SM1", text="START", service="sms"), OptedIn(**THREAD, word="START")],
        ),
        *[
            Recorded(word, status(word), [told(state)])
            for word, state in {
                "scheduled": "pending",
                "accepted": "queued",
                "queued": "queued",
                "sending": "accepted",
                "sent": "sent",
                "partially_delivered": "sent",
                "delivered": "delivered",
                "read": "delivered",
            }.items()
        ],
        Recorded(
            "opted out late",
            status("failed", ErrorCode="21610"),
            [failed(21610, ErrorClass.PERMANENT, state="declined", scope=Scope.HUMAN, reason="opted_out")],
        ),
        Recorded(
            "filtered",
            status("undelivered", ErrorCode="30007"),
            [failed(30007, ErrorClass.PERMANENT, counts_against_line=True, reason="filtered")],
        ),
        Recorded(
            "a phone that is off",
            status("undelivered", ErrorCode="30003"),
            [failed(30003, ErrorClass.RECIPIENT_UNREACHABLE, scope=Scope.HUMAN, retry_after=600.0)],
        ),
        Recorded(
            "failed and says not why",
            status("failed"),
            [told("error", error=ProviderError(ErrorClass.PERMANENT, "failed", ""))],
        ),
        Recorded(
            "canceled",
            status("canceled"),
            [told("declined", error=ProviderError(ErrorClass.PERMANENT, "canceled", ""))],
        ),
        Recorded("a word of tomorrow", status("teleported"), [Unrecognised(**THREAD, raw_type="status teleported")]),
    ]


# Proof.


def sign(url: str, body: bytes, *, secret: str = AUTH_TOKEN, algorithm: str = "") -> dict[str, str]:
    form = dict(pair.split("=", 1) for pair in body.decode().split("&"))
    headers = {"X-Twilio-Signature": RequestValidator(secret).compute_signature(url, form, algorithm or None)}
    return headers | ({"X-Twilio-Webhooks-Signature-Settings": f"key=k1,algorithm={algorithm}"} if algorithm else {})


PLAIN = b"MessageSid=SM1&From=1&To=2&Body=hi"


def prove(account: Account, headers: dict[str, str], body: bytes = PLAIN, url: str = CALLBACK_URL) -> None:
    DRIVER.prove(account, headers=headers, body=body, url=url)


def test_the_signature_is_over_the_public_url_and_every_field(stand_in: Twilio) -> None:
    posted = stand_in.human_texts("signed ü & more")
    prove(stand_in.account, dict(posted.headers), posted.body, posted.url)
    for url, body in (
        (posted.url + "?x=1", posted.body),
        (posted.url.replace("https", "http"), posted.body),
        (posted.url, posted.body + b"&Extra=1"),
        (posted.url, posted.body.replace(b"signed", b"forged")),
    ):
        with pytest.raises(CallbackRefused):
            prove(stand_in.account, dict(posted.headers), body, url)


def test_fields_that_are_empty_or_there_twice_are_signed_too(stand_in: Twilio) -> None:
    body = "Body=&From=1&MessageSid=SM1&To=2&Tag=a&Tag=b"
    signed = CALLBACK_URL + "Body" + "From1" + "MessageSidSM1" + "Taga" + "Tagb" + "To2"
    digest = hmac.new(AUTH_TOKEN.encode(), signed.encode(), hashlib.sha1).digest()
    prove(stand_in.account, {"X-Twilio-Signature": base64.b64encode(digest).decode()}, body.encode())


def test_an_account_called_with_its_auth_token_needs_no_other_secret(stand_in: Twilio) -> None:
    headers = sign(CALLBACK_URL, PLAIN)
    prove(dataclasses.replace(stand_in.account, token=f"{ACCOUNT}:{AUTH_TOKEN}", callback_secrets=()), headers)
    with pytest.raises(CallbackRefused):
        prove(dataclasses.replace(stand_in.account, callback_secrets=()), headers)


def test_the_newer_algorithm_is_proved_and_an_unknown_one_refused(stand_in: Twilio) -> None:
    account = dataclasses.replace(stand_in.account, callback_secrets=("other", "shared key"))
    headers = sign(CALLBACK_URL, PLAIN, secret="shared key", algorithm="HMAC_SHA256")
    prove(account, headers)
    for settings in ("key=k1,algorithm=HMAC_SHA1", "key=k1,algorithm=NONE"):
        with pytest.raises(CallbackRefused):
            prove(account, headers | {"X-Twilio-Webhooks-Signature-Settings": settings})


def test_a_json_body_is_proved_by_the_digest_in_the_url_and_not_without_it(stand_in: Twilio) -> None:
    body = b'{"MessageSid": "SM1"}'
    validator = RequestValidator(AUTH_TOKEN)
    url = f"{CALLBACK_URL}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {"Content-Type": "application/json", "X-Twilio-Signature": validator.compute_signature(url, {})}
    prove(stand_in.account, headers, body, url)
    bare = headers | {"X-Twilio-Signature": validator.compute_signature(CALLBACK_URL, {})}
    for given, sent, target in ((headers, body + b" ", url), (bare, body, CALLBACK_URL)):
        with pytest.raises(CallbackRefused):
            prove(stand_in.account, given, sent, target)


def test_a_status_callback_is_proved_by_its_own_url(anew: Twilio) -> None:
    send(anew, anew.order(status_url=STATUS_URL))
    posted = anew.posted()
    assert posted.url == STATUS_URL
    DRIVER.prove(anew.account, headers=posted.headers, body=posted.body, url=posted.url, order_key="1")
    with pytest.raises(CallbackRefused):
        DRIVER.prove(anew.account, headers={}, body=posted.body, url=posted.url, order_key="1")


# Sending.


def test_an_order_says_all_it_knows(anew: Twilio) -> None:
    media = ["https://x.example/a.png", "https://x.example/b.png"]
    send(anew, anew.order("hi", media=media, status_url=STATUS_URL))
    assert anew.process.calls("/Messages.json")[-1]["body"] == {
        "From": [LINE],
        "To": [HUMAN],
        "Body": ["hi"],
        "MediaUrl": media,
        "StatusCallback": [STATUS_URL + RETRIES],
        "ValidityPeriod": ["1800"],
    }


def test_what_no_sms_carries_is_left_out_with_a_note(anew: Twilio) -> None:
    receipt = send(anew, anew.order("hi", effect="love", reply_to=ReplyTarget("SM1")))
    assert (receipt.outcome, list(receipt.notes)) == (Outcome.ACCEPTED, ["effect_dropped", "reply_dropped"])


@pytest.mark.parametrize(("asked", "downgraded"), [("sms", False), ("auto", True)])
def test_a_receipt_says_truly_how_it_went(anew: Twilio, asked: str, downgraded: bool) -> None:
    receipt = send(anew, anew.order("hi", service=asked))
    assert (receipt.service, receipt.downgraded, receipt.line) == ("sms", downgraded, LINE)


def test_imessage_alone_is_refused_before_any_call(anew: Twilio) -> None:
    assert refusal(send(anew, anew.order("hi", service="imessage"))).code == NOT_SUPPORTED
    assert anew.send_calls() == 0


def test_a_number_that_is_not_the_account_s_is_the_line_s_trouble(anew: Twilio) -> None:
    error = refusal(send(anew, anew.order("hi", line="+15555550199")))
    assert (error.error_class, error.scope, error.code) == (ErrorClass.LINE_DOWN, Scope.LINE, "21606")


def test_the_library_never_tries_again(anew: Twilio) -> None:
    for number in (429, 500, 503):
        before = anew.send_calls()
        anew.misbehave("refuse", status=number, body={})
        send(anew, anew.order())
        assert anew.send_calls() == before + 1, number


def test_with_an_auth_token_the_account_is_the_user(anew: Twilio) -> None:
    plain = dataclasses.replace(anew.account, token=f"{ACCOUNT}:{AUTH_TOKEN}")
    DRIVER.send(plain, anew.order())
    given = anew.process.calls("/Messages.json")[-1]["headers"]["authorization"]
    assert base64.b64decode(given.removeprefix("Basic ")).decode() == f"{ACCOUNT}:{AUTH_TOKEN}"


def test_nothing_of_a_text_is_logged(anew: Twilio, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        send(anew, anew.order("a secret"))
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert ours == []


def test_a_lost_text_is_found_beyond_the_first_page_and_not_among_older_ones(anew: Twilio) -> None:
    send(anew, anew.order("same"))
    since = datetime.now(UTC)
    assert DRIVER.find_sent(anew.account, anew.order("gone"), since=since, known=set()) is None
    lost = send(anew, anew.order("lost"))
    for number in range(5):
        send(anew, anew.order(f"later {number}"))
    found = DRIVER.find_sent(anew.account, anew.order("lost"), since=now(), known=set())
    assert found is not None
    assert found.handle == lost.handle


# Callbacks and polls.


def test_a_status_s_key_is_of_message_and_state(anew: Twilio) -> None:
    anew.process.set_faults(repeats=1, reorder=3)
    handle = send(anew, anew.order("hi", status_url=STATUS_URL)).handle
    keys = [DRIVER.identify(anew.account, body=body).key for _, body in anew.process.callbacks()]
    assert sorted(keys) == sorted([f"{handle}:sent", f"{handle}:delivered"] * 2)


def test_both_ways_are_of_one_thread(anew: Twilio) -> None:
    send(anew, anew.order("hi", status_url=STATUS_URL))
    anew.process.ask("text", human=HUMAN, text="ho")
    threads = {DRIVER.identify(anew.account, body=body).thread for _, body in anew.process.callbacks()}
    assert threads == {f"{LINE}/{HUMAN}"}


def test_a_poll_finds_what_no_callback_told(anew: Twilio) -> None:
    anew.process.set_faults(drops=99)
    anew.process.ask("carrier", **{STRANGER: 30005})
    failing = send(anew, anew.order("hi", human=STRANGER, status_url=STATUS_URL)).handle
    for text in ("one", "two", "three"):
        anew.process.ask("text", human=HUMAN, text=text, media=["a.png"] if text == "two" else None)
    found, cursor = DRIVER.poll(anew.account, cursor="")
    reports = [report for body in found for report in DRIVER.parse(anew.account, body=body)]
    texts = [report for report in reports if isinstance(report, TextArrived)]
    assert [(text.text, len(text.media), text.at is not None) for text in texts] == [
        ("one", 0, True),
        ("two", 1, True),
        ("three", 0, True),
    ]
    (status,) = [report for report in reports if isinstance(report, StatusChanged)]
    assert (status.handle, status.state, status.error and status.error.code) == (failing, "error", "30005")
    assert DRIVER.poll(anew.account, cursor=cursor)[1] == cursor


def test_a_text_is_read_back(anew: Twilio) -> None:
    handle = send(anew, anew.order("hi")).handle
    (body,) = DRIVER.read_back(anew.account, line=LINE, human=HUMAN, handle=handle)
    assert DRIVER.identify(anew.account, body=body).key == f"{handle}:delivered"


def test_a_file_is_asked_for_at_our_account_with_its_credentials_and_nowhere_else(stand_in: Twilio) -> None:
    for url in ("https://api.twilio.com/2010-04-01/media", f"{stand_in.account.base_url}/2010-04-01/media"):
        request = DRIVER.media_request(stand_in.account, url=url)
        assert request is not None
        assert request.url == f"{stand_in.account.base_url}/2010-04-01/media"
        assert request.headers["Authorization"].startswith("Basic ")
    for url in ("https://api.twilio.com.example.com/x", "https://elsewhere.example.com/x"):
        assert DRIVER.media_request(stand_in.account, url=url) is None


# Numbers.


def test_numbers_that_serve_others_are_left_alone(anew: Twilio) -> None:
    ours, theirs = "https://switchboard.example.com/callbacks/1", "https://other.example.com/sms"
    anew.process.ask("line", line=LINE, sms_url="")
    anew.process.ask("line", line="+15555550101", sms_url=theirs)
    assert DRIVER.install_callbacks(anew.account, url=ours).urls == [ours + RETRIES]
    numbers = anew.process.ask("numbers")
    assert [numbers[line]["sms_url"] for line in (LINE, "+15555550101")] == [ours + RETRIES, theirs]
    named = dataclasses.replace(anew.account, settings={"numbers": ["+15555550101"]})
    DRIVER.install_callbacks(named, url=ours)
    assert anew.process.ask("numbers")["+15555550101"]["sms_url"] == ours + RETRIES


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"status": "released"}, ["released"]),
        ({"capabilities": {"sms": False}}, ["no_sms"]),
    ],
)
def test_a_number_that_takes_no_texts_is_down(anew: Twilio, change: dict[str, Any], reasons: list[str]) -> None:
    anew.process.ask("line", line=LINE, **change)
    reading = DRIVER.probe(anew.account, line=LINE)
    assert (reading.state, list(reading.reasons), reading.authenticated) == ("down", reasons, True)


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
    anew: Twilio, answer: dict[str, Any], reading: tuple[bool, bool | None]
) -> None:
    anew.process.set_faults(answers=[{"path": "/IncomingPhoneNumbers", **answer}])
    seen = DRIVER.probe(anew.account, line=LINE)
    assert (seen.state, seen.reachable, seen.authenticated) == ("down", *reading)


def test_a_number_without_mms_carries_no_files(anew: Twilio) -> None:
    anew.process.ask("line", line=LINE, capabilities={"sms": True, "mms": False})
    reading = DRIVER.probe(anew.account, line=LINE)
    assert (reading.state, DRIVER.card.without(reading.lost).most_media) == ("healthy", 0)


def test_a_number_that_is_gone_is_down(anew: Twilio) -> None:
    anew.process.ask("drop_line", line=LINE)
    assert list(DRIVER.probe(anew.account, line=LINE).reasons) == ["line_not_in_account"]
