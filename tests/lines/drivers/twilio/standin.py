"""Twilio's messages as documented, in a process of its own: forms in and out, basic auth, signed callbacks, no key."""

import base64
import hashlib
import hmac
import itertools
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from tests.lines.drivers.hosting import Answer, Call, Hosted, Json, serve

LINES = ("+15555550100", "+15555550101")
ACCOUNT, KEY, KEY_SECRET = "AC" + "0" * 32, "SK" + "0" * 32, "key secret"
TOKEN = f"{ACCOUNT}:{KEY}:{KEY_SECRET}"
AUTH_TOKEN = "auth token"
CALLBACK_URL = "https://cordboard.example/callbacks/twilio"
_ROOT = f"/2010-04-01/Accounts/{ACCOUNT}"
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


class Refused(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        self.answer = Answer({"code": code, "message": message, "more_info": "", "status": status}, status)


class Twilio(Hosted):
    """Every number takes texts; `carrier` gives one an error code that its texts end with."""

    def reset(self) -> None:
        super().reset()
        self.numbers = {
            line: {"sid": f"PN{index:032}", "sms_url": CALLBACK_URL, "status": "in-use", "capabilities": {"sms": True}}
            for index, line in enumerate(LINES)
        }
        self.messages: dict[str, Json] = {}
        self.media: dict[str, list[Json]] = {}
        self.carrier: dict[str, int] = {}
        self.opted_out: set[str] = set()
        self._ids = itertools.count(1)
        self._now = datetime.now(UTC)

    def sign(self, body: bytes) -> dict[str, str]:
        raise NotImplementedError("A signature takes the URL too.")

    def post(self, event: Any) -> None:
        """`event` is the URL and the form."""
        if self._strikes("drops"):
            return
        url, form = event["url"], event["form"]
        signed = url + "".join(name + value for name, value in sorted(form.items()))
        digest = hmac.new(AUTH_TOKEN.encode(), signed.encode(), hashlib.sha1).digest()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "X-Twilio-Signature": base64.b64encode(digest).decode(),
        }
        self.outbox.append((url, headers, urlencode(form).encode()))

    def answer(self, call: Call) -> Answer:
        given = call.headers.get("authorization", "").removeprefix("Basic ")
        if base64.b64decode(given).decode() != f"{KEY}:{KEY_SECRET}" or not call.path.startswith(f"{_ROOT}/"):
            return Refused(401, 20003, "Authenticate").answer
        try:
            return self._routed(call)
        except Refused as refused:
            return refused.answer

    def _routed(self, call: Call) -> Answer:
        form = call.body or {}
        match call.method, call.path.removeprefix(f"{_ROOT}/").removesuffix(".json").split("/"):
            case "POST", ["Messages"]:
                return self._send(form)
            case "GET", ["Messages"]:
                return self._list(call.query)
            case "GET", ["Messages", sid]:
                return Answer(self._message(sid))
            case "GET", ["Messages", sid, "Media"]:
                return Answer({"media_list": self.media.get(sid, []), "next_page_uri": None, "page_size": 50})
            case "GET", ["IncomingPhoneNumbers"]:
                shown = [self._number(line) for line in self.numbers if call.query.get("PhoneNumber", line) == line]
                return Answer({"incoming_phone_numbers": shown, "next_page_uri": None, "page_size": 50})
            case "POST", ["IncomingPhoneNumbers", sid]:
                line = next(line for line, number in self.numbers.items() if number["sid"] == sid)
                self.numbers[line]["sms_url"] = form["SmsUrl"][0]
                return Answer(self._number(line))
        raise Refused(404, 20404, "The requested resource was not found")

    def control(self, call: Call) -> Any:
        asked = call.body
        match call.path.removeprefix("/_control/"):
            case "text":
                return self._hear(**asked)
            case "status":
                return self._move(self._message(asked.pop("message")), **asked)
            case "carrier":
                return self.carrier.update(asked)
            case "opt_out":
                return self.opted_out.add(asked["human"])
            case "line":
                return self.numbers[asked.pop("line")].update(asked)
            case "drop_line":
                return self.numbers.pop(asked["line"]) and None
            case "numbers":
                return self.numbers
        raise KeyError(call.path)

    def _send(self, form: dict[str, list[str]]) -> Answer:
        line, human = form.get("From", [""])[0], form.get("To", [""])[0]
        if not _NUMBER.fullmatch(human):
            raise Refused(400, 21211, f"The 'To' number {human} is not a valid phone number.")
        if line not in self.numbers:
            raise Refused(400, 21606, f"The 'From' number {line} is not a valid, SMS-capable number.")
        if human in self.opted_out:
            raise Refused(400, 21610, "Attempt to send to unsubscribed recipient")
        media = form.get("MediaUrl", [])
        if len(media) > 10 or not (form.get("Body", [""])[0] or media):
            raise Refused(400, 21602, "Message body is required.")
        message = self._keep(line, human, form.get("Body", [""])[0], media, inbound=False)
        message["status_callback"] = form.get("StatusCallback", [""])[0]
        answer = Answer(dict(message, status="queued"), 201)
        self._deliver(message)
        return self.taken(answer)

    def _deliver(self, message: Json) -> None:
        """What the carrier does: sent, then delivered, or an error code late, or nothing more at all."""
        code = self.carrier.get(message["to"])
        if code:
            self._move(message, status="undelivered", code=code)
            return
        self._move(message, status="sent")
        if self.faults.get("silent"):
            return
        self.show(message["to"], text=message["body"], line=message["from"])
        self._move(message, status="delivered")

    def _move(self, message: Json, *, status: str, code: int | None = None) -> None:
        message.update(status=status, error_code=code, date_updated=self._at())
        message["date_sent"] = message["date_sent"] or self._at()
        if not message["status_callback"]:
            return
        form = {
            "AccountSid": ACCOUNT,
            "ApiVersion": "2010-04-01",
            "From": message["from"],
            "To": message["to"],
            "MessageSid": message["sid"],
            "MessageStatus": status,
            "SmsSid": message["sid"],
            "SmsStatus": status,
        }
        # What stands behind a # sets how Twilio retries; it is neither posted nor signed.
        url = message["status_callback"].partition("#")[0]
        self.post({"url": url, "form": form | ({"ErrorCode": str(code)} if code else {})})

    def _hear(
        self, *, human: str, text: str = "", line: str = LINES[0], media: list[str] | None = None, **more: str
    ) -> Json:
        kept = self._keep(line, human, text, media or [], inbound=True)
        form = {
            "AccountSid": ACCOUNT,
            "ApiVersion": "2010-04-01",
            "Body": text,
            "From": human,
            "To": line,
            "FromCountry": "US",
            "FromCity": "",
            "MessageSid": kept["sid"],
            "SmsMessageSid": kept["sid"],
            "SmsSid": kept["sid"],
            "SmsStatus": "received",
            "NumMedia": kept["num_media"],
            "NumSegments": "1",
            **more,
        }
        for index, held in enumerate(self.media.get(kept["sid"], [])):
            form[f"MediaUrl{index}"] = "https://api.twilio.com" + held["uri"].removesuffix(".json")
            form[f"MediaContentType{index}"] = held["content_type"]
        self.post({"url": self.numbers[line]["sms_url"].partition("#")[0], "form": form})
        return kept

    def _keep(self, sender: str, to: str, text: str, media: list[str], *, inbound: bool) -> Json:
        if inbound:
            sender, to = to, sender
        sid = f"{'MM' if media else 'SM'}{next(self._ids):032}"
        uri = f"{_ROOT}/Messages/{sid}"
        if media:
            self.media[sid] = [
                {
                    "sid": f"ME{index}",
                    "parent_sid": sid,
                    "content_type": "image/png",
                    "uri": f"{uri}/Media/ME{index}.json",
                }
                for index in range(len(media))
            ]
        self.messages[sid] = {
            "sid": sid,
            "account_sid": ACCOUNT,
            "api_version": "2010-04-01",
            "body": text,
            "from": sender,
            "to": to,
            "direction": "inbound" if inbound else "outbound-api",
            "status": "received" if inbound else "queued",
            "error_code": None,
            "error_message": None,
            "num_media": str(len(media)),
            "num_segments": "1",
            "messaging_service_sid": None,
            "date_created": self._at(),
            "date_updated": self._at(),
            "date_sent": self._at() if inbound else None,
            "uri": f"{uri}.json",
            "status_callback": "",
        }
        return self.messages[sid]

    def _list(self, query: dict[str, str]) -> Answer:
        """The newest first; two to a page, so that readers have to turn it."""
        found = [
            message
            for message in reversed(self.messages.values())
            if query.get("To", message["to"]) == message["to"] and query.get("From", message["from"]) == message["from"]
        ]
        start = int(query.get("Page", 0)) * 2
        more = urlencode({**query, "Page": str(start // 2 + 1)})
        uri = f"{_ROOT}/Messages.json?{more}" if start + 2 < len(found) else None
        return Answer({"messages": found[start : start + 2], "next_page_uri": uri, "page_size": 2})

    def _number(self, line: str) -> Json:
        return {"phone_number": line, "friendly_name": line, "account_sid": ACCOUNT, **self.numbers[line]}

    def _message(self, sid: str) -> Json:
        if sid not in self.messages:
            raise Refused(404, 20404, "The requested resource was not found")
        return self.messages[sid]

    def _at(self) -> str:
        self._now += timedelta(milliseconds=1)
        return format_datetime(self._now)


if __name__ == "__main__":
    serve(Twilio())
