"""The driver of Sendblue: hosted lines with iMessage, RCS and SMS, no send key, and tapbacks that arrive as text.

Called over the vendor's own library, its retries off; what the library lacks goes through its raw calls.
"""

import functools
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sendblue_api import APIConnectionError, APIStatusError, SendblueAPI

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
    LineReported,
    ListedLine,
    Media,
    MediaRequest,
    OptedOut,
    Outcome,
    OwnTextSeen,
    ProviderCallFailed,
    ProviderError,
    ReplyTarget,
    Report,
    Scope,
    SendOrder,
    SendReceipt,
    ServiceAnswer,
    StatusChanged,
    TapbackTextArrived,
    TextArrived,
    Thread,
    TypingChanged,
    Unrecognised,
    not_supported,
)
from lines.tapback_texts import read_tapback

_SERVICES = {"imessage": "imessage", "sms": "sms", "rcs": "rcs"}

_STATES = {
    "REGISTERED": "pending",
    "PENDING": "pending",
    "QUEUED": "queued",
    "ACCEPTED": "accepted",
    "SENT": "sent",
    "SUCCESS": "sent",
    "DELIVERED": "delivered",
    "DECLINED": "declined",
    "ERROR": "error",
}

# What each of their error codes means; the rest is an error of the text's own.
_CODES: dict[int, dict[str, Any]] = {
    4000: {"error_class": ErrorClass.PERMANENT},
    4001: {"error_class": ErrorClass.RETRYABLE},
    4002: {"error_class": ErrorClass.PERMANENT, "scope": Scope.HUMAN, "reason": "opted_out"},
    5000: {"error_class": ErrorClass.UNKNOWN},
    5003: {"error_class": ErrorClass.RETRYABLE},
    5509: {"error_class": ErrorClass.RETRYABLE},
    10001: {"error_class": ErrorClass.PERMANENT, "counts_against_line": True},
    10002: {"error_class": ErrorClass.UNKNOWN},
}
_FAILED_TO_SEND = "10001"

# Rules of theirs that decline a text, by the stable word for each.
_KEYS: dict[str, dict[str, Any]] = {
    "LINE_HOURLY_LIMIT_REACHED": {"error_class": ErrorClass.HELD, "scope": Scope.LINE},
    "LINE_DAILY_LIMIT_REACHED": {"error_class": ErrorClass.HELD, "scope": Scope.LINE},
    "PRE_REPLY_LIMIT_REACHED": {"error_class": ErrorClass.HELD, "scope": Scope.HUMAN, "until_inbound": True},
    "OPTED_OUT": {"error_class": ErrorClass.PERMANENT, "scope": Scope.HUMAN, "reason": "opted_out"},
}

# When nobody says when a limit ends: their windows are an hour and a day.
_USUAL_HOLD = 3600.0

_LINE_STATES = {"ONLINE": "healthy", "DEGRADED": "degraded", "OFFLINE": "down"}

# No `outbound`: the per-message callbacks say the same, and their address names the order.
_WEBHOOKS = ("receive", "typing_indicator", "line_blocked", "line_assigned")

# Polls look back so far behind what they have read: rows are not written in the order of their times.
_OVERLAP = timedelta(minutes=2)
_FIRST_POLL = timedelta(hours=1)
_PAGE, _MOST_PAGES = 100, 10


class SendblueDriver(Driver):
    """See `lines.providers.base.Driver`. The account's token is the key id and the secret key, with a colon between."""

    name = "sendblue"
    card = Capabilities(
        services=("imessage", "rcs", "sms"),
        effects=frozenset(EFFECTS),
        reply=True,
        tapback=True,
        tapbacks_in="text",
        tapback_removals_in=False,
        typing=True,
        typing_end=True,
        typing_in=True,
        read_receipt=True,
        lookup=True,
        health="state, usage, contact status",
    )

    def send(self, account: Account, order: SendOrder) -> SendReceipt:
        if order.service == "imessage" and order.first_contact and self._is_known_as_sms(account, order):
            return SendReceipt.refused(
                ProviderError(ErrorClass.RECIPIENT_UNREACHABLE, "lookup_sms", "Not on iMessage.")
            )
        body: dict[str, Any] = {"number": order.human, "from_number": order.line}
        body |= {"content": order.text} if order.text else {}
        body |= {"media_url": order.media[0]} if order.media else {}
        body |= {"send_style": order.effect} if order.effect in self.card.effects else {}
        body |= {"status_callback": order.status_url} if order.status_url else {}
        if order.reply_to:
            body["reply_to"] = {"message_handle": order.reply_to.handle}
            # Their own advice: name a part only where there is more than one.
            body["reply_to"] |= {"part_index": order.reply_to.part} if order.reply_to.part else {}
        timeout = account.deadlines.send
        try:
            answer = _ask(account, lambda api: api.messages.with_raw_response.send(**body, timeout=timeout))
        except ProviderCallFailed as failed:
            return self._not_sent(account, order, failed.error)
        return self._receipt(account, order, answer)

    def find_sent(self, account: Account, order: SendOrder, *, since: datetime, known: set[str]) -> SendReceipt | None:
        rows = _listed(
            account,
            timeout=account.deadlines.find_sent,
            number=order.human,
            sendblue_number=order.line,
            is_outbound="true",
            updated_at_gte=since.isoformat(),
        )
        for row in reversed(rows):
            if row.get("message_handle") not in known and _is_of(order, row):
                receipt = self._receipt(account, order, row)
                if receipt.outcome is Outcome.UNKNOWN:
                    raise ProviderCallFailed(receipt.error)
                return receipt
        return None

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
        if remove:
            raise not_supported("take back a tapback")
        if kind not in SIX_TAPBACKS:
            raise not_supported("put a tapback with any emoji")
        body = {"from_number": line, "message_handle": handle, "reaction": kind, "part_index": part}
        _post(account, "/api/send-reaction", body, timeout=account.deadlines.tapback)

    def typing(self, account: Account, *, line: str, human: str, on: bool, chat: str = "") -> None:
        timeout = account.deadlines.typing
        try:
            _ask(
                account,
                lambda api: api.typing_indicators.with_raw_response.send(
                    from_number=line, number=human, state="start" if on else "stop", timeout=timeout
                ),
            )
        except ProviderCallFailed as failed:
            # Nothing was ever said in this thread, so there is nowhere to show it.
            if failed.error is None or "no route mapping" not in failed.error.text.lower():
                raise

    def mark_read(self, account: Account, *, line: str, human: str, chat: str = "") -> None:
        body = {"number": human, "from_number": line}
        _post(account, "/api/mark-read", body, timeout=account.deadlines.mark_read)

    def lookup_service(self, account: Account, *, line: str, address: str) -> ServiceAnswer:
        timeout = account.deadlines.lookup
        found = _ask(account, lambda api: api.lookups.with_raw_response.lookup_number(number=address, timeout=timeout))
        return ServiceAnswer(_SERVICES.get(str(found.get("service")).lower(), "unknown"), datetime.now(UTC))

    def media_request(self, account: Account, *, url: str) -> MediaRequest | None:
        return MediaRequest(url) if url.startswith(f"{account.base_url.rstrip('/')}/") else None

    def probe(self, account: Account, *, line: str) -> LineReading:
        try:
            states, date = _states(account, timeout=account.deadlines.probe)
        except ProviderCallFailed as failed:
            return no_reading(failed.error)
        seen = {str(row.get("sendblue_number")): row for row in states}
        if line not in seen:
            return LineReading(
                state="down", reasons=["not_our_line"], reachable=True, authenticated=True, addresses=sorted(seen)
            )
        word = str(seen[line].get("status"))
        replaced = seen[line].get("assignment") == "grace_period"
        state = _LINE_STATES.get(word, "unknown")
        usage = _usage(account, line)
        hourly, daily = usage.get("hourly") or {}, usage.get("daily") or {}
        return LineReading(
            state="degraded" if state == "healthy" and replaced else state,
            reasons=([] if state == "healthy" else [word.lower()]) + (["line_replaced"] if replaced else []),
            reachable=True,
            authenticated=True,
            provider_state=word,
            addresses=sorted(seen),
            clock_offset=clock_offset(date),
            new_contacts_hour=hourly.get("remaining"),
            new_contacts_day=daily.get("remaining"),
            resets_at=_time(usage.get("availableAt") or daily.get("resetsAt")),
            raw={"state": seen[line], "usage": usage},
        )

    def list_lines(self, account: Account) -> list[ListedLine]:
        states, _ = _states(account, timeout=account.deadlines.list_lines)
        return [ListedLine(str(row["sendblue_number"]), str(row.get("status"))) for row in states]

    def install_callbacks(self, account: Account, *, url: str) -> Installed:
        timeout = account.deadlines.install_callbacks
        answer = _ask(account, lambda api: api.webhooks.with_raw_response.list(timeout=timeout))
        registered = answer.get("webhooks") or {}
        wanted = {"url": url, "secret": account.callback_secret}
        for kind in _WEBHOOKS:
            known = [_hook(hook) for hook in registered.get(kind) or []]
            same = [hook for hook in known if hook["url"] == url]
            if [hook.get("secret") for hook in same] == [account.callback_secret]:
                continue
            if same:
                _hooks(account, "DELETE", kind, [url])
            _hooks(account, "POST", kind, [wanted])
        return Installed(urls=[url])

    def poll(self, account: Account, *, cursor: str, threads: Sequence[Thread] = ()) -> tuple[list[bytes], str]:
        read = _time(cursor) or datetime.now(UTC) - _FIRST_POLL
        since = (read - _OVERLAP).isoformat()
        rows = _listed(account, timeout=account.deadlines.poll, updated_at_gte=since)
        newest = max([read, *(at for row in rows if (at := _time(row.get("date_updated"))))])
        # Marked, because a text that somebody wrote at Sendblue itself is met here alone.
        return [json.dumps({**row, "polled": True}).encode() for row in rows], newest.isoformat()

    def prove(
        self, account: Account, *, headers: Mapping[str, str], body: bytes, url: str, order_key: str = ""
    ) -> None:
        # A status callback carries no secret: our token in its path is the proof, but of nothing else than a status.
        if order_key and _is_status(body):
            return
        sent = {name.lower(): value for name, value in headers.items()}.get("sb-signing-secret", "").encode()
        secrets = [secret.encode() for secret in account.callback_secrets if secret]
        if not any(hmac.compare_digest(sent, secret) for secret in secrets):
            raise CallbackRefused("The shared secret is missing or wrong.")

    def identify(self, account: Account, *, body: bytes) -> CallbackId:
        event = object_in(body)
        if event.get("message_handle"):
            way = "out" if event.get("is_outbound") else "in"
            key = f"{event['message_handle']}:{event.get('status')}:{way}"
            line, human = _ends(event)
            return CallbackId(key=key, thread=f"{line}/{human}", at=_time(event.get("date_updated")))
        # No id and perhaps no time: two alike within some seconds are one that was repeated.
        digest = hashlib.sha256(body).hexdigest()
        return CallbackId(key=f"{digest}:{int(time.time()) // 10}")

    def parse(self, account: Account, *, body: bytes) -> list[Report]:
        event = object_in(body)
        line, human = _ends(event)
        if event.get("message_handle"):
            return _told(event, line, human) if event.get("is_outbound") else _heard(event, line, human)
        return [_other(event, line, human)]

    def _is_known_as_sms(self, account: Account, order: SendOrder) -> bool:
        """Asked before a first text that may not fall back: they fall back by themselves and cannot be told not to."""
        try:
            return self.lookup_service(account, line=order.line, address=order.human).service == "sms"
        except ProviderCallFailed:
            return False

    def _receipt(self, account: Account, order: SendOrder, message: dict[str, Any]) -> SendReceipt:
        state = _STATES.get(str(message.get("status")), "accepted")
        if state in {"error", "declined"}:
            return self._not_sent(account, order, _error(message))
        service = _SERVICES.get(str(message.get("service")).lower(), "imessage")
        return SendReceipt(
            outcome=Outcome.ACCEPTED,
            handle=str(message.get("message_handle", "")),
            state=state,
            service=service,
            line=str(message.get("from_number") or ""),
            downgraded=_flag(message.get("was_downgraded")),
            notes=["effect_dropped"] if order.effect and service != "imessage" else [],
        )

    def _not_sent(self, account: Account, order: SendOrder, error: ProviderError | None) -> SendReceipt:
        if error is None or error.error_class is ErrorClass.UNKNOWN:
            return SendReceipt(outcome=Outcome.UNKNOWN, error=error)
        if error.code == _FAILED_TO_SEND and self._is_known_as_sms(account, order):
            return SendReceipt.refused(ProviderError(ErrorClass.RECIPIENT_UNREACHABLE, error.code, error.text))
        if error.error_class is ErrorClass.HELD and not error.until_inbound:
            ends = _time(_usage(account, order.line).get("availableAt"))
            wait = (ends - datetime.now(UTC)).total_seconds() if ends else _USUAL_HOLD
            return SendReceipt.refused(replace(error, retry_after=max(1.0, wait)))
        return SendReceipt.refused(error)


DRIVER = SendblueDriver()


def _ask(account: Account, call: Callable[[SendblueAPI], Any]) -> dict[str, Any]:
    return object_of(_response(account, call))


def _response(account: Account, call: Callable[[SendblueAPI], Any]) -> httpx.Response:
    """The answer to one call; raises `ProviderCallFailed`, without an error when nobody can tell what happened."""
    try:
        answer = call(_client(account.base_url, account.token))
    except APIStatusError as refused:
        raise ProviderCallFailed(_status_error(refused.response)) from refused
    except APIConnectionError as failed:
        raise ProviderCallFailed(_connection_error(failed)) from failed
    return answer if isinstance(answer, httpx.Response) else answer.http_response


@functools.lru_cache(maxsize=32)
def _client(base_url: str, token: str) -> SendblueAPI:
    key, _, secret = token.partition(":")
    return SendblueAPI(
        api_key=key,
        api_secret=secret,
        base_url=base_url,
        # A failed POST tried again is a text sent twice: there is no send key.
        max_retries=0,
        http_client=httpx.Client(trust_env=False, follow_redirects=False),
    )


def _post(account: Account, path: str, body: dict[str, Any], *, timeout: float) -> None:
    _ask(account, lambda api: api.post(path, body=body, cast_to=httpx.Response, options={"timeout": timeout}))


def _hooks(account: Account, method: str, kind: str, hooks: list[Any]) -> None:
    timeout = account.deadlines.install_callbacks
    body = {"webhooks": hooks, "type": kind}

    def call(api: SendblueAPI) -> Any:
        deed = api.delete if method == "DELETE" else api.post
        return deed("/api/account/webhooks", body=body, cast_to=httpx.Response, options={"timeout": timeout})

    _ask(account, call)


def _hook(registered: Any) -> dict[str, Any]:
    return registered if isinstance(registered, dict) else {"url": registered}


def _listed(account: Account, *, timeout: float, **filters: Any) -> list[dict[str, Any]]:
    """Messages, the earliest changed first."""
    filters |= {"order_by": "updatedAt", "order_direction": "asc", "limit": _PAGE, "timeout": timeout}
    rows: list[dict[str, Any]] = []
    for _ in range(_MOST_PAGES):
        call = functools.partial(_list_messages, **filters, offset=len(rows))
        answer = _ask(account, call)
        found = answer.get("data") or []
        rows += found
        if len(found) < _PAGE or not (answer.get("pagination") or {}).get("hasMore"):
            break
    return rows


def _list_messages(api: SendblueAPI, **query: Any) -> Any:
    return api.messages.with_raw_response.list(**query)


def _states(account: Account, *, timeout: float) -> tuple[list[dict[str, Any]], str]:
    response = _response(account, lambda api: api.lines.with_raw_response.get_state(timeout=timeout))
    rows = object_of(response).get("data") or []
    return [row for row in rows if row.get("sendblue_number")], response.headers.get("date", "")


def _usage(account: Account, line: str) -> dict[str, Any]:
    """New contacts used and left; empty when it cannot be had, for it decides nothing."""
    timeout = account.deadlines.probe
    try:
        answer = _ask(account, lambda api: api.lines.with_raw_response.get_usage(timeout=timeout))
    except ProviderCallFailed:
        return {}
    return next((row for row in answer.get("lines") or [] if row.get("phone") == line), {})


def _is_of(order: SendOrder, row: dict[str, Any]) -> bool:
    """Whether a listed message is the order's; links of files are rewritten on the way, so only texts compare."""
    same = str(row.get("content") or "").split() == order.text.split()
    return same and bool(row.get("media_url")) == bool(order.media)


def _connection_error(failed: APIConnectionError) -> ProviderError | None:
    """Line-down when the connection never stood, so that nothing left; else nobody knows."""
    if isinstance(failed.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
        return ProviderError(
            ErrorClass.LINE_DOWN, "unreachable", "The provider cannot be reached.", scope=Scope.ACCOUNT
        )
    return None


def _status_error(response: httpx.Response) -> ProviderError | None:
    try:
        body = object_of(response)
    except ProviderCallFailed:
        body = {}
    text = str(body.get("error_message") or body.get("message") or f"HTTP {response.status_code}")
    if response.status_code in {401, 403}:
        return ProviderError(ErrorClass.LINE_DOWN, "unauthorized", text, scope=Scope.ACCOUNT)
    if response.status_code == 429:
        wait = _seconds(response.headers.get("retry-after"))
        return ProviderError(ErrorClass.RETRYABLE, "429", text, retry_after=wait, scope=Scope.ACCOUNT)
    known = _known(body)
    if response.is_server_error and (known is None or known["error_class"] is ErrorClass.UNKNOWN):
        return None
    return ProviderError(**(known or {"error_class": ErrorClass.PERMANENT}), code=_code(body, response), text=text)


def _error(message: dict[str, Any]) -> ProviderError:
    """Why a message failed or was declined, from its own fields."""
    text = message.get("error_message") or message.get("error_detail") or message.get("error_reason") or "Failed."
    known = _known(message) or {"error_class": ErrorClass.PERMANENT, "counts_against_line": True}
    return ProviderError(**known, code=_code(message), text=str(text))


def _known(body: dict[str, Any]) -> dict[str, Any] | None:
    key = str(body.get("error_key") or "")
    if "SMS" in key and "LIMIT" in key:
        return {"error_class": ErrorClass.HELD, "scope": Scope.LINE}
    if key in _KEYS:
        return _KEYS[key]
    code = body.get("error_code")
    # The number of a request limit, inside an answer that is none: a limit of the line.
    if code == 429:
        return {"error_class": ErrorClass.HELD, "scope": Scope.LINE}
    return _CODES.get(code) if isinstance(code, int) else None


def _code(body: dict[str, Any], response: httpx.Response | None = None) -> str:
    return str(body.get("error_key") or body.get("error_code") or (response.status_code if response else "error"))


def _ends(event: dict[str, Any]) -> tuple[str, str]:
    """Our line and the human's address, whichever way the message went."""
    if event.get("is_outbound"):
        line, human = event.get("from_number"), event.get("to_number")
    else:
        line, human = event.get("to_number"), event.get("from_number")
    return str(event.get("sendblue_number") or line or ""), str(human or event.get("number") or "")


def _told(event: dict[str, Any], line: str, human: str) -> list[Report]:
    """What became of a text from our line; one found by a poll may be nobody's order."""
    word, handle = str(event.get("status")), str(event["message_handle"])
    thread: dict[str, Any] = {"line": line, "human": human, "at": _time(event.get("date_updated"))}
    if word not in _STATES:
        return [Unrecognised(**thread, raw_type=f"status {word}"[:60])]
    state = _STATES[word]
    status = StatusChanged(
        **thread,
        handle=handle,
        state=state,
        service=_SERVICES.get(str(event.get("service")).lower(), ""),
        downgraded=_flag(event.get("was_downgraded")),
        error=_error(event) if state in {"error", "declined"} else None,
    )
    own = OwnTextSeen(**thread, handle=handle, text=str(event.get("content") or ""), state=state)
    return [own, status] if event.get("polled") else [status]


def _heard(event: dict[str, Any], line: str, human: str) -> list[Report]:
    text, service = str(event.get("content") or ""), _SERVICES.get(str(event.get("service")).lower(), "imessage")
    thread: dict[str, Any] = {"line": line, "human": human, "at": _time(event.get("date_sent"))}
    handle, media = str(event["message_handle"]), (Media(event["media_url"]),) if event.get("media_url") else ()
    if not text and not media:
        # A place, a card, a poll: nothing that an agent could be shown.
        return [Unrecognised(**thread, raw_type=f"message {event.get('message_type')}"[:60])]
    tapback = None if media or event.get("group_id") else read_tapback(text)
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
                service=service,
            )
        ]
    heard: list[Report] = [
        TextArrived(
            **thread,
            handle=handle,
            text=text,
            media=media,
            service=service,
            reply_to=_reply_target(event.get("reply_to")),
            group=str(event.get("group_id") or ""),
        )
    ]
    return [*heard, OptedOut(**thread, word=text[:20])] if event.get("opted_out") else heard


def _is_status(body: bytes) -> bool:
    try:
        return object_in(body).get("is_outbound") is True
    except ValueError:
        return False


def _reply_target(named: Any) -> ReplyTarget | None:
    if not isinstance(named, dict) or not named.get("message_handle"):
        return None
    return ReplyTarget(str(named["message_handle"]), int(named.get("part_index") or 0))


def _other(event: dict[str, Any], line: str, human: str) -> Report:
    """A callback about something else than a message; their shapes are not documented, so read with leniency."""
    kind = str(event.get("type") or event.get("event") or event.get("webhook_type") or "")
    thread: dict[str, Any] = {
        "line": str(event.get("sendblue_number") or event.get("line") or event.get("phone_number") or line),
        "human": human,
        "at": _time(event.get("timestamp") or event.get("occurred_at")),
    }
    if kind == "line_blocked":
        return LineReported(**thread, seen="flagged", reason="line_blocked", provider_state=kind)
    if kind == "line_assigned":
        return LineReported(**thread, seen="unknown", reason="line_assigned", provider_state=kind)
    if "is_typing" in event or kind == "typing_indicator":
        # Told from the human's side: `number` is theirs, `from_number` the line, or the other way round.
        ends = {"line": str(event.get("sendblue_number") or event.get("from_number") or "")}
        human = str(event.get("number") or human)
        on = event.get("is_typing", event.get("state") != "stop")
        return TypingChanged(**{**thread, **ends, "human": human}, on=bool(on))
    return Unrecognised(**thread, raw_type=kind[:60])


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str) or not value:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None
