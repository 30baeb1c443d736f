"""Contiguity's words for our canonical shapes and error codes (contract/contiguity.md). Pure functions on plain values.

It has two clients with two dialects: where the Python one reads less or other than the published API says, an answer
holds both; each ignores what it does not know (section 2).
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Literal, get_args
from urllib.parse import unquote, urlsplit
from uuid import UUID

from core.ids import from_prefixed, prefixed
from core.phones import digits_of, pretty
from core.texts import is_emoji
from dialects.webhooks import Body, Posting, Telling

Shape = Mapping[str, Any]

API_VERSION = "v2026.8.2"

TapbackWord = Literal["love", "like", "dislike", "laugh", "emphasize", "question"]
TypingWord = Literal["start", "stop"]
ActionWord = Literal["add", "remove"]
FallbackWord = Literal["imessage_unsupported", "imessage_fails"]
BillingWord = Literal["monthly", "service_contract"]

TAPBACKS = frozenset(get_args(TapbackWord))

# What tapbacks are called on a text (section 5).
_TEXT_REACTIONS = {
    "love": "love",
    "thumbsup": "like",
    "thumbsdown": "dislike",
    "haha": "laugh",
    "emphasized": "emphasize",
    "questioned": "question",
}

# Its guide knows few statuses: what cannot be granted as it stands is a bad request there, and a human who has to
# write first, or more numbers than one may have, is a matter of permission (feature-matrix.md, section 2 row 3).
_STATUSES = {402: 403, 409: 400, 422: 400}
_FORBIDDEN = {"not_connected", "awaiting_inbound", "connection_released"}

_IMESSAGE, _TEXT = "imsg", "text"
_TEXT_SERVICES = {"sms", "rcs"}
_FAILED = {"error", "declined"}

# Parts of a number's details that an installation has nothing to say of: nobody pays here for a line.
_CARRIER = "Contiguity"
_NOBODY_PAYS = {"currency": "USD", "upfront_fee": 0.0, "monthly_rate": 0.0}

# The states of a message on its way that its timeline tells, in its words and in people's.
_TRACKED = {
    "queued": ("queued", "Queued"),
    "accepted": ("accepted", "Accepted by the network"),
    "sent": ("sent", "Sent"),
    "delivered": ("confirmed", "Delivered"),
    "error": ("failed", "Failed"),
    "declined": ("failed", "Failed"),
    "read": ("read", "Read"),
}


# --- Envelopes (section 2)


def answer(data: Shape, *, key: UUID, at: datetime) -> dict[str, Any]:
    """The envelope of an answer with `data`; `metadata` stands in `data` too, where the Python client looks for it."""
    return _envelope("response", "req", data, key=key, at=at)


def refusal(data: Shape, *, key: UUID, at: datetime) -> dict[str, Any]:
    """The envelope of an error with `data` (`error_data`)."""
    return _envelope("error", "err", data, key=key, at=at)


def status_of(code: str, status: int) -> int:
    """Its status for one of our error codes."""
    return 403 if code in _FORBIDDEN else _STATUSES.get(status, status)


def error_data(*, status: int, message: str, facts: Shape) -> dict[str, Any]:
    """What is told of an error; of our facts only `agreement_url` has a place there."""
    told = {"agreement_url": facts["agreement_url"]} if "agreement_url" in facts else {}
    return {"error": message, "status": status, **told}


def invalid_sentence(errors: Iterable[Shape]) -> str:
    """What is wrong with a request, in one text: it has no place for a list."""
    return "; ".join(f"{_field(error['loc'])}: {error['msg']}" for error in errors)


def _field(loc: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in loc[1:]) or "body"


def _envelope(kind: str, prefix: str, data: Shape, *, key: UUID, at: datetime) -> dict[str, Any]:
    about = {"id": prefixed(prefix, key), "timestamp": _ms(at), "api_version": API_VERSION, "object": kind}
    return {**about, "data": {**data, "metadata": about}}


# --- Ids and words


def message_id(key: UUID, *, on_text_line: bool) -> str:
    """A message's id outside: `text_` when it belongs to a line that knows texts alone, else `imsg_`."""
    return prefixed(_TEXT if on_text_line else _IMESSAGE, key)


def message_key(text: str) -> UUID | None:
    """The key inside a message's id of either kind; None when it is neither."""
    return from_prefixed(_IMESSAGE, text) or from_prefixed(_TEXT, text)


def plain_text(message: str) -> str:
    """A message without its light markup (section 4): no line of ours carries bold, italic, struck or underlined words.

    A mark counts where it clasps words, so that names_like_this, 2 * 3 and addresses stay what they are.
    """
    pieces = _MARK.split(message)
    opened: list[tuple[int, int]] = []
    clasping: set[int] = set()
    words_seen = 0
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            words_seen += len(piece)
            continue
        before, after = _edge(pieces, index, -1), _edge(pieces, index, 1)
        places = [place for place in opened if pieces[place[0]] == piece and place[1] < words_seen]
        if places and not before.isspace() and (after in _ENDS or after.isspace()):
            clasping |= {places[-1][0], index}
            del opened[opened.index(places[-1]) :]
        elif (before in _BEGINNINGS or before.isspace()) and after and not after.isspace():
            opened = [*opened[-_DEEPEST_MARKUP:], (index, words_seen)]
    return "".join(piece for index, piece in enumerate(pieces) if index not in clasping)


_MARK = re.compile(r"(\*\*|__|~~|\*|_)")
_DEEPEST_MARKUP = 8

# What may stand before a mark that begins, and after one that ends; empty: the message's edge.
_BEGINNINGS = {"", *"([{\"'*_~"}
_ENDS = {"", *")]}\"'.,;:!?*_~"}


def _edge(pieces: Sequence[str], index: int, step: int) -> str:
    """The character next to a mark, before it or after it; empty at the message's edge."""
    beside = pieces[index + step] or "".join(pieces[index + 2 * step : index + 2 * step + 1])
    return beside[-1 if step < 0 else 0] if beside else ""


def tapback_of(word: str) -> tuple[str, str] | None:
    """Our kind of tapback and its emoji for a word or an emoji of its clients; None for what is neither."""
    kind = word if word in TAPBACKS else _TEXT_REACTIONS.get(word)
    if kind:
        return kind, ""
    return ("custom", word) if is_emoji(word) else None


def is_text_reaction(word: str) -> bool:
    """Whether a tapback on a text is called so."""
    return word in _TEXT_REACTIONS


# --- Messages (section 6)


def sent(key: UUID, *, on_text_line: bool) -> dict[str, Any]:
    """What a send is answered with."""
    return {"message_id": message_id(key, on_text_line=on_text_line)}


def typing(*, on: bool) -> dict[str, Any]:
    return {"status": "started" if on else "stopped"}


def read(count: int) -> dict[str, Any]:
    return {"status": "sent", "message": f"Read receipt sent; {count} marked as read."}


def reacted(action: str) -> dict[str, Any]:
    word = "added" if action == "add" else "removed"
    return {"status": word, "message": f"Reaction {word}."}


def message(shape: Shape, *, steps: Iterable[Shape] | None) -> dict[str, Any]:
    """One message; `shape` also has `line` (`address`, `service`). With `steps`, its timeline."""
    return {
        "id": message_id(UUID(shape["id"]), on_text_line=shape["line"]["service"] == "sms"),
        **_ends(shape),
        "message": shape["text"] or "",
        "timestamp": _ms_of(shape["created_at"]),
        "status": _delivery(shape)["status"],
        "attachments": [media["url"] for media in shape["media"]],
        **({} if steps is None else {"tracking": _tracking(shape, steps)}),
    }


def history(
    rows: Sequence[Shape], reactions: Sequence[Shape], *, limit: int, total: int, steps: Mapping[str, Sequence[Shape]]
) -> dict[str, Any]:
    """The last messages of a chat, newest first, and the log of its reactions.

    `rows` are messages with `line` and `read_at`; `steps` holds the timeline of each by its id, if it was asked for.
    """
    return {
        "conversation": [_row(row, steps.get(row["id"])) for row in rows],
        "reactions": [_reaction(change) for change in reactions],
        "chat": {
            "filtered": False,
            "chat_marked_as_spam": False,
            "limit": limit,
            "total": total,
            "count": len(rows),
        },
    }


def text_history(
    rows: Sequence[Shape], reactions: Sequence[Shape], *, limit: int, steps: Mapping[str, Sequence[Shape]]
) -> dict[str, Any]:
    """The same of texts: without what only Apple tells, and with a total of what is returned."""
    told = history(rows, reactions, limit=limit, total=len(rows), steps=steps)
    conversation = [{name: row[name] for name in row if name not in {"read", "risk"}} for row in told["conversation"]]
    chat = {name: told["chat"][name] for name in ("limit", "total", "count")}
    return {"conversation": conversation, "reactions": told["reactions"], "chat": chat}


def _row(shape: Shape, steps: Sequence[Shape] | None) -> dict[str, Any]:
    ends = _ends(shape)
    read_at = shape["read_at"] if shape["direction"] == "inbound" else shape["peer_read_at"]
    return {
        **ends,
        # The Python client reads the sender as a number, by this name.
        "from_": int(digits_of(ends["from"]) or 0),
        "message": shape["text"] or "",
        "timestamp": _ms_of(shape["created_at"]),
        "read": _ms_of(read_at) if read_at else 0,
        "delivery": _delivery(shape),
        "risk": {"auto_reported_as_spam": False, "marked_as_spam": False},
        "attachments": [media["url"] for media in shape["media"]],
        **({} if steps is None else {"tracking": _tracking(shape, steps)}),
    }


def _ends(shape: Shape) -> dict[str, str]:
    human, line = shape["human"], shape["line"]["address"]
    return {"to": line, "from": human} if shape["direction"] == "inbound" else {"to": human, "from": line}


def _delivery(shape: Shape) -> dict[str, Any]:
    """What is not settled yet is delayed: there are three words alone."""
    if shape["status"] in _FAILED:
        word, at = "failed", shape["failed_at"]
    elif shape["direction"] == "inbound":
        word, at = "delivered", shape["created_at"]
    elif shape["status"] == "delivered":
        word, at = "delivered", shape["delivered_at"]
    else:
        word, at = "delayed", shape["sent_at"]
    return {"status": word, "delayed": word == "delayed", "timestamp": _ms_of(at or shape["created_at"])}


def _tracking(shape: Shape, steps: Iterable[Shape]) -> list[dict[str, Any]]:
    channel = "text" if shape["service"] in _TEXT_SERVICES else "imessage"
    told = [(*_TRACKED[step["state"]], step["at"]) for step in steps if step["state"] in _TRACKED]
    return [{"event": f"{channel}.delivery.{word}", "title": title, "timestamp": at} for word, title, at in told]


def _reaction(change: Shape) -> dict[str, Any]:
    who = change["human"] if change["direction"] == "inbound" else change["line"]["address"]
    return {
        "reaction": change["emoji"] or change["kind"],
        "on": change["on"] or "",
        "timestamp": _ms_of(change["at"]),
        "action": "removed" if change["action"] == "remove" else "added",
        "from": who,
        "from_": who,
    }


def availability(*, available: bool) -> dict[str, Any]:
    return {"available": available}


# --- Numbers (section 7)


def number(shape: Shape) -> dict[str, Any]:
    """A line, with its lease if the caller holds it."""
    return {
        "id": shape["address"],
        "status": "available" if shape["is_free"] else "leased" if shape["is_ours"] else "unavailable",
        "number": {"e164": shape["address"], "formatted": pretty(shape["address"])},
        "location": {"country": shape["region"], "region": "", "city": ""},
        "carrier": _CARRIER,
        "capabilities": {
            "intl_sms": shape["sends_texts"],
            "channels": _channels(shape),
        },
        "health": {"reputation": 1.0 if shape["in_service"] else 0.0, "previous_owners": 0},
        "data": {"requirements": [], "e911_capable": False},
        "created_at": _seconds_of(shape["created_at"]),
        "pricing": _NOBODY_PAYS,
        # The Python client fails without these names.
        "lease_id": _lease_id(shape) if shape["is_ours"] else None,
        "lease_status": _lease_status(shape) if shape["is_ours"] else None,
        "billing": {"method": "monthly", "period": _period(shape)} if shape["is_ours"] else None,
    }


def _channels(shape: Shape) -> list[str]:
    own = [] if shape["service"] == "sms" else ["imessage"]
    return own + (["sms", "mms"] if shape["sends_texts"] else [])


def available(shapes: Sequence[Shape]) -> dict[str, Any]:
    return {"available": len(shapes), "numbers": [number(shape) for shape in shapes]}


def leased(shapes: Sequence[Shape]) -> dict[str, Any]:
    return {"leased": len(shapes), "numbers": [number(shape) for shape in shapes]}


def lease(shape: Shape, *, method: str) -> dict[str, Any]:
    """A new lease: the number's details, which the Python client reads, with the price that the guide tells beside."""
    return {**number(shape), "billing": {"method": method, "price": _NOBODY_PAYS, "period": _period(shape)}}


def terminated(shape: Shape, *, at: datetime) -> dict[str, Any]:
    return {
        "lease_id": _lease_id(shape),
        "number_id": shape["address"],
        "status": "terminated",
        "terminated_at": int(at.timestamp()),
    }


def configured(shape: Shape) -> dict[str, Any]:
    return {"number": shape["address"], "failover": shape["failover"]}


def _lease_id(shape: Shape) -> str:
    return prefixed("lsd", UUID(shape["id"]))


def _lease_status(shape: Shape) -> str:
    return "expired" if shape["is_expired"] else "active"


def _period(shape: Shape) -> dict[str, Any]:
    start = shape["claimed_at"] or shape["created_at"]
    end = shape["expires_at"]
    return {"start": _seconds_of(start), "end": _seconds_of(end) if end else None}


# --- Webhooks (section 8)

# Our catalogue's names in its words; what comes or leaves as a text has words of its own.
WEBHOOK_EVENTS = {
    "message.received": "imessage.incoming",
    "message.delivered": "text.delivery.confirmed",
    "message.delivery_failed": "text.delivery.failed",
    "line.substituted": "numbers.substitution",
}

SIGNATURE_HEADER = "Contiguity-Signature"


def webhook_payloads(telling: Telling) -> list[Body]:
    """What is posted for an event: nothing of groups, which it does not have, nor how an iMessage fares."""
    if (telling.data.get("conversation") or {}).get("is_group"):
        return []
    if telling.event_type == "line.substituted":
        told: tuple[str, dict[str, Any]] | None = _substituted(telling)
    else:
        told = _TELLERS[telling.event_type](telling.data)
    if told is None:
        return []
    word, data = told
    payload = {
        "id": prefixed("evt", telling.event_id),
        "type": word,
        "timestamp": int(telling.at.timestamp()),
        "api_version": API_VERSION,
        "data": data,
    }
    return [Body(payload)]


def webhook_headers(keys: Sequence[str], posting: Posting) -> dict[str, str]:
    """The signature by the newest secret, taken whole: only the first one in the header is looked at."""
    if not keys:
        return {}
    digest = hmac.new(keys[0].encode(), f"{posting.timestamp}.".encode() + posting.body, hashlib.sha256).hexdigest()
    return {SIGNATURE_HEADER: f"t={posting.timestamp},v1={digest}"}


def _incoming(data: Shape) -> tuple[str, dict[str, Any]]:
    shape = data["message"]
    attachments = [_attachment(media) for media in shape["media"]]
    told: dict[str, Any] = {
        "from": shape["human"],
        "to": data["line"]["address"],
        "body": shape["text"] or "",
        "timestamp": _seconds_of(shape["created_at"]),
    }
    if shape["service"] not in _TEXT_SERVICES:
        return "imessage.incoming", {**told, "attachments": attachments}
    if attachments:
        return "text.incoming.mms", {**told, "attachments": attachments}
    return "text.incoming.sms", told


def _confirmed(data: Shape) -> tuple[str, dict[str, Any]] | None:
    shape = data["message"]
    if shape["service"] not in _TEXT_SERVICES:
        return None
    return "text.delivery.confirmed", _fate(data, shape["delivered_at"])


def _failed(data: Shape) -> tuple[str, dict[str, Any]] | None:
    shape = data["message"]
    if shape["service"] not in _TEXT_SERVICES:
        return None
    return "text.delivery.failed", {**_fate(data, shape["failed_at"]), "error": (shape["error"] or {}).get("message")}


def _substituted(telling: Telling) -> tuple[str, dict[str, Any]]:
    change = telling.data
    return "numbers.substitution", {
        "original_number": change["original"]["address"],
        "used_number": change["used"]["address"],
        "reason": "requested_unavailable_random_used",
        "message_id": message_id(UUID(change["message_id"]), on_text_line=change["used"]["service"] == "sms"),
        "timestamp": int(telling.at.timestamp()),
    }


_TELLERS = {
    "message.received": _incoming,
    "message.delivered": _confirmed,
    "message.delivery_failed": _failed,
}


def _fate(data: Shape, at: str | None) -> dict[str, Any]:
    shape = data["message"]
    return {
        "from": data["line"]["address"],
        "to": shape["human"],
        "message_id": _told_id(data),
        "timestamp": _seconds_of(at or shape["updated_at"]),
    }


def _told_id(data: Shape) -> str:
    return message_id(UUID(data["message"]["id"]), on_text_line=data["line"]["service"] == "sms")


def _attachment(media: Shape) -> dict[str, Any]:
    name = PurePosixPath(unquote(urlsplit(media["url"]).path)).name
    return {"url": media["url"], "mime": media["content_type"] or "application/octet-stream", "filename": name}


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _ms_of(moment: str) -> int:
    return _ms(datetime.fromisoformat(moment))


def _seconds_of(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())
