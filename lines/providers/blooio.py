"""The driver of Blooio's v2 API: hosted lines with a true send key, events for tapbacks and reads, signed webhooks.

A thin client of our own: the vendor's library lacks half of what is used here, and is left behind.
"""

import contextlib
import functools
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx

from lines.answers import clock_offset, no_reading, object_in, object_of
from lines.effects import EFFECTS
from lines.providers.base import (
    SIX_TAPBACKS,
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
    Outcome,
    OwnTextSeen,
    ProviderCallFailed,
    ProviderError,
    ReadReported,
    ReplyTarget,
    Report,
    Scope,
    SendOrder,
    SendReceipt,
    ServiceAnswer,
    StatusChanged,
    TapbackArrived,
    TapbackTextArrived,
    TextArrived,
    Thread,
    TypingChanged,
    Unrecognised,
)
from lines.tapback_texts import read_tapback

_SERVICES = {"imessage": "imessage", "sms": "sms", "rcs": "rcs", "non-imessage": "sms"}

# Theirs that differ from ours, by our name; the rest is called the same.
_EFFECTS = {"invisible": "invisible-ink"}
_UNKNOWN_EFFECTS = {"shooting_star"}

_STATES = {
    "pending": "pending",
    "queued": "queued",
    "cancellation_requested": "queued",
    "sent": "sent",
    "delivered": "delivered",
    "failed": "error",
    "cancelled": "declined",
}

# Signatures older or newer than this many seconds are refused.
_WINDOW = 300

_OVERLAP = timedelta(minutes=10)
_FIRST_POLL = timedelta(hours=1)
_PAGE, _MOST_CHATS, _MOST_PAGES = 100, 200, 10


class BlooioDriver(Driver):
    """See `lines.providers.base.Driver`. The account's token is the API key."""

    name = "blooio"
    card = Capabilities(
        services=("imessage", "rcs", "sms"),
        send_key=True,
        effects=frozenset(EFFECTS) - _UNKNOWN_EFFECTS,
        reply=True,
        tapback=True,
        tapback_remove=True,
        tapback_emoji=True,
        typing=True,
        typing_end=True,
        read_receipt=True,
        reads_in=True,
        lookup=True,
        most_media=10,
        reads_back=True,
        health="active flag",
    )
    # A poll looks back some minutes only; a phone that was off answers later.
    read_back_waits = (60.0, 900.0, 3600.0)

    def send(self, account: Account, order: SendOrder) -> SendReceipt:
        if order.service == "imessage" and order.first_contact and self._is_known_as_sms(account, order):
            return SendReceipt.refused(
                ProviderError(ErrorClass.RECIPIENT_UNREACHABLE, "lookup_sms", "Not on iMessage.")
            )
        receipt = self._send(account, order, reply_to=order.reply_to)
        if order.reply_to and receipt.error and receipt.error.code.startswith("reply_target_"):
            # Better without the reply than not at all; nothing left yet, so the key is still unused.
            again = self._send(account, order, reply_to=None)
            return _noted(again, "reply_dropped")
        return receipt

    def find_sent(self, account: Account, order: SendOrder, *, since: datetime, known: set[str]) -> SendReceipt | None:
        sent = _messages(account, order.human, since=since, timeout=account.deadlines.find_sent, direction="outbound")
        for row in reversed(sent):
            if row.get("internal_id") != order.line or row.get("message_id") in known:
                continue
            same = str(row.get("text") or "").split() == order.text.split()
            if same and bool(row.get("attachments")) == bool(order.media):
                return _found(row)
        return None

    def read_back(self, account: Account, *, line: str, human: str, handle: str) -> list[bytes]:
        path = f"{_chat(human)}/messages/{quote(handle, safe='')}"
        row = _call("GET", account, path, timeout=account.deadlines.find_sent)
        row |= {"message_id": handle, "external_id": human, "internal_id": row.get("internal_id") or line}
        return [_raw(event) for event in _events(row)]

    def tapback(
        self,
        account: Account,
        *,
        line: str,
        human: str,
        handle: str,
        part: int,
        kind: str,
        emoji: str,
        remove: bool,
        chat: str = "",
    ) -> None:
        # By its own id, never by its place: "the last message" may have changed by then.
        path = f"{_chat(chat or human)}/messages/{quote(handle, safe='')}/reactions"
        reaction = ("-" if remove else "+") + (kind if kind in SIX_TAPBACKS else emoji)
        _call("POST", account, path, timeout=account.deadlines.tapback, json={"reaction": reaction})

    def typing(self, account: Account, *, line: str, human: str, on: bool, chat: str = "") -> None:
        timeout = account.deadlines.typing
        if _is_on_line(account, chat or human, line, timeout=timeout):
            _call("POST" if on else "DELETE", account, f"{_chat(chat or human)}/typing", timeout=timeout)

    def mark_read(self, account: Account, *, line: str, human: str, chat: str = "") -> None:
        timeout = account.deadlines.mark_read
        if _is_on_line(account, chat or human, line, timeout=timeout):
            _call("POST", account, f"{_chat(chat or human)}/read", timeout=timeout)

    def lookup_service(self, account: Account, *, line: str, address: str) -> ServiceAnswer:
        path = f"/contacts/{quote(address, safe='')}/capabilities"
        able = _call("GET", account, path, timeout=account.deadlines.lookup).get("capabilities") or {}
        service = "imessage" if able.get("imessage") else "sms" if able.get("sms") else "unknown"
        return ServiceAnswer(service, datetime.now(UTC))

    def media_request(self, account: Account, *, url: str) -> MediaRequest | None:
        return MediaRequest(url, _auth(account)) if url.startswith(f"{_base(account)}/") else None

    def probe(self, account: Account, *, line: str) -> LineReading:
        try:
            response = _response("GET", account, "/me/numbers", timeout=account.deadlines.probe)
            numbers = {str(row.get("phone_number")): row for row in object_of(response).get("numbers") or []}
        except ProviderCallFailed as failed:
            return no_reading(failed.error)
        seen = numbers.get(line)
        active = bool(seen and seen.get("is_active"))
        reasons = [] if active else ["inactive" if seen else "not_our_line"]
        return LineReading(
            state="healthy" if active else "down",
            reasons=reasons,
            reachable=True,
            authenticated=True,
            provider_state="active" if active else "inactive",
            addresses=sorted(numbers),
            clock_offset=clock_offset(response.headers.get("date", "")),
            raw=seen or {},
        )

    def list_lines(self, account: Account) -> list[ListedLine]:
        answer = _call("GET", account, "/me/numbers", timeout=account.deadlines.list_lines)
        return [
            ListedLine(
                str(row["phone_number"]), "active" if row.get("is_active") else "inactive", row.get("plan_kind") or ""
            )
            for row in answer.get("numbers") or []
        ]

    def install_callbacks(self, account: Account, *, url: str) -> Installed:
        timeout = account.deadlines.install_callbacks
        hooks = _call("GET", account, "/webhooks", timeout=timeout).get("webhooks") or []
        known = next((hook for hook in hooks if hook.get("webhook_url") == url), None)
        if known is None:
            body = {"webhook_url": url, "webhook_type": "all", "valid_until": -1}
            made = _call("POST", account, "/webhooks", timeout=timeout, json=body)
            return Installed([url], secret=str(made.get("signing_secret") or ""))
        path = f"/webhooks/{quote(str(known['webhook_id']), safe='')}"
        if known.get("webhook_type") != "all" or not known.get("is_active", True):
            body = {"webhook_type": "all", "deprecate": False}
            _call("PATCH", account, path, timeout=timeout, json=body)
        if account.callback_secret:
            return Installed([url])
        # It was shown once and we do not have it: only a new one helps.
        rotated = _call("POST", account, f"{path}/secret/rotate", timeout=timeout)
        return Installed([url], secret=str(rotated.get("signing_secret") or ""))

    def poll(self, account: Account, *, cursor: str, threads: Sequence[Thread] = ()) -> tuple[list[bytes], str]:
        read = _time(int(cursor)) if cursor.isdigit() else None
        since = (read or datetime.now(UTC) - _FIRST_POLL) - _OVERLAP
        newest = int(cursor) if cursor.isdigit() else int((since + _OVERLAP).timestamp() * 1000)
        bodies: list[bytes] = []
        for chat in _chats(account, since=since):
            for row in _messages(account, chat, since=since, timeout=account.deadlines.poll):
                bodies += [_raw(event) for event in _events(row)]
                newest = max(newest, int(row.get("time_sent") or 0))
        return bodies, str(newest)

    def prove(
        self, account: Account, *, headers: Mapping[str, str], body: bytes, url: str, order_key: str = ""
    ) -> None:
        lower = {name.lower(): value for name, value in headers.items()}
        at, given = _signature(lower.get("x-blooio-signature") or lower.get("blooio-signature") or "")
        if abs(datetime.now(UTC).timestamp() - at) > _WINDOW:
            raise CallbackRefused("The signature's time is too far off.")
        signed = f"{at}.".encode() + body
        expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in _secrets(account)]
        if not any(hmac.compare_digest(mac.encode(), sent.encode()) for mac in expected for sent in given):
            raise CallbackRefused("No signature matches.")

    def identify(self, account: Account, *, body: bytes) -> CallbackId:
        event = object_in(body)
        key = f"{event['message_id']}:{event['event']}"
        if event["event"] == "message.reaction":
            key += f":{event.get('direction')}:{event.get('reaction')}:{event.get('action')}"
        thread = f"{event.get('internal_id') or ''}/{event.get('external_id') or ''}"
        return CallbackId(key=key, thread=thread, at=_time(event.get("timestamp")))

    def parse(self, account: Account, *, body: bytes) -> list[Report]:
        event = object_in(body)
        kind = str(event.get("event"))
        report = _report(kind, event)
        # Somebody may have written at Blooio itself: told once as sent, or found by a poll.
        if isinstance(report, StatusChanged) and (kind == "message.sent" or event.get("polled")):
            return [_own_text(event, report), report]
        return [report]

    def _is_known_as_sms(self, account: Account, order: SendOrder) -> bool:
        """Asked before a first text that may not fall back: they fall back by themselves and cannot be told not to."""
        try:
            return self.lookup_service(account, line=order.line, address=order.human).service == "sms"
        except ProviderCallFailed:
            return False

    def _send(self, account: Account, order: SendOrder, *, reply_to: ReplyTarget | None) -> SendReceipt:
        effect = order.effect if order.effect in self.card.effects else ""
        body: dict[str, Any] = {"from_number": order.line}
        body |= {"text": order.text} if order.text else {}
        body |= {"attachments": list(order.media)} if order.media else {}
        # They take an effect only beside a text of its own.
        body |= {"effect": _EFFECTS.get(effect, effect)} if effect and order.text else {}
        body |= {"reply_to": {"message_id": reply_to.handle, "part_index": reply_to.part}} if reply_to else {}
        path, key = f"{_chat(order.chat or order.human)}/messages", {"Idempotency-Key": order.key}
        try:
            answer = _call("POST", account, path, timeout=account.deadlines.send, json=body, headers=key)
        except ProviderCallFailed as failed:
            if failed.error is None or failed.error.error_class is ErrorClass.UNKNOWN:
                return SendReceipt(outcome=Outcome.UNKNOWN, error=failed.error)
            return SendReceipt.refused(failed.error)
        if answer.get("status") == "failed":
            return SendReceipt.refused(_failure(answer))
        receipt = SendReceipt(outcome=Outcome.ACCEPTED, handle=str(answer.get("message_id", "")), state="queued")
        return _noted(receipt, "effect_dropped") if order.effect and "effect" not in body else receipt


DRIVER = BlooioDriver()


def _noted(receipt: SendReceipt, note: str) -> SendReceipt:
    return SendReceipt(
        outcome=receipt.outcome,
        handle=receipt.handle,
        state=receipt.state,
        service=receipt.service,
        error=receipt.error,
        notes=[*receipt.notes, note],
    )


def _found(row: dict[str, Any]) -> SendReceipt:
    state = _STATES.get(str(row.get("status")), "accepted")
    if state in {"error", "declined"}:
        return SendReceipt.refused(_failure(row))
    return SendReceipt(
        outcome=Outcome.ACCEPTED,
        handle=str(row["message_id"]),
        state=state,
        service=_SERVICES.get(str(row.get("protocol")), "imessage"),
        line=str(row.get("internal_id") or ""),
    )


def _report(kind: str, event: dict[str, Any]) -> Report:
    thread: dict[str, Any] = {
        "line": str(event.get("internal_id") or ""),
        "human": str(event.get("external_id") or ""),
        "at": _time(event.get("timestamp")),
    }
    word = kind.removeprefix("message.")
    if kind == "message.received":
        return _heard(event, {**thread, "at": _time(event.get("received_at")) or thread["at"]})
    if kind == "message.reaction":
        return _tapback(event, thread)
    if kind == "message.read":
        return ReadReported(**{**thread, "at": _time(event.get("read_at")) or thread["at"]}, handle=event["message_id"])
    if kind in {"typing.started", "typing.stopped"}:
        return TypingChanged(**thread, on=kind == "typing.started")
    if kind.startswith("message.") and word in _STATES:
        return _status(word, event, thread)
    return Unrecognised(**thread, raw_type=kind[:60])


def _heard(event: dict[str, Any], thread: dict[str, Any]) -> Report:
    text, service = str(event.get("text") or ""), _SERVICES.get(str(event.get("protocol")), "imessage")
    thread["human"] = str(event.get("sender") or thread["human"]) if event.get("is_group") else thread["human"]
    files = event.get("attachments") or []
    media = tuple(Media(one["url"] if isinstance(one, dict) else str(one)) for one in files)
    if not text and not media:
        return Unrecognised(**thread, raw_type="message without content")
    # Only iMessage has tapbacks of its own; elsewhere a phone writes them out.
    tapback = read_tapback(text) if service != "imessage" and not media and not event.get("is_group") else None
    if tapback:
        return TapbackTextArrived(
            **thread,
            handle=event["message_id"],
            text=text,
            kind=tapback.kind,
            quoted=tapback.quoted,
            emoji=tapback.emoji,
            removed=tapback.removed,
            service=service,
        )
    return TextArrived(
        **thread,
        handle=event["message_id"],
        text=text,
        media=media,
        service=service,
        reply_to=_reply_target(event.get("reply_to")),
        group=str(event.get("group_id") or "") if event.get("is_group") else "",
    )


def _reply_target(named: Any) -> ReplyTarget | None:
    if not isinstance(named, dict) or not named.get("message_id"):
        return None
    return ReplyTarget(str(named["message_id"]), int(named.get("part_index") or 0))


def _tapback(event: dict[str, Any], thread: dict[str, Any]) -> Report:
    reaction = str(event.get("reaction") or "")
    return TapbackArrived(
        **thread,
        handle=event["message_id"],
        part=0,
        kind=reaction if reaction in SIX_TAPBACKS else "custom",
        emoji="" if reaction in SIX_TAPBACKS else reaction,
        removed=event.get("action") == "remove",
        mine=event.get("direction") == "outbound",
    )


def _status(word: str, event: dict[str, Any], thread: dict[str, Any]) -> Report:
    service = _SERVICES.get(str(event.get("protocol")), "")
    state = _STATES[word]
    return StatusChanged(
        **{**thread, "at": _time(event.get(f"{word}_at")) or thread["at"]},
        handle=event["message_id"],
        state=state,
        service=service,
        downgraded={"imessage": False, "sms": True}.get(service),
        error=_failure(event) if state in {"error", "declined"} else None,
    )


def _own_text(event: dict[str, Any], status: StatusChanged) -> OwnTextSeen:
    return OwnTextSeen(
        line=status.line,
        human=status.human,
        at=status.at,
        handle=status.handle,
        text=str(event.get("text") or ""),
        state=status.state,
        service=status.service,
    )


def _failure(told: dict[str, Any]) -> ProviderError:
    if "cancelled" in {told.get("event", "").removeprefix("message."), told.get("status")}:
        return ProviderError(ErrorClass.PERMANENT, "cancelled", "Cancelled before it left.")
    text = str(told.get("error_message") or told.get("error") or "Failed.")
    return ProviderError(ErrorClass.PERMANENT, str(told.get("error_code") or "failed"), text, counts_against_line=True)


def _events(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A listed message as the callbacks that should have told of it, with the same keys."""
    inbound = row.get("direction") == "inbound"
    word = "received" if inbound else str(row.get("status"))
    told = {name: row.get(name) for name in ("message_id", "external_id", "internal_id", "text", "attachments")}
    told |= {"protocol": row.get("protocol"), "reply_to": row.get("reply_to")}
    told |= {"timestamp": row.get("time_sent"), "polled": True}
    if inbound or word in {"sent", "delivered", "failed"}:
        at = row.get("time_delivered") if word == "delivered" else row.get("time_sent")
        yield {**told, "event": f"message.{word}", f"{word}_at": at, "error_message": row.get("error")}
    for reaction in row.get("reactions") or []:
        yield {
            **told,
            "event": "message.reaction",
            "direction": "inbound" if reaction.get("sender") else "outbound",
            "reaction": reaction.get("reaction"),
            "action": "add" if reaction.get("is_added") else "remove",
            "timestamp": reaction.get("time_sent"),
        }


def _is_on_line(account: Account, chat: str, line: str, *, timeout: float) -> bool:
    """Whether the chat goes on over this line now.

    A chat is a human's with all lines of the account, and these calls cannot name one: a human with two agents
    would see one of them type in the other's thread.
    """
    query = {"sort": "desc", "limit": 1}
    newest = _call("GET", account, f"{_chat(chat)}/messages", timeout=timeout, params=query).get("messages") or []
    return bool(newest) and newest[0].get("internal_id") == line


def _chats(account: Account, *, since: datetime) -> Iterator[str]:
    """Chats of one human each in which something happened since, the latest first."""
    for offset in range(0, _MOST_CHATS, _PAGE):
        query = {"sort": "recent", "limit": _PAGE, "offset": offset}
        chats = _call("GET", account, "/chats", timeout=account.deadlines.poll, params=query).get("chats") or []
        for chat in chats:
            last = _time(chat.get("last_message_time"))
            if last and last < since:
                return
            if not chat.get("is_group"):
                yield str(chat["id"])
        if len(chats) < _PAGE:
            return


def _messages(
    account: Account, chat: str, *, since: datetime, timeout: float, direction: str = ""
) -> list[dict[str, Any]]:
    """A chat's messages since a moment, the oldest first."""
    rows: list[dict[str, Any]] = []
    for page in range(_MOST_PAGES):
        query = {"sort": "asc", "since": int(since.timestamp() * 1000), "limit": _PAGE, "offset": page * _PAGE}
        query |= {"direction": direction} if direction else {}
        answer = _call("GET", account, f"{_chat(chat)}/messages", timeout=timeout, params=query)
        found = answer.get("messages") or []
        rows += found
        if len(found) < _PAGE:
            break
    return rows


def _call(method: str, account: Account, path: str, **call: Any) -> dict[str, Any]:
    return object_of(_response(method, account, path, **call))


def _response(
    method: str, account: Account, path: str, *, headers: Mapping[str, str] | None = None, **call: Any
) -> httpx.Response:
    """The answer to one call; raises `ProviderCallFailed`, without an error when nobody can tell what happened."""
    url = f"{_base(account)}{path}"
    try:
        response = _client().request(method, url, headers={**_auth(account), **(headers or {})}, **call)
    except (httpx.ConnectError, httpx.ConnectTimeout) as away:
        error = ProviderError(
            ErrorClass.LINE_DOWN, "unreachable", "The provider cannot be reached.", scope=Scope.ACCOUNT
        )
        raise ProviderCallFailed(error) from away
    except httpx.HTTPError as lost:
        raise ProviderCallFailed(None) from lost
    if not response.is_success:
        raise ProviderCallFailed(_error(response))
    return response


def _error(response: httpx.Response) -> ProviderError | None:
    """What a refusal means; None when the answer is no word of theirs, so that the text may have left."""
    body: dict[str, Any] = {}
    with contextlib.suppress(ProviderCallFailed):
        body = object_of(response)
    status, code = response.status_code, str(body.get("code") or response.status_code)
    text = str(body.get("message") or body.get("error") or f"HTTP {status}")
    match status:
        case 401:
            return ProviderError(ErrorClass.LINE_DOWN, "unauthorized", text, scope=Scope.ACCOUNT)
        case 403 if code == "inbound_only_no_prior_inbound":
            return ProviderError(ErrorClass.HELD, code, text, scope=Scope.HUMAN, until_inbound=True)
        case 403 if code.startswith("safety_"):
            return ProviderError(ErrorClass.LINE_DOWN, code, text, scope=Scope.LINE, counts_against_line=True)
        case 429 if code.startswith("conversation_"):
            return ProviderError(ErrorClass.HELD, code, text, scope=Scope.HUMAN, until_inbound=True)
        case 429:
            return ProviderError(ErrorClass.HELD, code, text, retry_after=_hold(response, code), scope=Scope.LINE)
        case 502:
            # Their link to the device; harmless to repeat under the same key.
            return ProviderError(ErrorClass.RETRYABLE, code, text, scope=Scope.LINE, counts_against_line=True)
        case 503:
            return ProviderError(ErrorClass.LINE_DOWN, code, text, scope=Scope.LINE, counts_against_line=True)
    if status >= 500:
        return None
    return ProviderError(ErrorClass.PERMANENT, code, text)


def _hold(response: httpx.Response, code: str) -> float:
    """Seconds to wait: as they say, else a minute for a rate and the next day for a daily cap."""
    try:
        return max(1.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        now = datetime.now(UTC)
        tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return (tomorrow - now).total_seconds() if code.endswith("_limit_reached") else 60.0


def _signature(header: str) -> tuple[int, list[str]]:
    """The time and every `v1` of a signature header; raises `CallbackRefused` for one without."""
    parts = [part.strip().partition("=")[::2] for part in header.split(",")]
    times = [value for name, value in parts if name == "t" and value.isascii() and value.isdigit()]
    given = [value for name, value in parts if name == "v1" and value]
    if len(times) != 1 or len(times[0]) > 12 or not given:
        raise CallbackRefused("The signature is missing or unreadable.")
    return int(times[0]), given


def _secrets(account: Account) -> list[str]:
    return [secret for secret in account.callback_secrets if secret]


def _chat(human: str) -> str:
    return f"/chats/{quote(human, safe='')}"


def _base(account: Account) -> str:
    return account.base_url.rstrip("/")


def _auth(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.token}"}


@functools.cache
def _client() -> httpx.Client:
    return httpx.Client(trust_env=False, follow_redirects=False)


def _raw(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


def _time(milliseconds: Any) -> datetime | None:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or milliseconds <= 0:
        return None
    with contextlib.suppress(OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    return None
