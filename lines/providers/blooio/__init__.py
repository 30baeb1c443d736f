"""The driver of Blooio's v2 API: hosted lines with a true send key, events for tapbacks and reads, signed webhooks.

A thin client of our own: the vendor's library lacks half of what is used here, and is left behind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from lines.answers import clock_offset, no_reading, object_of
from lines.effects import EFFECTS
from lines.providers.base import (
    SIX_TAPBACKS,
    Account,
    CallbackId,
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
    ReplyTarget,
    Report,
    SendOrder,
    SendReceipt,
    ServiceAnswer,
    Thread,
    Upload,
)
from lines.providers.blooio import callbacks, wire, words
from lines.providers.blooio.callbacks import as_callbacks, failure
from lines.providers.blooio.wire import call, chat_path, chats_since, is_on_line, members_of, messages_since
from lines.providers.blooio.words import SERVICES, STATES, UNKNOWN_EFFECTS, time_of

_OVERLAP = timedelta(minutes=10)
_FIRST_POLL = timedelta(hours=1)


class BlooioDriver(Driver):
    """See `lines.providers.base.Driver`. The account's token is the API key."""

    name = "blooio"
    card = Capabilities(
        services=("imessage", "rcs", "sms"),
        send_key=True,
        effects=frozenset(EFFECTS) - UNKNOWN_EFFECTS,
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
        groups=True,
        group_rename=True,
        background=True,
        reads_back=True,
        health="active flag",
    )
    # A poll looks back some minutes only; a phone that was off answers later.
    read_back_waits = (60.0, 900.0, 3600.0)

    def send(self, account: Account, order: SendOrder) -> SendReceipt:
        asks = order.service == "imessage" and order.first_contact and order.group is None
        if asks and self._is_known_as_sms(account, order):
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
        chat, timeout = _found_chat(account, order, since), account.deadlines.find_sent
        sent = messages_since(account, chat, since, timeout=timeout, direction="outbound") if chat else []
        for row in reversed(sent):
            if row.get("internal_id") != order.line or row.get("message_id") in known:
                continue
            same = str(row.get("text") or "").split() == order.text.split()
            if same and bool(row.get("attachments")) == bool(order.media):
                return _found(row, chat=chat if order.group else "")
        return None

    def read_back(self, account: Account, *, line: str, human: str, handle: str) -> list[bytes]:
        if not human:
            return []  # a message is had only with its chat, and which group it went into is not told
        path = f"{chat_path(human)}/messages/{quote(handle, safe='')}"
        row = call("GET", account, path, timeout=account.deadlines.find_sent)
        row |= {"message_id": handle, "external_id": human, "internal_id": row.get("internal_id") or line}
        return as_callbacks(row)

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
        path = f"{chat_path(chat or human)}/messages/{quote(handle, safe='')}/reactions"
        reaction = ("-" if remove else "+") + (kind if kind in SIX_TAPBACKS else emoji)
        call("POST", account, path, timeout=account.deadlines.tapback, json={"reaction": reaction})

    def typing(self, account: Account, *, line: str, human: str, on: bool, chat: str = "") -> None:
        timeout = account.deadlines.typing
        if is_on_line(account, chat or human, line, timeout=timeout):
            call("POST" if on else "DELETE", account, f"{chat_path(chat or human)}/typing", timeout=timeout)

    def mark_read(self, account: Account, *, line: str, human: str, chat: str = "") -> None:
        timeout = account.deadlines.mark_read
        if is_on_line(account, chat or human, line, timeout=timeout):
            call("POST", account, f"{chat_path(chat or human)}/read", timeout=timeout)

    def background(self, account: Account, *, line: str, human: str, media: Upload | None, chat: str = "") -> None:
        timeout, path = account.deadlines.send, f"{chat_path(chat or human)}/background"
        if not is_on_line(account, chat or human, line, timeout=timeout):
            text = "The thread goes on over another line of the account."
            raise ProviderCallFailed(ProviderError(ErrorClass.PERMANENT, "other_line", text))
        if media is None:
            call("DELETE", account, path, timeout=timeout)
        else:
            file = (media.name, media.content, media.content_type)
            call("PUT", account, path, timeout=timeout, files={"background": file})

    def rename_group(self, account: Account, *, line: str, chat: str, name: str) -> None:
        path = f"/groups/{quote(chat, safe='')}"
        renamed = call("PATCH", account, path, timeout=account.deadlines.edit, json={"name": name})
        on_phones = renamed.get("device_sync") or {}
        if on_phones.get("synced") is False:
            text = str(on_phones.get("error") or "The name is on no phone.")
            raise ProviderCallFailed(ProviderError(ErrorClass.RETRYABLE, "not_synced", text))

    def lookup_service(self, account: Account, *, line: str, address: str) -> ServiceAnswer:
        path = f"/contacts/{quote(address, safe='')}/capabilities"
        able = call("GET", account, path, timeout=account.deadlines.lookup).get("capabilities") or {}
        service = "imessage" if able.get("imessage") else "sms" if able.get("sms") else "unknown"
        return ServiceAnswer(service, datetime.now(UTC))

    def media_request(self, account: Account, *, url: str) -> MediaRequest | None:
        return MediaRequest(url, wire.auth(account)) if url.startswith(f"{wire.base(account)}/") else None

    def probe(self, account: Account, *, line: str) -> LineReading:
        try:
            response = wire.answered("GET", account, "/me/numbers", timeout=account.deadlines.probe)
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
        answer = call("GET", account, "/me/numbers", timeout=account.deadlines.list_lines)
        return [
            ListedLine(
                str(row["phone_number"]), "active" if row.get("is_active") else "inactive", row.get("plan_kind") or ""
            )
            for row in answer.get("numbers") or []
        ]

    def install_callbacks(self, account: Account, *, url: str) -> Installed:
        timeout = account.deadlines.install_callbacks
        hooks = call("GET", account, "/webhooks", timeout=timeout).get("webhooks") or []
        known = next((hook for hook in hooks if hook.get("webhook_url") == url), None)
        if known is None:
            body = {"webhook_url": url, "webhook_type": "all", "valid_until": -1}
            made = call("POST", account, "/webhooks", timeout=timeout, json=body)
            return Installed([url], secret=str(made.get("signing_secret") or ""))
        path = f"/webhooks/{quote(str(known['webhook_id']), safe='')}"
        if known.get("webhook_type") != "all" or not known.get("is_active", True):
            body = {"webhook_type": "all", "deprecate": False}
            call("PATCH", account, path, timeout=timeout, json=body)
        if account.callback_secret:
            return Installed([url])
        # It was shown once and we do not have it: only a new one helps.
        rotated = call("POST", account, f"{path}/secret/rotate", timeout=timeout)
        return Installed([url], secret=str(rotated.get("signing_secret") or ""))

    def poll(self, account: Account, *, cursor: str, threads: Sequence[Thread] = ()) -> tuple[list[bytes], str]:
        read = time_of(int(cursor)) if cursor.isdigit() else None
        since = (read or datetime.now(UTC) - _FIRST_POLL) - _OVERLAP
        newest = int(cursor) if cursor.isdigit() else int((since + _OVERLAP).timestamp() * 1000)
        bodies: list[bytes] = []
        for chat in chats_since(account, since):
            for row in messages_since(account, str(chat["id"]), since, timeout=account.deadlines.poll):
                bodies += as_callbacks(row, chat)
                newest = max(newest, int(row.get("time_sent") or 0))
        return bodies, str(newest)

    def prove(
        self, account: Account, *, headers: Mapping[str, str], body: bytes, url: str, order_key: str = ""
    ) -> None:
        callbacks.prove(headers, body, secrets=account.callback_secrets)

    def identify(self, account: Account, *, body: bytes) -> CallbackId:
        return callbacks.identify(body)

    def parse(self, account: Account, *, body: bytes) -> list[Report]:
        return callbacks.reports_of(body)

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
        body |= {"effect": words.EFFECTS.get(effect, effect)} if effect and order.text else {}
        body |= {"reply_to": {"message_id": reply_to.handle, "part_index": reply_to.part}} if reply_to else {}
        path, key = f"{chat_path(_chat_of(order))}/messages", {"Idempotency-Key": order.key}
        try:
            answer = call("POST", account, path, timeout=account.deadlines.send, json=body, headers=key)
        except ProviderCallFailed as failed:
            if failed.error is None or failed.error.error_class is ErrorClass.UNKNOWN:
                return SendReceipt(outcome=Outcome.UNKNOWN, error=failed.error)
            return SendReceipt.refused(failed.error)
        if answer.get("status") == "failed":
            return SendReceipt.refused(failure(answer))
        handle, group = str(answer.get("message_id", "")), order.group.key if order.group else ""
        chat = str(answer.get("group_id") or group)
        receipt = SendReceipt(outcome=Outcome.ACCEPTED, handle=handle, state="queued", chat=chat)
        return _noted(receipt, "effect_dropped") if order.effect and "effect" not in body else receipt


DRIVER = BlooioDriver()


def _chat_of(order: SendOrder) -> str:
    """Where a text goes; naming several humans makes the group of them, or finds it."""
    if order.group:
        return order.group.key or ",".join(order.group.members)
    return order.chat or order.human


def _found_chat(account: Account, order: SendOrder, since: datetime) -> str:
    """Where a lost text would lie; a group that it was to make is looked for by its people."""
    if order.group is None or order.group.key:
        return order.group.key if order.group else order.human
    for chat in chats_since(account, since):
        if chat.get("is_group") and members_of(account, str(chat["id"])) - {order.line} == set(order.group.members):
            return str(chat["id"])
    return ""


def _noted(receipt: SendReceipt, note: str) -> SendReceipt:
    return replace(receipt, notes=[*receipt.notes, note])


def _found(row: dict[str, Any], *, chat: str) -> SendReceipt:
    state = STATES.get(str(row.get("status")), "accepted")
    if state in {"error", "declined"}:
        return SendReceipt.refused(failure(row))
    return SendReceipt(
        outcome=Outcome.ACCEPTED,
        handle=str(row["message_id"]),
        state=state,
        service=SERVICES.get(str(row.get("protocol")), "imessage"),
        line=str(row.get("internal_id") or ""),
        chat=chat,
    )
