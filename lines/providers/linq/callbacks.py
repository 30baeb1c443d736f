"""What Linq's callbacks say, and callbacks made of what was read back.

Their library's typed objects carry wrong classes, so the JSON is read as it is.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from lines.providers.base import (
    CallbackId,
    ErrorClass,
    Group,
    GroupChanged,
    LineReported,
    Media,
    OptedOut,
    OwnTextSeen,
    ProviderError,
    ReadReported,
    ReplyTarget,
    Report,
    StatusChanged,
    TapbackArrived,
    TextArrived,
    TextEdited,
    TypingChanged,
    Unrecognised,
)
from lines.providers.linq.wire import error_of_code
from lines.providers.linq.words import (
    SERVICES,
    SIX,
    STATES,
    effect_named,
    group_of,
    line_of,
    mapping,
    mappings,
    text_of,
    time_of,
    was_downgraded,
)

# Once a message; told by a poll with the same key.
_FACTS = {"message.sent", "message.received", "message.delivered", "message.read", "message.failed"}
# Our own word for a chat that was read back. Theirs of a new one may come late, when others are in it.
_CHAT = "chat.read_back"
_OPT_OUT = "OPTED_OUT"


def identify(body: bytes) -> CallbackId:
    """What tells the callback apart; raises `ValueError`."""
    event = _event(body)
    data = event["data"]
    message = data.get("id") or data.get("message_id")
    fact = event["event_type"] in _FACTS and message
    chat = mapping(data.get("chat")).get("id") or data.get("chat_id")
    if event["event_type"] == _CHAT:
        chat = data.get("id")
    return CallbackId(
        key=f"{event['event_type']}:{message}" if fact else str(event["event_id"]),
        thread=f"linq/{chat}" if chat else "",
        at=time_of(event.get("created_at")),
    )


def reports_of(body: bytes) -> list[Report]:
    """What the callback says; raises `ValueError`."""
    event = _event(body)
    reading = _READINGS.get(event["event_type"])
    if reading is None:
        return [Unrecognised(line="", human="", raw_type=str(event["event_type"]))]
    return reading(event["event_type"], event["data"])


def as_callbacks(message: dict[str, Any], *, line: str, human: str) -> list[bytes]:
    """What callbacks would have told of a message that was read back, with their keys; in a group without a human."""
    mine = bool(message.get("is_from_me"))
    data = {
        **message,
        "chat": {"id": message.get("chat_id"), "is_group": not human, "owner_handle": {"handle": line}},
        "direction": "outbound" if mine else "inbound",
        "sender_handle": mapping(message.get("from_handle")) if not human else {"handle": line if mine else human},
        "to_handle": {"handle": human if mine else line},
        "message_id": message.get("id"),
        # A callback says "auto" where the message says nothing.
        "preferred_service": message.get("preferred_service") or "auto",
    }
    if not mine:
        kinds = ["received"]
    elif message.get("delivery_status") == "failed":
        kinds = ["failed"]
    else:
        told = {"delivered": message.get("delivered_at"), "read": message.get("read_at")}
        kinds = ["sent"] * bool(message.get("sent_at")) + [kind for kind, at in told.items() if at]
    return [
        json.dumps(
            {
                "event_type": f"message.{kind}",
                "event_id": f"read back {message.get('id')} {kind}",
                "created_at": message.get("updated_at") or message.get("created_at"),
                "data": data,
            }
        ).encode()
        for kind in kinds
    ]


def as_group_callback(chat: dict[str, Any]) -> bytes:
    """A group as it is now, told once as long as it stays so: what Linq says of who comes and goes names one alone."""
    people = [[one.get("handle"), one.get("joined_at"), one.get("left_at")] for one in mappings(chat.get("handles"))]
    told = hashlib.sha256(json.dumps([people, chat.get("display_name")]).encode()).hexdigest()[:24]
    event = {"event_type": _CHAT, "event_id": f"read back {chat.get('id')} {told}", "data": chat}
    return json.dumps(event).encode()


def _event(body: bytes) -> dict[str, Any]:
    event = json.loads(body)
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict) or not event.get("event_type"):
        raise ValueError("A callback is an object with event_id, event_type and data.")
    return event


def _message_reports(kind: str, data: dict[str, Any]) -> list[Report]:
    chat = mapping(data.get("chat"))
    inbound = data.get("direction") == "inbound"
    # A callback about a text of ours does not say whom it went to; what we read back does.
    human = mapping(data.get("sender_handle" if inbound else "to_handle")).get("handle")
    group = Group(str(chat.get("id") or "")) if chat.get("is_group") else None
    thread: dict[str, Any] = {
        "line": str(mapping(chat.get("owner_handle")).get("handle") or ""),
        "human": str(human or ""),
        "chat": str(chat.get("id") or ""),
        "handle": str(data["id"]),
    }
    if kind == "message.received":
        return _arrived(data, chat, thread, group) if inbound else [_own(data, thread, group)]
    if kind == "message.sent" and not data.get("idempotency_key"):
        return [_own(data, thread, group)]
    if kind == "message.read":
        return [ReadReported(**thread, at=time_of(data.get("read_at")))] if not inbound else []
    state = kind.removeprefix("message.")
    return [
        StatusChanged(
            **thread,
            state=state,
            at=time_of(data.get(f"{state}_at")),
            order_key=str(data.get("idempotency_key") or ""),
            service=SERVICES.get(str(data.get("service")), ""),
            downgraded=was_downgraded(data.get("preferred_service"), data.get("service")),
        )
    ]


def _arrived(data: dict[str, Any], chat: dict[str, Any], thread: dict[str, Any], group: Group | None) -> list[Report]:
    parts = mappings(data.get("parts"))
    at, text = time_of(data.get("sent_at")), text_of(parts)
    reply = mapping(data.get("reply_to"))
    arrived = TextArrived(
        **thread,
        at=at,
        text=text,
        media=tuple(
            Media(str(part.get("url") or ""), str(part.get("mime_type") or ""), part.get("size_bytes"))
            for part in parts
            if part.get("type") == "media"
        ),
        service=SERVICES.get(str(data.get("service")), "imessage"),
        reply_to=ReplyTarget(str(reply["message_id"]), int(reply.get("part_index") or 0)) if reply else None,
        effect=effect_named(data.get("effect")),
        group=group,
        late=bool(data.get("reconciled_at")),
    )
    if mapping(chat.get("health_status")).get("status") != _OPT_OUT:
        return [arrived]
    return [arrived, OptedOut(line=thread["line"], human=thread["human"], chat=thread["chat"], at=at, word=text[:30])]


def _own(data: dict[str, Any], thread: dict[str, Any], group: Group | None) -> OwnTextSeen:
    """Without our key: somebody wrote at Linq, outside of us."""
    return OwnTextSeen(
        **thread,
        at=time_of(data.get("sent_at")),
        text=text_of(data.get("parts")),
        order_key=str(data.get("idempotency_key") or ""),
        service=SERVICES.get(str(data.get("service")), ""),
        group=group,
    )


def _failed(kind: str, data: dict[str, Any]) -> list[Report]:
    """Names the message alone; `delivered` may follow all the same."""
    code = data.get("code")
    text = str(data.get("reason") or "")[:500]
    error = error_of_code(code, text) if isinstance(code, int) else None
    return [
        StatusChanged(
            line="",
            human="",
            chat=str(data.get("chat_id") or ""),
            handle=str(data["message_id"]),
            state="error",
            at=time_of(data.get("failed_at")),
            error=error or ProviderError(ErrorClass.PERMANENT, "failed", text),
        )
    ]


def _edited(kind: str, data: dict[str, Any]) -> list[Report]:
    if data.get("direction") != "inbound":
        return []
    chat, part = mapping(data.get("chat")), mapping(data.get("part"))
    return [
        TextEdited(
            line=str(mapping(chat.get("owner_handle")).get("handle") or ""),
            human=str(mapping(data.get("sender_handle")).get("handle") or ""),
            chat=str(chat.get("id") or ""),
            handle=str(data["id"]),
            part=int(part.get("index") or 0),
            text=str(part.get("text") or ""),
            at=time_of(data.get("edited_at")),
        )
    ]


def _reaction(kind: str, data: dict[str, Any]) -> list[Report]:
    given = str(data.get("reaction_type"))
    if given not in SIX | {"custom"}:
        return [Unrecognised(line="", human="", raw_type=f"{kind}:{given}"[:100])]
    mine = bool(data.get("is_from_me"))
    return [
        TapbackArrived(
            line="",
            human="" if mine else str(mapping(data.get("from_handle")).get("handle") or data.get("from") or ""),
            chat=str(data.get("chat_id") or ""),
            handle=str(data["message_id"]),
            part=int(data.get("part_index") or 0),
            kind=given,
            emoji=str(data.get("custom_emoji") or ""),
            removed=kind == "reaction.removed",
            mine=mine,
            at=time_of(data.get("reacted_at")),
        )
    ]


def _typing(kind: str, data: dict[str, Any]) -> list[Report]:
    human = str(mapping(data.get("actor_handle")).get("handle") or "")
    return [TypingChanged(line="", human=human, chat=str(data["chat_id"]), on=kind.endswith(".started"))]


def _group(kind: str, data: dict[str, Any]) -> list[Report]:
    """A group that is shown whole."""
    return [GroupChanged(line=line_of(data), human="", group=group_of(data))]


def _renamed(kind: str, data: dict[str, Any]) -> list[Report]:
    """A name that was taken away is told by the next look at the chat."""
    by, name = mapping(data.get("changed_by_handle")), str(data.get("new_value") or "")
    human = "" if by.get("is_me") else str(by.get("handle") or "")
    chat, at = str(data["chat_id"]), time_of(data.get("updated_at"))
    return [GroupChanged(line="", human=human, chat=chat, at=at, group=Group(chat, name=name))] if name else []


def _line_reports(kind: str, data: dict[str, Any]) -> list[Report]:
    said = [str(data.get("new_status") or ""), str(data.get("new_reputation") or "")]
    if kind == "phone_number.released":
        said = ["RELEASED"]
    states = [STATES.get(word, "unknown") for word in said if word]
    seen = "down" if said == ["RELEASED"] else max(states, key=_WORST.index, default="unknown")
    return [
        LineReported(
            line=str(data["phone_number"]),
            human="",
            at=time_of(data.get("changed_at")),
            seen=seen,
            reason=next((word.lower() for word in said if STATES.get(word) == seen), said[0].lower()),
            provider_state="/".join(said),
        )
    ]


def _nothing(kind: str, data: dict[str, Any]) -> list[Report]:
    """Known, and nothing for us to do."""
    return []


_WORST = ["healthy", "unknown", "degraded", "flagged", "down"]
_READINGS: dict[str, Callable[[str, dict[str, Any]], list[Report]]] = {
    **dict.fromkeys(_FACTS - {"message.failed"}, _message_reports),
    "message.failed": _failed,
    "message.edited": _edited,
    **dict.fromkeys(["reaction.added", "reaction.removed"], _reaction),
    **dict.fromkeys(["chat.typing_indicator.started", "chat.typing_indicator.stopped"], _typing),
    **dict.fromkeys(["phone_number.status_updated", "phone_number.released"], _line_reports),
    _CHAT: _group,
    "chat.group_name_updated": _renamed,
    **dict.fromkeys(["phone_number.assigned", "chat.created", "participant.added", "participant.removed"], _nothing),
}
