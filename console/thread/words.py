"""A thread's facts in words: states, reasons, verdicts, tapbacks."""

from uuid import UUID

from contactrules.models import ContactRule
from core.actor import Actor, Role
from core.phones import pretty
from imessage.models import Direction, Message, TapbackChange
from lines.models import Line

STATES = {
    "queued": "Queued",
    "accepted": "Accepted",
    "sent": "Sent",
    "delivered": "Delivered",
    "read": "Read",
    "claimed": "Taken up by a worker",
    "unknown": "Outcome unknown, being looked up",
    "held": "Held",
    "downgraded": "Sent as SMS instead",
    "note": "Left out on the way",
    "declined": "Not sent",
    "error": "Not delivered",
}
STYLES = {"shooting_star": "a shooting star", "invisible": "invisible ink"}
_FALLBACKS: dict[str, str] = {
    Message.Fallback.NEVER: "Never as SMS",
    Message.Fallback.IF_UNSUPPORTED: "As SMS if the human has no iMessage",
    Message.Fallback.IF_FAILED: "As SMS if iMessage fails after all",
    Message.Fallback.IF_UNSUPPORTED_OR_FAILED: "As SMS if the human has no iMessage, or it fails after all",
}
GLYPHS = {"love": "❤️", "like": "👍", "dislike": "👎", "laugh": "😂", "emphasize": "‼️", "question": "❓"}

# What the providers' own codes mean (contract/lines.md 4); what is not here is said by its class.
_NOT_IMESSAGE = "The number is not on iMessage."
_OPTED_OUT = "The human has asked for no more messages (STOP), or has blocked the line."
_NO_SUCH_NUMBER = "The number cannot receive texts."
_FILTERED = "The carrier took it for spam and dropped it."
_CODES = {
    "22": _NOT_IMESSAGE,
    "10001": "The provider tried and could not deliver it.",
    "2024": _OPTED_OUT,
    "2026": _OPTED_OUT,
    "21610": _OPTED_OUT,
    "30004": _OPTED_OUT,
    "4002": _OPTED_OUT,
    "21211": _NO_SUCH_NUMBER,
    "21614": _NO_SUCH_NUMBER,
    "21635": _NO_SUCH_NUMBER,
    "30005": _NO_SUCH_NUMBER,
    "30006": _NO_SUCH_NUMBER,
    "30003": "The phone is switched off or out of reach.",
    "30007": _FILTERED,
    "30036": "It waited too long and was no longer valid.",
}


def status(message: Message) -> str:
    """Where a message stands."""
    if message.is_blocked:
        return "Blocked"
    if not message.is_outbound:
        return "Read by the agent" if message.is_read else "Unread"
    return "Read" if message.peer_read_at else STATES.get(message.status, message.status)


def failure(message: Message) -> str:
    """Why a message did not arrive; empty when it did or may."""
    if message.status not in {Message.Status.ERROR, Message.Status.DECLINED}:
        return ""
    return (
        _CODES.get(message.error_code)
        or message.error_message
        or message.error_reason
        or "The message could not be delivered."
    )


def verdict_in_words(message: Message, rules: dict[UUID, ContactRule]) -> str:
    """Why a message was blocked, by the mode and rule of its time; `rules` are those that still exist."""
    if message.rule_id is None:
        return "Not on the whitelist"
    rule = rules.get(message.rule_id)
    if rule is None:
        return "Block rule, removed since"
    return "Block rule, paused now" if rule.status == ContactRule.Status.PAUSED else "Block rule"


def glyph(kind: str, emoji: str) -> str:
    """What a tapback looks like."""
    return emoji or GLYPHS.get(kind, "•")


def ways(actor: Actor, message: Message) -> list[str]:
    """How a message travels: the number that carries it, what may pass others, and when it may leave as SMS."""
    told = [f"{'From' if message.is_outbound else 'To'} {number(actor, message.line)}"]
    if not message.is_outbound:
        return told
    if message.is_fast:
        told.append("By the fast lane: it passes the line's own pace")
    if message.is_group:  # SMS carries no groups
        return told
    from_there = f", from {number(actor, message.fallback_line)}" if message.fallback_line else ""
    return [*told, f"{_FALLBACKS.get(message.fallback, message.fallback)}{from_there}"]


def number(actor: Actor, line: Line) -> str:
    """A line as this reader may know it: an organization's own by its number, a shared one to operators alone."""
    if line.kind == Line.Kind.DEDICATED:
        return f"{pretty(line.address)}, the agent's own number"
    return f"{pretty(line.address)}, a pool line" if actor.role is Role.OPERATOR else "a line of the pool"


def change_in_words(change: TapbackChange, by: str) -> str:
    """One entry of a tapback's history; `by` is the human whose it is, unless it is the agent's."""
    who = by[:1].upper() + by[1:] if change.direction == Direction.INBOUND else "The agent"
    drawn = glyph(change.kind, change.emoji)
    done = {
        TapbackChange.Action.ADD: f"put {drawn}",
        TapbackChange.Action.REPLACE: f"changed to {drawn}",
        TapbackChange.Action.REMOVE: f"took {drawn} back",
    }[TapbackChange.Action(change.action)]
    held = "; blocked, so nothing changed" if change.is_blocked else ""
    return f"{who} {done}{held}"
