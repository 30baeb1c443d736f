"""What a thread is made of on the page: bubbles, days, the system's own lines, and where the unseen begins."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.utils.text import Truncator

from console.thread import words
from console.thread.people import People, Person
from console.thread.places import place_of
from contactrules.models import ContactRule
from imessage.again import may_send_again
from imessage.models import Direction, Message, Part, Tapback, TapbackChange

# So much of a text stands above a reply to it.
QUOTED = 120


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
class Shown:
    """One attachment in its place among `of`, with the tapbacks that were put on it alone."""

    part: Part
    number: int
    of: int
    reactions: list[Reaction]

    @property
    def words(self) -> str:
        """What the link to it says."""
        if self.of == 1:
            return "Open attachment"
        what = "picture" if self.part.content_type.startswith("image/") else "attachment"
        return f"Open {what} {self.number} of {self.of}"


@dataclass(frozen=True, slots=True)
class Quote:
    """What a reply answers: by whom it was, how it begins, and where it stands."""

    by: Person | None
    text: str
    url: str


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
    media: list[Shown]
    reactions: list[Reaction]
    changes: list[Step]
    steps: list[Step]
    ways: list[str]
    status: str
    failure: str
    style: str
    verdict: str
    sender: Person | None = None
    quote: Quote | None = None
    may_go_again: bool = False
    is_hidden: bool = False
    kind: str = "bubble"


Item = Day | Unseen | SystemLine | Bubble


def flow(
    messages: list[Message],
    lines: list[SystemLine],
    rules: dict[UUID, ContactRule],
    people: People,
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
        yield bubble(item, rules, people, hides_held=hides_held)


def bubble(message: Message, rules: dict[UUID, ContactRule], people: People, *, hides_held: bool = False) -> Bubble:
    """All of one message; fetched by `imessage.history.live_and_kept`. With `hides_held` nothing that a blocked human
    wrote or sent."""
    is_hidden = hides_held and message.is_blocked
    was_held = message.is_blocked or message.released_at is not None
    media = [] if is_hidden else [part for part in message.parts.all() if part.kind == Part.Kind.MEDIA]
    # One attachment and nothing else is the whole bubble.
    apart = {part.index for part in media} if message.parts.all()[1:] else set()
    put = [(tapback.part_index, _reaction(tapback, people)) for tapback in message.tapbacks.all()]
    return Bubble(
        message=message,
        media=[
            Shown(part, number, len(media), [drawn for at, drawn in put if at == part.index and at in apart])
            for number, part in enumerate(media, 1)
        ],
        reactions=[drawn for at, drawn in put if at not in apart],
        changes=[_change(change, people) for change in message.tapback_changes.all()],
        steps=steps_of(message),
        ways=words.ways(people.actor, message),
        status=words.status(message),
        failure=words.failure(message),
        style=words.STYLES.get(message.send_style, message.send_style),
        verdict=words.verdict_in_words(message, rules) if was_held else "",
        sender=people.person(message.human) if people.is_group and not message.is_outbound else None,
        quote=_quote(message.reply_to, people, hides_held=hides_held) if message.reply_to else None,
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


def _quote(parent: Message, people: People, *, hides_held: bool) -> Quote:
    hidden = hides_held and parent.is_blocked
    said = "Text hidden from viewers" if hidden else Truncator(parent.text or "Attachment").chars(QUOTED)
    return Quote(by=None if parent.is_outbound else people.person(parent.human), text=said, url=place_of(parent))


def _change(change: TapbackChange, people: People) -> Step:
    return Step(words.change_in_words(change, people.words(change.human)), "", change.at)


def _reaction(tapback: Tapback, people: People) -> Reaction:
    by = people.words(tapback.human) if tapback.direction == Direction.INBOUND else "the agent"
    said = f"{tapback.emoji or tapback.kind} from {by}"
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
