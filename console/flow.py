"""A thread as it is read: messages in their exact order, days between them, and the system's own lines."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.urls import reverse

from contactrules.models import ContactRule
from core.actor import Actor
from events.models import Event
from imessage.models import Connection, Conversation, Message, Part, Tapback

# A thread opens with so many, and holds at most so many at once.
NEWEST = 50
MOST = 500

_STATES = {"queued": "Queued", "accepted": "Accepted", "sent": "Sent", "delivered": "Delivered", "read": "Read"}
_STATES |= {"claimed": "Taken up by a worker", "unknown": "Outcome unknown, being looked up"}
_STATES |= {"declined": "Not sent", "error": "Not delivered"}
GLYPHS = {"love": "❤️", "like": "👍", "dislike": "👎", "laugh": "😂", "emphasize": "‼️", "question": "❓"}
_STYLES = {"shooting_star": "a shooting star", "invisible": "invisible ink"}


# A link to a message opens its thread with so many before it.
BEFORE = 10


def place_of(message: Message) -> str:
    """The address of a message in its thread, in its context."""
    thread = reverse("console:thread", args=[message.conversation_id])
    return f"{thread}?start={max(1, message.position - BEFORE)}#m-{message.id}"


@dataclass(frozen=True, slots=True)
class Day:
    """A new day begins."""

    day: date
    kind: str = "day"


@dataclass(frozen=True, slots=True)
class SystemLine:
    """The human connected or disconnected here."""

    key: str
    text: str
    at: datetime
    kind: str = "system"


@dataclass(frozen=True, slots=True)
class Reaction:
    """A live tapback, as drawn and as spoken."""

    glyph: str
    words: str
    direction: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a message on its way, in words."""

    words: str
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message with all that is shown of it."""

    message: Message
    media: list[Part]
    reactions: list[Reaction]
    steps: list[Step]
    status: str
    failure: str
    style: str
    verdict: str
    kind: str = "bubble"


Item = Day | SystemLine | Bubble


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a thread: from a position to the newest, or to `MOST` after it."""

    items: list[Item]
    first: int
    earlier: int
    is_live: bool


def first_position(conversation: Conversation, wanted: int | None) -> int:
    """Where a window begins: as wanted, else so that the newest are shown."""
    return max(1, conversation.next_position - NEWEST if wanted is None else wanted)


def open_window(actor: Actor, conversation: Conversation, *, first: int) -> Window:
    """The messages from position `first` on, at most `MOST`; not live when newer ones had to be left out."""
    messages = list(_messages(actor, conversation).filter(position__gte=first)[:MOST])
    is_live = len(messages) < MOST or messages[-1].position >= conversation.next_position - 1
    begins = messages[0].created_at if messages and first > 1 else None
    ends = None if is_live else messages[-1].created_at
    lines = [
        line
        for line in _lines(actor, conversation)
        if (begins is None or line.at >= begins) and (ends is None or line.at <= ends)
    ]
    return Window(
        items=list(_flow(messages, lines, rules_of(actor, messages))),
        first=first,
        earlier=max(1, first - NEWEST) if first > 1 else 0,
        is_live=is_live,
    )


def newest_window(actor: Actor, conversation: Conversation, *, first: int) -> Window:
    """The window of an open page drawn anew: always to the newest message, so the oldest may fall out of it."""
    return open_window(actor, conversation, first=max(first, conversation.next_position - MOST))


def tail(actor: Actor, conversation: Conversation, *, after: int, since: int | None) -> list[Item]:
    """What an open page lacks: messages after a position, and those that events from number `since` on touched."""
    new = list(_messages(actor, conversation).filter(position__gt=after)[:MOST])
    changed = [] if since is None else list(_touched(actor, conversation, after=after, since=since))
    rules = rules_of(actor, [*changed, *new])
    before = _messages(actor, conversation).filter(position__lte=after).last() if new else None
    shown: list[Item] = [_bubble(message, rules) for message in changed]
    return shown + list(_days(new, rules, yesterday=before.created_at.date() if before else None))


def rules_of(actor: Actor, messages: Iterable[Message]) -> dict[UUID, ContactRule]:
    """The rules that blocked these messages and still exist."""
    ids = {message.rule_id for message in messages if message.is_blocked and message.rule_id}
    return {rule.pk: rule for rule in ContactRule.objects.visible_to(actor).filter(pk__in=ids)} if ids else {}


def verdict_in_words(message: Message, rules: dict[UUID, ContactRule]) -> str:
    """Why a message was blocked, by the mode and rule of its time."""
    if message.rule_id is None:
        return "Not on the whitelist"
    rule = rules.get(message.rule_id)
    return "Block rule, removed since" if rule is None else "Block rule, paused now" if _paused(rule) else "Block rule"


def _paused(rule: ContactRule) -> bool:
    return rule.status == ContactRule.Status.PAUSED


def _messages(actor: Actor, conversation: Conversation) -> QuerySet[Message]:
    return (
        Message.objects.visible_to(actor)
        .filter(conversation=conversation)
        .order_by("position")
        .prefetch_related("parts", "delivery_steps", Prefetch("tapbacks", queryset=Tapback.objects.live()))
    )


def _touched(actor: Actor, conversation: Conversation, *, after: int, since: int) -> QuerySet[Message]:
    events = Event.objects.visible_to(actor).filter(conversation_id=conversation.id, number__gte=since)
    subjects = set()
    for text in events.values_list("subject_id", flat=True).distinct():
        try:
            subjects.add(UUID(text))
        except ValueError:
            continue
    return _messages(actor, conversation).filter(pk__in=subjects, position__lte=after)


def _lines(actor: Actor, conversation: Conversation) -> list[SystemLine]:
    """Each connect and disconnect of the pair; a reconnect makes a new connection under the same thread."""
    connections = Connection.objects.visible_to(actor).filter(
        identity_id=conversation.identity_id, human=conversation.human
    )
    lines = []
    for connection in connections.order_by("created_at", "id"):
        lines.append(SystemLine(f"{connection.id}-connected", "Connected", connection.created_at))
        if connection.released_at:
            text = _RELEASED.get(connection.released_by, "Disconnected")
            lines.append(SystemLine(f"{connection.id}-released", text, connection.released_at))
    return sorted(lines, key=lambda line: line.at)


_RELEASED = {
    "human": "The human disconnected",
    "admin": "Released by an admin",
    "identity": "Released: the identity was switched off",
}


def _flow(messages: list[Message], lines: list[SystemLine], rules: dict[UUID, ContactRule]) -> Iterator[Item]:
    """Messages by position, each system line before the first message that came later, and the days between."""
    day = None
    for item in _in_order(messages, lines):
        at = item.at if isinstance(item, SystemLine) else item.created_at
        if at.date() != day:
            day = at.date()
            yield Day(day)
        yield item if isinstance(item, SystemLine) else _bubble(item, rules)


def _in_order(messages: list[Message], lines: list[SystemLine]) -> Iterator[SystemLine | Message]:
    waiting = deque(lines)
    for message in messages:
        while waiting and waiting[0].at <= message.created_at:
            yield waiting.popleft()
        yield message
    yield from waiting


def _days(messages: list[Message], rules: dict[UUID, ContactRule], *, yesterday: date | None) -> Iterator[Item]:
    day = yesterday
    for message in messages:
        if message.created_at.date() != day:
            day = message.created_at.date()
            yield Day(day)
        yield _bubble(message, rules)


def _bubble(message: Message, rules: dict[UUID, ContactRule]) -> Bubble:
    return Bubble(
        message=message,
        media=[part for part in message.parts.all() if part.kind == Part.Kind.MEDIA],
        reactions=[_reaction(tapback) for tapback in message.tapbacks.all()],
        steps=steps_of(message),
        status=_status(message),
        failure=_failure(message),
        style=_STYLES.get(message.send_style, message.send_style),
        verdict=verdict_in_words(message, rules) if message.is_blocked else "",
    )


def _reaction(tapback: Tapback) -> Reaction:
    who = "the human" if tapback.direction == "inbound" else "the agent"
    glyph = tapback.emoji or GLYPHS.get(tapback.kind, "•")
    return Reaction(glyph=glyph, words=f"{tapback.emoji or tapback.kind} from {who}", direction=tapback.direction)


def _status(message: Message) -> str:
    if message.is_blocked:
        return "Blocked"
    if not message.is_outbound:
        return "Read by the agent" if message.is_read else "Unread"
    return "Read" if message.peer_read_at else _STATES.get(message.status, message.status)


def _failure(message: Message) -> str:
    if message.status not in {Message.Status.ERROR, Message.Status.DECLINED}:
        return ""
    return message.error_message or message.error_reason or "The message could not be delivered."


def steps_of(message: Message) -> list[Step]:
    """The message's way so far, in words, oldest first."""
    steps = sorted(message.delivery_steps.all(), key=lambda step: (step.at, step.pk))
    told = [Step(_STATES.get(step.state, step.state), step.detail, step.at) for step in steps]
    if not message.is_outbound:
        told.append(Step("Received", "Found by a poll after the fact" if message.is_late else "", message.created_at))
        if message.read_at:
            told.append(Step("Marked read by the agent", "", message.read_at))
    return told
