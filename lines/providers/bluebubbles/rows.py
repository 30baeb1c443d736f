"""What a row of Messages' database says, as BlueBubbles shows it: texts, tapbacks, states and errors."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from lines.effects import effect_of
from lines.providers.base import (
    Account,
    ErrorClass,
    Group,
    GroupChanged,
    LineReading,
    Media,
    Outcome,
    OwnTextSeen,
    ProviderError,
    ReadReported,
    ReplyTarget,
    Report,
    Scope,
    SendOrder,
    SendReceipt,
    StatusChanged,
    TapbackArrived,
    TextArrived,
    TextEdited,
    TextUnsent,
    Unrecognised,
)
from lines.providers.bluebubbles.wire import root

NEEDS_HELPER = (
    "effects", "reply", "tapback", "tapback_remove", "typing", "typing_in", "read_receipt", "lookup", "edit",
    "unsend", "media_with_text", "group_rename",
)  # fmt: skip

TAPBACKS = ["love", "like", "dislike", "laugh", "emphasize", "question"]
_REACTED = re.compile(r"(?:Reacted|Removed) (?P<emoji>\S{1,32}) (?:to|from) ", re.IGNORECASE)
_TARGET = re.compile(r"(?:p:(?P<part>\d+)/|bp:)?(?P<guid>.+)")

# Written into a text where a file stands.
_OBJECT = "\N{OBJECT REPLACEMENT CHARACTER}"

# What a row is that is no text: of a group, that somebody came or went, or that it has another name.
_ROSTER, _NAME, _LEFT = 1, 2, 3


def reports(account: Account, row: dict[str, Any]) -> Iterator[Report]:
    """What a row says. Texts, tapbacks and group actions share one event: told apart before anything else."""
    group = _group(row)
    # A group's chat is never a hint of where to write to one of its members.
    where: dict[str, Any] = {"line": "", "human": human_of(row), "chat": "" if group else chat_of(row)}
    if row.get("itemType") or row.get("groupActionType"):
        yield from _group_changes(row, group)
    elif row.get("associatedMessageGuid"):
        yield _tapback(row, where)
    elif row.get("isFromMe"):
        yield from _own_reports(row, where, group)
    else:
        yield from _heard_reports(account, row, where, group)


def _group_changes(row: dict[str, Any], group: Group | None) -> Iterator[Report]:
    """An event does not say who the members are now; a poll does, and brings the same row again."""
    kind = row.get("itemType")
    if group and kind == _NAME:
        group = Group(group.key, group.members, str(row.get("groupTitle") or group.name))
    if group and (kind == _NAME or (kind in {_ROSTER, _LEFT} and group.members)):
        yield GroupChanged(line="", human=human_of(row), at=moment(row.get("dateCreated")), group=group)


def _own_reports(row: dict[str, Any], where: dict[str, Any], group: Group | None) -> Iterator[Report]:
    key = str(row.get("tempGuid") or "")
    service = row.get("_service") or ""
    about: dict[str, Any] = {**where, "handle": row["guid"], "order_key": key}
    yield OwnTextSeen(**about, at=moment(row.get("dateCreated")), text=text_of(row), service=service, group=group)
    error = error_of(row) if row.get("error") else None
    if is_delivered(row):
        yield StatusChanged(**about, state="delivered", at=moment(row.get("dateDelivered")), service=service)
    elif error:
        yield StatusChanged(**about, state="error", error=error)
    elif service:
        yield StatusChanged(**about, state="sent", service=service, downgraded=True)
    if read_at := moment(row.get("dateRead")):
        yield ReadReported(**where, handle=row["guid"], at=read_at)


def _heard_reports(
    account: Account, row: dict[str, Any], where: dict[str, Any], group: Group | None
) -> Iterator[Report]:
    # Without its chat a text might be a group's; the poll brings the row whole.
    if row.get("chats"):
        if not text_of(row) and not row.get("attachments") and row.get("balloonBundleId"):
            yield Unrecognised(**where, raw_type=f"balloon {row['balloonBundleId']}")
            return
        yield TextArrived(
            **where,
            at=moment(row.get("dateCreated")),
            handle=row["guid"],
            text=text_of(row),
            media=_media(account, row),
            service=_service(row),
            reply_to=_reply_to(row),
            effect=effect_of(str(row.get("expressiveSendStyleId") or "")),
            group=group,
        )
    if at := moment(row.get("dateRetracted")):
        yield TextUnsent(**where, at=at, handle=row["guid"])
    elif at := moment(row.get("dateEdited")):
        yield TextEdited(**where, at=at, handle=row["guid"], text=text_of(row))


def _tapback(row: dict[str, Any], where: dict[str, Any]) -> Report:
    target = _TARGET.fullmatch(str(row["associatedMessageGuid"]))
    word = str(row.get("associatedMessageType") or "")
    removed, name = word.startswith("-"), word.removeprefix("-")
    emoji = ""
    if name.isdecimal():
        number = int(name)
        removed, kind = number >= 3000, number % 1000
        # An emoji has no field: only the fallback text names it.
        said = _REACTED.match(text_of(row))
        name = TAPBACKS[kind] if kind < len(TAPBACKS) else "custom" if kind == 6 else word
        emoji = said["emoji"] if said and name == "custom" else ""
    if target is None or name not in {*TAPBACKS, "custom"}:
        return Unrecognised(**where, raw_type=f"tapback {word}")
    return TapbackArrived(
        **where,
        at=moment(row.get("dateCreated")),
        handle=target["guid"],
        part=int(target["part"] or 0),
        kind=name,
        emoji=emoji,
        removed=removed,
        mine=bool(row.get("isFromMe")),
    )


def error_of(row: dict[str, Any]) -> ProviderError | None:
    """What a row's error number means; None for the one that leaves it open whether the text left."""
    number = str(row.get("error"))
    match number:
        case "4":
            return None
        case "22":
            return ProviderError(
                ErrorClass.RECIPIENT_UNREACHABLE, number, "The recipient is not on iMessage.", scope=Scope.HUMAN
            )
    text = f"Messages marked the text with error {number}."
    return ProviderError(ErrorClass.PERMANENT, number, text, scope=Scope.LINE, counts_against_line=True)


def key_of(row: dict[str, Any]) -> str:
    """Without the event's type: the same news comes as a new and as an updated message.

    A text from a human is one piece of news, its edits are others; a row without its chat tells less than one with,
    and so does what happened to a group without its members.
    """
    told: list[Any]
    if row.get("itemType"):
        told = [_has_members(row)]
    elif not row["isFromMe"]:
        told = [row.get("dateEdited"), row.get("dateRetracted"), bool(row.get("chats"))]
    else:
        names = ("dateDelivered", "dateRead", "dateEdited", "dateRetracted", "error", "tempGuid", "_service")
        told = [*(row.get(name) or 0 for name in names), bool(is_delivered(row))]
    return f"{row['guid']}:{digest(told)}"


def told_at(row: dict[str, Any]) -> datetime | None:
    """When the newest fact of the row came about."""
    names = ["dateCreated", "dateEdited", "dateRetracted"]
    names += ["dateDelivered", "dateRead"] if row.get("isFromMe") else []
    told = [at for name in names if (at := moment(row.get(name)))]
    return max(told, default=None)


def digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]


def is_for(row: dict[str, Any], order: SendOrder) -> bool:
    """Whether our row may be the order's text: to the same human alone or into the same group, with the same words."""
    if row.get("associatedMessageGuid") or row.get("itemType") or not _is_where(row, order):
        return False
    return text_of(row) == order.text.strip() and len(row.get("attachments") or []) == len(order.media)


def _is_where(row: dict[str, Any], order: SendOrder) -> bool:
    group = _group(row)
    if order.group is None or group is None:
        return order.group is group and human_of(row) == canonical(order.human)
    if order.group.key:
        return order.group.key == group.key
    return {canonical(member) for member in order.group.members} == set(group.members)


def groups_in(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The groups that these rows are of, with who is in them now: their texts' events do not say it."""
    seen = {chat_of(row): row["chats"][0] for row in rows if _is_group(row) and _has_members(row)}
    return list(seen.values())


def key_of_group(chat: dict[str, Any]) -> str:
    """The same as long as the group stays as it is. Who comes and goes has a row, and a key, of its own besides."""
    group = group_of(chat)
    return f"{group.key}:{digest([sorted(group.members), group.name])}"


def _group(row: dict[str, Any]) -> Group | None:
    """The group that a row is of, as far as the row knows it."""
    return group_of(row["chats"][0]) if _is_group(row) else None


def group_of(chat: dict[str, Any]) -> Group:
    """A group as its chat shows it."""
    members = [canonical(str(one.get("address") or "")) for one in chat.get("participants") or []]
    return Group(str(chat["guid"]), tuple(one for one in members if one), str(chat.get("displayName") or ""))


def _is_group(row: dict[str, Any]) -> bool:
    return any(";+;" in str(chat.get("guid")) or chat.get("style") == 43 for chat in row.get("chats") or [])


def _has_members(row: dict[str, Any]) -> bool:
    return any(chat.get("participants") for chat in row.get("chats") or [])


def human_of(row: dict[str, Any]) -> str:
    """The human alone with us, or who wrote into a group; nobody for our own text in one."""
    chat = chat_of(row)
    if chat and not _is_group(row):
        return address_of(chat)
    handle = {} if chat and row.get("isFromMe") else row.get("handle") or {}
    return canonical(str(handle.get("address") or ""))


def thread_of(row: dict[str, Any]) -> str:
    """What orders the news of one thread: its human, or the group's name."""
    return chat_of(row) if _is_group(row) else human_of(row)


def chat_of(row: dict[str, Any]) -> str:
    chats = row.get("chats") or []
    return str(chats[0].get("guid") or "") if chats else ""


def address_of(chat: str) -> str:
    """The human behind a chat's guid, in whichever of its forms."""
    return canonical(chat.rpartition(";")[2])


def canonical(address: str) -> str:
    return address.strip().lower() if "@" in address else re.sub(r"[\s().-]", "", address)


def _service(row: dict[str, Any]) -> str:
    """A hint at best: the row does not say it."""
    prefix = chat_of(row).partition(";")[0].lower()
    return prefix if prefix in {"sms", "rcs"} else "imessage"


def text_of(row: dict[str, Any]) -> str:
    parts = [str(row.get(name) or "").replace(_OBJECT, "").strip() for name in ("subject", "text")]
    return "\n".join(part for part in parts if part)


def _media(account: Account, row: dict[str, Any]) -> tuple[Media, ...]:
    return tuple(
        Media(
            f"{root(account)}/attachment/{quote(str(file['guid']))}/download",
            str(file.get("mimeType") or ""),
            file.get("totalBytes"),
        )
        for file in row.get("attachments") or []
        # The preview of a link is a file of Messages' own.
        if not str(file.get("transferName") or "").endswith(".pluginPayloadAttachment")
    )


def _reply_to(row: dict[str, Any]) -> ReplyTarget | None:
    guid = row.get("threadOriginatorGuid")
    part = str(row.get("threadOriginatorPart") or "0").partition(":")[0]
    return ReplyTarget(str(guid), int(part) if part.isdecimal() else 0) if guid else None


def is_delivered(row: dict[str, Any]) -> bool:
    return bool(row.get("isDelivered") or row.get("dateDelivered") or (row.get("isFromMe") and row.get("dateRead")))


def accepted(row: dict[str, Any], *, notes: Sequence[str] = ()) -> SendReceipt:
    return SendReceipt(
        outcome=Outcome.ACCEPTED,
        handle=str(row["guid"]),
        state="delivered" if is_delivered(row) else "sent",
        chat=chat_of(row),
        notes=notes,
    )


def reading(line: str, info: Mapping[str, Any], signed_in: Mapping[str, Any]) -> LineReading:
    """What the Mac says of itself. `detected_imessage` is history, never proof of being signed in."""
    helper = bool(info.get("helper_connected"))
    vetted = signed_in.get("vetted_aliases") or []
    aliases = [canonical(str(alias.get("Alias"))) for alias in vetted if alias.get("Status", 3) == 3]
    active = canonical(str(signed_in.get("active_alias") or ""))
    login = str(signed_in.get("login_status_message") or "")
    reasons, state = [], "healthy"
    if not helper:
        reasons, state = ["helper_lost"], "degraded"
    elif not signed_in:
        reasons, state = ["sign_in_unknown"], "degraded"
    elif login.lower() != "connected" or not aliases:
        reasons, state = ["signed_out"], "down"
    elif active != canonical(line) or active not in aliases:
        reasons, state = ["wrong_sender"], "flagged"
    offset = info.get("macos_time_sync")
    return LineReading(
        state=state,
        reasons=reasons,
        reachable=True,
        authenticated=True,
        provider_state=login,
        addresses=[active, *(alias for alias in aliases if alias != active)] if active else aliases,
        lost=() if helper else NEEDS_HELPER,
        clock_offset=float(offset) if isinstance(offset, int | float) else None,
        software=f"BlueBubbles {info.get('server_version')}, macOS {info.get('os_version')}",
        raw={"server": dict(info), "account": dict(signed_in)},
    )


def moment(ms: Any) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if isinstance(ms, int | float) and ms > 0 else None
