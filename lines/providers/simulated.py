"""The driver of the simulated phone network (`simulator/`), spoken to over HTTP like any real provider.

Its wire is documented in `docs/reference/simulator.md`.
"""

import contextlib
import functools
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from standardwebhooks import Webhook, WebhookVerificationError

from lines.answers import no_reading
from lines.effects import EFFECTS
from lines.providers.base import (
    SIX_TAPBACKS,
    UNLIMITED,
    Account,
    CallbackId,
    CallbackRefused,
    Capabilities,
    Deadlines,
    Driver,
    ErrorClass,
    Group,
    GroupChanged,
    Installed,
    LineReading,
    ListedLine,
    Media,
    MediaRequest,
    Outcome,
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
    TextArrived,
    Thread,
    TypingChanged,
    Unrecognised,
    Upload,
)

_CLASSES = {
    "line_offline": ErrorClass.LINE_DOWN,
    "signed_out": ErrorClass.LINE_DOWN,
    "flagged": ErrorClass.LINE_DOWN,
    "unauthorized": ErrorClass.LINE_DOWN,
    "not_on_imessage": ErrorClass.RECIPIENT_UNREACHABLE,
    "rate_limited": ErrorClass.HELD,
    "new_contact_limit": ErrorClass.HELD,
    "unresolved": ErrorClass.UNKNOWN,
    "opted_out": ErrorClass.PERMANENT,
    "filtered": ErrorClass.PERMANENT,
}

# How far each reaches; every other error is about the one text.
_SCOPES = {
    "line_offline": Scope.LINE,
    "signed_out": Scope.LINE,
    "flagged": Scope.LINE,
    "unauthorized": Scope.ACCOUNT,
    "not_on_imessage": Scope.HUMAN,
    "rate_limited": Scope.LINE,
    "opted_out": Scope.HUMAN,
}

# What is gone without the helper.
_HELPED = (
    "tapback",
    "tapback_remove",
    "tapback_emoji",
    "typing",
    "typing_end",
    "read_receipt",
    "group_rename",
    "background",
)

# What a number with SMS alone leaves out of a text.
_NOTES = {"effect": "effect_dropped", "reply_to": "reply_dropped"}

_LINE_STATES = {"online": "healthy", "offline": "down", "signed_out": "down", "flagged": "flagged"}


class SimulatedDriver(Driver):
    """See `lines.providers.base.Driver`."""

    name = "simulated"
    card = Capabilities(
        services=("imessage", "sms"),
        send_key=True,
        effects=frozenset(EFFECTS),
        reply=True,
        tapback=True,
        tapback_remove=True,
        tapback_emoji=True,
        typing=True,
        typing_end=True,
        typing_in=True,
        read_receipt=True,
        reads_in=True,
        lookup=True,
        most_media=20,
        groups=True,
        group_rename=True,
        background=True,
        health="state of the line",
    )
    limits = UNLIMITED
    # Short, because the network is on this machine.
    deadlines = Deadlines(
        probe=5, send=10, find_sent=5, tapback=5, typing=5, mark_read=5, lookup=5, poll=5, install_callbacks=5
    )

    def send(self, account: Account, order: SendOrder) -> SendReceipt:
        body = {
            "from": order.line,
            **_addressed(order),
            "text": order.text,
            "media": list(order.media),
            "effect": order.effect or None,
            "service": order.service,
            "reply_to": {"id": order.reply_to.handle, "part": order.reply_to.part} if order.reply_to else None,
            "idempotency_key": order.key,
            "status_reference": order.key,
        }
        try:
            response = _client().post(
                f"{account.base_url}/v1/messages", json=body, headers=_auth(account), timeout=account.deadlines.send
            )
        except (httpx.ConnectError, httpx.ConnectTimeout):
            # The connection never stood, so nothing left.
            return SendReceipt.refused(_unreachable())
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
                "human": order.group.key if order.group else order.human,
                "since": since.isoformat(),
                "direction": "outbound",
                "limit": 100,
            },
        )
        for sent in reversed(found.get("messages", [])):
            if sent["text"] == order.text and sent["id"] not in known and _is_for(order, sent):
                return _accepted(sent)
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
        body = {
            "action": "remove" if remove else "add",
            "kind": kind if kind in SIX_TAPBACKS else "emoji",
            "emoji": emoji or None,
            "part": part,
        }
        _call("POST", account, f"/v1/messages/{quote(handle, safe='')}/tapbacks", json=body)

    def typing(self, account: Account, *, line: str, human: str, on: bool, chat: str = "") -> None:
        _call("POST", account, "/v1/threads/typing", json={**_thread(line, human, chat), "on": on})

    def mark_read(self, account: Account, *, line: str, human: str, chat: str = "") -> None:
        _call("POST", account, "/v1/threads/read", json=_thread(line, human, chat))

    def background(self, account: Account, *, line: str, human: str, media: Upload | None, chat: str = "") -> None:
        file = None
        if media is not None:
            headers = {"Content-Type": media.content_type}
            file = _call("POST", account, "/v1/media", content=media.content, headers=headers)["id"]
        _call("PUT", account, "/v1/threads/background", json={"line": line, "human": human, "media": file})

    def rename_group(self, account: Account, *, line: str, chat: str, name: str) -> None:
        _call("PUT", account, f"/v1/groups/{quote(chat, safe='')}", json={"line": line, "name": name})

    def lookup_service(self, account: Account, *, line: str, address: str) -> ServiceAnswer:
        found = _call("GET", account, "/v1/lookup", params={"number": address})
        service = str(found.get("service"))
        return ServiceAnswer(service if service in {"imessage", "sms"} else "unknown", datetime.now(UTC))

    def media_request(self, account: Account, *, url: str) -> MediaRequest | None:
        return MediaRequest(url, _auth(account)) if url.startswith(f"{account.base_url}/v1/media/") else None

    def probe(self, account: Account, *, line: str) -> LineReading:
        try:
            seen = _call("GET", account, f"/v1/lines/{quote(line)}", deadline=account.deadlines.probe)
        except ProviderCallFailed as failed:
            return no_reading(failed.error)
        word = str(seen.get("state"))
        state = _LINE_STATES.get(word, "unknown")
        reasons = [] if state == "healthy" else [word]
        if state == "healthy" and seen.get("helper") is False:
            state, reasons = "degraded", ["helper_lost"]
        left = seen.get("allowance") or {}
        return LineReading(
            state=state,
            reasons=reasons,
            reachable=True,
            authenticated=True,
            provider_state=word,
            addresses=[str(seen.get("sends_from") or line)],
            lost=_HELPED if seen.get("helper") is False else (),
            clock_offset=_offset(seen.get("clock")),
            new_contacts_hour=left.get("hour"),
            new_contacts_day=left.get("day"),
            raw=seen,
        )

    def list_lines(self, account: Account) -> list[ListedLine]:
        found = _call("GET", account, "/v1/lines").get("lines", [])
        return [ListedLine(str(line["number"]), str(line.get("state") or "")) for line in found]

    def install_callbacks(self, account: Account, *, url: str) -> Installed:
        _call("PUT", account, "/v1/callback", json={"url": url, "secret": account.callback_secret})
        return Installed([url])

    def poll(self, account: Account, *, cursor: str, threads: Sequence[Thread] = ()) -> tuple[list[bytes], str]:
        answer = _call("GET", account, "/v1/events", params={"after": cursor or "0", "limit": 200})
        events = [json.dumps(event).encode() for event in answer.get("events", [])]
        return events, str(answer.get("next", cursor))

    def prove(
        self, account: Account, *, headers: Mapping[str, str], body: bytes, url: str, order_key: str = ""
    ) -> None:
        lower = {name.lower(): value for name, value in headers.items()}
        for secret in account.callback_secrets:
            with contextlib.suppress(WebhookVerificationError, ValueError, OverflowError):
                Webhook(secret).verify(body, lower)
                return
        raise CallbackRefused("No signature under any of our secrets.")

    def identify(self, account: Account, *, body: bytes) -> CallbackId:
        event = _parsed(body)
        data = event["data"]
        group = _group(data.get("group"))
        thread = f"{data.get('line', '')}/{group.key if group else data.get('human', '')}"
        return CallbackId(key=str(event["id"]), thread=thread, at=_time(event.get("created_at")))

    def parse(self, account: Account, *, body: bytes) -> list[Report]:
        event = _parsed(body)
        return [_report(event["type"], event["data"])]


def _report(kind: str, data: dict[str, Any]) -> Report:
    group = _group(data.get("group"))
    thread: dict[str, Any] = {
        "line": str(data.get("line", "")),
        "human": str(data.get("human", "")),
        "at": _time(data.get("at") or data.get("sent_at")),
        "chat": group.key if group else "",
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
                reply_to=_reply_target(data.get("reply_to")),
                effect=data.get("effect") or "",
                group=group,
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
                kind=data["kind"] if data["kind"] in SIX_TAPBACKS else "custom",
                emoji=data.get("emoji") or "",
                removed=kind == "tapback.removed",
            )
        case "group.changed" if group:
            return GroupChanged(**thread, group=group)
        case "typing.changed":
            return TypingChanged(**thread, on=bool(data.get("on")))
    return Unrecognised(**thread, raw_type=kind)


def _parsed(body: bytes) -> dict[str, Any]:
    event = json.loads(body)
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict) or not event.get("id"):
        raise ValueError("A callback is an object with id, type and data.")
    return event


def _call(
    method: str,
    account: Account,
    path: str,
    *,
    deadline: float | None = None,
    headers: dict[str, str] | None = None,
    **request: Any,
) -> dict[str, Any]:
    try:
        response = _client().request(
            method,
            account.base_url + path,
            headers={**_auth(account), **(headers or {})},
            timeout=deadline or account.deadlines.poll,
            **request,
        )
    except (httpx.ConnectError, httpx.ConnectTimeout) as failed:
        raise ProviderCallFailed(_unreachable()) from failed
    except httpx.HTTPError as failed:
        raise ProviderCallFailed(None) from failed
    if not response.is_success:
        raise ProviderCallFailed(_error(response))
    return _object(response)


def _accepted(sent: dict[str, Any]) -> SendReceipt:
    group = _group(sent.get("group"))
    return SendReceipt(
        outcome=Outcome.ACCEPTED,
        line=str(sent.get("from") or ""),
        handle=str(sent.get("id", "")),
        state=str(sent.get("status") or "sent"),
        service=str(sent.get("service") or "imessage"),
        chat=group.key if group else "",
        notes=[_NOTES[word] for word in sent.get("left_out") or []],
    )


def _addressed(order: SendOrder) -> dict[str, Any]:
    if order.group is None:
        return {"to": order.human}
    if order.group.key:
        return {"group": {"key": order.group.key}}
    return {"group": {"members": list(order.group.members), "name": order.group.name}}


def _is_for(order: SendOrder, sent: dict[str, Any]) -> bool:
    """Whether a text that the line sent went where the order was to go; a group it made has no key to ask for."""
    if order.group is None or order.group.key:
        return True
    group = _group(sent.get("group"))
    return group is not None and set(group.members) == set(order.group.members)


def _thread(line: str, human: str, chat: str) -> dict[str, Any]:
    return {"line": line, "human": human} if human else {"line": line, "group": chat}


def _group(group: Any) -> Group | None:
    return Group(str(group["key"]), tuple(group["members"]), str(group["name"])) if group else None


def _unreachable() -> ProviderError:
    return ProviderError(ErrorClass.LINE_DOWN, "unreachable", "The provider cannot be reached.")


def _error(response: httpx.Response) -> ProviderError:
    body = _object(response).get("error")
    error = body if isinstance(body, dict) else {}
    code = str(error.get("code") or f"http_{response.status_code}")
    default = ErrorClass.RETRYABLE if response.is_server_error else ErrorClass.PERMANENT
    return _classed(code, default, text=str(error.get("message") or ""), retry_after=error.get("retry_after"))


def _status_error(error: dict[str, Any] | None) -> ProviderError | None:
    if not error:
        return None
    code = str(error.get("code") or "failed")
    return _classed(code, ErrorClass.PERMANENT, text=str(error.get("message") or ""))


def _classed(code: str, default: ErrorClass, *, text: str, retry_after: float | None = None) -> ProviderError:
    error_class = _CLASSES.get(code, default)
    counts = code == "filtered" or (code not in _CLASSES and error_class is ErrorClass.RETRYABLE)
    scope = _SCOPES.get(code, Scope.MESSAGE)
    return ProviderError(error_class, code, text[:500], retry_after, scope=scope, counts_against_line=counts)


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _offset(clock: Any) -> float | None:
    """How far the provider's clock is ahead of ours, in seconds."""
    try:
        moment = _time(clock)
    except (TypeError, ValueError):
        return None
    return (moment - datetime.now(UTC)).total_seconds() if moment else None


def _reply_target(target: Any) -> ReplyTarget | None:
    return ReplyTarget(str(target["id"]), int(target.get("part") or 0)) if target else None


def _time(text: str | None) -> datetime | None:
    moment = datetime.fromisoformat(text) if text else None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _auth(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.token}"}


@functools.cache
def _client() -> httpx.Client:
    """One client for all threads. No proxies from the environment, no redirects, no retries of its own."""
    return httpx.Client(trust_env=False, follow_redirects=False)


DRIVER = SimulatedDriver()
