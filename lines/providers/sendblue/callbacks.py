"""What Sendblue's callbacks and listed messages say."""

import hashlib
import time
from typing import Any

from lines.answers import object_in
from lines.providers.base import (
    CallbackId,
    Group,
    LineReported,
    Media,
    OptedOut,
    OwnTextSeen,
    ReplyTarget,
    Report,
    StatusChanged,
    TapbackTextArrived,
    TextArrived,
    TypingChanged,
    Unrecognised,
)
from lines.providers.sendblue.wire import error_of
from lines.providers.sendblue.words import SERVICES, STATES, flag, time_of
from lines.tapback_texts import read_tapback


def identify(body: bytes) -> CallbackId:
    """What tells the callback apart; raises `ValueError`."""
    event = object_in(body)
    if event.get("message_handle"):
        way = "out" if event.get("is_outbound") else "in"
        key = f"{event['message_handle']}:{event.get('status')}:{way}"
        line, human = _ends(event)
        thread = f"{line}/{event.get('group_id') or human}"
        return CallbackId(key=key, thread=thread, at=time_of(event.get("date_updated")))
    # No id and perhaps no time: two alike within some seconds are one that was repeated.
    digest = hashlib.sha256(body).hexdigest()
    return CallbackId(key=f"{digest}:{int(time.time()) // 10}")


def reports_of(body: bytes) -> list[Report]:
    """What the callback says; raises `ValueError`."""
    event = object_in(body)
    line, human = _ends(event)
    if event.get("message_handle"):
        return _told(event, line, human) if event.get("is_outbound") else _heard(event, line, human)
    return [_other(event, line, human)]


def is_status(body: bytes) -> bool:
    try:
        return object_in(body).get("is_outbound") is True
    except ValueError:
        return False


def _ends(event: dict[str, Any]) -> tuple[str, str]:
    """Our line and the human's address, whichever way the message went; into a group it went to nobody alone."""
    if event.get("is_outbound"):
        line, human = event.get("from_number"), event.get("to_number")
    else:
        line, human = event.get("to_number"), event.get("from_number")
    human = "" if event.get("is_outbound") and event.get("group_id") else human or event.get("number") or ""
    return str(event.get("sendblue_number") or line or ""), str(human)


def group_of(message: dict[str, Any]) -> Group | None:
    """The group that a message is in, with who is in it beside our line; None for a human alone."""
    if not message.get("group_id"):
        return None
    people = [str(one) for one in message.get("participants") or []]
    line, _ = _ends(message)
    members = tuple(one for one in people if one != line)
    return Group(str(message["group_id"]), members, str(message.get("group_display_name") or ""))


def _told(event: dict[str, Any], line: str, human: str) -> list[Report]:
    """What became of a text from our line; one found by a poll may be nobody's order."""
    word, handle = str(event.get("status")), str(event["message_handle"])
    group = group_of(event)
    thread: dict[str, Any] = {"line": line, "human": human, "at": time_of(event.get("date_updated"))}
    thread |= {"chat": group.key} if group else {}
    if word not in STATES:
        return [Unrecognised(**thread, raw_type=f"status {word}"[:60])]
    state = STATES[word]
    status = StatusChanged(
        **thread,
        handle=handle,
        state=state,
        service=SERVICES.get(str(event.get("service")).lower(), ""),
        downgraded=flag(event.get("was_downgraded")),
        error=error_of(event) if state in {"error", "declined"} else None,
    )
    own = OwnTextSeen(**thread, handle=handle, text=str(event.get("content") or ""), state=state, group=group)
    return [own, status] if event.get("polled") else [status]


def _heard(event: dict[str, Any], line: str, human: str) -> list[Report]:
    text, service = str(event.get("content") or ""), SERVICES.get(str(event.get("service")).lower(), "imessage")
    group = group_of(event)
    thread: dict[str, Any] = {"line": line, "human": human, "at": time_of(event.get("date_sent"))}
    thread |= {"chat": group.key} if group else {}
    handle, media = str(event["message_handle"]), (Media(event["media_url"]),) if event.get("media_url") else ()
    if not text and not media:
        # A place, a card, a poll: nothing that an agent could be shown.
        return [Unrecognised(**thread, raw_type=f"message {event.get('message_type')}"[:60])]
    tapback = None if media else read_tapback(text)
    if tapback:
        return [
            TapbackTextArrived(
                **thread,
                handle=handle,
                text=text,
                kind=tapback.kind,
                quoted=tapback.quoted,
                emoji=tapback.emoji,
                removed=tapback.removed,
                service=service,
                group=group,
            )
        ]
    heard: list[Report] = [
        TextArrived(
            **thread,
            handle=handle,
            text=text,
            media=media,
            service=service,
            reply_to=_reply_target(event.get("reply_to")),
            group=group,
        )
    ]
    return [*heard, OptedOut(**thread, word=text[:20])] if event.get("opted_out") else heard


def _reply_target(named: Any) -> ReplyTarget | None:
    if not isinstance(named, dict) or not named.get("message_handle"):
        return None
    return ReplyTarget(str(named["message_handle"]), int(named.get("part_index") or 0))


def _other(event: dict[str, Any], line: str, human: str) -> Report:
    """A callback about something else than a message; their shapes are not documented, so read with leniency."""
    kind = str(event.get("type") or event.get("event") or event.get("webhook_type") or "")
    thread: dict[str, Any] = {
        "line": str(event.get("sendblue_number") or event.get("line") or event.get("phone_number") or line),
        "human": human,
        "at": time_of(event.get("timestamp") or event.get("occurred_at")),
    }
    if kind == "line_blocked":
        return LineReported(**thread, seen="flagged", reason="line_blocked", provider_state=kind)
    if kind == "line_assigned":
        return LineReported(**thread, seen="unknown", reason="line_assigned", provider_state=kind)
    if "is_typing" in event or kind == "typing_indicator":
        # Told from the human's side: `number` is theirs, `from_number` the line, or the other way round.
        ends = {"line": str(event.get("sendblue_number") or event.get("from_number") or "")}
        human = str(event.get("number") or human)
        on = event.get("is_typing", event.get("state") != "stop")
        return TypingChanged(**{**thread, **ends, "human": human}, on=bool(on))
    return Unrecognised(**thread, raw_type=kind[:60])
