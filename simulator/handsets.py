"""Humans' phones: texts, the threads and groups they lie in, and what a phone shows of them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from simulator.refusals import unknown

IMESSAGE, SMS, OFF = "imessage", "sms", "off"
SERVICES = (IMESSAGE, SMS, OFF)
TAPBACKS = ("love", "like", "dislike", "laugh", "emphasize", "question", "emoji")

Media = dict[str, Any]
TapbackKey = tuple[str, int]


@dataclass
class Group:
    """A thread of several humans and one line; `members` are the humans that are in it now."""

    key: str
    line: str
    members: list[str]
    name: str = ""

    def as_json(self) -> dict[str, Any]:
        """The group as both APIs show it."""
        return {"key": self.key, "line": self.line, "members": list(self.members), "name": self.name}


@dataclass
class Text:
    """One text of a thread, seen from every end; `id` names it everywhere.

    `human` is the other end of the line's thread; in a group who wrote it, empty for the line's own. `media` holds
    url, content_type and size (None: not known). `parent` is the text that it answers. `read_by` says when each
    number that received it read it, `shown_on` the handsets that it is on.
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
    parent: "Text | None" = None
    group: Group | None = None
    status: str = "received"
    downgraded: bool = False
    asked_service: str = IMESSAGE
    reference: str | None = None
    error: dict[str, str] | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    at: str | None = None
    sent_at: str | None = None
    delivered_at: str | None = None
    read_by: dict[str, str] = field(default_factory=dict)
    shown_on: set[str] = field(default_factory=set)
    tapbacks: dict[TapbackKey, dict[str, Any]] = field(default_factory=dict)

    @property
    def sender(self) -> str:
        return self.line if self.direction == "outbound" else self.human

    @property
    def recipient(self) -> str:
        if self.group is not None:
            return self.group.key
        return self.human if self.direction == "outbound" else self.line

    @property
    def thread(self) -> str:
        """What a handset keys the text's thread by: the group, or the line at the other end."""
        return self.group.key if self.group is not None else self.line

    @property
    def far_end(self) -> str:
        """What the line keys its thread by: the group, or the human at the other end."""
        return self.group.key if self.group is not None else self.human

    @property
    def parts(self) -> int:
        """How many bubbles it makes on the phone: one for each medium and one for the words."""
        return max(1, len(self.media) + bool(self.text))

    def as_bubble(self, viewer: str) -> dict[str, Any]:
        """The text as the handset `viewer` shows it."""
        is_own = self.sender == viewer
        return {
            "id": self.id,
            "from": self.sender,
            "to": self.recipient,
            "direction": "sent" if is_own else "received",
            "text": self.text,
            "media": self.media,
            "effect": self.effect,
            "reply_to": self.reply_to,
            "quoted": self.parent.as_quoted() if self.parent else None,
            "group": self.group.as_json() if self.group else None,
            "service": self.service,
            "at": self.at,
            "read_at": self.read_by.get(self.line if is_own else viewer),
            "tapbacks": list(self.tapbacks.values()),
        }

    def as_quoted(self) -> dict[str, Any]:
        """What a reply shows of the text that it answers."""
        return {"from": self.sender, "text": self.text, "media": len(self.media)}

    def as_message(self) -> dict[str, Any]:
        """The text as the provider's API shows it."""
        return {
            "id": self.id,
            "direction": self.direction,
            "from": self.sender,
            "to": self.recipient,
            "line": self.line,
            "human": self.human,
            "group": self.group.as_json() if self.group else None,
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
            "read_at": min((at for who, at in self.read_by.items() if who in self._addressees()), default=None),
            "tapbacks": list(self.tapbacks.values()),
        }

    def _addressees(self) -> set[str]:
        """Whose reading counts for the line: its own of what came in, that of any human of what went out."""
        return {self.line} if self.direction == "inbound" else self.shown_on


@dataclass
class Handset:
    """A human's phone: its threads, keyed by line or group, their backgrounds, and what happened on it."""

    number: str
    service: str = IMESSAGE
    bubbles: list[Text] = field(default_factory=list)
    threads: dict[str, list[Text]] = field(default_factory=dict)
    backgrounds: dict[str, dict[str, Any]] = field(default_factory=dict)
    # (journal cursor, what happened), for whoever waits for something to show.
    happenings: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def show(self, text: Text) -> None:
        """Put a text, received or sent, at the end of its thread."""
        text.shown_on.add(self.number)
        self.bubbles.append(text)
        self.threads.setdefault(text.thread, []).append(text)

    def inbox(self, *, thread: str | None, limit: int) -> list[Text]:
        """The newest `limit` bubbles of one thread or of all, oldest first."""
        shown = self.bubbles if thread is None else self.threads.get(thread, [])
        return shown[-limit:]

    def newest_received(self, *, thread: str | None) -> Text:
        """The newest bubble that came to this phone; raises `Refusal` (404) when there is none."""
        shown = self.bubbles if thread is None else self.threads.get(thread, [])
        for text in reversed(shown):
            if text.sender != self.number:
                return text
        where = "" if thread is None else f" from {thread}"
        raise unknown("no_bubble", f"The handset {self.number} has received nothing{where} yet.")

    def unread(self, thread: str) -> list[Text]:
        """What came in a thread and was not read yet, oldest first."""
        texts = self.threads.get(thread, [])
        return [text for text in texts if text.sender != self.number and self.number not in text.read_by]

    def summary(self) -> dict[str, Any]:
        """One row of the list of handsets."""
        return {
            "number": self.number,
            "service": self.service,
            "threads": list(self.threads),
            "bubbles": len(self.bubbles),
            "unread": sum(len(self.unread(thread)) for thread in self.threads),
        }
