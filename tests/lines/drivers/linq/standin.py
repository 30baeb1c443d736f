"""Linq's partner API v3 as documented, in a process of its own: chats, a true send key, Standard Webhooks."""

import base64
import hashlib
import hmac
import itertools
import json
import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.lines.drivers.hosting import Answer, Call, Hosted, Json, serve

LINES = ("+15555550100", "+15555550101")
TOKEN = "linq token"
SECRET = "whsec_" + base64.b64encode(b"l" * 32).decode()
VERSION = "2026-02-03"
_LINK = re.compile(r"https?://")
_SERVICES = ("iMessage", "RCS", "SMS")


class Refused(Exception):
    def __init__(self, status: int, code: int, message: str, retry_after: int | None = None) -> None:
        self.answer = Answer(
            {
                "success": False,
                "error": {"status": status, "code": code, "message": message, "retry_after": retry_after},
                "trace_id": "trace",
            },
            status,
        )


class Linq(Hosted):
    """Every human is on iMessage unless `service` says otherwise; an empty service reaches nobody."""

    def reset(self) -> None:
        super().reset()
        self.lines = {line: {"reputation": "HEALTHY", "status": "ACTIVE", "line_type": "iMessage"} for line in LINES}
        self.services: dict[str, str] = {}
        self.opted_out: set[str] = set()
        self.chats: dict[str, Json] = {}
        self.messages: dict[str, Json] = {}
        self.by_key: dict[str, str] = {}
        self.reactions: list[Json] = []
        self.typing: list[str] = []
        self.subscriptions: dict[str, Json] = {}
        self._now = datetime.now(UTC)

    def sign(self, body: bytes) -> dict[str, str]:
        """Standard Webhooks headers, and the older ones that are still sent."""
        id_, at = json.loads(body)["event_id"], str(int(time.time()))
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        digest = hmac.new(key, f"{id_}.{at}.".encode() + body, hashlib.sha256)
        return {
            "Content-Type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": at,
            "webhook-signature": "v1," + base64.b64encode(digest.digest()).decode(),
            "X-Webhook-Timestamp": at,
            "X-Webhook-Signature": hmac.new(key, at.encode() + b"." + body, hashlib.sha256).hexdigest(),
        }

    def answer(self, call: Call) -> Answer:
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return Refused(401, 2004, "The token is not valid").answer
        try:
            return self._routed(call)
        except Refused as refused:
            return refused.answer

    def _routed(self, call: Call) -> Answer:
        match call.method, call.path.removeprefix("/v3/").split("/"):
            case "GET", ["phone_numbers"]:
                return Answer({"phone_numbers": [self._shown_line(line) for line in self.lines]})
            case "POST", ["capability", check]:
                return self._capability(call.body, check)
            case "GET", ["chats"]:
                return Answer({"chats": self._found_chats(call.query), "next_cursor": None})
            case "POST", ["chats"]:
                return self._open_chat(call.body)
            case "PUT", ["chats", chat]:
                return self._rename(self._chat(chat), call.body)
            case "GET", ["chats", chat, "messages"]:
                return self._listed(self._chat(chat), call.query)
            case "POST", ["chats", chat, "messages"]:
                sent = self._send(self._chat(chat), call.body["message"])
                return self.taken(Answer({"chat_id": chat, "message": sent}, 202))
            case "POST" | "DELETE" as method, ["chats", chat, "typing"]:
                self.typing.append(f"{method} {self._chat(chat)['id']}")
                return Answer(None, 204)
            case "POST", ["chats", chat, "read"]:
                self._chat(chat)["read"] = True
                return Answer(None, 204)
            case "POST", ["messages", message, "reactions"]:
                return self._react(self._message(message), call.body)
            case "GET", ["messages", message]:
                return Answer(self._shown(self._message(message)))
            case "PATCH", ["messages", message]:
                return self._edit(self._message(message), call.body)
            case method, ["webhook-subscriptions", *rest]:
                return self._subscribe(method, rest, call.body)
        raise Refused(404, 2001, "There is no such path")

    def control(self, call: Call) -> Any:
        asked = call.body
        match call.path.removeprefix("/_control/"):
            case "text":
                return self._hear(**asked)
            case "event":
                return self._event(asked["type"], asked["data"])
            case "status":
                return self._move(self._message(asked.pop("message")), **asked)
            case "service":
                return self.services.update(asked)
            case "opt_out":
                return self.opted_out.add(asked["human"])
            case "line":
                return self._change_line(asked.pop("line"), asked)
            case "forget_chat":
                return self.chats.pop(asked["chat"]) and None
            case "group":
                return self._group(**asked)
            case "make_group":
                return self.chats[asked["chat"]].update(is_group=True)
            case "date_chat":
                return self.chats[asked["chat"]].update(updated_at=asked["updated_at"])
            case "pause":
                return self.subscriptions[asked["subscription"]].update(is_active=False)
            case "seen":
                return {"reactions": self.reactions, "typing": self.typing, "chats": self.chats}
            case "subscriptions":
                return self.subscriptions
        raise KeyError(call.path)

    # --- what the API does

    def _open_chat(self, asked: Json) -> Answer:
        line, people = asked["from"], asked["to"]
        if line not in self.lines:
            raise Refused(403, 2005, "This token may not send from there")
        known = self._chat_between(line, *people)
        message = asked["message"]
        if known is None and message.get("idempotency_key") not in self.by_key:
            self._check_first(message)
        chat = known or self._new_chat(line, *people)
        sent = self._send(chat, message)
        answer = {"chat": {**self._shown_chat(chat), "message": sent}}
        return self.taken(Answer(answer, 201))

    def _check_first(self, message: Json) -> None:
        if any(part["type"] == "link" or _LINK.search(part.get("value", "")) for part in message["parts"]):
            raise Refused(400, 1005, "The first message of a chat may hold no link")
        if message.get("effect") or message.get("reply_to"):
            raise Refused(400, 1002, "The first message of a chat may hold no effect and no reply")

    def _send(self, chat: Json, asked: Json) -> Json:
        key = asked.get("idempotency_key")
        if key in self.by_key:
            return self._sent(self.messages[self.by_key[key]])
        kinds = [part["type"] for part in asked["parts"]]
        if not kinds or ("text", "text") in itertools.pairwise(kinds):
            raise Refused(400, 1002, "Two text parts in a row")
        if self.lines[chat["line"]]["status"] == "FLAGGED":
            raise Refused(403, 2027, "The line may not send now")
        if chat["people"][0] in self.opted_out and not chat["is_group"]:
            raise Refused(403, 2024, "The recipient has opted out")
        message = self._keep(chat, asked["parts"], asked=asked)
        if key:
            self.by_key[key] = message["id"]
        self._deliver(message)
        return self._sent(message) | {"delivery_status": "pending", "delivered_at": None}

    def _deliver(self, message: Json) -> None:
        """What becomes of a text that was taken: it goes out, fails late, or seems to go out."""
        wanted, reached = message["preferred_service"], self.services.get(message["human"], "iMessage")
        if "fails" in self.faults:
            self._fail(message, self.faults["fails"])
            return
        if not reached or (wanted == "iMessage" and reached != "iMessage"):
            self._fail(message, 4005)
            return
        message["service"] = wanted if wanted in {"RCS", "SMS"} else reached
        self._move(message, status="sent")
        if self.faults.get("silent"):
            return
        self.show(message["human"] or message["chat_id"], text=_text(message), line=message["line"])
        if message["service"] != "SMS":
            self._move(message, status="delivered")

    def _react(self, message: Json, asked: Json) -> Answer:
        self.reactions.append({"message": message["id"], **asked})
        self._event(f"reaction.{'added' if asked['operation'] == 'add' else 'removed'}", self._reaction(message, asked))
        return Answer({"status": "accepted", "message": "Accepted", "trace_id": "trace"}, 202)

    def _reaction(self, message: Json, asked: Json, *, human: str = "") -> Json:
        return {
            "chat_id": message["chat_id"],
            "message_id": message["id"],
            "part_index": asked.get("part_index", 0),
            "reaction_type": asked["type"],
            "custom_emoji": asked.get("custom_emoji"),
            "is_from_me": not human,
            "from_handle": self._handle(human or message["line"], mine=not human),
            "reacted_at": self._at(),
            "service": "iMessage",
        }

    def _edit(self, message: Json, asked: Json) -> Answer:
        message["parts"][asked.get("part_index", 0)]["value"] = asked["text"]
        return Answer(self._shown(message))

    def _capability(self, asked: Json, check: str) -> Answer:
        if "address" not in asked:
            raise Refused(400, 1002, "An address is needed")
        reached = self.services.get(asked["address"], "iMessage")
        wanted = {"check_imessage": {"iMessage"}, "check_rcs": {"RCS", "iMessage"}}[check]
        return Answer(
            {"address": asked["address"], "available": reached in wanted, "selected_service": reached or None}
        )

    def _subscribe(self, method: str, rest: list[str], asked: Json) -> Answer:
        if method == "GET":
            return Answer({"subscriptions": list(self.subscriptions.values())})
        if method == "DELETE":
            self.subscriptions.pop(rest[0])
            return Answer(None, 204)
        if method == "PUT":
            self.subscriptions[rest[0]].update(asked)
            return Answer(self.subscriptions[rest[0]])
        if any(known["target_url"] == asked["target_url"] for known in self.subscriptions.values()):
            raise Refused(409, 2014, "This URL is subscribed already")
        made = {**asked, "id": self._id(), "is_active": True, "created_at": self._at(), "updated_at": self._at()}
        self.subscriptions[made["id"]] = made
        return Answer({**made, "signing_secret": SECRET}, 201)

    # --- what humans and the network do

    def _hear(
        self,
        *,
        human: str,
        text: str = "",
        line: str = LINES[0],
        media: list[str] | None = None,
        group: str = "",
        **more: Any,
    ) -> Json:
        chat = self.chats[group] if group else self._chat_between(line, human) or self._new_chat(line, human)
        parts: list[Json] = [{"type": "text", "value": text}] if text else []
        for url in media or []:
            name = url.rpartition("/")[2]
            parts.append(
                {
                    "type": "media",
                    "id": self._id(),
                    "url": url,
                    "filename": name,
                    "mime_type": "image/png",
                    "size_bytes": 9,
                }
            )
        tapped = more.pop("tapback", None)
        if tapped:
            message = self._message(more["message"])
            kind = "removed" if tapped.pop("remove", False) else "added"
            self._event(f"reaction.{kind}", self._reaction(message, tapped, human=human))
            return message
        message = self._keep(chat, parts, sender=human, asked={}, service=more.pop("service", "iMessage"))
        message.update(more)
        self._event("message.received", self._event_data(message))
        return message

    def _group(self, *, members: list[str], chat: str = "", line: str = LINES[0]) -> str:
        """Humans make a group with the line, or one of theirs comes into it: told with a handle alone."""
        known = self.chats.get(chat)
        if known is None:
            known = self._new_chat(line, *members)
            self._event("chat.created", self._shown_chat(known))
            return str(known["id"])
        new = [member for member in members if member not in known["people"]]
        known.update(people=members, updated_at=self._at())
        for member in new:
            participant = {"participant": self._handle(member), "handle": member, "added_at": self._at()}
            self._event("participant.added", {"chat_id": chat, **participant})
        return chat

    def _rename(self, chat: Json, asked: Json) -> Answer:
        if not chat["is_group"]:
            raise Refused(400, 1002, "Group chats only")
        changed = {"old_value": chat["name"], "new_value": asked["display_name"], "updated_at": self._at()}
        chat.update(name=asked["display_name"], updated_at=changed["updated_at"])
        by = self._handle(chat["line"], mine=True)
        self._event("chat.group_name_updated", {"chat_id": chat["id"], "changed_by_handle": by, **changed})
        return Answer({"chat_id": chat["id"], "status": "pending"}, 202)

    def _move(self, message: Json, *, status: str, code: int = 4001) -> None:
        if status == "failed":
            return self._fail(message, code)
        message["delivery_status"] = status
        times = {"sent": ["sent_at"], "delivered": ["sent_at", "delivered_at"]}
        for field in times.get(status, ["sent_at", "delivered_at", "read_at"]):
            message[field] = message[field] or self._at()
        self._event(f"message.{status}", self._event_data(message))
        return None

    def _fail(self, message: Json, code: int) -> None:
        message["delivery_status"] = "failed"
        self._event(
            "message.failed",
            {
                "chat_id": message["chat_id"],
                "message_id": message["id"],
                "code": code,
                "reason": "As told",
                "failed_at": self._at(),
                "service": message["service"],
                "preferred_service": message["preferred_service"] or "auto",
            },
        )

    def _change_line(self, line: str, change: Json) -> None:
        before = dict(self.lines[line])
        self.lines[line].update(change)
        self._event(
            "phone_number.status_updated",
            {
                "phone_number": line,
                "previous_status": before["status"],
                "new_status": self.lines[line]["status"],
                "previous_reputation": before["reputation"],
                "new_reputation": self.lines[line]["reputation"],
                "changed_at": self._at(),
            },
        )

    def _event(self, type_: str, data: Json) -> None:
        self.post(
            {
                "api_version": "v3",
                "webhook_version": VERSION,
                "event_type": type_,
                "event_id": self._id(),
                "created_at": self._at(),
                "trace_id": "trace",
                "partner_id": "partner",
                "data": data,
            }
        )

    # --- shapes

    def _event_data(self, message: Json) -> Json:
        chat = self.chats[message["chat_id"]]
        inbound = message["inbound"]
        data = {
            "id": message["id"],
            "chat": {
                "id": chat["id"],
                "is_group": chat.get("is_group", False),
                "owner_handle": self._handle(chat["line"], mine=True),
                "health_status": {"status": "HEALTHY", "doc_url": "", "updated_at": self._at()},
            },
            "direction": "inbound" if inbound else "outbound",
            "sender_handle": self._handle(message["human"] if inbound else chat["line"], mine=not inbound),
            "parts": message["parts"],
            "effect": message.get("effect"),
            "reply_to": message.get("reply_to"),
            "service": message["service"],
            "preferred_service": None if inbound else message["preferred_service"] or "auto",
            "idempotency_key": message.get("idempotency_key"),
            **{name: message[name] for name in ("sent_at", "delivered_at", "read_at")},
        }
        return data | ({"reconciled_at": message["reconciled_at"]} if message.get("reconciled_at") else {})

    def _sent(self, message: Json) -> Json:
        return {name: value for name, value in self._shown(message).items() if name not in {"chat_id", "is_from_me"}}

    def _shown(self, message: Json) -> Json:
        hidden = {"line", "human", "inbound", "idempotency_key"}
        shown = {name: value for name, value in message.items() if name not in hidden}
        sender = message["human"] if message["inbound"] else message["line"]
        return shown | {
            "preferred_service": message["preferred_service"] or None,
            "is_from_me": not message["inbound"],
            "is_read": bool(message["read_at"]),
            "is_delivered": bool(message["delivered_at"]),
            "from_handle": self._handle(sender, mine=not message["inbound"]),
            "updated_at": self._at(),
        }

    def _shown_chat(self, chat: Json) -> Json:
        return {
            "id": chat["id"],
            "display_name": chat["name"] or ", ".join(chat["people"]),
            "handles": [self._handle(chat["line"], mine=True), *(self._handle(human) for human in chat["people"])],
            "health_status": {"status": "HEALTHY", "doc_url": "", "updated_at": self._at()},
            "is_group": chat.get("is_group", False),
            "is_archived": False,
            "service": "iMessage",
            "created_at": chat["created_at"],
            "updated_at": chat.get("updated_at", chat["created_at"]),
        }

    def _shown_line(self, line: str) -> Json:
        state = self.lines[line]
        return {
            "id": f"id of {line}",
            "phone_number": line,
            "line_type": state["line_type"],
            "reputation": {"status": state["reputation"], "doc_url": ""},
            "forwarding_number": None,
        }

    def _handle(self, address: str, *, mine: bool = False) -> Json:
        return {
            "id": f"id of {address}",
            "handle": address,
            "is_me": mine,
            "service": "iMessage",
            "status": "active",
            "joined_at": "2026-01-01T12:00:00Z",
            "left_at": None,
        }

    def _keep(self, chat: Json, parts: list[Json], *, sender: str = "", asked: Json, service: str = "iMessage") -> Json:
        inbound, alone = bool(sender), "" if chat["is_group"] else chat["people"][0]
        message = {
            "id": self._id(),
            "chat_id": chat["id"],
            "line": chat["line"],
            "human": sender or alone,
            "inbound": inbound,
            "parts": [self._shown_part(part) for part in parts],
            "effect": asked.get("effect"),
            "reply_to": asked.get("reply_to"),
            "idempotency_key": asked.get("idempotency_key"),
            "preferred_service": asked.get("preferred_service", ""),
            "service": service,
            "delivery_status": "received" if inbound else "pending",
            "created_at": self._at(),
            "sent_at": self._at() if inbound else None,
            "delivered_at": None,
            "read_at": None,
        }
        self.messages[message["id"]] = message
        chat["updated_at"] = message["created_at"]
        return message

    def _shown_part(self, part: Json) -> Json:
        if part["type"] != "media" or "id" in part:
            return dict(part)
        return part | {"id": self._id(), "filename": "file", "mime_type": "image/png", "size_bytes": 9}

    def _found_chats(self, query: dict[str, str]) -> list[Json]:
        wanted = [
            chat
            for chat in self.chats.values()
            if query.get("from", chat["line"]) == chat["line"] and query.get("to", chat["people"][0]) in chat["people"]
        ]
        return [self._shown_chat(chat) for chat in wanted]

    def _listed(self, chat: Json, query: dict[str, str]) -> Answer:
        """The newest first; few to a page, so that readers have to turn it."""
        mine = [message for message in reversed(self.messages.values()) if message["chat_id"] == chat["id"]]
        start, size = int(query.get("cursor", 0)), min(int(query.get("limit", 20)), 4)
        page = [self._shown(message) for message in mine[start : start + size]]
        more = str(start + size) if start + size < len(mine) else None
        return Answer({"messages": page, "next_cursor": more})

    def _new_chat(self, line: str, *people: str) -> Json:
        about = {"is_group": len(people) > 1, "name": "", "created_at": self._at()}
        chat = {"id": self._id(), "line": line, "people": list(people), **about}
        self.chats[chat["id"]] = chat
        return chat

    def _chat_between(self, line: str, *people: str) -> Json | None:
        """A group that has a name is never taken for another of the same people."""
        for chat in self.chats.values():
            same = (chat["line"], set(chat["people"])) == (line, set(people))
            if same and chat["is_group"] == (len(people) > 1) and not chat["name"]:
                return chat
        return None

    def _chat(self, chat: str) -> Json:
        if chat not in self.chats:
            raise Refused(404, 2001, "There is no such chat")
        return self.chats[chat]

    def _message(self, message: str) -> Json:
        if message not in self.messages:
            raise Refused(404, 2002, "There is no such message")
        return self.messages[message]

    def _id(self) -> str:
        return str(uuid.uuid4())

    def _at(self) -> str:
        """The time, never the same twice: it orders what happened."""
        self._now = max(datetime.now(UTC), self._now + timedelta(milliseconds=1))
        return self._now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(message: Json) -> str:
    return "\n".join(part["value"] for part in message["parts"] if part["type"] == "text")


if __name__ == "__main__":
    serve(Linq())
