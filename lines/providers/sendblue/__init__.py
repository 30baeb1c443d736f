"""The driver of Sendblue: hosted lines with iMessage, RCS and SMS, no send key, and tapbacks that arrive as text.

Called over the vendor's own library, its retries off; what the library lacks goes through its raw calls.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sendblue_api import SendblueAPI

from lines.answers import clock_offset, no_reading
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
    MediaRequest,
    Outcome,
    ProviderCallFailed,
    ProviderError,
    Report,
    SendOrder,
    SendReceipt,
    ServiceAnswer,
    Thread,
    not_supported,
)
from lines.providers.sendblue import callbacks
from lines.providers.sendblue.callbacks import is_status
from lines.providers.sendblue.wire import FAILED_TO_SEND, ask, error_of, line_states, listed, post, usage_of
from lines.providers.sendblue.words import SERVICES, STATES, flag, time_of

# When nobody says when a limit ends: their windows are an hour and a day.
_USUAL_HOLD = 3600.0

_LINE_STATES = {"ONLINE": "healthy", "DEGRADED": "degraded", "OFFLINE": "down"}

# No `outbound`: the per-message callbacks say the same, and their address names the order.
_WEBHOOKS = ("receive", "typing_indicator", "line_blocked", "line_assigned")

# Polls look back so far behind what they have read: rows are not written in the order of their times.
_OVERLAP = timedelta(minutes=2)
_FIRST_POLL = timedelta(hours=1)


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
        groups=True,
        health="state, usage, contact status",
    )

    def send(self, account: Account, order: SendOrder) -> SendReceipt:
        if order.service == "imessage" and order.first_contact and self._is_known_as_sms(account, order):
            return SendReceipt.refused(
                ProviderError(ErrorClass.RECIPIENT_UNREACHABLE, "lookup_sms", "Not on iMessage.")
            )
        body: dict[str, Any] = {"from_number": order.line, **_addressed(order)}
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
            if order.group:
                # Their typed call leaves out the effect and the callback, which are documented all the same.
                answer = post(account, "/api/send-group-message", body, timeout=timeout)
            else:
                answer = ask(account, lambda api: api.messages.with_raw_response.send(**body, timeout=timeout))
        except ProviderCallFailed as failed:
            return self._not_sent(account, order, failed.error)
        return self._receipt(account, order, answer)

    def find_sent(self, account: Account, order: SendOrder, *, since: datetime, known: set[str]) -> SendReceipt | None:
        rows = listed(
            account,
            timeout=account.deadlines.find_sent,
            sendblue_number=order.line,
            is_outbound="true",
            updated_at_gte=since.isoformat(),
            **_sought(order),
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
        post(account, "/api/send-reaction", body, timeout=account.deadlines.tapback)

    def typing(self, account: Account, *, line: str, human: str, on: bool, chat: str = "") -> None:
        if not human:
            return  # their groups show nobody typing
        timeout = account.deadlines.typing
        try:
            ask(
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
        if not human:
            return  # a receipt names a human alone
        body = {"number": human, "from_number": line}
        post(account, "/api/mark-read", body, timeout=account.deadlines.mark_read)

    def lookup_service(self, account: Account, *, line: str, address: str) -> ServiceAnswer:
        timeout = account.deadlines.lookup
        found = ask(account, lambda api: api.lookups.with_raw_response.lookup_number(number=address, timeout=timeout))
        return ServiceAnswer(SERVICES.get(str(found.get("service")).lower(), "unknown"), datetime.now(UTC))

    def media_request(self, account: Account, *, url: str) -> MediaRequest | None:
        return MediaRequest(url) if url.startswith(f"{account.base_url.rstrip('/')}/") else None

    def probe(self, account: Account, *, line: str) -> LineReading:
        try:
            states, date = line_states(account, timeout=account.deadlines.probe)
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
        usage = usage_of(account, line)
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
            resets_at=time_of(usage.get("availableAt") or daily.get("resetsAt")),
            raw={"state": seen[line], "usage": usage},
        )

    def list_lines(self, account: Account) -> list[ListedLine]:
        states, _ = line_states(account, timeout=account.deadlines.list_lines)
        return [ListedLine(str(row["sendblue_number"]), str(row.get("status"))) for row in states]

    def install_callbacks(self, account: Account, *, url: str) -> Installed:
        timeout = account.deadlines.install_callbacks
        answer = ask(account, lambda api: api.webhooks.with_raw_response.list(timeout=timeout))
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
        read = time_of(cursor) or datetime.now(UTC) - _FIRST_POLL
        since = (read - _OVERLAP).isoformat()
        rows = listed(account, timeout=account.deadlines.poll, updated_at_gte=since)
        newest = max([read, *(at for row in rows if (at := time_of(row.get("date_updated"))))])
        # Marked, because a text that somebody wrote at Sendblue itself is met here alone.
        return [json.dumps({**row, "polled": True}).encode() for row in rows], newest.isoformat()

    def prove(
        self, account: Account, *, headers: Mapping[str, str], body: bytes, url: str, order_key: str = ""
    ) -> None:
        # A status callback carries no secret: our token in its path is the proof, but of nothing else than a status.
        if order_key and is_status(body):
            return
        sent = {name.lower(): value for name, value in headers.items()}.get("sb-signing-secret", "").encode()
        secrets = [secret.encode() for secret in account.callback_secrets if secret]
        if not any(hmac.compare_digest(sent, secret) for secret in secrets):
            raise CallbackRefused("The shared secret is missing or wrong.")

    def identify(self, account: Account, *, body: bytes) -> CallbackId:
        return callbacks.identify(body)

    def parse(self, account: Account, *, body: bytes) -> list[Report]:
        return callbacks.reports_of(body)

    def _is_known_as_sms(self, account: Account, order: SendOrder) -> bool:
        """Asked before a first text that may not fall back: they fall back by themselves and cannot be told not to."""
        if order.group:
            return False
        try:
            return self.lookup_service(account, line=order.line, address=order.human).service == "sms"
        except ProviderCallFailed:
            return False

    def _receipt(self, account: Account, order: SendOrder, message: dict[str, Any]) -> SendReceipt:
        state = STATES.get(str(message.get("status")), "accepted")
        if state in {"error", "declined"}:
            return self._not_sent(account, order, error_of(message))
        service = SERVICES.get(str(message.get("service")).lower(), "imessage")
        return SendReceipt(
            outcome=Outcome.ACCEPTED,
            handle=str(message.get("message_handle", "")),
            state=state,
            service=service,
            line=str(message.get("from_number") or ""),
            chat=_group_key(account, order, message),
            downgraded=flag(message.get("was_downgraded")),
            notes=["effect_dropped"] if order.effect and service != "imessage" else [],
        )

    def _not_sent(self, account: Account, order: SendOrder, error: ProviderError | None) -> SendReceipt:
        if error is None or error.error_class is ErrorClass.UNKNOWN:
            return SendReceipt(outcome=Outcome.UNKNOWN, error=error)
        if error.code == FAILED_TO_SEND and self._is_known_as_sms(account, order):
            return SendReceipt.refused(ProviderError(ErrorClass.RECIPIENT_UNREACHABLE, error.code, error.text))
        if error.error_class is ErrorClass.HELD and not error.until_inbound:
            ends = time_of(usage_of(account, order.line).get("availableAt"))
            wait = (ends - datetime.now(UTC)).total_seconds() if ends else _USUAL_HOLD
            return SendReceipt.refused(replace(error, retry_after=max(1.0, wait)))
        return SendReceipt.refused(error)


DRIVER = SendblueDriver()


def _hooks(account: Account, method: str, kind: str, hooks: list[Any]) -> None:
    timeout = account.deadlines.install_callbacks
    body = {"webhooks": hooks, "type": kind}

    def call(api: SendblueAPI) -> Any:
        deed = api.delete if method == "DELETE" else api.post
        return deed("/api/account/webhooks", body=body, cast_to=httpx.Response, options={"timeout": timeout})

    ask(account, call)


def _hook(registered: Any) -> dict[str, Any]:
    return registered if isinstance(registered, dict) else {"url": registered}


def _addressed(order: SendOrder) -> dict[str, Any]:
    """To whom; naming several humans makes the group of them, or finds it."""
    if order.group is None:
        return {"number": order.human}
    return {"group_id": order.group.key} if order.group.key else {"numbers": list(order.group.members)}


def _sought(order: SendOrder) -> dict[str, Any]:
    """Where a lost text would be listed."""
    if order.group is None:
        return {"number": order.human}
    return {"group_id": order.group.key} if order.group.key else {"message_type": "group"}


def _group_key(account: Account, order: SendOrder, message: dict[str, Any]) -> str:
    """Their name of the order's group; the answer to a send leaves it out, the message itself has it."""
    known = order.group is None or order.group.key or message.get("group_id")
    if known or not message.get("message_handle"):
        return str(known) if order.group and known else ""
    handle, timeout = str(message["message_handle"]), account.deadlines.find_sent
    try:
        found = ask(account, lambda api: api.messages.with_raw_response.retrieve(handle, timeout=timeout))
    except ProviderCallFailed:
        return ""
    return str((found.get("data") or {}).get("group_id") or "")


def _is_of(order: SendOrder, row: dict[str, Any]) -> bool:
    """Whether a listed message is the order's; links of files are rewritten on the way, so only texts compare."""
    group = callbacks.group_of(row)
    if order.group and not order.group.key and (group is None or set(group.members) != set(order.group.members)):
        return False
    same = str(row.get("content") or "").split() == order.text.split()
    return same and bool(row.get("media_url")) == bool(order.media)
