"""What the agent's side asks a line to send, what the journal keeps of it, and what the call answers."""

from dataclasses import dataclass
from typing import Any

from simulator.clock import stamp
from simulator.handsets import IMESSAGE, Media, Text
from simulator.journal import Record
from simulator.ledger import EventBody, new_id

LEAST_MEMBERS, MOST_MEMBERS = 2, 32


@dataclass(frozen=True)
class GroupOrder:
    """The group an order goes to: one that is there, by its key, or a new one of `members`."""

    key: str | None
    members: list[str]
    name: str = ""


@dataclass(frozen=True)
class Order:
    """A text to a human, or to a group with `human` empty; `service` is imessage, auto or sms.

    `left_out` are the names of what was asked for and a line with SMS alone cannot send.
    """

    line: str
    human: str
    text: str
    media: list[Media]
    service: str = IMESSAGE
    effect: str | None = None
    reply_to: dict[str, Any] | None = None
    key: str | None = None
    reference: str | None = None
    group: GroupOrder | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tapback:
    """A reaction to one part of a text; `emoji` is set exactly when `kind` is "emoji"."""

    kind: str
    emoji: str | None
    part: int


def first_record(order: Order, *, keyed: bool) -> Record:
    """What the journal first says of a text that a line sends."""
    at = stamp()
    return {
        "at": at,
        "line": order.line,
        "human": order.human,
        "message_id": new_id("msg"),
        "text": order.text,
        "media": order.media,
        "effect": order.effect,
        "reply_to": order.reply_to,
        "asked_service": order.service,
        "left_out": list(order.left_out),
        # A line without a send key knows neither key nor reference, like a provider that never offered them.
        "idempotency_key": order.key if keyed else None,
        "reference": order.reference if keyed else None,
        "created_at": at,
    }


def later_record(text: Text) -> Record:
    """What the journal says of a text that had to wait."""
    return {
        "at": stamp(),
        "line": text.line,
        "human": text.human,
        "message_id": text.id,
        "text": text.text,
        "media": text.media,
        "effect": text.effect,
        "reply_to": text.reply_to,
        "asked_service": text.asked_service,
        "idempotency_key": None,
        "reference": text.reference,
        "created_at": text.created_at,
        "answer": text.answer,
    }


def answer_of(record: Record) -> dict[str, Any]:
    """What the send call answers, and answers again for the same key: the failure of a text comes by callback."""
    return {
        "id": record["message_id"],
        "from": record["line"],
        "to": record.get("group") or record["human"],
        "status": "queued" if record["status"] == "failed" else "sent",
        "service": record["service"],
        "left_out": record.get("left_out", []),
        "created_at": record["created_at"],
    }


def status_event(record: Record, status: str, *, group: dict[str, Any] | None = None) -> EventBody:
    """The callback that tells what became of a text."""
    named = ("line", "human", "message_id", "reference", "service", "downgraded", "error", "at")
    told = {name: record[name] for name in named}
    return "message.status", {**told, "group": group, "status": status}
