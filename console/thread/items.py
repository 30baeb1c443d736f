"""What a thread is made of on the page: bubbles, days, the system's own lines, and where the unseen begins."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from console.thread import words
from contactrules.models import ContactRule
from imessage.again import may_send_again
from imessage.models import Message, Part, Tapback


@dataclass(frozen=True, slots=True)
class Day:
    """A new day begins."""

    day: date
    kind: str = "day"


@dataclass(frozen=True, slots=True)
class Unseen:
    """From here on the reader has not seen anything yet."""

    kind: str = "unseen"


@dataclass(frozen=True, slots=True)
class SystemLine:
    """Something that happened to the thread and is no message; `about` is the message it tells of."""

    key: str
    text: str
    at: datetime
    icon: str = "link"
    detail: str = ""
    link: str = ""
    about: UUID | None = None
    kind: str = "system"

    def precedes(self, message: Message) -> bool:
        """Whether it was there before a message; what tells of one follows it."""
        return self.at < message.created_at or (self.at == message.created_at and self.about != message.pk)


@dataclass(frozen=True, slots=True)
class Reaction:
    """A live tapback, as drawn and as spoken."""

    glyph: str
    words: str
    direction: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a message on its way, or of a tapback's history, in words."""

    words: str
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message with all that is shown of it."""

    message: Message
    media: list[Part]
    reactions: list[Reaction]
    changes: list[Step]
    steps: list[Step]
    status: str
    failure: str
    style: str
    verdict: str
    may_go_again: bool = False
    is_hidden: bool = False
    kind: str = "bubble"


Item = Day | Unseen | SystemLine | Bubble


def flow(
    messages: list[Message],
    lines: list[SystemLine],
    rules: dict[UUID, ContactRule],
    *,
    day_of: Callable[[datetime], date],
    yesterday: date | None = None,
    unseen_after: int | None = None,
    hides_held: bool = False,
) -> Iterator[Item]:
    """Messages by position, each line before the first message that came later, and the reader's days between them."""
    day = yesterday
    for item in _in_order(messages, lines):
        at = item.at if isinstance(item, SystemLine) else item.created_at
        if day_of(at) != day:
            day = day_of(at)
            yield Day(day)
        if isinstance(item, SystemLine):
            yield item
            continue
        if unseen_after is not None and item.position > unseen_after:
            unseen_after = None
            yield Unseen()
        yield bubble(item, rules, hides_held=hides_held)


def bubble(message: Message, rules: dict[UUID, ContactRule], *, hides_held: bool = False) -> Bubble:
    """All of one message; fetched by `imessage.history.live_and_kept`. With `hides_held` nothing that a blocked human
    wrote or sent."""
    is_hidden = hides_held and message.is_blocked
    was_held = message.is_blocked or message.released_at is not None
    return Bubble(
        message=message,
        media=[] if is_hidden else [part for part in message.parts.all() if part.kind == Part.Kind.MEDIA],
        reactions=[_reaction(tapback) for tapback in message.tapbacks.all()],
        changes=[Step(words.change_in_words(change), "", change.at) for change in message.tapback_changes.all()],
        steps=steps_of(message),
        status=words.status(message),
        failure=words.failure(message),
        style=words.STYLES.get(message.send_style, message.send_style),
        verdict=words.verdict_in_words(message, rules) if was_held else "",
        may_go_again=may_send_again(message) and not hides_held,
        is_hidden=is_hidden,
    )


def _in_order(messages: list[Message], lines: list[SystemLine]) -> Iterator[SystemLine | Message]:
    waiting = deque(lines)
    for message in messages:
        while waiting and waiting[0].precedes(message):
            yield waiting.popleft()
        yield message
    yield from waiting


def _reaction(tapback: Tapback) -> Reaction:
    said = f"{tapback.emoji or tapback.kind} from {words.whose(tapback.direction)}"
    return Reaction(glyph=words.glyph(tapback.kind, tapback.emoji), words=said, direction=tapback.direction)


def steps_of(message: Message) -> list[Step]:
    """The message's way so far, in words, oldest first."""
    steps = sorted(message.delivery_steps.all(), key=lambda step: (step.at, step.pk))
    told = [Step(words.STATES.get(step.state, step.state), step.detail, step.at) for step in steps]
    if not message.is_outbound:
        late = "Long after it was written, or found by a poll alone" if message.is_late else ""
        told.append(Step("Received", late, message.created_at))
        if message.released_at:
            told.append(Step("Let through to the agent", "It had been blocked", message.released_at))
        if message.read_at:
            told.append(Step("Marked read by the agent", "", message.read_at))
    return told
