"""Of what endpoints may be told, under which events it happens, and an example of each for trying an endpoint."""

from typing import Any

# Our own names; `dialects` says them in each vendor's words.
EVENT_TYPES = (
    "message.received",
    "message.sent",
    "message.delivered",
    "message.delivery_failed",
    "tapback.received",
)

# An event of the table -> what endpoints are told. What is blocked has event types of its own that are not here.
TOLD_AS = {
    "message.received": "message.received",
    "message.sent": "message.sent",
    "message.delivered": "message.delivered",
    "message.delivery_failed": "message.delivery_failed",
    "tapback.added": "tapback.received",
    "tapback.replaced": "tapback.received",
}

_HUMAN = "+15555550123"
_AT = "2026-06-09T12:00:00Z"
_CONVERSATION = "01890a5d-ac96-774b-bcce-b302099a8001"
_CONNECTION = "01890a5d-ac96-774b-bcce-b302099a8002"
_LINE = "01890a5d-ac96-774b-bcce-b302099a8005"
_NUMBER = "+15555550100"
_MESSAGE = "01890a5d-ac96-774b-bcce-b302099a8003"
_TAPBACK = "01890a5d-ac96-774b-bcce-b302099a8004"


def example_of(event_type: str, *, organization_id: str, identity_id: str) -> dict[str, Any]:
    """Canonical event data as the real event would carry it, about nobody."""
    message = _message(event_type) | {"organization_id": organization_id, "identity_id": identity_id}
    around = {
        "line": {"id": _LINE, "address": _NUMBER, "kind": "dedicated", "service": "imessage"},
        "conversation": {
            "id": _CONVERSATION,
            "is_group": False,
            "group_name": None,
            "participants": [],
            "metadata": None,
        },
    }
    if event_type == "tapback.received":
        return {"tapback": _tapback(), "message": message, **around}
    return {"message": message, **around}


def _message(event_type: str) -> dict[str, Any]:
    inbound = event_type == "message.received"
    status = {"message.received": "received", "message.delivery_failed": "error"}.get(event_type)
    status = status or event_type.removeprefix("message.").replace("tapback.received", "delivered")
    failed = event_type == "message.delivery_failed"
    return {
        "id": _MESSAGE,
        "conversation_id": _CONVERSATION,
        "connection_id": _CONNECTION,
        "line_id": _LINE,
        "direction": "inbound" if inbound else "outbound",
        "human": _HUMAN,
        "is_group": False,
        "sender": None,
        "participants": None,
        "position": 1,
        "text": "This is a test.",
        "message_type": "message",
        "service": "imessage",
        "send_style": None,
        "is_fast": False,
        "reply_to": None,
        "reply_unresolved": None,
        "thread_root_id": None,
        "media": [],
        "was_downgraded": False,
        "status": status,
        "error": {"code": "test", "reason": "test", "message": "This is a test.", "detail": ""} if failed else None,
        "is_read": False,
        "is_blocked": False,
        "is_late": False,
        "tapbacks": [],
        "created_at": _AT,
        "updated_at": _AT,
        "sent_at": None if inbound else _AT,
        "delivered_at": _AT if status == "delivered" else None,
        "failed_at": _AT if failed else None,
        "peer_read_at": None,
    }


def _tapback() -> dict[str, Any]:
    return {
        "id": _TAPBACK,
        "conversation_id": _CONVERSATION,
        "connection_id": _CONNECTION,
        "message_id": _MESSAGE,
        "direction": "inbound",
        "kind": "like",
        "emoji": None,
        "human": _HUMAN,
        "part_index": 0,
        "created_at": _AT,
        "updated_at": _AT,
    }
