"""AgentPhone's words for our canonical shapes and error codes (contract/agentphone.md). Pure functions."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from uuid import UUID

from core.ids import prefixed
from dialects.webhooks import Body, Posting, Telling

Shape = Mapping[str, Any]

# Its words for effects and tapbacks (section 5); a tapback may be an emoji instead.
StyleWord = Literal[
    "celebration",
    "fireworks",
    "lasers",
    "love",
    "confetti",
    "balloons",
    "spotlight",
    "echo",
    "invisible",
    "gentle",
    "loud",
    "slam",
]
ReactionWord = Literal["love", "like", "dislike", "laugh", "emphasize", "question"]
ChannelWord = Literal["sms", "mms", "imessage", "rcs"]
SEND_STYLES = frozenset(get_args(StyleWord))
REACTIONS = frozenset(get_args(ReactionWord))

# How its ids begin (section 3); clients take none apart but a group's.
AGENT, NUMBER, CONVERSATION, MESSAGE, GROUP = "agt", "num", "conv", "msg", "grp"
REACTION, WEBHOOK, DELIVERY, CONTACT = "rea", "wh", "del", "con"

# --- Errors (section 3)

# Ours that its clients know by another word; the others are said in capitals.
_ERROR_CODES = {
    "invalid": "VALIDATION_ERROR",
    "json_invalid": "VALIDATION_ERROR",
    "too_soon": "RATE_LIMIT_EXCEEDED",
    "send_cap_reached": "RATE_LIMIT_EXCEEDED",
    "upstream_failed": "CARRIER_ERROR",
    "line_quota_reached": "VALIDATION_ERROR_NUMBER_LIMIT",
}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    422: "validation_error",
    429: "rate_limit_error",
}
# A number that cannot be had is a conflict there: its TypeScript client repeats a request that met any 5xx.
_STATUSES = {"awaiting_inbound": 403, "line_quota_reached": 409, "line_inventory_pending": 409}
# What its clients are told in words of their own (section 5).
_ERROR_WORDS = {"reply_target_not_found": "Reply target not found."}


def status_of(code: str, status: int) -> int:
    """Its status for one of our error codes."""
    return _STATUSES.get(code, status)


def error_body(*, status: int, code: str, message: str, facts: Shape) -> dict[str, Any]:
    """Both of its shapes: `detail`, which its Python client reads, and the documented `error`."""
    if status == 422:
        return invalid_body([{"type": code, "loc": facts.get("loc", ["body"]), "msg": message}])
    message = _ERROR_WORDS.get(code, message)
    return {"detail": message, "error": _error(status, code, message)}


def invalid_body(errors: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of a 422: a list under `detail`, and the same by field under `error`."""
    detail = [{name: error.get(name) for name in ("loc", "msg", "type")} for error in errors]
    details = [{"field": _field(error["loc"]), "message": error["msg"], "type": error["type"]} for error in detail]
    words = "; ".join(f"{found['field']}: {found['message']}" for found in details)
    return {"detail": detail, "error": {**_error(422, "invalid", words), "details": details}}


def rate_limit_headers(facts: Shape) -> dict[str, str]:
    """`X-RateLimit-Reset`, which its TypeScript client waits for, beside what it says of."""
    names = {"limit": "X-RateLimit-Limit", "remaining": "X-RateLimit-Remaining", "reset": "X-RateLimit-Reset"}
    return {header: str(facts[name]) for name, header in names.items() if name in facts}


def _error(status: int, code: str, message: str) -> dict[str, Any]:
    word = "RATE_LIMIT_EXCEEDED" if status == 429 else _ERROR_CODES.get(code, code.upper())
    return {"message": message, "code": word, "type": _ERROR_TYPES.get(status, "api_error")}


def _field(loc: list[str | int] | None) -> str:
    return ".".join(str(part) for part in (loc or [])[1:]) or "body"


def page(rows: list[dict[str, Any]], *, has_more: bool, total: int | None = None) -> dict[str, Any]:
    """A part of a list; those that are read by cursor have no total."""
    return {"data": rows, "hasMore": has_more, **({} if total is None else {"total": total})}


# --- Messages (sections 5 and 6)


def channel_of(service: str, *, has_media: bool) -> str:
    """What carries a message: an SMS with files is an MMS."""
    return "mms" if service == "sms" and has_media else service


def sent_message(shape: Shape, *, line: Shape) -> dict[str, Any]:
    """The answer to a send. It has been taken, which there is called sent: no other word is published."""
    media_urls = [item["url"] for item in shape["media"]]
    reply_to = shape.get("reply_to")
    return {
        "id": _id(MESSAGE, shape["id"]),
        "status": "sent",
        "channel": channel_of(shape["service"], has_media=bool(media_urls)),
        "from_number": line["address"],
        "to_number": _other_side(shape),
        "conversation_id": _id(CONVERSATION, shape["conversation_id"]),
        "media_urls": media_urls,
        "reply_to_message_id": _id(MESSAGE, reply_to["message_id"]) if reply_to else None,
        "reply_parent_unresolved": shape.get("reply_unresolved") if reply_to else None,
    }


def messages(shape: Shape, *, address: str, parent: Shape | None = None) -> list[dict[str, Any]]:
    """A message as its rows, the newest first: of an inbound carousel one for each image, and its text before them.

    `address` is that of our line; `parent` the message it replies to, if it is a reply.
    """
    return [_row(shape, piece, address=address, parent=parent) for piece in reversed(_pieces(shape))]


def number_messages(shape: Shape, *, address: str, parent: Shape | None = None) -> list[dict[str, Any]]:
    """The rows of a message in the list of a number, which is older and spells both sides in every way."""
    rows = messages(shape, address=address, parent=parent)
    return [{**row, **_old_names(row)} for row in rows]


def reaction(shape: Shape, *, message: Shape, part_id: str | None) -> dict[str, Any]:
    """The answer to whoever put a tapback."""
    return {
        "id": _id(REACTION, shape["id"]),
        "reaction_type": _reaction_word(shape),
        "message_id": _id(MESSAGE, part_id or shape["message_id"]),
        "channel": message["service"],
    }


def tapback_of(word: str) -> tuple[str, str]:
    """Our kind of tapback and its emoji for what may be sent."""
    return (word, "") if word in REACTIONS else ("custom", word)


def _row(shape: Shape, piece: Shape, *, address: str, parent: Shape | None) -> dict[str, Any]:
    inbound, media_urls = shape["direction"] == "inbound", piece["media_urls"]
    channel = channel_of(shape["service"], has_media=bool(media_urls))
    error = shape["error"] or {}
    return {
        "id": piece["id"],
        "conversationId": _id(CONVERSATION, shape["conversation_id"]),
        "body": piece["text"],
        "fromNumber": _writer(shape) if inbound else address,
        "toNumber": address if inbound else _other_side(shape),
        "direction": shape["direction"],
        "channel": channel,
        "mediaUrl": media_urls[0] if media_urls else None,
        "mediaUrls": media_urls,
        "senderIdentifier": shape.get("sender"),
        "reactions": [_row_reaction(tapback, address=address) for tapback in piece["tapbacks"]],
        "replyTo": _reply_to(shape, parent),
        "status": _STATUS_WORDS.get(shape["status"], shape["status"]),
        "failureReason": error.get("message") or None,
        "errorCode": error.get("code") or None,
        "deliveredAt": shape["delivered_at"],
        "deliveredChannel": channel if shape["delivered_at"] else None,
        "readAt": shape["peer_read_at"],
        "receivedAt": shape["created_at"],
    }


# Ours that would say more than its clients can know of (section 13).
_STATUS_WORDS = {"registered": "queued", "pending": "queued", "accepted": "queued", "declined": "failed"}
_STATUS_WORDS |= {"error": "failed"}


def _pieces(shape: Shape) -> list[dict[str, Any]]:
    """What of a message is a row of its own, in the order of its parts."""
    text, media, tapbacks = shape["text"] or "", shape["media"], shape["tapbacks"]
    if shape["direction"] == "outbound" or len(media) < 2:
        urls = [item["url"] for item in media]
        return [{"id": _id(MESSAGE, shape["id"]), "text": text, "media_urls": urls, "tapbacks": tapbacks}]
    # The text keeps the message's own id; an image has its part's.
    first: list[dict[str, Any]] = [{"id": _id(MESSAGE, shape["id"]), "text": text, "media_urls": []}] if text else []
    images = [{"id": _id(MESSAGE, item["id"]), "text": "", "media_urls": [item["url"]]} for item in media]
    parts = ([0] if text else []) + [item["part_index"] for item in media]
    return [
        {**piece, "tapbacks": [tapback for tapback in tapbacks if _at(tapback["part_index"], parts) == index]}
        for index, piece in enumerate(first + images)
    ]


def _piece(shape: Shape, part_index: int) -> dict[str, Any]:
    """The piece that a part of a message is shown in."""
    pieces = _pieces(shape)
    if len(pieces) == 1:
        return pieces[0]
    parts = ([0] if shape["text"] else []) + [item["part_index"] for item in shape["media"]]
    return pieces[_at(part_index, parts)]


def _at(part_index: int, parts: list[int]) -> int:
    """Which of the pieces a part is; the last for one that is not there."""
    return parts.index(part_index) if part_index in parts else len(parts) - 1


def _row_reaction(shape: Shape, *, address: str) -> dict[str, Any]:
    return {
        "id": _id(REACTION, shape["id"]),
        "reactionType": _reaction_word(shape),
        "fromNumber": shape["human"] if shape["direction"] == "inbound" else address,
        "direction": shape["direction"],
        "createdAt": shape["created_at"],
    }


def _reply_to(shape: Shape, parent: Shape | None) -> dict[str, Any] | None:
    """What a reply hangs on; one that left as an ordinary message, or on what may not be seen, hangs on nothing."""
    reply_to = shape.get("reply_to")
    if not reply_to or not parent or shape.get("reply_unresolved"):
        return None
    piece = _piece(parent, reply_to["part_index"])
    return {"messageId": piece["id"], "message": piece["text"], "mediaUrls": piece["media_urls"]}


def _old_names(row: Shape) -> dict[str, Any]:
    return {"from": row["fromNumber"], "from_": row["fromNumber"], "to": row["toNumber"]}


def _writer(shape: Shape) -> str:
    return str(shape.get("sender") or shape["human"])


def _other_side(shape: Shape) -> str:
    """The human, or the group that stands in for its members."""
    return _id(GROUP, shape["conversation_id"]) if shape.get("is_group") else str(shape["human"])


def _reaction_word(shape: Shape) -> str:
    """One of six, or the emoji itself."""
    return str(shape["kind"]) if shape["kind"] in REACTIONS else str(shape["emoji"] or shape["kind"])


# --- Conversations (sections 6 and 7)


def conversation(shape: Shape) -> dict[str, Any]:
    """A conversation in a list."""
    latest = shape["latest"] or {}
    return {**_conversation(shape), "lastMessagePreview": (latest.get("text") or "")[:_PREVIEW]}


def conversation_detail(shape: Shape, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A conversation by itself, with its newest messages; what it can do is said of 1:1 ones."""
    return {**_conversation(shape), "messages": rows, "capabilities": _capabilities(shape)}


def typing(shape: Shape, *, shown: bool) -> dict[str, Any]:
    """The answer to a typing indicator: whether there is one on this channel."""
    status = "typing indicator sent" if shown else "skipped"
    return {
        "conversationId": _id(CONVERSATION, shape["id"]),
        "channel": shape["line"]["service"],
        "status": status,
    }


def background(shape: Shape, *, changed: bool) -> dict[str, Any]:
    """The answer to a background that was set, or was there already."""
    return {
        "conversationId": _id(CONVERSATION, shape["id"]),
        "channel": shape["line"]["service"],
        "hasBackground": shape["background_id"] is not None,
        "backgroundId": shape["background_id"],
        "backgroundVersion": shape["background_version"] or None,
        "changed": changed,
    }


_PREVIEW = 100


def _conversation(shape: Shape) -> dict[str, Any]:
    group = _id(GROUP, shape["id"]) if shape["is_group"] else None
    return {
        "id": _id(CONVERSATION, shape["id"]),
        "agentId": _id(AGENT, shape["identity_id"]) if shape["identity_id"] else None,
        "phoneNumberId": _id(NUMBER, shape["line"]["id"]),
        "phoneNumber": shape["line"]["address"],
        "participant": group or shape["human"],
        "isGroup": shape["is_group"],
        "groupId": group,
        "groupName": shape["group_name"] or None,
        "groupIconUrl": None,
        "participants": _roster(shape) if group else None,
        "channel": shape["line"]["service"],
        "lastMessageAt": (shape["latest"] or {}).get("created_at"),
        "messageCount": shape["total"],
        "metadata": shape["metadata"],
        "createdAt": shape["created_at"],
    }


def _roster(shape: Shape) -> list[dict[str, Any]]:
    return [{"identifier": member["human"], "name": member["name"] or None} for member in shape["participants"]]


def _capabilities(shape: Shape) -> dict[str, Any] | None:
    if shape["is_group"]:
        return None
    is_imessage = shape["line"]["service"] == "imessage"
    return {
        "canSendMessages": shape["is_open"],
        "media": shape["takes_media"],
        "reactions": is_imessage and shape["takes_tapbacks"],
        "emojiReactions": is_imessage and shape["takes_emoji"],
        "sendDisabledReason": None if shape["is_open"] else "The human has disconnected.",
        "sendChannel": shape["line"]["service"],
        "availableChannels": ["imessage", "sms"] if is_imessage else ["sms"],
        "mediaChannels": ["imessage", "mms"] if is_imessage else ["mms"],
    }


# --- Numbers (section 8)


def number(shape: Shape) -> dict[str, Any]:
    """An owned number."""
    return {
        "id": _id(NUMBER, shape["id"]),
        "phoneNumber": shape["address"],
        "country": shape["country"],
        "status": shape["status"],
        "type": shape["service"],
        "agentId": _id(AGENT, shape["identity_id"]) if shape["identity_id"] else None,
        "outboundSms": "enabled",
        "inboundCallsEnabled": False,
        "readReceiptsEnabled": False,
        "whatsappEnabled": False,
        "dailyNewContacts": shape["new_contacts"],
        "purchasedAt": shape["claimed_at"],
        "externalId": shape["external_id"] or None,
        "expiresAt": shape["expires_at"],
        "rcsFallbackForAlias": None,
        "createdAt": shape["claimed_at"] or shape["created_at"],
    }


def released_number(shape: Shape) -> dict[str, Any]:
    """The answer to a release."""
    return {"success": True, "phoneNumber": shape["address"], "status": "released"}


def agents_number(shape: Shape) -> dict[str, Any]:
    """A number as an agent shows it."""
    return {
        "id": _id(NUMBER, shape["id"]),
        "phoneNumber": shape["address"],
        "status": shape["status"],
        "type": shape["service"],
    }


def available_number(shape: Shape) -> dict[str, Any]:
    """A number that can be had; we know of no places."""
    return {
        "phoneNumber": shape["address"],
        "city": None,
        "state": None,
        "rateCenter": None,
        "areaCode": shape["area_code"],
    }


def looked_up(*, human: str, country: str | None, line_type: str | None) -> dict[str, Any]:
    """What is known of a number by its digits alone."""
    return {"phoneNumber": human, "lineType": line_type, "country": country, "rcsEnabled": None}


def contact_card(shape: Shape) -> dict[str, Any]:
    """The card that humans are shown of a number."""
    return {
        "firstName": shape["first_name"],
        "lastName": shape["last_name"],
        "displayName": shape["display_name"],
        "hasAvatar": bool(shape["avatar_url"]),
    }


# --- Agents (section 9)

# Voice is no product of ours: constants that its clients can show.
_VOICE = {
    "voiceMode": "webhook",
    "modelTier": "balanced",
    "systemPrompt": None,
    "beginMessage": None,
    "voice": "",
    "transferNumber": None,
    "voicemailMessage": None,
    "sttMode": "fast",
    "ambientSound": "none",
    "denoisingMode": "noise-cancellation",
    "maxSilenceMs": 600_000,
    "enableBackchannel": True,
    "interruptionSensitivity": 0.8,
    "voiceSpeed": 1.0,
    "language": "en-US",
    "customTools": None,
    "callScreeningIdentity": None,
    "callScreeningPurpose": None,
}


def agent(shape: Shape) -> dict[str, Any]:
    """An agent: an identity with its numbers."""
    return {
        "id": _id(AGENT, shape["id"]),
        "name": shape["display_name"],
        "description": shape["description"],
        "enableMessaging": shape["imessage_enabled"],
        **_VOICE,
        "numbers": [agents_number(line) for line in shape["lines"]],
        "createdAt": shape["created_at"],
    }


# --- Contacts (section 4)


def contact(shape: Shape) -> dict[str, Any]:
    """An entry of the contact book."""
    return {
        "id": _id(CONTACT, shape["id"]),
        "phoneNumber": shape["phone_number"],
        "name": shape["name"],
        "email": shape["email"],
        "notes": shape["notes"] or None,
        "createdAt": shape["created_at"],
        "updatedAt": shape["updated_at"],
    }


def capabilities(*, human: str, imessage: bool, sms: bool, checked_at: str | None) -> dict[str, Any]:
    """What a human's phone takes."""
    return {"phoneNumber": human, "capabilities": {"imessage": imessage, "sms": sms}, "checkedAt": checked_at}


# --- Webhooks: configuration (section 10)


def webhook(shape: Shape) -> dict[str, Any]:
    """A webhook with its secret: its owner may read it back."""
    return {
        "id": _id(WEBHOOK, shape["id"]),
        "url": shape["url"],
        "secret": shape["secret"],
        "status": shape["status"],
        "contextLimit": shape["context_limit"],
        "timeout": shape["timeout"],
        "createdAt": shape["created_at"],
    }


def delivery(shape: Shape) -> dict[str, Any]:
    """An event that went, or goes, to a webhook, and how it fared."""
    return {
        "id": _id(DELIVERY, shape["id"]),
        "messageId": shape["message_id"],
        "eventType": shape["event_type"],
        "channel": shape["channel"],
        "status": _OUTCOMES[shape["fate"]],
        "httpStatus": shape["response_status"],
        "errorMessage": shape["error_detail"],
        "responseBody": shape["response_body"],
        "attemptCount": shape["attempts"],
        "lastAttemptAt": shape["last_attempt_at"],
        "nextRetryAt": shape["next_attempt_at"],
        "createdAt": shape["created_at"],
    }


_OUTCOMES = {"pending": "pending", "delivered": "success", "failed": "failed"}


def tested(shape: Shape) -> dict[str, Any]:
    """What came of an example."""
    return {
        "success": shape["succeeded"],
        "statusCode": shape["response_status"],
        "responseMs": shape["duration_ms"],
        "error": shape["error_detail"],
    }


def delivery_stats(tally: Shape) -> dict[str, Any]:
    """How deliveries fared: in all, by event and by hour."""
    return {
        "total": tally["total"],
        **_outcomes(tally["counts"]),
        "successRate": tally["success_rate"],
        "byEventType": {WEBHOOK_EVENTS[name]: _outcomes(counts) for name, counts in tally["by_type"].items()},
        "byHour": [
            {"hour": row["hour"], "total": sum(row["counts"].values()), **_outcomes(row["counts"])}
            for row in tally["by_hour"]
        ],
    }


def all_time_stats(tally: Shape) -> dict[str, Any]:
    """How all deliveries fared."""
    stats = delivery_stats(tally)
    return {name: stats[name] for name in ("total", "success", "failed", "successRate")}


def _outcomes(counts: Mapping[str, int]) -> dict[str, int]:
    return {word: counts[fate] for fate, word in _OUTCOMES.items()}


# --- Webhooks: what is posted (section 11)

WEBHOOK_EVENTS = {"message.received": "agent.message", "tapback.received": "agent.reaction"}

TIMESTAMP_HEADER = "X-Webhook-Timestamp"
SIGNATURE_HEADER = "X-Webhook-Signature"


def webhook_payloads(telling: Telling) -> list[Body]:
    """What is posted for an event: of an inbound carousel one for each image, and before them its text.

    A tapback is told when it is on the agent's own message; others stand with the message alone.
    """
    if tapback := telling.data.get("tapback"):
        if telling.data["message"]["direction"] == "inbound":
            return []
        return [Body(_envelope(telling, _reaction_told(telling, tapback), channel=telling.data["message"]["service"]))]
    told = telling.data["message"]
    return [
        Body(
            _envelope(telling, _message_told(telling, piece), channel=_channel_of_piece(told, piece)),
            # Told apart by clients, some of which read the message out of it.
            told_id=f"{DELIVERY}_{piece['id'].partition('_')[2]}_{_number_id(telling) or ''}",
        )
        for piece in _pieces(told)
    ]


def webhook_headers(keys: Sequence[str], posting: Posting) -> dict[str, str]:
    """The headers of one request; the secret signs as it was issued, its `whsec_` included."""
    headers = {
        "X-Webhook-ID": posting.told_id,
        "X-Webhook-Event": WEBHOOK_EVENTS[posting.event_type],
        TIMESTAMP_HEADER: str(posting.timestamp),
    }
    if keys:
        signed = f"{posting.timestamp}.".encode() + posting.body
        headers[SIGNATURE_HEADER] = f"sha256={hmac.new(keys[0].encode(), signed, hashlib.sha256).hexdigest()}"
    return headers


def _envelope(telling: Telling, data: dict[str, Any], *, channel: str) -> dict[str, Any]:
    return {
        "event": WEBHOOK_EVENTS[telling.event_type],
        "channel": channel,
        "timestamp": _seconds(telling.at),
        "agentId": _id(AGENT, telling.agent["id"]) if telling.agent and telling.agent["id"] else None,
        "data": data,
        "conversationState": telling.data.get("conversation", {}).get("metadata"),
        "recentHistory": [_history_item(shape) for shape in telling.history],
    }


def _message_told(telling: Telling, piece: Shape) -> dict[str, Any]:
    told, media_urls = telling.data["message"], piece["media_urls"]
    return {
        "messageId": piece["id"],
        "conversationId": _id(CONVERSATION, told["conversation_id"]),
        "numberId": _number_id(telling),
        "from": _writer(told),
        "to": _line(telling)["address"],
        "contact": _contact_told(telling.data.get("contact")),
        "message": piece["text"],
        "mediaUrl": media_urls[0] if media_urls else None,
        "mediaUrls": media_urls,
        "direction": told["direction"],
        "receivedAt": told["created_at"],
        "senderIdentifier": told.get("sender"),
        "group": _group_told(telling.data["conversation"]) if told.get("is_group") else None,
    }


def _reaction_told(telling: Telling, tapback: Shape) -> dict[str, Any]:
    told = telling.data["message"]
    piece = _piece(told, tapback["part_index"])
    media_urls = piece["media_urls"]
    return {
        "conversationId": _id(CONVERSATION, told["conversation_id"]),
        "numberId": _number_id(telling),
        "reactionType": _reaction_word(tapback),
        "fromNumber": tapback["human"],
        "direction": tapback["direction"],
        "messageId": piece["id"],
        "messageBody": piece["text"] or None,
        "messageMediaUrl": media_urls[0] if media_urls else None,
        "messageMediaUrls": media_urls,
        "createdAt": tapback["created_at"],
    }


def _history_item(shape: Shape) -> dict[str, Any]:
    return {
        "messageId": _id(MESSAGE, shape["id"]),
        "content": shape["text"] or "",
        "direction": shape["direction"],
        "channel": channel_of(shape["service"], has_media=bool(shape["media"])),
        "at": shape["created_at"],
    }


def _contact_told(shape: Shape | None) -> dict[str, Any] | None:
    if not shape:
        return None
    return {
        "id": _id(CONTACT, shape["id"]),
        "name": shape["name"],
        "email": shape["email"],
        "phoneNumber": shape["phone_number"],
    }


def _group_told(shape: Shape) -> dict[str, Any]:
    return {
        "isGroup": True,
        "groupId": _id(GROUP, shape["id"]),
        "groupName": shape["group_name"] or None,
        "groupIconUrl": None,
        "participants": _roster(shape),
    }


def _line(telling: Telling) -> Shape:
    """Ours; events of before lines were told of do not say."""
    line: Shape = telling.data.get("line") or {"id": None, "address": ""}
    return line


def _number_id(telling: Telling) -> str | None:
    key = _line(telling)["id"]
    return _id(NUMBER, key) if key else None


def _channel_of_piece(shape: Shape, piece: Shape) -> str:
    return channel_of(shape["service"], has_media=bool(piece["media_urls"]))


def _seconds(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _id(prefix: str, key: str | UUID) -> str:
    return prefixed(prefix, key if isinstance(key, UUID) else UUID(key))
