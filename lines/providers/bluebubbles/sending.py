"""One send: which call carries it, and what is done when the helper or the chat is not there."""

from typing import Any

from lines.effects import EFFECTS
from lines.providers.base import (
    HELPER_LOST,
    Account,
    ErrorClass,
    Outcome,
    ProviderCallFailed,
    ProviderError,
    SendOrder,
    SendReceipt,
    not_supported,
)
from lines.providers.bluebubbles import rows, wire


class Sending:
    """One send: over the helper while it is there, by AppleScript without it, as a new chat when there is none."""

    def __init__(self, account: Account, order: SendOrder) -> None:
        self.account, self.order = account, order
        self.notes: list[str] = []

    def run(self) -> SendReceipt:
        try:
            return self._in_chat("private-api")
        except ProviderCallFailed as failed:
            plain = not self.order.media or (len(self.order.media) == 1 and not self.order.text)
            if failed.error is None or failed.error.code != HELPER_LOST or not plain or self._makes_group():
                raise
        # Nothing was sent. The default route cannot carry what only the helper does.
        return self._in_chat("apple-script")

    def _makes_group(self) -> bool:
        """Which AppleScript cannot."""
        return self.order.group is not None and not self.order.group.key

    def _in_chat(self, method: str) -> SendReceipt:
        if self.order.group and self.order.group.key:
            return self._receipt(self._send(self.order.group.key, method))
        if not self._makes_group() and not (self.order.first_contact and self.order.text and not self.order.media):
            for chat in wire.chats(self.order.chat, self.order.human):
                try:
                    return self._receipt(self._send(chat, method))
                except ProviderCallFailed as failed:
                    if failed.error is None or failed.error.code != "not_found":
                        raise
        return self._receipt(self._open_chat(method))

    def _send(self, chat: str, method: str) -> dict[str, Any]:
        files = [self._upload(link) for link in self.order.media]
        body: dict[str, Any] = {"tempGuid": self.order.key, "method": method, **self._extras(method)}
        if not files:
            return self._call("message/text", chat, json={**body, "message": self.order.text})
        if len(files) == 1 and not self.order.text:
            file = files[0]
            part = {"attachment": (file.name, file.content, file.content_type)}
            return self._call("message/attachment", chat, files=part, data={**body, "name": file.name})
        parts: list[dict[str, Any]] = []
        for file in files:
            sent = {"attachment": (file.name, file.content, file.content_type)}
            path = wire.call(self.account, "POST", "attachment/upload", self.account.deadlines.send, files=sent)["path"]
            parts.append({"attachment": path, "name": file.name})
        if self.order.text:
            parts.append({"text": self.order.text})
        numbered = [{"partIndex": number, **part} for number, part in enumerate(parts)]
        return self._call("message/multipart", chat, json={**body, "parts": numbered})

    def _call(self, path: str, chat: str, **request: Any) -> dict[str, Any]:
        fields = request.get("json") or request["data"]
        fields["chatGuid"] = chat
        return wire.call(self.account, "POST", path, self.account.deadlines.send, **request)

    def _upload(self, link: str) -> Any:
        if self.order.read_media is None:
            raise not_supported("fetch a file from a link")
        return self.order.read_media(link)

    def _open_chat(self, method: str) -> dict[str, Any]:
        """The only way to write to somebody whom Messages does not know, and to make a group; for plain text alone."""
        if self.order.media:
            error = ProviderError(ErrorClass.PERMANENT, "not_found", "A thread cannot begin with a file.")
            raise ProviderCallFailed(error)
        self._note(effect=bool(self.order.effect), reply=self.order.reply_to is not None)
        body = {
            "addresses": list(self.order.group.members) if self.order.group else [self.order.human],
            "message": self.order.text,
            "service": "iMessage",
            "method": method,
            "tempGuid": self.order.key,
        }
        made = wire.call(self.account, "POST", "chat/new", self.account.deadlines.send, json=body)
        # The answer is the chat, with the text that opened it.
        last = made.get("messages") or [made.get("lastMessage") or made]
        return {**last[0], "chats": last[0].get("chats") or [{"guid": made.get("guid", "")}]}

    def _extras(self, method: str) -> dict[str, Any]:
        effect, reply = EFFECTS.get(self.order.effect, ""), self.order.reply_to
        if method != "private-api":
            self._note(effect=bool(effect), reply=reply is not None)
            return {}
        extras: dict[str, Any] = {"effectId": effect} if effect else {}
        if reply:
            extras |= {"selectedMessageGuid": reply.handle, "partIndex": reply.part}
        return extras

    def _note(self, *, effect: bool, reply: bool) -> None:
        self.notes = ["effect_dropped"] * effect + ["reply_dropped"] * reply

    def _receipt(self, row: dict[str, Any]) -> SendReceipt:
        if not row.get("guid") or "isFromMe" not in row:
            return SendReceipt(outcome=Outcome.UNKNOWN)
        if row.get("error"):
            error = rows.error_of(row)
            outcome = Outcome.REFUSED if error else Outcome.UNKNOWN
            return SendReceipt(outcome=outcome, handle=str(row["guid"]), error=error)
        return rows.accepted(row, notes=self.notes)
