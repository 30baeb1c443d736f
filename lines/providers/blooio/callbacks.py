"""What Blooio's callbacks say, how they are proved, and callbacks made of what was read back."""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lines.answers import object_in
from lines.providers.base import (
    SIX_TAPBACKS,
    CallbackId,
    CallbackRefused,
    ErrorClass,
    Group,
    Media,
    OwnTextSeen,
    ProviderError,
    ReadReported,
    ReplyTarget,
    Report,
    StatusChanged,
    TapbackArrived,
    TapbackTextArrived,
    TextArrived,
    TypingChanged,
    Unrecognised,
)
from lines.providers.blooio.words import SERVICES, STATES, time_of
from lines.tapback_texts import read_tapback

# Signatures older or newer than this many seconds are refused.
_WINDOW = 300


def prove(headers: Mapping[str, str], body: bytes, *, secrets: Sequence[str]) -> None:
    """Raise `CallbackRefused` unless one of the secrets signed the raw bytes within five minutes."""
    lower = {name.lower(): value for name, value in headers.items()}
    at, given = _signature(lower.get("x-blooio-signature") or lower.get("blooio-signature") or "")
    if abs(datetime.now(UTC).timestamp() - at) > _WINDOW:
        raise CallbackRefused("The signature's time is too far off.")
    signed = f"{at}.".encode() + body
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets if secret]
    if not any(hmac.compare_digest(mac.encode(), sent.encode()) for mac in expected for sent in given):
        raise CallbackRefused("No signature matches.")


def identify(body: bytes) -> CallbackId:
    """What tells the callback apart; raises `ValueError`."""
    event = object_in(body)
    key = f"{event['message_id']}:{event['event']}"
    if event["event"] == "message.reaction":
        key += f":{event.get('direction')}:{event.get('reaction')}:{event.get('action')}"
        key += f":{event.get('sender')}" if _group_id(event) else ""
    thread = f"{event.get('internal_id') or ''}/{_group_id(event) or event.get('external_id') or ''}"
    return CallbackId(key=key, thread=thread, at=time_of(event.get("timestamp")))


def reports_of(body: bytes) -> list[Report]:
    """What the callback says; raises `ValueError`."""
    event = object_in(body)
    kind = str(event.get("event"))
    report = _report(kind, event)
    # Somebody may have written at Blooio itself: told once as sent, or found by a poll.
    if isinstance(report, StatusChanged) and (kind == "message.sent" or event.get("polled")):
        return [_own_text(event, report), report]
    return [report]


def as_callbacks(row: dict[str, Any], chat: Mapping[str, Any] | None = None) -> list[bytes]:
    """A listed message of a chat as the callbacks that should have told of it, with the same keys."""
    group: dict[str, Any] = {}
    if chat and chat.get("is_group"):
        group = {"is_group": True, "group_id": chat["id"], "group_name": chat.get("group_name")}
    return [json.dumps({**event, **group}, ensure_ascii=False).encode() for event in _events(row)]


def failure(told: dict[str, Any]) -> ProviderError:
    if "cancelled" in {told.get("event", "").removeprefix("message."), told.get("status")}:
        return ProviderError(ErrorClass.PERMANENT, "cancelled", "Cancelled before it left.")
    text = str(told.get("error_message") or told.get("error") or "Failed.")
    return ProviderError(ErrorClass.PERMANENT, str(told.get("error_code") or "failed"), text, counts_against_line=True)


def _signature(header: str) -> tuple[int, list[str]]:
    """The time and every `v1` of a signature header; raises `CallbackRefused` for one without."""
    parts = [part.strip().partition("=")[::2] for part in header.split(",")]
    times = [value for name, value in parts if name == "t" and value.isascii() and value.isdigit()]
    given = [value for name, value in parts if name == "v1" and value]
    if len(times) != 1 or len(times[0]) > 12 or not given:
        raise CallbackRefused("The signature is missing or unreadable.")
    return int(times[0]), given


def _report(kind: str, event: dict[str, Any]) -> Report:
    group = _group_id(event)
    thread: dict[str, Any] = {
        "line": str(event.get("internal_id") or ""),
        "human": _sender(event) if group else str(event.get("external_id") or ""),
        "chat": group,
        "at": time_of(event.get("timestamp")),
    }
    word = kind.removeprefix("message.")
    if kind == "message.received":
        return _heard(event, {**thread, "at": time_of(event.get("received_at")) or thread["at"]})
    if kind == "message.reaction":
        return _tapback(event, thread)
    if kind == "message.read":
        return ReadReported(
            **{**thread, "at": time_of(event.get("read_at")) or thread["at"]}, handle=event["message_id"]
        )
    if kind in {"typing.started", "typing.stopped"}:
        return TypingChanged(**thread, on=kind == "typing.started")
    if kind.startswith("message.") and word in STATES:
        return _status(word, event, thread)
    return Unrecognised(**thread, raw_type=kind[:60])


def _heard(event: dict[str, Any], thread: dict[str, Any]) -> Report:
    text, service = str(event.get("text") or ""), SERVICES.get(str(event.get("protocol")), "imessage")
    files = event.get("attachments") or []
    media = tuple(Media(one["url"] if isinstance(one, dict) else str(one)) for one in files)
    if not text and not media:
        return Unrecognised(**thread, raw_type="message without content")
    # Only iMessage has tapbacks of its own; elsewhere a phone writes them out.
    tapback = read_tapback(text) if service != "imessage" and not media else None
    if tapback:
        return TapbackTextArrived(
            **thread,
            handle=event["message_id"],
            text=text,
            kind=tapback.kind,
            quoted=tapback.quoted,
            emoji=tapback.emoji,
            removed=tapback.removed,
            service=service,
            group=_group(event),
        )
    return TextArrived(
        **thread,
        handle=event["message_id"],
        text=text,
        media=media,
        service=service,
        reply_to=_reply_target(event.get("reply_to")),
        group=_group(event),
    )


def _group_id(event: dict[str, Any]) -> str:
    """The group that a callback is of; a reaction, or a message that is read back, names it in the human's place."""
    named = str(event.get("group_id") or event.get("external_id") or "")
    return named if event.get("is_group") or named.startswith("grp_") else ""


def _group(event: dict[str, Any]) -> Group | None:
    """What is said of the group, who is in it and how it is called; None for a human alone."""
    key = _group_id(event)
    people = [one for one in event.get("participants") or [] if isinstance(one, dict)]
    members = tuple(str(one["identifier"]) for one in people if one.get("identifier") != event.get("internal_id"))
    return Group(key, members, str(event.get("group_name") or "")) if key else None


def _sender(event: dict[str, Any]) -> str:
    """Who of a group it was; nobody for a text of ours, and what became of it."""
    is_theirs = event.get("event") == "message.received" or event.get("direction") == "inbound"
    return str(event.get("sender") or "") if is_theirs else ""


def _reply_target(named: Any) -> ReplyTarget | None:
    if not isinstance(named, dict) or not named.get("message_id"):
        return None
    return ReplyTarget(str(named["message_id"]), int(named.get("part_index") or 0))


def _tapback(event: dict[str, Any], thread: dict[str, Any]) -> Report:
    reaction = str(event.get("reaction") or "")
    return TapbackArrived(
        **thread,
        handle=event["message_id"],
        part=0,
        kind=reaction if reaction in SIX_TAPBACKS else "custom",
        emoji="" if reaction in SIX_TAPBACKS else reaction,
        removed=event.get("action") == "remove",
        mine=event.get("direction") == "outbound",
    )


def _status(word: str, event: dict[str, Any], thread: dict[str, Any]) -> Report:
    service = SERVICES.get(str(event.get("protocol")), "")
    state = STATES[word]
    return StatusChanged(
        **{**thread, "at": time_of(event.get(f"{word}_at")) or thread["at"]},
        handle=event["message_id"],
        state=state,
        service=service,
        downgraded={"imessage": False, "sms": True}.get(service),
        error=failure(event) if state in {"error", "declined"} else None,
    )


def _own_text(event: dict[str, Any], status: StatusChanged) -> OwnTextSeen:
    return OwnTextSeen(
        line=status.line,
        human=status.human,
        chat=status.chat,
        group=_group(event),
        at=status.at,
        handle=status.handle,
        text=str(event.get("text") or ""),
        state=status.state,
        service=status.service,
    )


def _events(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inbound = row.get("direction") == "inbound"
    word = "received" if inbound else str(row.get("status"))
    told = {name: row.get(name) for name in ("message_id", "external_id", "internal_id", "text", "attachments")}
    told |= {"protocol": row.get("protocol"), "reply_to": row.get("reply_to"), "sender": row.get("sender")}
    told |= {"timestamp": row.get("time_sent"), "polled": True}
    if inbound or word in {"sent", "delivered", "failed"}:
        at = row.get("time_delivered") if word == "delivered" else row.get("time_sent")
        yield {**told, "event": f"message.{word}", f"{word}_at": at, "error_message": row.get("error")}
    for reaction in row.get("reactions") or []:
        yield {
            **told,
            "event": "message.reaction",
            "direction": "inbound" if reaction.get("sender") else "outbound",
            "sender": reaction.get("sender"),
            "reaction": reaction.get("reaction"),
            "action": "add" if reaction.get("is_added") else "remove",
            "timestamp": reaction.get("time_sent"),
        }
