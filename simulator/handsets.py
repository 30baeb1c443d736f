"""Humans' phones: texts, the threads they lie in, and what a phone shows of them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from simulator.refusals import unknown

IMESSAGE, SMS, OFF = "imessage", "sms", "off"
SERVICES = (IMESSAGE, SMS, OFF)
TAPBACKS = ("love", "like", "dislike", "laugh", "emphasize", "question", "emoji")

Media = dict[str, Any]
TapbackKey = tuple[str, int]


@dataclass
class Text:
    """One text between a line and a human, seen from both ends; `id` names it everywhere.

    `media` holds url, content_type and size (None: not known). `read_at` is when the receiving side read it.
    """

    id: str
    line: str
    human: str
    direction: Literal["outbound", "inbound"]
    text: str
    media: list[Media]
    service: str
    created_at: str
    effect: str | None = None
    reply_to: dict[str, Any] | None = None
    status: str = "received"
    downgraded: bool = False
    asked_service: str = IMESSAGE
    reference: str | None = None
    error: dict[str, str] | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    at: str | None = None
    sent_at: str | None = None
    delivered_at: str | None = None
    read_at: str | None = None
    tapbacks: dict[TapbackKey, dict[str, Any]] = field(default_factory=dict)

    @property
    def sender(self) -> str:
        return self.line if self.direction == "outbound" else self.human

    @property
    def recipient(self) -> str:
        return self.human if self.direction == "outbound" else self.line

    @property
    def parts(self) -> int:
        """How many bubbles it makes on the phone: one for each medium and one for the words."""
        return max(1, len(self.media) + bool(self.text))

    def as_bubble(self) -> dict[str, Any]:
        """The text as the handset shows it."""
        return {
            "id": self.id,
            "from": self.sender,
            "to": self.recipient,
            "direction": "received" if self.direction == "outbound" else "sent",
            "text": self.text,
            "media": self.media,
            "effect": self.effect,
            "reply_to": self.reply_to,
            "service": self.service,
            "at": self.at,
            "read_at": self.read_at,
            "tapbacks": list(self.tapbacks.values()),
        }

    def as_message(self) -> dict[str, Any]:
        """The text as the provider's API shows it."""
        return {
            "id": self.id,
            "direction": self.direction,
            "from": self.sender,
            "to": self.recipient,
            "line": self.line,
            "human": self.human,
            "text": self.text,
            "media": self.media,
            "effect": self.effect,
            "reply_to": self.reply_to,
            "service": self.service,
            "downgraded": self.downgraded,
            "status": self.status,
            "error": self.error,
            "reference": self.reference,
            "created_at": self.created_at,
            "sent_at": self.sent_at,
            "delivered_at": self.delivered_at,
            "read_at": self.read_at,
            "tapbacks": list(self.tapbacks.values()),
        }


@dataclass
class Handset:
    """A human's phone: its threads, keyed by the number at the other end, and what happened on it."""

    number: str
    service: str = IMESSAGE
    bubbles: list[Text] = field(default_factory=list)
    threads: dict[str, list[Text]] = field(default_factory=dict)
    # (journal cursor, what happened), for whoever waits for something to show.
    happenings: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def show(self, text: Text) -> None:
        """Put a text, received or sent, at the end of its thread."""
        self.bubbles.append(text)
        self.threads.setdefault(text.line, []).append(text)

    def inbox(self, *, line: str | None, limit: int) -> list[Text]:
        """The newest `limit` bubbles of one thread or of all, oldest first."""
        shown = self.bubbles if line is None else self.threads.get(line, [])
        return shown[-limit:]

    def newest_received(self, *, line: str | None) -> Text:
        """The newest bubble that came to this phone; raises `Refusal` (404) when there is none."""
        shown = self.bubbles if line is None else self.threads.get(line, [])
        for text in reversed(shown):
            if text.direction == "outbound":
                return text
        where = "" if line is None else f" from {line}"
        raise unknown("no_bubble", f"The handset {self.number} has received nothing{where} yet.")

    def unread(self, line: str) -> list[Text]:
        """What came from a line and was not read yet, oldest first."""
        return [text for text in self.threads.get(line, []) if text.direction == "outbound" and text.read_at is None]

    def summary(self) -> dict[str, Any]:
        """One row of the list of handsets."""
        return {
            "number": self.number,
            "service": self.service,
            "threads": list(self.threads),
            "bubbles": len(self.bubbles),
            "unread": sum(len(self.unread(line)) for line in self.threads),
        }
