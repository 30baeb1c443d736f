"""The driver of a BlueBubbles server: a Mac of our own, signed in to one Apple account, which is one line.

Facts and quirks are those of server 1.9.9. Callbacks are unsigned, unrepeated and say nothing of what came while
the server was away: they are hints, and reading back over REST is the truth.
"""

import hmac
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx

from lines.effects import EFFECTS
from lines.providers.base import (
    NOT_SUPPORTED,
    Account,
    AliasLost,
    CallbackId,
    CallbackRefused,
    Capabilities,
    Deadlines,
    Driver,
    ErrorClass,
    GroupChanged,
    Installed,
    LineReading,
    ListedLine,
    MediaRequest,
    Outcome,
    ProviderCallFailed,
    ProviderError,
    Report,
    Restarted,
    SendOrder,
    SendReceipt,
    ServiceAnswer,
    Thread,
    TypingChanged,
    Unrecognised,
    not_supported,
)
from lines.providers.bluebubbles import rows, wire
from lines.providers.bluebubbles.place import Place
from lines.providers.bluebubbles.sending import Sending

# How long the server waits for AppleScript to send a file.
_SLOWEST_FILE = timedelta(minutes=20)

# Our own word for a group as a poll shows it.
_GROUP_SEEN = "group-seen"
_ROWS = {
    "new-message", "updated-message", "message-send-error", "polled", "read-back",
    "group-name-change", "participant-added", "participant-removed", "participant-left",
}  # fmt: skip
_MEANS_NOTHING = {
    "chat-read-status-changed", "group-icon-changed", "group-icon-removed", "new-server", "server-update",
}  # fmt: skip


class BlueBubblesDriver(Driver):
    """See `lines.providers.base.Driver`."""

    name = "bluebubbles"
    card = Capabilities(
        services=("imessage",),
        effects=frozenset(EFFECTS),
        effect_on_first=False,
        reply=True,
        tapback=True,
        tapback_remove=True,
        typing=True,
        typing_in=True,
        read_receipt=True,
        reads_in=True,
        lookup=True,
        edit=True,
        unsend=True,
        most_media=10,
        uploads_media=True,
        groups=True,
        group_rename=True,
        reads_back=True,
        repairs=frozenset({"restart_server", "restart_messages"}),
        health="server info, sign-in, aliases",
    )
    # The server's own waits: 64 s for a row, 120 s for a silent helper, up to 60 s for a tapback's row.
    deadlines = Deadlines(send=150, tapback=60)
    secret_in_path = True
    read_back_waits = (5, 30, 120, 600)
    limits = {"line_in_flight": 4}
    limits_without_helper = {"line_in_flight": 1}  # AppleScript: equal texts at once can swap

    def send(self, account: Account, order: SendOrder) -> SendReceipt:
        if order.service == "sms" or (order.group and order.group.key.startswith("SMS;")):
            return SendReceipt.refused(ProviderError(ErrorClass.PERMANENT, NOT_SUPPORTED, "A Mac sends iMessages."))
        try:
            return Sending(account, order).run()
        except ProviderCallFailed as failed:
            if failed.error and failed.error.code == "sent_with_error":
                return self._why_failed(account, order, failed.error)
            if failed.error is None or failed.error.error_class is ErrorClass.UNKNOWN:
                return SendReceipt(outcome=Outcome.UNKNOWN, error=failed.error)
            return SendReceipt(outcome=Outcome.REFUSED, error=failed.error)

    def _why_failed(self, account: Account, order: SendOrder, said: ProviderError) -> SendReceipt:
        """The answer names neither number nor message: the row does."""
        try:
            since = datetime.fromtimestamp(time.time() - account.deadlines.send, UTC)
            found = self.find_sent(account, order, since=since, known=set())
        except ProviderCallFailed:
            found = None
        if found and found.outcome is Outcome.REFUSED:
            return found
        return SendReceipt(outcome=Outcome.UNKNOWN, error=said)

    def find_sent(self, account: Account, order: SendOrder, *, since: datetime, known: set[str]) -> SendReceipt | None:
        own = wire.query(account, account.deadlines.find_sent, since=_ms(since), where={"message.is_from_me": 1})
        found = [row for row in own if row["guid"] not in known and rows.is_for(row, order)]
        for row in found:
            if not row.get("error") or rows.is_delivered(row):
                return rows.accepted(row)
        if any(rows.error_of(row) is None for row in found):
            raise ProviderCallFailed(None)  # there is a row, and its number leaves it open
        if not found:
            if order.media and datetime.now(UTC) - since < _SLOWEST_FILE and not _has_helper(account):
                raise ProviderCallFailed(None)  # a file by AppleScript may still be on its way
            return None
        return SendReceipt(outcome=Outcome.REFUSED, handle=found[0]["guid"], error=rows.error_of(found[0]))

    def read_back(self, account: Account, *, line: str, human: str, handle: str) -> list[bytes]:
        deadline = account.deadlines.find_sent
        try:
            row = wire.call(account, "GET", f"message/{quote(handle)}", deadline, params={"with": "chats"})
        except ProviderCallFailed as failed:
            if failed.error and failed.error.code == "not_found":
                return []
            raise
        # No answer shows the service of a text; a filter on its column gives it away.
        for service in ("SMS", "RCS"):
            where = {"message.guid": handle, "message.service": service}
            if not row.get("error") and list(wire.query(account, deadline, since=0, where=where)):
                row["_service"] = service.lower()
        return [_event("read-back", row)]

    def tapback(
        self, account: Account, *, line: str, human: str, handle: str, part: int, kind: str, emoji: str, remove: bool,
        chat: str = "",
    ) -> None:  # fmt: skip
        if kind not in rows.TAPBACKS:
            raise not_supported("put a tapback with any emoji")
        body = {"selectedMessageGuid": handle, "partIndex": part, "reaction": f"-{kind}" if remove else kind}
        wire.on_chat(
            chat, human, lambda guid: wire.post(account, "message/react", account.deadlines.tapback, body, guid)
        )

    def typing(self, account: Account, *, line: str, human: str, on: bool, chat: str = "") -> None:
        if not on:
            return  # the call that should end the bubble starts it: it lapses, or the text ends it
        wire.on_chat(chat, human, lambda guid: wire.chat_call(account, guid, "typing", account.deadlines.typing))

    def mark_read(self, account: Account, *, line: str, human: str, chat: str = "") -> None:
        wire.on_chat(chat, human, lambda guid: wire.chat_call(account, guid, "read", account.deadlines.mark_read))

    def rename_group(self, account: Account, *, line: str, chat: str, name: str) -> None:
        wire.call(account, "PUT", f"chat/{quote(chat, safe='')}", account.deadlines.edit, json={"displayName": name})

    def edit(
        self, account: Account, *, line: str, human: str, handle: str, part: int, text: str, chat: str = ""
    ) -> None:
        # What phones show that are too old for edits.
        body = {"editedMessage": text, "backwardsCompatibilityMessage": f"Edited to “{text}”", "partIndex": part}
        wire.post(account, f"message/{quote(handle)}/edit", account.deadlines.edit, body)

    def unsend(self, account: Account, *, line: str, human: str, handle: str, part: int, chat: str = "") -> None:
        wire.post(account, f"message/{quote(handle)}/unsend", account.deadlines.edit, {"partIndex": part})

    def lookup_service(self, account: Account, *, line: str, address: str) -> ServiceAnswer:
        found = wire.call(
            account, "GET", "handle/availability/imessage", account.deadlines.lookup, params={"address": address}
        )
        other = "sms" if address.startswith("+") else "unknown"
        return ServiceAnswer("imessage" if found.get("available") else other, datetime.now(UTC))

    def media_request(self, account: Account, *, url: str) -> MediaRequest | None:
        if not url.startswith(f"{wire.root(account)}/attachment/"):
            return None
        return MediaRequest(str(httpx.URL(url, params={"password": account.token})))

    def probe(self, account: Account, *, line: str) -> LineReading:
        try:
            info = wire.call(account, "GET", "server/info", account.deadlines.probe)
        except ProviderCallFailed as failed:
            code = failed.error.code if failed.error else "no_answer"
            refused = code == "refused_access"
            return LineReading("down", [code], reachable=refused, authenticated=False if refused else None)
        signed_in: Mapping[str, Any] = {}
        if info.get("helper_connected"):
            try:
                signed_in = wire.call(account, "GET", "icloud/account", account.deadlines.probe)
            except ProviderCallFailed:
                signed_in = {}
        return rows.reading(line, info, signed_in)

    def list_lines(self, account: Account) -> list[ListedLine]:
        found = wire.call(account, "GET", "icloud/account", account.deadlines.list_lines)
        active = str(found.get("active_alias") or "")
        return [ListedLine(rows.canonical(active), str(found.get("login_status_message") or ""))] if active else []

    def install_callbacks(self, account: Account, *, url: str) -> Installed:
        deadline = account.deadlines.install_callbacks
        standing = False
        ours = url.rpartition("/")[0] + "/"
        for hook in wire.call_list(account, "webhook", deadline):
            if hook.get("url") == url and wire.events_of(hook) == ["*"]:
                standing = True
            elif str(hook.get("url", "")).startswith(ours):
                # An older secret of ours, or other events: posting a known URL again would not change them.
                wire.call(account, "DELETE", f"webhook/{hook['id']}", deadline)
        if not standing:
            # Only `*` brings the loss of an alias: its name cannot be subscribed to.
            wire.call(account, "POST", "webhook", deadline, json={"url": url, "events": ["*"]})
        return Installed([str(hook.get("url")) for hook in wire.call_list(account, "webhook", deadline)])

    def poll(self, account: Account, *, cursor: str, threads: Sequence[Thread] = ()) -> tuple[list[bytes], str]:
        now = int(time.time() * 1000)
        place = Place.read(cursor, now=now)
        if cursor and place.is_fresh(now):
            return [], cursor
        place = place.towards(now)
        found = list(wire.query(account, account.deadlines.poll, since=place.start, skip=place.skip))
        polled = [_event("polled", row) for row in found] + [
            _event(_GROUP_SEEN, chat) for chat in rows.groups_in(found)
        ]
        return polled, str(place.after(len(found)))

    def prove(
        self, account: Account, *, headers: Mapping[str, str], body: bytes, url: str, order_key: str = ""
    ) -> None:
        token = url.rpartition("/")[2].encode()
        # All of them are compared, in constant time each.
        if not sum(hmac.compare_digest(token, quote(secret, safe="").encode()) for secret in account.callback_secrets):
            raise CallbackRefused("The path does not carry the account's secret.")

    def identify(self, account: Account, *, body: bytes) -> CallbackId:
        event = _parsed(body)
        data = event["data"]
        if event["type"] == _GROUP_SEEN:
            return CallbackId(key=rows.key_of_group(data), thread=_thread(account, str(data["guid"])))
        if not isinstance(data, dict) or "guid" not in data or "isFromMe" not in data:
            # No id of their own, and each is news: only repeats of the same second are told apart.
            return CallbackId(key=f"{event['type']}:{rows.digest(data)}:{int(time.time())}")
        return CallbackId(key=rows.key_of(data), thread=_thread(account, rows.thread_of(data)), at=rows.told_at(data))

    def parse(self, account: Account, *, body: bytes) -> list[Report]:
        event = _parsed(body)
        kind, data = str(event["type"]), event["data"]
        match kind:
            case _ if kind in _ROWS:
                return list(rows.reports(account, data))
            case "group-seen":
                return [GroupChanged(line="", human="", group=rows.group_of(data))]
            case "typing-indicator":
                return _typing(str(data["guid"]), on=bool(data.get("display")))
            case "imessage-aliases-removed":
                lost = data.get("aliases", []) if isinstance(data, dict) else data
                return [AliasLost(line="", human="", address=rows.canonical(str(alias))) for alias in lost]
            case "hello-world":
                return [Restarted(line="", human="")]
        return [] if kind in _MEANS_NOTHING else [Unrecognised(line="", human="", raw_type=kind)]

    def repair(self, account: Account, *, line: str, deed: str) -> None:
        deadline = account.deadlines.repair
        match deed:
            case "restart_server":
                wire.call(account, "GET", "server/restart/soft", deadline)
            case "restart_messages":
                wire.call(account, "POST", "mac/imessage/restart", deadline)
            case _:
                super().repair(account, line=line, deed=deed)


DRIVER = BlueBubblesDriver()


def _has_helper(account: Account) -> bool:
    return bool(wire.call(account, "GET", "server/info", account.deadlines.find_sent).get("helper_connected"))


def _thread(account: Account, where: str) -> str:
    return f"{rows.digest(account.base_url)[:8]}/{where}" if where else ""


def _typing(chat: str, *, on: bool) -> list[Report]:
    """In a group it is not said who types."""
    return [] if ";+;" in chat else [TypingChanged(line="", human=rows.address_of(chat), on=on)]


def _event(kind: str, row: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "data": row}).encode()


def _parsed(body: bytes) -> dict[str, Any]:
    event = json.loads(body)
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise ValueError("A callback is an object with a type.")
    return {"type": event["type"], "data": event.get("data") or {}}


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
