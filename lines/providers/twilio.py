"""The driver of Twilio, for SMS and MMS: their own client library and signature check, over our HTTP client.

The library's own transport would log numbers and texts; ours has the account's address and deadline, and no retries.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
from twilio.base.exceptions import TwilioException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.request_validator import SIGNATURE_HEADER, SIGNATURE_SETTINGS_HEADER, RequestValidator
from twilio.request_validator import get_signature_algorithm as algorithm_of
from twilio.rest import Client

from lines.providers.base import (
    NOT_SUPPORTED,
    Account,
    CallbackId,
    CallbackRefused,
    Capabilities,
    Driver,
    ErrorClass,
    Installed,
    LineReading,
    ListedLine,
    Media,
    MediaRequest,
    OptedIn,
    OptedOut,
    Outcome,
    ProviderCallFailed,
    ProviderError,
    Report,
    Scope,
    SendOrder,
    SendReceipt,
    StatusChanged,
    TapbackTextArrived,
    TextArrived,
    Thread,
    Unrecognised,
)
from lines.tapback_texts import read_tapback

# Where the library calls; the account's own address takes its place.
_VENDOR = "https://api.twilio.com"
# How Twilio repeats a callback that failed; its default is once, and only when it could not connect.
_RETRIES = "#rc=3&rp=5xx,ct,rt"
# Seconds that a text may wait at Twilio, which keeps it ten hours otherwise: a late text is worse than none.
_VALIDITY = 1800
_OVERLAP = timedelta(minutes=5)
_MOST_FOUND = 200
_MOST_POLLED = 500

_STATES = {
    "scheduled": "pending",
    "accepted": "queued",  # by a messaging service: weaker than our word of that name
    "queued": "queued",
    "sending": "accepted",
    "sent": "sent",
    "partially_delivered": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "canceled": "declined",
    "failed": "error",
    "undelivered": "error",
}
# The words that Twilio obeys by itself (https://www.twilio.com/docs/messaging/tutorials/how-to-opt-out-keywords).
_STOP = {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"}
_START = {"START", "UNSTOP"}

_RETRYABLE = {20429, 21611, 30001, 30022}
_UNREACHABLE = {21211, 21614, 21635, 30003, 30005, 30006}
_PERMANENT_HUMAN = {21610: "opted_out", 30004: "blocked"}
_COUNTING = {30007: "filtered", 30008: "unknown_error"}
_LINE_DOWN = {
    20003: Scope.ACCOUNT,
    21606: Scope.LINE,
    30002: Scope.ACCOUNT,
    30032: Scope.LINE,
    30034: Scope.LINE,
}
# A phone that is off may be on again.
_LATER = {30003: 600.0}

_KNOWN = _RETRYABLE | _UNREACHABLE | set(_PERMANENT_HUMAN) | set(_COUNTING) | set(_LINE_DOWN)


class TwilioDriver(Driver):
    """See `lines.providers.base.Driver`.

    The account's token is `account sid:auth token` or, better, `account sid:key sid:key secret`; its callback
    secrets are auth tokens.
    """

    name = "twilio"
    card = Capabilities(
        services=("sms",), tapbacks_in="text", most_media=10, poll="account", reads_back=True, health="number status"
    )
    read_back_waits = (120.0, 600.0)

    def send(self, account: Account, order: SendOrder) -> SendReceipt:
        if order.service == "imessage":
            text = "The line has no iMessage, and the order allows nothing else."
            return SendReceipt.refused(ProviderError(ErrorClass.PERMANENT, NOT_SUPPORTED, text, reason=NOT_SUPPORTED))
        optional: dict[str, Any] = {"body": order.text} if order.text else {}
        if order.media:
            optional["media_url"] = list(order.media)
        if order.status_url:
            optional["status_callback"] = order.status_url + _RETRIES
        try:
            with _calling(account, deadline=account.deadlines.send) as client:
                sent = client.messages.create(
                    to=order.human,
                    from_=order.line,
                    validity_period=int(account.settings.get("validity", _VALIDITY)),
                    **optional,
                )
        except ProviderCallFailed as failed:
            return SendReceipt.refused(failed.error) if failed.error else SendReceipt(Outcome.UNKNOWN)
        return _accepted(sent, asked=order.service, notes=_left_out(order))

    def find_sent(self, account: Account, order: SendOrder, *, since: datetime, known: set[str]) -> SendReceipt | None:
        with _calling(account, deadline=account.deadlines.find_sent) as client:
            for sent in client.messages.stream(to=order.human, from_=order.line, limit=_MOST_FOUND):
                if sent.date_created and sent.date_created < since.replace(microsecond=0):
                    break
                if sent.direction != "inbound" and sent.sid not in known and (sent.body or "") == order.text:
                    return _accepted(sent, asked=order.service)
        return None

    def read_back(self, account: Account, *, line: str, human: str, handle: str) -> list[bytes]:
        with _calling(account, deadline=account.deadlines.find_sent) as client:
            return [_as_callback(client.messages(handle).fetch())]

    def media_request(self, account: Account, *, url: str) -> MediaRequest | None:
        """A file lies at Twilio's own address, under the account's credentials."""
        for root in (account.base_url.rstrip("/"), _VENDOR):
            if url.startswith(f"{root}/"):
                own = account.base_url.rstrip("/") + url.removeprefix(root)
                given = httpx.Request("GET", own, headers={})
                return MediaRequest(own, _basic(account, given))
        return None

    def probe(self, account: Account, *, line: str) -> LineReading:
        try:
            with _calling(account, deadline=account.deadlines.probe) as client:
                found = client.incoming_phone_numbers.list(phone_number=line, limit=1)
        except ProviderCallFailed as failed:
            return _unread(failed.error)
        if not found:
            return LineReading("down", ["line_not_in_account"], reachable=True, authenticated=True)
        number = found[0]
        able = dict(number.capabilities or {})
        takes_texts = bool(able.get("sms", True))
        reasons = [str(number.status)] * (number.status != "in-use") + ["no_sms"] * (not takes_texts)
        return LineReading(
            "down" if reasons else "healthy",
            reasons,
            reachable=True,
            authenticated=True,
            provider_state=str(number.status or ""),
            addresses=[str(number.phone_number)],
            lost=() if able.get("mms", True) else ("most_media",),
            raw={"sid": number.sid, "status": number.status, "sms_url": number.sms_url},
        )

    def list_lines(self, account: Account) -> list[ListedLine]:
        with _calling(account, deadline=account.deadlines.list_lines) as client:
            return [
                ListedLine(str(one.phone_number), str(one.status or ""), str(one.friendly_name or ""))
                for one in client.incoming_phone_numbers.stream()
            ]

    def install_callbacks(self, account: Account, *, url: str) -> Installed:
        """Point the account's numbers at us: those that point nowhere, and those that the settings name as `numbers`.

        A number that already serves another program is left alone otherwise.
        """
        ours, named = url + _RETRIES, set(account.settings.get("numbers", []))
        installed = []
        with _calling(account, deadline=account.deadlines.install_callbacks) as client:
            for number in client.incoming_phone_numbers.stream():
                if number.sms_url != ours and (not number.sms_url or number.phone_number in named):
                    number.update(sms_url=ours, sms_method="POST")
                    installed.append(ours)
                elif number.sms_url == ours:
                    installed.append(ours)
        return Installed(sorted(set(installed)))

    def poll(self, account: Account, *, cursor: str, threads: Sequence[Thread] = ()) -> tuple[list[bytes], str]:
        """All messages of the account, both ways, younger than the cursor: the newest time that was seen."""
        seen = datetime.fromisoformat(cursor) if cursor else None
        since = (seen or datetime.now(UTC)) - _OVERLAP
        found = []
        with _calling(account, deadline=account.deadlines.poll) as client:
            for message in client.messages.stream(date_sent_after=since, limit=_MOST_POLLED):
                changed = max(
                    filter(None, [message.date_created, message.date_sent, message.date_updated]), default=since
                )
                if changed < since:
                    continue
                seen = max(seen or changed, changed)
                found.append(_as_callback(message, media=_media_of(message, account)))
        return found[::-1], seen.isoformat() if seen else cursor

    def prove(
        self, account: Account, *, headers: Mapping[str, str], body: bytes, url: str, order_key: str = ""
    ) -> None:
        """The signature over the full public URL and the form, or over the body's digest that the URL carries."""
        lower = {name.lower(): value for name, value in headers.items()}
        given = lower.get(SIGNATURE_HEADER.lower(), "")
        if not given:
            raise CallbackRefused("There is no signature.")
        algorithm = algorithm_of(lower.get(SIGNATURE_SETTINGS_HEADER.lower(), ""))
        try:
            is_json = "json" in lower.get("content-type", "")
            signed: Any = body.decode() if is_json else _Form(body)
        except ValueError as unreadable:
            raise CallbackRefused("The body cannot be read.") from unreadable
        if is_json and "bodySHA256=" not in url:
            raise CallbackRefused("Nothing signs the body.")
        for secret in (*account.callback_secrets, *_auth_token(account)):
            if RequestValidator(secret).validate(url, signed, given, algorithm):
                return
        raise CallbackRefused("The signature does not fit.")

    def identify(self, account: Account, *, body: bytes) -> CallbackId:
        form = _form(body)
        state = form.get("MessageStatus", "")
        line, human = _ends(form)
        key = f"{form['MessageSid']}:{state}" if state else form["MessageSid"]
        return CallbackId(key=key, thread=f"{line}/{human}", at=_time(form.get("DateSent")))

    def parse(self, account: Account, *, body: bytes) -> list[Report]:
        form = _form(body)
        line, human = _ends(form)
        thread: dict[str, Any] = {"line": line, "human": human, "at": _time(form.get("DateSent"))}
        if "MessageStatus" in form:
            return [_status(form, thread)]
        if form.get("SmsStatus") == "received" or "NumMedia" in form:
            return _arrived(form, thread)
        return [Unrecognised(**thread, raw_type=form.get("SmsStatus") or "no status")]


# --- calls


class _Transport(HttpClient):  # type: ignore[misc]
    """The library's way out: to the account's own address, within one deadline, logging nothing."""

    def __init__(self, account: Account, *, deadline: float) -> None:
        self._root = account.base_url.rstrip("/")
        self._deadline = deadline

    def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        if not uri.startswith(f"{_VENDOR}/"):
            raise ValueError(f"Not an address of Twilio's messages: {uri[:60]}")
        response = _http().request(
            method,
            self._root + uri.removeprefix(_VENDOR),
            # Never an empty mapping: it would take the query off the address of a next page.
            params={name: str(value) for name, value in params.items()} if params else None,
            data=data,
            headers=headers,
            auth=auth,
            timeout=self._deadline,
        )
        if response.status_code >= 400:
            # Here, since the library has one exception for calls and another, without the code, for pages.
            raise ProviderCallFailed(_error_of(response))
        return Response(response.status_code, response.text, response.headers)


@contextmanager
def _calling(account: Account, *, deadline: float) -> Iterator[Any]:
    """Their client for one call, whose failure is told in our words. An outcome that nobody knows is None."""
    sid, user, password = _credentials(account)
    client = Client(user, password, account_sid=sid, environment={}, http_client=_Transport(account, deadline=deadline))
    try:
        yield client
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as away:
        text = "The provider cannot be reached."
        error = ProviderError(ErrorClass.LINE_DOWN, "unreachable", text, scope=Scope.ACCOUNT)
        raise ProviderCallFailed(error) from away
    except (httpx.HTTPError, TwilioException, ValueError, TypeError, AttributeError) as lost:
        # No answer, or one that the library could not read.
        raise ProviderCallFailed(None) from lost


@functools.cache
def _http() -> httpx.Client:
    """One for all threads: no proxies from the environment, no redirects."""
    return httpx.Client(trust_env=False, follow_redirects=False)


def _credentials(account: Account) -> tuple[str, str, str]:
    """Account, user and password; with an auth token the account is the user."""
    sid, _, rest = account.token.partition(":")
    user, is_key, password = rest.partition(":")
    return (sid, user, password) if is_key else (sid, sid, rest)


def _auth_token(account: Account) -> list[str]:
    """Where the account is called with its auth token, that proves callbacks as well."""
    sid, user, password = _credentials(account)
    return [password] if user == sid and password else []


def _basic(account: Account, request: httpx.Request) -> dict[str, str]:
    _, user, password = _credentials(account)
    (given,) = [next(httpx.BasicAuth(user, password).auth_flow(request))]
    return {"Authorization": given.headers["Authorization"]}


def _unread(error: ProviderError | None) -> LineReading:
    """A probe that told nothing of the line: a failing server is as good as none, refused credentials are certain."""
    if error and error.scope is Scope.ACCOUNT and error.code != "unreachable":
        return LineReading("down", ["unauthorized"], reachable=True, authenticated=False)
    is_certain = error is not None and error.error_class is ErrorClass.PERMANENT
    return LineReading("down", [error.code if error else "no_answer"], reachable=is_certain)


def _accepted(sent: Any, *, asked: str, notes: Sequence[str] = ()) -> SendReceipt:
    """A receipt for what Twilio has taken; that it failed later is told by its status, not by the receipt."""
    if not sent.sid:
        return SendReceipt(Outcome.UNKNOWN)
    state = _STATES.get(str(sent.status), "queued")
    return SendReceipt(
        Outcome.ACCEPTED,
        handle=str(sent.sid),
        state="queued" if state in {"error", "declined"} else state,
        service="sms",
        line=str(sent.from_ or ""),
        downgraded=asked != "sms",
        notes=notes,
    )


def _left_out(order: SendOrder) -> list[str]:
    """What no SMS carries."""
    return ["effect_dropped"] * bool(order.effect) + ["reply_dropped"] * bool(order.reply_to)


def _as_callback(message: Any, *, media: Sequence[Mapping[str, str]] = ()) -> bytes:
    """What a callback would have told of a message that was read back, with its key; the time is our addition."""
    form = {"MessageSid": message.sid, "From": message.from_, "To": message.to}
    if message.direction == "inbound":
        form |= {"SmsStatus": "received", "Body": message.body or "", "NumMedia": str(len(media))}
        for index, file in enumerate(media):
            form |= {f"MediaUrl{index}": file["url"], f"MediaContentType{index}": file["type"]}
        at = message.date_sent or message.date_created
    else:
        form |= {"MessageStatus": message.status}
        form |= {"ErrorCode": str(message.error_code)} if message.error_code else {}
        at = message.date_updated
    return urlencode(form | ({"DateSent": at.isoformat()} if at else {})).encode()


def _media_of(message: Any, account: Account) -> list[dict[str, str]]:
    if message.direction != "inbound" or message.num_media in {None, "0"}:
        return []
    root = account.base_url.rstrip("/")
    files = message.media.list(limit=10)
    return [{"url": root + str(file.uri).removesuffix(".json"), "type": str(file.content_type)} for file in files]


# --- errors


def _error_of(response: httpx.Response) -> ProviderError | None:
    """Their error in our words; None when a failing server does not say what it did."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    code, text = body.get("code"), str(body.get("message") or body.get("detail") or "")[:500]
    if response.status_code == 401:
        return ProviderError(ErrorClass.LINE_DOWN, str(code or 401), text, scope=Scope.ACCOUNT)
    if response.status_code == 429:
        return ProviderError(ErrorClass.RETRYABLE, str(code or 429), text)
    if response.status_code >= 500 and code not in _KNOWN:
        return None
    return error_of_code(code if isinstance(code, int) else response.status_code, text)


def error_of_code(code: int, text: str = "") -> ProviderError:
    """What one of Twilio's codes means for us: contract/lines.md 4.5."""
    if code in _RETRYABLE:
        return ProviderError(ErrorClass.RETRYABLE, str(code), text)
    if code in _UNREACHABLE:
        later = _LATER.get(code)
        return ProviderError(ErrorClass.RECIPIENT_UNREACHABLE, str(code), text, retry_after=later, scope=Scope.HUMAN)
    if code in _LINE_DOWN:
        return ProviderError(ErrorClass.LINE_DOWN, str(code), text, scope=_LINE_DOWN[code])
    if code in _PERMANENT_HUMAN:
        return ProviderError(ErrorClass.PERMANENT, str(code), text, scope=Scope.HUMAN, reason=_PERMANENT_HUMAN[code])
    return ProviderError(
        ErrorClass.PERMANENT, str(code), text, counts_against_line=code in _COUNTING, reason=_COUNTING.get(code, "")
    )


# --- callbacks


class _Form(dict[str, list[str]]):
    """A form with all values of a field, as the library's check reads it."""

    def __init__(self, body: bytes) -> None:
        super().__init__(parse_qs(body.decode(), keep_blank_values=True, strict_parsing=bool(body)))

    def getall(self, name: str) -> list[str]:
        return self[name]


def _form(body: bytes) -> dict[str, str]:
    """Fields by name; raises `ValueError` for anything that is not a message's form."""
    form = {name: values[-1] for name, values in _Form(body).items()}
    if not form.get("MessageSid") or not form.get("From") or not form.get("To"):
        raise ValueError("A callback is a form with MessageSid, From and To.")
    return form


def _ends(form: Mapping[str, str]) -> tuple[str, str]:
    """Our number and the human's: a status is of a text of ours."""
    ends = form["From"], form["To"]
    return ends if "MessageStatus" in form else ends[::-1]


def _status(form: Mapping[str, str], thread: dict[str, Any]) -> Report:
    word = form["MessageStatus"]
    if word not in _STATES:
        return Unrecognised(**thread, raw_type=f"status {word}"[:100])
    code = int(form["ErrorCode"]) if form.get("ErrorCode", "").isdigit() else 0
    state, error = _STATES[word], None
    if state in {"error", "declined"}:
        text = form.get("ErrorMessage", "")[:500]
        error = error_of_code(code, text) if code else ProviderError(ErrorClass.PERMANENT, word, text)
        state = "declined" if code in _PERMANENT_HUMAN and word == "failed" else state
    return StatusChanged(**thread, handle=form["MessageSid"], state=state, service="sms", error=error)


def _arrived(form: Mapping[str, str], thread: dict[str, Any]) -> list[Report]:
    text, handle = form.get("Body", ""), form["MessageSid"]
    count = int(form.get("NumMedia") or 0)
    tapback = read_tapback(text) if not count else None
    if tapback:
        return [
            TapbackTextArrived(
                **thread,
                handle=handle,
                text=text,
                kind=tapback.kind,
                quoted=tapback.quoted,
                emoji=tapback.emoji,
                removed=tapback.removed,
            )
        ]
    media = tuple(
        Media(form[f"MediaUrl{index}"], form.get(f"MediaContentType{index}", ""))
        for index in range(count)
        if f"MediaUrl{index}" in form
    )
    return [TextArrived(**thread, handle=handle, text=text, media=media, service="sms"), *_wishes(form, text, thread)]


def _wishes(form: Mapping[str, str], text: str, thread: dict[str, Any]) -> list[Report]:
    """Whether the human wants no more of it, or wants it again."""
    word = text.strip().upper()
    said = form.get("OptOutType", "").upper()
    if said == "STOP" or word in _STOP:
        return [OptedOut(**thread, word=word[:30])]
    if said == "START" or word in _START:
        return [OptedIn(**thread, word=word[:30])]
    return []


def _time(text: str | None) -> datetime | None:
    """Our own addition is ISO 8601; Twilio's own times are as in mail."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


DRIVER = TwilioDriver()
