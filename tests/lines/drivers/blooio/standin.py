"""Blooio's v2 API as documented, in a process of its own: a true send key, chats, reactions, signed webhooks."""

import hashlib
import hmac
import itertools
import json
import time
from typing import Any

from tests.lines.drivers.hosting import Answer, Call, Hosted, Json, serve

LINES = ("+15555550100", "+15555550101")
KEY = "api-key"
_SIX = ("love", "like", "dislike", "laugh", "emphasize", "question")


class Blooio(Hosted):
    """Every human is on iMessage unless `service` says otherwise."""

    def reset(self) -> None:
        super().reset()
        self.messages: dict[str, Json] = {}
        self.keys: dict[str, tuple[str, str]] = {}
        self.webhooks: dict[str, Json] = {}
        self.services: dict[str, str] = {}
        self.groups: dict[str, Json] = {}
        self.backgrounds: dict[str, Json] = {}
        self.lines = {line: {"is_active": True, "plan_kind": "dedicated"} for line in LINES}
        self._ids = itertools.count(1)
        self._now = 0

    def sign(self, body: bytes) -> dict[str, str]:
        """By the newest webhook's secret, at the time it really is."""
        secret = next(reversed(self.webhooks.values()))["signing_secret"] if self.webhooks else "none"
        at = int(time.time())
        signature = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        event = json.loads(body)
        return {
            "x-blooio-event": str(event.get("event")),
            "x-blooio-message-id": str(event.get("message_id")),
            "x-blooio-signature": f"t={at},v1={signature}",
        }

    def answer(self, call: Call) -> Answer:
        if call.headers.get("authorization") != f"Bearer {KEY}":
            return _refusal(401, "unauthorized", "Invalid API key")
        match call.method, call.path.split("/")[1:]:
            case "GET", ["me", "numbers"]:
                numbers = [
                    {"phone_number": line, "last_active": "2026-01-01T11:59:00Z", **seen}
                    for line, seen in self.lines.items()
                ]
                return Answer({"numbers": numbers})
            case "GET", ["chats"]:
                return self._chats(call.query)
            case "POST", ["chats", human, "messages"]:
                return self._send(human, call.body, call.headers.get("idempotency-key"))
            case "GET", ["chats", human, "messages"]:
                return self._list(human, call.query)
            case "GET", ["chats", human, "messages", handle]:
                found = self.messages.get(handle)
                return Answer({**found, "chat_id": human}) if found else _refusal(404, None, "Message not found")
            case "POST", ["chats", human, "messages", handle, "reactions"]:
                return self._react(human, handle, call.body)
            case "PUT", ["chats", human, "background"]:
                self.backgrounds[human] = call.body
                return Answer({"chat_id": human, "has_background": True, "background_version": 1, "changed": True})
            case "DELETE", ["chats", human, "background"]:
                changed = bool(self.backgrounds.pop(human, None))
                return Answer({"chat_id": human, "has_background": False, "background_id": None, "changed": changed})
            case "PATCH", ["groups", group] if group in self.groups:
                self.groups[group]["name"] = call.body["name"]
                synced = not self.faults.get("unsynced")
                answer = {"group_id": group, "name": call.body["name"], "device_sync": {"synced": synced}}
                return Answer(answer)
            case "GET", ["groups", group, "members"] if group in self.groups:
                members = [{"contact_id": f"ct_{one}", "identifier": one} for one in self.groups[group]["members"]]
                return Answer({"group_id": group, "members": members, "pagination": {"total": len(members)}})
            case ("POST" | "DELETE") as method, ["chats", human, "typing"]:
                return Answer({"chat_id": human, "typing": method == "POST"})
            case "POST", ["chats", human, "read"]:
                return Answer({"chat_id": human, "status": "read", "marked_at": self._at()})
            case "GET", ["contacts", human, "capabilities"]:
                able = {"imessage": self._service(human) == "imessage", "sms": human.startswith("+")}
                return Answer({"contact": human, "capabilities": able, "last_checked": self._at()})
            case "GET", ["webhooks"]:
                shown = [{k: v for k, v in hook.items() if k != "signing_secret"} for hook in self.webhooks.values()]
                return Answer({"webhooks": shown})
            case "POST", ["webhooks"]:
                return self._subscribe(call.body)
            case "PATCH", ["webhooks", known]:
                self.webhooks[known].update(call.body)
                return Answer(self.webhooks[known])
            case "POST", ["webhooks", known, "secret", "rotate"]:
                self.webhooks[known]["signing_secret"] = f"secret-{next(self._ids)}"
                return Answer({"webhook_id": known, "signing_secret": self.webhooks[known]["signing_secret"]})
        return _refusal(404, None, "Not found")

    def control(self, call: Call) -> Any:
        asked = call.body
        match call.path.removeprefix("/_control/"):
            case "text":
                return self._hear(**asked)
            case "group":
                return self._group(**asked)
            case "dashboard":
                text = {"text": asked["words"]}
                sent = self._keep(asked["line"], asked["human"], text, direction="outbound", status="queued")
                return self._deliver(sent)
            case "status":
                return self._move(**asked)
            case "tapback":
                return self._tap(**asked)
            case "service":
                return self.services.update(asked)
            case "line":
                return self.lines[asked.pop("line")].update(asked)
            case "event":
                return self.post(asked)
            case "secrets":
                return [hook["signing_secret"] for hook in self.webhooks.values()]
            case "messages":
                return list(self.messages.values())
        raise KeyError(call.path)

    def _at(self) -> int:
        """The time in milliseconds, never the same twice: it orders what happened."""
        self._now = max(int(time.time() * 1000), self._now + 1)
        return self._now

    def _service(self, human: str) -> str:
        return self.services.get(human, "imessage")

    def _group(self, members: list[str], group: str = "") -> str:
        """Of the same people there is one, unless `group` says which is meant."""
        same = [known for known, about in self.groups.items() if set(about["members"]) == set(members)]
        key = group or (same[0] if same else f"grp_{next(self._ids)}")
        self.groups[key] = {"name": None, **self.groups.get(key, {}), "members": list(members)}
        return key

    def _send(self, human: str, asked: Json, key: str | None) -> Answer:
        line, made = asked.get("from_number") or LINES[0], {}
        if "," in human:
            human = self._group(human.split(","))
            made = {"group_id": human, "participants": self.groups[human]["members"]}
        if key in self.keys:
            handle, _ = self.keys[key]
            return self.taken(Answer({"message_id": handle, "status": "queued", **made}, 200))
        refused = self._refusal(human, line, asked)
        if refused:
            return refused
        message = self._keep(line, human, asked, direction="outbound", status="queued")
        if key:
            self.keys[key] = (message["message_id"], human)
        self._deliver(message)
        return self.taken(Answer({"message_id": message["message_id"], "status": "queued", **made}, 202))

    def _refusal(self, human: str, line: str, asked: Json) -> Answer | None:
        if line not in self.lines:
            return _refusal(403, None, "Phone number not accessible with this API key")
        if not self.lines[line]["is_active"]:
            return _refusal(503, None, "No active number available")
        heard = [m for m in self.messages.values() if m["external_id"] == human and m["internal_id"] == line]
        if self.lines[line]["plan_kind"] == "inbound" and not any(m["direction"] == "inbound" for m in heard):
            return _refusal(403, "inbound_only_no_prior_inbound", "Reply-only number")
        if not heard and asked.get("attachments"):
            return _refusal(400, "attachment_first_message_not_allowed", "No attachment in a first message")
        if not asked.get("text") and not asked.get("attachments"):
            return _refusal(400, None, "Nothing to send")
        reply = (asked.get("reply_to") or {}).get("message_id")
        if reply and reply not in self.messages:
            return _refusal(404, "reply_target_not_found", "Reply target message not found")
        return None

    def _keep(self, line: str, human: str, asked: Json, *, direction: str, status: str) -> Json:
        message = {
            "message_id": f"msg_{next(self._ids)}",
            "direction": direction,
            "external_id": human,
            "internal_id": line,
            "text": asked.get("text", ""),
            "attachments": [a if isinstance(a, dict) else {"url": a} for a in asked.get("attachments", [])],
            "sender": asked.get("sender"),
            "reactions": [],
            "time_sent": self._at(),
            "time_delivered": None,
            "status": status,
            "protocol": asked.get("protocol") or self._service(human),
            "error": None,
            "effect": asked.get("effect"),
            "reply_to": asked.get("reply_to"),
        }
        self.messages[message["message_id"]] = message
        return message

    def _deliver(self, message: Json) -> None:
        if "fails" in self.faults:
            self._move(message["message_id"], "failed", **self.faults["fails"])
            return
        self._move(message["message_id"], "sent")
        if self.faults.get("silent"):
            return
        self.show(message["external_id"], text=message["text"], line=message["internal_id"])
        if message["protocol"] == "imessage":
            self._move(message["message_id"], "delivered")

    def _move(self, handle: str, status: str, **error: Any) -> None:
        message, at = self.messages[handle], self._at()
        if status != "read":
            message["status"] = status
        if status == "delivered":
            message["time_delivered"] = at
        if error:
            message["error"] = error.get("error_message")
        times = {f"{status}_at": at} if status in {"sent", "delivered", "read"} else {}
        self._tell(f"message.{status}", message, status=status, **times, **error)

    def _hear(self, line: str, human: str, group: str = "", **asked: Any) -> str:
        in_group = {"sender": human} if group else {}
        message = self._keep(line, group or human, {**asked, **in_group}, direction="inbound", status="received")
        self._tell("message.received", message, status="received", sender=human, received_at=message["time_sent"])
        return str(message["message_id"])

    def _tap(
        self, handle: str, reaction: str, action: str = "add", direction: str = "inbound", sender: str = ""
    ) -> None:
        message, at = self.messages[handle], self._at()
        human = sender or message["external_id"]
        message["reactions"].append(
            {
                "reaction": reaction,
                "is_added": action == "add",
                "time_sent": at,
                "sender": human if direction == "inbound" else None,
            }
        )
        self.post(
            {
                "event": "message.reaction",
                "direction": direction,
                "message_id": handle,
                "external_id": message["external_id"],
                "internal_id": message["internal_id"],
                "reaction": reaction,
                "action": action,
                "sender": human if direction == "inbound" else message["internal_id"],
                "original_text": message["text"],
                "timestamp": at,
            }
        )

    def _tell(self, event: str, message: Json, **fields: Any) -> None:
        told = {name: message[name] for name in ("message_id", "external_id", "internal_id", "text", "attachments")}
        group = self.groups.get(message["external_id"])
        members = group["members"] if group else []
        people = [{"contact_id": f"ct_{one}", "identifier": one, "name": None} for one in members]
        self.post(
            {
                "event": event,
                **told,
                "protocol": message["protocol"],
                "timestamp": self._at(),
                "sender": None,
                "is_group": group is not None,
                "group_id": message["external_id"] if group else None,
                "group_name": group["name"] if group else None,
                "participants": people or None,
                "reply_to": message["reply_to"],
                **fields,
            }
        )

    def _chats(self, query: dict[str, str]) -> Answer:
        chats: dict[str, Json] = {}
        for message in self.messages.values():
            human = message["external_id"]
            about = {"type": "phone", "is_group": False}
            if group := self.groups.get(human):
                about = {"type": "group", "is_group": True, "group_id": human, "group_name": group["name"]}
            chats[human] = {"id": human, **about, "last_message_time": message["time_sent"]}
        found = sorted(chats.values(), key=lambda chat: -chat["last_message_time"])
        return _page("chats", found, query)

    def _list(self, human: str, query: dict[str, str]) -> Answer:
        found = [message for message in self.messages.values() if message["external_id"] == human]
        if "direction" in query:
            found = [message for message in found if message["direction"] == query["direction"]]
        found = [message for message in found if message["time_sent"] > int(query.get("since", 0))]
        found.sort(key=lambda message: message["time_sent"], reverse=query.get("sort", "desc") == "desc")
        return _page("messages", found, query)

    def _react(self, human: str, handle: str, asked: Json) -> Answer:
        sign, reaction = asked.get("reaction", " ")[0], asked.get("reaction", " ")[1:]
        if sign not in "+-" or not reaction or (reaction.isascii() and reaction not in _SIX):
            return _refusal(400, None, "Invalid reaction")
        if handle not in self.messages:
            return _refusal(404, None, "Message not found")
        action = "add" if sign == "+" else "remove"
        self._tap(handle, reaction, action, direction="outbound")
        return Answer({"success": True, "message_id": handle, "reaction": reaction, "action": action})

    def _subscribe(self, asked: Json) -> Answer:
        for known in self.webhooks.values():
            if known["webhook_url"] == asked["webhook_url"]:
                return Answer({"webhook_id": known["webhook_id"], "webhook_url": known["webhook_url"]}, 200)
        number = next(self._ids)
        hook = {
            "webhook_id": f"wh_{number}",
            "webhook_url": asked["webhook_url"],
            "webhook_type": asked.get("webhook_type", "message"),
            "is_active": True,
            "signing_secret": f"secret-{number}",
        }
        self.webhooks[hook["webhook_id"]] = hook
        return Answer(hook, 201)


def _page(name: str, found: list[Json], query: dict[str, str]) -> Answer:
    offset, limit = int(query.get("offset", 0)), int(query.get("limit", 50))
    page = {"limit": limit, "offset": offset, "total": len(found)}
    return Answer({name: found[offset : offset + limit], "pagination": page})


def _refusal(status: int, code: str | None, text: str) -> Answer:
    body = {"error": "ApiError", "message": text, "status": status}
    return Answer({**body, "code": code} if code else body, status)


if __name__ == "__main__":
    serve(Blooio())
