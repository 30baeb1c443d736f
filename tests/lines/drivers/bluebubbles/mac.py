"""What a Mac with Messages and a BlueBubbles server knows: rows, chats, aliases, and the people it texts with.

Hidden columns (`service`, `was_downgraded`, `is_sent`) can be filtered on and are never shown, as on the real one.
"""

import itertools
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

LINE = "+15555550100"
_rowids = itertools.count(1)


@dataclass
class Mac:
    """The state, and every change a test may ask for."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    hidden: dict[str, dict[str, Any]] = field(default_factory=dict)
    chats: dict[str, str] = field(default_factory=dict)  # address -> guid
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)  # guid -> its members and name
    humans: dict[str, str] = field(default_factory=dict)  # address -> imessage, none or off
    files: dict[str, bytes] = field(default_factory=dict)
    left: list[dict[str, Any]] = field(default_factory=list)  # what reached a phone or the air, in order
    in_flight: set[str] = field(default_factory=set)
    aliases: list[str] = field(default_factory=lambda: [LINE, "line@example.org"])
    active_alias: str = LINE
    login: str = "Connected"
    private_api: bool = True
    helper: bool = True
    watcher: bool = True
    up: bool = True
    clock_offset: float | None = 0.0
    chat_form: str = "iMessage"  # or `any`, as macOS 26 has it

    def now(self) -> int:
        return int(time.time() * 1000)

    def chat_of(self, address: str) -> str:
        return self.chats.setdefault(address, f"{self.chat_form};-;{address}")

    def add_group(self, members: list[str], *, name: str = "") -> str:
        guid = f"{self.chat_form};+;chat{next(_rowids)}"
        self.groups[guid] = {"members": list(members), "name": name}
        return guid

    def is_on_imessage(self, address: str) -> bool:
        return self.humans.get(address, "imessage") in {"imessage", "off"}

    def add_own(self, address: str, text: str, **more: Any) -> dict[str, Any]:
        """A text of ours: a row, and on the other phone unless that has no iMessage; `address` may be a group's."""
        if address in self.groups:
            more["chat"] = address
        row = self._row(address, text, isFromMe=True, **more)
        arrives = self.is_on_imessage(address)
        self.hidden[row["guid"]] = {"service": "iMessage", "was_downgraded": 0, "is_sent": 1 if arrives else 0}
        if arrives:
            self.left.append({"guid": row["guid"], "human": address, "text": text, "attachments": row["attachments"]})
        return row

    def add_heard(self, address: str, text: str | None, **more: Any) -> dict[str, Any]:
        """A text, tapback or group action from a human, or from somebody at the Mac."""
        row = self._row(address, text, **{"isFromMe": False, **more})
        self.hidden[row["guid"]] = {"service": "iMessage", "was_downgraded": 0, "is_sent": 0}
        return row

    def add_file(self, content: bytes, *, name: str, mime_type: str) -> dict[str, Any]:
        guid = f"at_0_{uuid.uuid4()}".upper()
        self.files[guid] = content
        return {
            "originalROWID": next(_rowids),
            "guid": guid,
            "uti": "public.data",
            "mimeType": mime_type,
            "transferName": name,
            "totalBytes": len(content),
        }

    def settle(self, guid: str) -> bool:
        """What becomes of our text by itself: delivered, or an error number that raises no event."""
        row = self.rows[guid]
        human = row["handle"]["address"]
        if not self.is_on_imessage(human):
            row["error"] = 22
            return False
        if self.humans.get(human) == "off" or row["error"]:
            return False
        row.update(isDelivered=True, dateDelivered=self.now())
        return True

    def found(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        """Rows of a message query, oldest or newest first, before paging."""
        rows = [row for row in self.rows.values() if self._matches(row, query)]
        return sorted(rows, key=lambda row: row["dateCreated"], reverse=query.get("sort", "DESC") == "DESC")

    def shown(self, row: dict[str, Any], *, chats: bool = True, members: bool = False) -> dict[str, Any]:
        group = self.groups.get(row["_chat"], {"members": [row["handle"]["address"]], "name": ""})
        chat = {
            "originalROWID": 1,
            "guid": row["_chat"],
            "style": 43 if ";+;" in row["_chat"] else 45,
            "chatIdentifier": row["_chat"].rpartition(";")[2],
            "displayName": group["name"],
        }
        if members:
            chat["participants"] = [{"address": address, "service": "iMessage"} for address in group["members"]]
        public = {name: value for name, value in row.items() if not name.startswith("_")}
        return public | ({"chats": [chat]} if chats else {})

    def _matches(self, row: dict[str, Any], query: dict[str, Any]) -> bool:
        if query.get("chatGuid") and query["chatGuid"] != row["_chat"]:
            return False
        if not (query.get("after") or 0) <= row["dateCreated"] <= (query.get("before") or row["dateCreated"]):
            return False
        columns = {
            "message.guid": row["guid"],
            "message.is_from_me": int(row["isFromMe"]),
            "message.error": row["error"],
            **{f"message.{name}": value for name, value in self.hidden[row["guid"]].items()},
        }
        for clause in query.get("where") or []:
            column, _, placeholder = clause["statement"].partition(" = :")
            if columns[column] != clause["args"][placeholder]:
                return False
        return True

    def _row(self, address: str, text: str | None, **more: Any) -> dict[str, Any]:
        chat = more.pop("chat", None) or self.chat_of(address)
        row = {
            "originalROWID": next(_rowids),
            "guid": str(uuid.uuid4()).upper(),
            "text": text,
            "handle": {"originalROWID": 1, "address": address, "service": "iMessage", "country": "us"},
            "handleId": 1,
            "attachments": [],
            "subject": None,
            "error": 0,
            "dateCreated": self.now(),
            "dateRead": None,
            "dateDelivered": None,
            "isDelivered": False,
            "dateEdited": None,
            "dateRetracted": None,
            "itemType": 0,
            "groupTitle": None,
            "groupActionType": 0,
            "balloonBundleId": None,
            "associatedMessageGuid": None,
            "associatedMessageType": None,
            "expressiveSendStyleId": None,
            "threadOriginatorGuid": None,
            "threadOriginatorPart": None,
            **more,
            "_chat": chat,
        }
        self.rows[row["guid"]] = row
        return row
