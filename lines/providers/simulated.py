"""The driver of the simulated phone network (`simulator/`), spoken to over HTTP like any real provider.

Its wire is documented in `docs/reference/simulator.md`.
"""

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from standardwebhooks import Webhook, WebhookVerificationError

from lines.providers.base import (
    Account,
    CallbackId,
    CallbackRefused,
    Capabilities,
    ErrorClass,
    LineReading,
    Media,
    Outcome,
    ProviderCallFailed,
    ProviderError,
    ReadReported,
    Report,
    SendOrder,
    SendReceipt,
    StatusChanged,
    TapbackArrived,
    TextArrived,
    TypingChanged,
    Unrecognised,
)

# Deadlines in seconds: contract/lines.md 2.2, hosted column; short because the network is on this machine.
SEND_DEADLINE = 10
CALL_DEADLINE = 5

_CLASSES = {
    "line_offline": ErrorClass.LINE_DOWN,
    "signed_out": ErrorClass.LINE_DOWN,
    "flagged": ErrorClass.LINE_DOWN,
    "unauthorized": ErrorClass.LINE_DOWN,
    "not_on_imessage": ErrorClass.RECIPIENT_UNREACHABLE,
    "rate_limited": ErrorClass.HELD,
}

_SIX = {"love", "like", "dislike", "laugh", "emphasize", "question"}
_LINE_STATES = {"online": "healthy", "offline": "down", "signed_out": "down", "flagged": "flagged"}


class SimulatedDriver:
    """See `lines.providers.base.Driver`."""

    name = "simulated"

    def capabilities(self) -> Capabilities:
        return Capabilities(tapback=True, tapback_remove=True, typing=True, read_receipt=True)

    def send(self, account: Account, order: SendOrder) -> SendReceipt:
        body = {
            "from": order.line,
            "to": order.human,
            "text": order.text,
            "media": list(order.media),
            "effect": order.effect or None,
            "service": order.service,
            "idempotency_key": order.key,
            "status_reference": order.key,
        }
        try:
            response = _client().post(
                f"{account.base_url}/v1/messages", json=body, headers=_auth(account), timeout=SEND_DEADLINE
            )
        except (httpx.ConnectError, httpx.ConnectTimeout):
            # The connection never stood, so nothing left.
            return _refused(ErrorClass.LINE_DOWN, "unreachable", "The provider cannot be reached.")
        except httpx.HTTPError:
            return SendReceipt(outcome=Outcome.UNKNOWN)
        if response.is_success:
            return _accepted(_object(response))
        error = _error(response)
        # A 5xx without the provider's own code may come after the text left.
        if response.is_server_error and error.error_class is not ErrorClass.LINE_DOWN:
            return SendReceipt(outcome=Outcome.UNKNOWN)
        return SendReceipt(outcome=Outcome.REFUSED, error=error)

    def can_repeat(self, account: Account, *, line: str) -> bool:
        return bool(_call("GET", account, f"/v1/lines/{quote(line)}").get("send_key"))

    def find_sent(self, account: Account, order: SendOrder, *, since: datetime, known: set[str]) -> SendReceipt | None:
        found = _call(
            "GET",
            account,
            "/v1/messages",
            params={
                "line": order.line,
                "human": order.human,
                "since": since.isoformat(),
                "direction": "outbound",
                "limit": 100,
            },
        )
        for sent in reversed(found.get("messages", [])):
            if sent["text"] == order.text and sent["id"] not in known:
                return _accepted(sent)
        return None

    def tapback(
        self, account: Account, *, line: str, handle: str, part: int, kind: str, emoji: str, remove: bool
    ) -> None:
        body = {
            "action": "remove" if remove else "add",
            "kind": kind if kind in _SIX else "emoji",
            "emoji": emoji or None,
            "part": part,
        }
        _call("POST", account, f"/v1/messages/{quote(handle, safe='')}/tapbacks", json=body)

    def typing(self, account: Account, *, line: str, human: str, on: bool) -> None:
        _call("POST", account, "/v1/threads/typing", json={"line": line, "human": human, "on": on})

    def mark_read(self, account: Account, *, line: str, human: str) -> None:
        _call("POST", account, "/v1/threads/read", json={"line": line, "human": human})

    def media_headers(self, account: Account, url: str) -> dict[str, str] | None:
        return _auth(account) if url.startswith(f"{account.base_url}/v1/media/") else None

    def probe(self, account: Account, *, line: str) -> LineReading:
        try:
            seen = _call("GET", account, f"/v1/lines/{quote(line)}")
        except ProviderCallFailed as failed:
            return LineReading(state="down", reasons=[failed.error.code if failed.error else "no_answer"])
        state = _LINE_STATES.get(str(seen.get("state")), "unknown")
        return LineReading(state=state, reasons=[] if state == "healthy" else [str(seen.get("state"))])

    def install_callbacks(self, account: Account, *, url: str) -> None:
        _call("PUT", account, "/v1/callback", json={"url": url, "secret": account.callback_secret})

    def poll(self, account: Account, *, cursor: str) -> tuple[list[bytes], str]:
        answer = _call("GET", account, "/v1/events", params={"after": cursor or "0", "limit": 200})
        events = [json.dumps(event).encode() for event in answer.get("events", [])]
        return events, str(answer.get("next", cursor))

    def prove(self, account: Account, *, headers: Mapping[str, str], body: bytes, url: str) -> None:
        lower = {name.lower(): value for name, value in headers.items()}
        try:
            Webhook(account.callback_secret).verify(body, lower)
        except (WebhookVerificationError, ValueError, OverflowError) as refused:
            raise CallbackRefused(str(refused)) from refused

    def identify(self, body: bytes) -> CallbackId:
        event = _parsed(body)
        data = event["data"]
        thread = f"{data.get('line', '')}/{data.get('human', '')}"
        return CallbackId(key=str(event["id"]), thread=thread, at=_time(event.get("created_at")))

    def parse(self, body: bytes) -> list[Report]:
        event = _parsed(body)
        return [_report(event["type"], event["data"])]


def _report(kind: str, data: dict[str, Any]) -> Report:
    thread: dict[str, Any] = {
        "line": str(data.get("line", "")),
        "human": str(data.get("human", "")),
        "at": _time(data.get("at") or data.get("sent_at")),
    }
    match kind:
        case "message.received":
            media = [Media(m["url"], m.get("content_type") or "", m.get("size")) for m in data.get("media") or []]
            return TextArrived(
                **thread,
                handle=data["message_id"],
                text=data.get("text") or "",
                media=media,
                service=data.get("service", "imessage"),
            )
        case "message.status":
            return StatusChanged(
                **thread,
                handle=data["message_id"],
                state={"failed": "error"}.get(data["status"], data["status"]),
                order_key=data.get("reference") or "",
                service=data.get("service") or "",
                downgraded=data.get("downgraded"),
                error=_status_error(data.get("error")),
            )
        case "message.read":
            return ReadReported(**thread, handle=data["up_to_message_id"])
        case "tapback.added" | "tapback.removed":
            return TapbackArrived(
                **thread,
                handle=data["message_id"],
                part=int(data.get("part") or 0),
                kind=data["kind"] if data["kind"] in _SIX else "custom",
                emoji=data.get("emoji") or "",
                removed=kind == "tapback.removed",
            )
        case "typing.changed":
            return TypingChanged(**thread, on=bool(data.get("on")))
    return Unrecognised(**thread, raw_type=kind)


def _parsed(body: bytes) -> dict[str, Any]:
    event = json.loads(body)
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict) or not event.get("id"):
        raise ValueError("A callback is an object with id, type and data.")
    return event


def _call(method: str, account: Account, path: str, **request: Any) -> dict[str, Any]:
    try:
        response = _client().request(
            method, account.base_url + path, headers=_auth(account), timeout=CALL_DEADLINE, **request
        )
    except (httpx.ConnectError, httpx.ConnectTimeout) as failed:
        raise ProviderCallFailed(
            ProviderError(ErrorClass.LINE_DOWN, "unreachable", "The provider cannot be reached.")
        ) from failed
    except httpx.HTTPError as failed:
        raise ProviderCallFailed(None) from failed
    if not response.is_success:
        raise ProviderCallFailed(_error(response))
    return _object(response)


def _accepted(sent: dict[str, Any]) -> SendReceipt:
    return SendReceipt(
        outcome=Outcome.ACCEPTED,
        handle=str(sent.get("id", "")),
        state=str(sent.get("status") or "sent"),
        service=str(sent.get("service") or "imessage"),
    )


def _refused(error_class: ErrorClass, code: str, text: str) -> SendReceipt:
    return SendReceipt(outcome=Outcome.REFUSED, error=ProviderError(error_class, code, text))


def _error(response: httpx.Response) -> ProviderError:
    body = _object(response).get("error")
    error = body if isinstance(body, dict) else {}
    code = str(error.get("code") or f"http_{response.status_code}")
    default = ErrorClass.RETRYABLE if response.is_server_error else ErrorClass.PERMANENT
    return ProviderError(
        _CLASSES.get(code, default), code, str(error.get("message") or "")[:500], error.get("retry_after")
    )


def _status_error(error: dict[str, Any] | None) -> ProviderError | None:
    if not error:
        return None
    code = str(error.get("code") or "failed")
    return ProviderError(_CLASSES.get(code, ErrorClass.PERMANENT), code, str(error.get("message") or "")[:500])


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _time(text: str | None) -> datetime | None:
    moment = datetime.fromisoformat(text) if text else None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _auth(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.token}"}


@functools.cache
def _client() -> httpx.Client:
    """One client for all threads. No proxies from the environment, no redirects, no retries of its own."""
    return httpx.Client(trust_env=False, follow_redirects=False)
