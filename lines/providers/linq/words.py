"""Linq's words and ours, and values read from their JSON, which may hold anything."""

from datetime import UTC, datetime
from typing import Any

from lines.effects import EFFECTS
from lines.providers.base import Group

# All but one that Apple has taken out of its picker.
SENT_EFFECTS = frozenset(EFFECTS) - {"shooting_star"}
_OTHER_NAMES = {"happy_birthday": "balloons", "hearts": "love", "sparkles": "celebration"}
SIX = {"love", "like", "dislike", "laugh", "emphasize", "question"}
# The best first: what comes later is a downgrade.
SERVICES = {"iMessage": "imessage", "RCS": "rcs", "SMS": "sms"}
PREFERRED = {"imessage": "iMessage", "sms": "SMS"}
_STATUSES = {"queued": "queued", "failed": "queued", "sent": "sent", "delivered": "delivered", "read": "delivered"}
# Of lines: service status and reputation.
STATES = {
    "HEALTHY": "healthy",
    "ACTIVE": "healthy",
    "AT_RISK": "degraded",
    "CRITICAL": "flagged",
    "FLAGGED": "flagged",
}


def mapping(value: Any) -> dict[str, Any]:
    """The object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def group_of(chat: dict[str, Any]) -> Group:
    """A group as a chat that is shown whole tells of it: who is in it now, and its name if somebody gave it one."""
    there = [handle for handle in mappings(chat.get("handles")) if not handle.get("left_at")]
    members = tuple(str(handle.get("handle")) for handle in there if not handle.get("is_me"))
    name = str(chat.get("display_name") or "")
    # Without one, theirs is the list of its people.
    everybody = {str(handle.get("handle")) for handle in mappings(chat.get("handles"))}
    is_list = {part.strip() for part in name.split(",")} <= everybody
    return Group(str(chat.get("id") or ""), members, "" if is_list else name)


def line_of(chat: dict[str, Any]) -> str:
    """Our end of a chat that is shown whole."""
    return next((str(one.get("handle")) for one in mappings(chat.get("handles")) if one.get("is_me")), "")


def text_of(parts: Any) -> str:
    """The words of a message's parts, links among them."""
    return "\n".join(str(part.get("value") or "") for part in mappings(parts) if part.get("type") in {"text", "link"})


def effect_named(effect: Any) -> str:
    """Our name of an effect; empty for none and for an unknown one."""
    name = str(mapping(effect).get("name") or "")
    name = _OTHER_NAMES.get(name, name)
    return name if name in SENT_EFFECTS else ""


def status_of(message: dict[str, Any]) -> str:
    """The state of a message that Linq has taken; that it failed is told with its reason, by a callback."""
    return _STATUSES.get(str(message.get("delivery_status")), "pending")


def was_downgraded(asked: Any, used: Any) -> bool | None:
    """Whether it went by a lesser service than was asked for; nothing said counts as iMessage wished."""
    if used not in SERVICES:
        return None
    wished = asked if asked in SERVICES else "iMessage"
    order = list(SERVICES)
    return order.index(str(used)) > order.index(str(wished))


def time_of(text: Any) -> datetime | None:
    """A time with its zone; raises `ValueError` for what is none."""
    if not text:
        return None
    moment = datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
