"""Of what endpoints may be told, under which events it happens, and an example of each for trying an endpoint."""

from dataclasses import dataclass
from typing import Any

# Our own names; `dialects` says them in each vendor's words.
EVENT_TYPES = (
    "message.received",
    "message.sent",
    "message.delivered",
    "message.delivery_failed",
    "tapback.received",
    "line.substituted",
)

# An event of the table -> what endpoints are told. What is blocked has event types of its own that are not here.
TOLD_AS = {
    "message.received": "message.received",
    "message.sent": "message.sent",
    "message.delivered": "message.delivered",
    "message.delivery_failed": "message.delivery_failed",
    "tapback.added": "tapback.received",
    "tapback.replaced": "tapback.received",
    "line.substituted": "line.substituted",
}

_AT = "2026-06-09T12:00:00Z"
_CONVERSATION = "01890a5d-ac96-774b-bcce-b302099a8001"
_CONNECTION = "01890a5d-ac96-774b-bcce-b302099a8002"
_MESSAGE = "01890a5d-ac96-774b-bcce-b302099a8003"
_TAPBACK = "01890a5d-ac96-774b-bcce-b302099a8004"
_LINE = "01890a5d-ac96-774b-bcce-b302099a8005"
_OTHER_NUMBER = "+15555550199"


@dataclass(frozen=True, slots=True)
class Sample:
    """What stands in an example: who wrote, to which of our numbers, what, and over which service."""

    human: str = "+15555550123"
    line: str = "+15555550100"
    text: str = "This is a test."
    service: str = "imessage"


def example_of(
    event_type: str,
    *,
    organization_id: str,
    identity_id: str | None,
    message_id: str = _MESSAGE,
    sample: Sample = Sample(),
) -> dict[str, Any]:
    """Canonical event data as the real event would carry it, about nobody.

    `message_id` is another in each example that is sent: some receivers tell repeats by it.
    """
    if event_type == "line.substituted":
        return {**_substitution(sample), "message_id": message_id}
    about = {"id": message_id, "organization_id": organization_id, "identity_id": identity_id}
    message = _message(event_type, sample) | about
    data = {
        "message": message,
        "line": {"id": _LINE, "address": sample.line, "kind": "dedicated", "service": sample.service},
        "conversation": {
            "id": _CONVERSATION,
            "is_group": False,
            "group_name": None,
            "metadata": None,
            "participants": [],
        },
    }
    if event_type == "tapback.received":
        data["tapback"] = _tapback(sample) | {"message_id": message_id}
    return data


def _substitution(sample: Sample) -> dict[str, Any]:
    used = {"id": _LINE, "address": sample.line, "service": sample.service}
    return {
        "original": {**used, "address": _OTHER_NUMBER},
        "used": used,
        "reason": "down",
        "message_id": _MESSAGE,
    }


def _message(event_type: str, sample: Sample) -> dict[str, Any]:
    inbound = event_type == "message.received"
    status = {"message.received": "received", "message.delivery_failed": "error"}.get(event_type, "delivered")
    status = "sent" if event_type == "message.sent" else status
    failed = event_type == "message.delivery_failed"
    return {
        "id": _MESSAGE,
        "conversation_id": _CONVERSATION,
        "connection_id": _CONNECTION,
        "line_id": _LINE,
        "direction": "inbound" if inbound else "outbound",
        "human": sample.human,
        "sender": None,
        "is_group": False,
        "participants": None,
        "position": 1,
        "text": sample.text,
        "message_type": "message",
        "service": sample.service,
        "send_style": None,
        "media": [],
        "was_downgraded": False,
        "status": status,
        "error": {"code": "test", "reason": "test", "message": "This is a test.", "detail": ""} if failed else None,
        "reply_to": None,
        "thread_root_id": None,
        "reply_unresolved": None,
        "is_fast": False,
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


def _tapback(sample: Sample) -> dict[str, Any]:
    return {
        "id": _TAPBACK,
        "conversation_id": _CONVERSATION,
        "connection_id": _CONNECTION,
        "message_id": _MESSAGE,
        "direction": "inbound",
        "kind": "like",
        "emoji": None,
        "human": sample.human,
        "part_index": 0,
        "created_at": _AT,
        "updated_at": _AT,
    }
