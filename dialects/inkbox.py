"""Inkbox's words for our canonical shapes and error codes (contract/inkbox.md). Pure functions on plain values."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

Shape = Mapping[str, Any]

# Every word that its clients know; their parsers fail on any other (contract/inkbox.md, section 18 row 3).
DirectionWord = Literal["inbound", "outbound"]
ServiceWord = Literal["imessage", "sms", "rcs"]
MessageTypeWord = Literal["message", "carousel"]
StatusWord = Literal[
    "registered", "pending", "queued", "accepted", "sent", "delivered", "declined", "error", "received"
]
StyleWord = Literal[
    "celebration",
    "shooting_star",
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
ClassicReactionWord = Literal["love", "like", "dislike", "laugh", "emphasize", "question"]
# With a tapback that only newer clients have a word for; on a phone it is an emoji (section 11.3).
SentReactionWord = Literal[ClassicReactionWord, "eyes"]
ReactionWord = Literal[SentReactionWord, "custom"]
AssignmentStatusWord = Literal["active", "released"]
GroupStateWord = Literal["creating", "not_created", "ready"]
ModeWord = Literal["blacklist", "whitelist"]

DIRECTIONS = frozenset(get_args(DirectionWord))
SERVICES = frozenset(get_args(ServiceWord))
MESSAGE_TYPES = frozenset(get_args(MessageTypeWord))
STATUSES = frozenset(get_args(StatusWord))
SEND_STYLES = frozenset(get_args(StyleWord))
REACTIONS = frozenset(get_args(ClassicReactionWord))
ASSIGNMENT_STATUSES = frozenset(get_args(AssignmentStatusWord))
FILTER_MODES = frozenset(get_args(ModeWord))
EYES = "eyes"
EYES_EMOJI = "\N{EYES}"

_ERROR_WORDS = {
    "handle_unavailable": "agent_handle_unavailable",
    "not_e164": "recipient_not_e164",
    "connection_released": "imessage_assignment_inactive",
    "awaiting_inbound": "imessage_awaiting_inbound",
    "idempotency_key_reused": "idempotency_key_reused",
    "idempotency_in_progress": "idempotency_in_progress",
    "reply_target_not_found": "imessage_reply_target_not_found",
    "reply_target_unavailable": "imessage_reply_target_unavailable",
    "groups_unsupported": "imessage_groups_unsupported",
    "group_ambiguous": "imessage_group_ambiguous",
    "not_in_groups": "imessage_group_unsupported",
}
_NUMBER_TYPE = "dedicated_outbound"


def status_of(code: str, status: int) -> int:
    """Its statuses are ours."""
    return status


def error_body(*, status: int, code: str, message: str, facts: Shape) -> dict[str, Any]:
    """The body for one of our error codes; a 422 tells the place that `loc` among the facts names."""
    detail = error_detail(code, message, facts)
    if status != 422 or isinstance(detail, dict):
        return {"detail": detail}
    return invalid_body([{"type": code, "loc": facts.get("loc", ["body"]), "msg": message}])


def error_detail(code: str, message: str, facts: Shape) -> str | dict[str, Any]:
    """What stands under `detail` for one of our error codes (section 1.3).

    A text, or for the codes that clients tell apart an object that always carries a human `message`.
    """
    if code == "recipient_blocked":
        return {"error": code, "message": message, **_blocked_facts(facts)}
    if code == "duplicate_rule":
        return {"existing_rule_id": str(facts["existing_rule_id"]), "message": message}
    if code == "line_quota_reached":
        return {
            "error": "dedicated_imessage_number_quota_exceeded",
            "message": message,
            "number_type": _NUMBER_TYPE,
            "limit": facts["limit"],
            "current": facts["current"],
            "upgrade_url": "",
            "contact_email": "",
        }
    if code == "line_inventory_pending":
        return {
            "error": "dedicated_imessage_number_inventory_pending",
            "message": message,
            "number_type": _NUMBER_TYPE,
            "retry_after_seconds": facts["retry_after"],
        }
    if word := _ERROR_WORDS.get(code):
        return {"error": word, "message": message}
    return message


def invalid_body(errors: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of a 422: what is wrong, where, in words, and with which input."""
    return {"detail": [{name: error.get(name) for name in ("type", "loc", "msg", "input")} for error in errors]}


def rate_limit_headers(facts: Shape) -> dict[str, str]:
    """The headers of a send cap from its `limit`, `remaining` and `reset` in Unix seconds (section 1.5)."""
    names = {"limit": "X-RateLimit-Limit", "remaining": "X-RateLimit-Remaining", "reset": "X-RateLimit-Reset"}
    return {header: str(facts[name]) for name, header in names.items() if name in facts}


def message(shape: Shape) -> dict[str, Any]:
    """A message object (section 8.4). One in a group has no assignment, but a sender and participants (section 19)."""
    in_group = _in_group(shape)
    return {
        "id": shape["id"],
        "conversation_id": shape["conversation_id"],
        "assignment_id": None if in_group else shape["connection_id"],
        "direction": shape["direction"],
        "remote_number": None if in_group else shape["human"],
        "content": shape["text"],
        "message_type": shape["message_type"],
        "service": shape["service"],
        "send_style": shape["send_style"],
        "media": [_media(item) for item in shape["media"]] or None,
        "was_downgraded": shape["was_downgraded"],
        "status": shape["status"],
        **_error_fields(shape),
        "is_read": shape["is_read"],
        "is_blocked": shape["is_blocked"],
        "recipients": _recipients(shape) if shape["direction"] == "outbound" else None,
        "reactions": [_compact_reaction(tapback, of=shape) for tapback in shape["tapbacks"]],
        "sender_number": shape["sender"] if in_group else None,
        "participants": list(shape["participants"]) if in_group else None,
        "is_group": in_group,
        **_thread_words(shape),
        "created_at": shape["created_at"],
        "updated_at": shape["updated_at"],
    }


def reaction(shape: Shape) -> dict[str, Any]:
    """A reaction object (section 11.1); its number is that of whoever put it, on our own that of the human."""
    return {
        "id": shape["id"],
        "conversation_id": shape["conversation_id"],
        "assignment_id": shape["connection_id"],
        "target_message_id": shape["message_id"],
        "direction": shape["direction"],
        **_reaction_word(shape),
        "remote_number": shape["human"],
        "part_index": shape["part_index"],
        "created_at": shape["created_at"],
        "updated_at": shape["updated_at"],
    }


def thread(shape: Shape) -> dict[str, Any]:
    """A page of a thread of inline replies; a message that nobody has answered is a thread of its own (section 19)."""
    return {
        "thread_id": shape["root_id"],
        "conversation_id": shape["conversation_id"],
        "thread_root_message_id": shape["root_id"],
        "messages": [message(item) for item in shape["messages"]],
        "next_cursor": shape["next_cursor"],
    }


def tapback_of(word: str) -> tuple[str, str]:
    """Our kind of tapback and its emoji for one of the words that may be sent (section 11.1)."""
    return ("custom", EYES_EMOJI) if word == EYES else (word, "")


def sent_reaction(shape: Shape) -> dict[str, Any]:
    """The answer to whoever put a tapback: with the word that it used."""
    shown = reaction(shape)
    return {**shown, "reaction": EYES, "custom_emoji": None} if shown["custom_emoji"] == EYES_EMOJI else shown


def assignment(shape: Shape) -> dict[str, Any]:
    """A connection (section 10.3)."""
    return {
        "id": shape["id"],
        "remote_number": shape["human"],
        "agent_identity_id": shape["identity_id"],
        "organization_id": shape["organization_id"],
        "status": shape["status"],
        "released_at": shape["released_at"],
        "created_at": shape["created_at"],
        "updated_at": shape["updated_at"],
    }


def conversation(shape: Shape) -> dict[str, Any]:
    """A conversation by itself (section 10.2); a group has no assignment and says how far its making is."""
    in_group = _in_group(shape)
    return {
        "id": shape["id"],
        "assignment_id": shape["connection_id"],
        "assignment_status": shape["connection_status"],
        "remote_number": None if in_group else shape["human"],
        "participants": [one["human"] for one in shape["participants"]] if in_group else [shape["human"]],
        "is_group": in_group,
        "group_creation_status": shape["group_state"] if in_group else None,
        "created_at": shape["created_at"],
        "updated_at": shape["updated_at"],
    }


def conversation_summary(shape: Shape) -> dict[str, Any]:
    """A conversation in a list: with its preview and counters (section 10.1)."""
    latest = shape["latest"] or {}
    return {
        **conversation(shape),
        "latest_text": latest.get("text"),
        "latest_message_at": latest.get("created_at"),
        "latest_direction": latest.get("direction"),
        "latest_has_media": latest.get("has_media", False),
        "unread_count": shape["unread"],
        "total_count": shape["total"],
    }


def contact_rule(shape: Shape) -> dict[str, Any]:
    """A contact rule (section 12.1)."""
    return {
        "id": shape["id"],
        "agent_identity_id": shape["identity_id"],
        "action": shape["action"],
        "match_type": shape["match_type"],
        "match_target": shape["match_target"],
        "status": shape["status"],
        "direction": shape["direction"],
        "created_at": shape["created_at"],
        "updated_at": shape["updated_at"],
    }


def identity(shape: Shape) -> dict[str, Any]:
    """An agent identity (section 6.3); what we have no product for is null."""
    return {
        "id": shape["id"],
        "organization_id": shape["organization_id"],
        "agent_handle": shape["handle"],
        "display_name": shape["display_name"],
        "description": shape["description"],
        "email_address": None,
        "status": shape["status"],
        "imessage_enabled": shape["imessage_enabled"],
        "imessage_filter_mode": shape["inbound_filter_mode"],
        "phone_filter_mode": shape["inbound_filter_mode"],
        "phone_inbound_filter_mode": shape["inbound_filter_mode"],
        "phone_outbound_filter_mode": shape["outbound_filter_mode"],
        "mailbox": None,
        "phone_number": None,
        "tunnel": None,
        "imessage_number": _own_number(shape["line"]),
        "signing_key_configured": shape["signing_key_configured"],
        "signing_key_created_at": shape["signing_key_created_at"],
        "created_at": shape["created_at"],
        "updated_at": shape["updated_at"],
    }


def caller(shape: Shape) -> dict[str, Any]:
    """Who holds an API key (section 4)."""
    scoped = shape["identity_id"] is not None
    return {
        "auth_type": "api_key",
        "auth_subtype": "api_key.agent_scoped.claimed" if scoped else "api_key.admin_scoped",
        "scope": f"identity:{shape['identity_id']}" if scoped else f"organization:{shape['organization_id']}",
        "organization_id": shape["organization_id"],
        "created_by": shape["created_by"],
        "creator_type": shape["creator_type"],
        "key_id": shape["id"],
        "label": shape["label"],
        "description": shape["description"],
        "created_at": shape["created_at"],
        "last_used_at": shape["last_used_at"],
        "expires_at": shape["expires_at"],
    }


def api_key(shape: Shape) -> dict[str, Any]:
    """An API key without its secret (section 5)."""
    return {
        "id": shape["id"],
        "organization_id": shape["organization_id"],
        "created_by": shape["created_by"] or "",
        "creator_type": shape["creator_type"] or "",
        "scoped_identity_id": shape["identity_id"],
        "label": shape["label"],
        "description": shape["description"],
        "status": shape["status"],
        "last4": shape["last4"],
        "display_prefix": shape["display_prefix"],
        "last_used_at": shape["last_used_at"],
        "expires_at": shape["expires_at"],
        "revoked_at": shape["revoked_at"],
        "created_at": shape["created_at"],
        "updated_at": shape["updated_at"],
    }


def subscription(shape: Shape) -> dict[str, Any]:
    """A webhook subscription (section 13.1)."""
    return {
        "id": shape["id"],
        "organization_id": shape["organization_id"],
        "mailbox_id": None,
        "phone_number_id": None,
        "agent_identity_id": shape["identity_id"],
        "owner_identity_id": shape["identity_id"],
        "url": shape["url"],
        "event_types": [WEBHOOK_EVENTS[event_type] for event_type in shape["event_types"]],
        "status": shape["status"],
        "context_config": shape["context_config"],
        "has_auth_token": shape["auth_token"] is not None,
        "auth_token": shape["auth_token"],
        "created_at": shape["created_at"],
        "updated_at": shape["updated_at"],
    }


def delivery(shape: Shape) -> dict[str, Any]:
    """One attempt to deliver an event, which it calls a delivery (section 13.4)."""
    return {
        "id": shape["id"],
        "organization_id": shape["organization_id"],
        "webhook_subscription_id": shape["subscription_id"],
        "phone_number_id": None,
        "event_id": shape["event_id"],
        "event_type": WEBHOOK_EVENTS[shape["event_type"]],
        "url": shape["url"],
        "request_payload": shape["request_body"],
        "response_status": shape["response_status"],
        "response_body": shape["response_body"],
        "error_detail": shape["error_detail"],
        "duration_ms": shape["duration_ms"],
        "is_replay": shape["is_replay"],
        "replayable": shape["unavailable_reason"] is None,
        "replay_unavailable_reason": shape["unavailable_reason"],
        "created_at": shape["created_at"],
    }


def signing_key(plaintext: str, *, created_at: str | None) -> dict[str, Any]:
    """A new signing key, shown once (section 14)."""
    return {"signing_key": plaintext, "created_at": created_at}


def signing_key_status(*, configured: bool, created_at: str | None) -> dict[str, Any]:
    """Whether a signing key is set up (section 14)."""
    return {"configured": configured, "created_at": created_at}


def webhook_catalog() -> dict[str, Any]:
    """What can be subscribed to (section 13.3)."""
    return {
        "supports_identity_subscriptions": True,
        "events": [{"event_type": word, "channel": "imessage"} for word in WEBHOOK_EVENTS.values()],
        "example_signature_headers": {
            REQUEST_ID_HEADER: "018f3c5e-0000-7000-8000-000000000000",
            TIMESTAMP_HEADER: "1781000000",
            SIGNATURE_HEADER: "sha256=" + "0" * 64,
        },
    }


def number(shape: Shape) -> dict[str, Any]:
    """A dedicated line (section 19)."""
    return {
        "id": shape["id"],
        "number": shape["address"],
        "type": _NUMBER_TYPE,
        "status": "active" if shape["in_service"] else "paused",
        "agent_identity_id": shape["identity_id"],
        "agent_handle": shape["handle"],
    }


def triage_number(*, number: str, connect_command: str) -> dict[str, str]:
    """The router's number and what to text to it (section 7)."""
    return {"number": number, "connect_command": connect_command}


# --- Webhooks (sections 13 and 15)

# Our catalogue's names in its words.
WEBHOOK_EVENTS = {
    "message.received": "imessage.received",
    "message.sent": "imessage.sent",
    "message.delivered": "imessage.delivered",
    "message.delivery_failed": "imessage.delivery_failed",
    "tapback.received": "imessage.reaction_received",
}
_EVENT_TYPES = {word: event_type for event_type, word in WEBHOOK_EVENTS.items()}

REQUEST_ID_HEADER = "X-Inkbox-Request-ID"
TIMESTAMP_HEADER = "X-Inkbox-Timestamp"
SIGNATURE_HEADER = "X-Inkbox-Signature"


def event_type_of(word: str) -> str | None:
    """Our name for one of its webhook events; None for an unknown word."""
    return _EVENT_TYPES.get(word)


def webhook_payload(
    *,
    event_id: str,
    event_type: str,
    at: datetime,
    order_number: int | None,
    data: Shape,
    agent: Shape,
    context: Shape | None = None,
) -> dict[str, Any]:
    """What is posted for an event with frozen `data` about `agent` (`id`, `handle`, `display_name`).

    `sequence`, the order number within the conversation, is ours beside its fields; so is `released`, in the event of
    a text that was blocked when it came: its clients ignore both.
    """
    told = data.get("tapback")
    return {
        "id": event_id,
        "event_type": WEBHOOK_EVENTS[event_type],
        "timestamp": _milliseconds(at),
        "sequence": order_number,
        **({"released": dict(released)} if (released := data.get("released")) else {}),
        "data": {
            "message": None if told else _webhook_message(data["message"]),
            "reaction": reaction(told) if told else None,
            "contacts": [{"id": known["id"], "name": known["name"]}] if (known := data.get("contact")) else [],
            "agent_identities": [
                {"id": agent["id"], "agent_handle": agent["handle"], "display_name": agent["display_name"]}
            ],
            **({"context": dict(context)} if context is not None else {}),
        },
    }


def webhook_context_item(shape: Shape) -> dict[str, Any]:
    """An earlier text of the conversation, as `context.texts` holds them (section 15.5)."""
    return {
        "id": shape["id"],
        "channel": shape["service"],
        "direction": shape["direction"],
        "text": shape["text"],
        "text_truncated": False,
        "created_at": shape["created_at"],
        "sender": shape["human"] if shape["direction"] == "inbound" else None,
        "status": shape["status"],
        "media": {"count": len(shape["media"])} if shape["media"] else None,
    }


def webhook_headers(key: str | None, *, request_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of one request, signed unless there is no key; the key's `whsec_` is not part of the secret."""
    headers = {REQUEST_ID_HEADER: request_id, TIMESTAMP_HEADER: str(timestamp)}
    if key is not None:
        message = f"{request_id}.{timestamp}.".encode() + body
        digest = hmac.new(key.removeprefix("whsec_").encode(), message, hashlib.sha256).hexdigest()
        headers[SIGNATURE_HEADER] = f"sha256={digest}"
    return headers


def _webhook_message(shape: Shape) -> dict[str, Any]:
    """A message as events carry it: without `is_blocked`, since nothing blocked is told."""
    told = message(shape)
    del told["is_blocked"]
    return told


def _milliseconds(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _blocked_facts(facts: Shape) -> dict[str, Any]:
    rule_id = facts.get("matched_rule_id")
    return {
        "matched_rule_id": str(rule_id) if rule_id else None,
        "address": facts.get("address", ""),
        "reason": facts.get("reason", ""),
    }


def _media(item: Shape) -> dict[str, Any]:
    return {"url": item["url"], "content_type": item["content_type"], "size": item["size"]}


def _error_fields(shape: Shape) -> dict[str, Any]:
    error = shape["error"] or {}
    return {f"error_{name}": error.get(name) or None for name in ("code", "message", "reason", "detail")}


def _own_number(line: Shape | None) -> dict[str, Any] | None:
    return {"id": line["id"], "number": line["address"], "type": _NUMBER_TYPE} if line else None


def _in_group(shape: Shape) -> bool:
    # Events of before there were groups do not say.
    return bool(shape.get("is_group"))


def _thread_words(shape: Shape) -> dict[str, str | None]:
    """Where an inline reply hangs; one that had to leave as an ordinary message is no reply."""
    reply_to = None if shape.get("reply_unresolved") else shape.get("reply_to")
    root_id = shape["thread_root_id"] if reply_to else None
    return {
        "reply_to_message_id": reply_to["message_id"] if reply_to else None,
        "thread_id": root_id,
        "thread_root_message_id": root_id,
    }


def _recipients(shape: Shape) -> list[dict[str, Any]]:
    """Everybody whom an outbound message is for; in a group all share what is known of it."""
    return [_recipient(shape, human) for human in (shape["participants"] if _in_group(shape) else [shape["human"]])]


def _recipient(shape: Shape, human: str) -> dict[str, Any]:
    return {
        "remote_number": human,
        "delivery_status": shape["status"],
        "service": shape["service"],
        **_error_fields(shape),
        "sent_at": shape["sent_at"],
        "delivered_at": shape["delivered_at"],
        "failed_at": shape["failed_at"],
    }


def _compact_reaction(shape: Shape, *, of: Shape) -> dict[str, Any]:
    return {
        "id": shape["id"],
        "direction": shape["direction"],
        **_reaction_word(shape),
        # The agent's own in a group: whose message it is on.
        "remote_number": shape["human"] or of["human"],
        "part_index": shape["part_index"],
        "created_at": shape["created_at"],
    }


def _reaction_word(shape: Shape) -> dict[str, str | None]:
    """A kind that its older clients do not know goes out as `custom`: they fail on any other word (11.3)."""
    if shape["kind"] in REACTIONS:
        return {"reaction": shape["kind"], "custom_emoji": None}
    return {"reaction": "custom", "custom_emoji": shape["emoji"]}
