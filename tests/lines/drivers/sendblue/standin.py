"""Sendblue as documented, in a process of its own: messages, line state and usage, webhooks with a shared secret."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.lines.drivers.hosting import Answer, Call, Hosted, Json, serve

LINES = ("+15555550100", "+15555550101")
KEY, SECRET = "key-id", "key-secret"
_TYPES = ("receive", "outbound", "typing_indicator", "line_blocked", "line_assigned")


class Sendblue(Hosted):
    """Every human is on iMessage unless `service` says otherwise."""

    def reset(self) -> None:
        super().reset()
        self.messages: dict[str, Json] = {}
        self.webhooks: dict[str, list[Json]] = {}
        self.services: dict[str, str] = {}
        self.status_urls: dict[str, str] = {}
        self.opted_out: set[str] = set()
        self.groups: dict[str, list[str]] = {}
        self.reactions: list[Json] = []
        self.lines = {line: {"status": "ONLINE", "hourly": 15, "daily": 50} for line in LINES}
        self._ids = itertools.count(1)
        self._now = datetime.now(UTC)

    def sign(self, body: bytes) -> dict[str, str]:
        hooks = [hook for hooks in self.webhooks.values() for hook in hooks]
        return {"sb-signing-secret": hooks[0].get("secret", "") if hooks else ""}

    def answer(self, call: Call) -> Answer:
        if (call.headers.get("sb-api-key-id"), call.headers.get("sb-api-secret-key")) != (KEY, SECRET):
            return Answer({"message": "Unauthorized"}, 401)
        match call.method, call.path:
            case "POST", "/api/send-message":
                return self._send(call.body)
            case "POST", "/api/send-group-message":
                return self._send_to_group(call.body)
            case "GET", path if path.startswith("/api/v2/messages/"):
                found = self.messages.get(path.rpartition("/")[2])
                return Answer({"status": "OK", "data": found}) if found else Answer({"message": "Not found"}, 404)
            case "GET", "/api/v2/messages":
                return self._list(call.query)
            case "GET", "/api/status":
                found = self.messages.get(call.query["handle"])
                return Answer(found) if found else Answer({"message": "Not found"}, 404)
            case "POST", "/api/send-reaction":
                return self._react(call.body)
            case "POST", "/api/send-typing-indicator":
                return self._type(call.body)
            case "POST", "/api/mark-read":
                return Answer({"status": "OK"})
            case "GET", "/api/evaluate-service":
                return Answer({"number": call.query["number"], "service": self._service(call.query["number"])})
            case "GET", "/api/v2/lines/state":
                return Answer({"status": "OK", "snapshot_at": self._at(), "data": self._states()})
            case "GET", "/api/v2/lines/usage":
                return Answer({"status": "OK", "enabled": True, "lines": self._usage()})
            case method, "/api/account/webhooks":
                return self._webhooks(method, call.body)
        return Answer({"message": "Not found"}, 404)

    def control(self, call: Call) -> Any:
        asked = call.body
        match call.path.removeprefix("/_control/"):
            case "text":
                return self._hear(**asked)
            case "group":
                return self._group(**asked)
            case "dashboard":
                return self._deliver(
                    self._keep(asked["line"], asked["human"], {"content": asked["words"]}, service="iMessage")
                )
            case "status":
                return self._move(asked["handle"], **asked["fields"])
            case "service":
                return self.services.update(asked)
            case "opt_out":
                return self.opted_out.add(asked["human"])
            case "line":
                return self.lines[asked.pop("line")].update(asked)
            case "event":
                return self.post(asked)
            case "hook":
                return self.webhooks[asked.pop("type")].insert(0, asked)
            case "webhooks":
                return self.webhooks
            case "reactions":
                return self.reactions
        raise KeyError(call.path)

    def _at(self) -> str:
        """The time, never the same twice: it orders what happened."""
        self._now = max(datetime.now(UTC), self._now + timedelta(milliseconds=1))
        return self._now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _service(self, human: str) -> str:
        return self.services.get(human, "iMessage")

    def _send(self, asked: Json) -> Answer:
        line, human = asked.get("from_number"), asked.get("number", "")
        if not human.startswith("+") or not (asked.get("content") or asked.get("media_url")):
            return _refusal(4000, "Bad request: a number and content or media are needed")
        if line not in self.lines:
            return _refusal(4000, "Bad request: from_number is not yours")
        if human in self.opted_out:
            return _refusal(4002, "The contact has opted out", "OPTED_OUT", status="DECLINED")
        new = not any(human in (m["from_number"], m["to_number"]) for m in self.messages.values())
        for window in ("hourly", "daily"):
            if new and self.lines[line][window] <= 0:
                return _refusal(429, f"{window} new contacts used up", f"LINE_{window.upper()}_LIMIT_REACHED")
        if new:
            self.lines[line]["hourly"] -= 1
            self.lines[line]["daily"] -= 1
        message = self._keep(line, human, asked, service=self._service(human))
        # Where its states are told, without the secret.
        self.status_urls[message["message_handle"]] = asked.get("status_callback", "")
        accepted = {**message, "status": "QUEUED"}
        self._deliver(message)
        return self.taken(Answer(accepted, 202))

    def _group(self, members: list[str], group: str = "") -> str:
        """Of the same people there is one, unless `group` says which is meant."""
        same = [known for known, people in self.groups.items() if set(people) == set(members)]
        key = group or (same[0] if same else f"group-{next(self._ids)}")
        self.groups[key] = list(members)
        return key

    def _send_to_group(self, asked: Json) -> Answer:
        """The answer does not name the group; the message does."""
        line, group = asked.get("from_number"), asked.get("group_id") or self._group(asked.get("numbers") or [])
        if line not in self.lines or len(self.groups.get(group, [])) < 2:
            return _refusal(4000, "Bad request: a line of yours, and a group or its numbers")
        message = self._keep(line, "", asked, service="iMessage", group=group)
        self.status_urls[message["message_handle"]] = asked.get("status_callback", "")
        accepted = {**message, "status": "QUEUED"}
        for name in ("group_id", "group_display_name", "participants"):
            accepted.pop(name)
        self._deliver(message)
        return self.taken(Answer(accepted, 202))

    def _keep(
        self, line: str, human: str, asked: Json, *, service: str, inbound: bool = False, group: str = ""
    ) -> Json:
        message = {
            "accountEmail": "olga@example.com",
            "content": asked.get("content", ""),
            "media_url": asked.get("media_url", ""),
            "is_outbound": not inbound,
            "status": "RECEIVED" if inbound else "QUEUED",
            "error_code": None,
            "error_message": None,
            "error_reason": None,
            "error_detail": None,
            "message_handle": f"SB-{next(self._ids)}",
            "date_sent": self._at(),
            "date_updated": self._at(),
            "from_number": human if inbound else line,
            "number": human,
            "to_number": line if inbound else human,
            "sendblue_number": line,
            "was_downgraded": None if inbound else service != "iMessage",
            "service": service,
            "message_type": "group" if group else "message",
            "group_id": group,
            "group_display_name": None,
            "participants": [*self.groups.get(group, [human]), line],
            "send_style": asked.get("send_style", ""),
            "reply_to": asked.get("reply_to"),
            "opted_out": asked.get("opted_out", False),
            "plan": "dedicated",
        }
        self.messages[message["message_handle"]] = message
        return message

    def _deliver(self, message: Json) -> None:
        """What happens to a text that was taken: it goes out, fails, or seems to go out."""
        if "fails" in self.faults:
            self._move(message["message_handle"], status="ERROR", **self.faults["fails"])
            return
        self._move(message["message_handle"], status="SENT")
        if self.faults.get("silent"):
            return
        where = message["group_id"] or message["number"]
        self.show(where, text=message["content"], line=message["sendblue_number"])
        # An SMS stays at "sent" for ever.
        if message["service"] == "iMessage":
            self._move(message["message_handle"], status="DELIVERED")

    def _move(self, handle: str, **fields: Any) -> None:
        message = self.messages[handle]
        message.update(fields, date_updated=self._at())
        where = self.status_urls.get(handle, "")
        if where or self.webhooks.get("outbound"):
            self.post(message, url=where)

    def _hear(self, line: str, human: str, group: str = "", **asked: Any) -> str:
        service = asked.get("service") or self._service(human)
        message = self._keep(line, human, asked, service=service, inbound=True, group=group)
        self.post(message)
        return str(message["message_handle"])

    def _list(self, query: dict[str, str]) -> Answer:
        """Filtered as documented; times compare as the text they are."""
        found = list(self.messages.values())
        columns = ("number", "sendblue_number", "from_number", "to_number", "status", "service")
        for name in (*columns, "group_id", "message_type"):
            if name in query:
                found = [row for row in found if row[name] == query[name]]
        if "is_outbound" in query:
            found = [row for row in found if row["is_outbound"] == (query["is_outbound"] == "true")]
        if "updated_at_gte" in query:
            least = datetime.fromisoformat(query["updated_at_gte"])
            found = [row for row in found if datetime.fromisoformat(row["date_updated"]) >= least]
        found.sort(key=lambda row: row["date_updated"], reverse=query.get("order_direction") == "desc")
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 50))
        page = {"total": len(found), "limit": limit, "offset": offset, "hasMore": offset + limit < len(found)}
        return Answer({"status": "OK", "data": found[offset : offset + limit], "pagination": page})

    def _react(self, asked: Json) -> Answer:
        if asked.get("message_handle") not in self.messages:
            return _refusal(4000, "Message not found")
        if asked.get("reaction") not in {"love", "like", "dislike", "laugh", "emphasize", "question"}:
            return _refusal(4000, "Invalid reaction")
        self.reactions.append(asked)
        return Answer({"status": "SUCCESS", "reaction": asked["reaction"]})

    def _type(self, asked: Json) -> Answer:
        if not any(asked["number"] == message["number"] for message in self.messages.values()):
            return Answer({"status": "ERROR", "number": asked["number"], "error_message": "No route mapping"}, 400)
        return Answer({"status": "SENT", "number": asked["number"], "error_message": None})

    def _states(self) -> list[Json]:
        return [
            {
                "sendblue_number": line,
                "worker_id": f"worker-{line[-2:]}",
                "assignment": "assigned",
                "status": seen["status"],
                "status_changed_at": "2026-01-01T11:00:00.000Z",
            }
            for line, seen in self.lines.items()
        ]

    def _usage(self) -> list[Json]:
        """Times far ahead, so that a held text's wait is longer than a test."""
        slot, reset = "2126-01-01T12:30:00Z", "2126-01-02T08:00:00Z"
        return [
            {
                "phone": line,
                "state": "limited" if min(seen["hourly"], seen["daily"]) <= 0 else "available",
                "sampledAt": self._at(),
                "availableAt": (reset if seen["daily"] <= 0 else slot) if seen["hourly"] * seen["daily"] <= 0 else None,
                "hourly": {"limit": 15, "used": 15 - seen["hourly"], "remaining": seen["hourly"], "nextSlotAt": slot},
                "daily": {"limit": 50, "used": 50 - seen["daily"], "remaining": seen["daily"], "resetsAt": reset},
            }
            for line, seen in self.lines.items()
        ]

    def _webhooks(self, method: str, asked: Json | None) -> Answer:
        if asked is not None:
            kind = asked.get("type", "receive")
            if kind not in _TYPES:
                return _refusal(4000, "Unknown webhook type")
            named = [hook if isinstance(hook, dict) else {"url": hook} for hook in asked["webhooks"]]
            kept = self.webhooks.setdefault(kind, [])
            if method == "DELETE":
                kept[:] = [hook for hook in kept if hook["url"] not in {gone["url"] for gone in named}]
            else:
                kept.extend(named)
        return Answer({"status": "OK", "webhooks": self.webhooks})


def _refusal(code: int, text: str, key: str | None = None, *, status: str = "ERROR") -> Answer:
    return Answer({"status": status, "error_code": code, "error_key": key, "error_message": text}, 400)


if __name__ == "__main__":
    serve(Sendblue())
