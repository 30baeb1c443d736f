"""A stretch of a thread as it is read: messages in their exact order, now or as they stood at a moment."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from uuid import UUID

from django.db.models import QuerySet

from console.masking import sees_numbers
from console.thread.items import Item, bubble, flow
from console.thread.lines import lines_of
from console.thread.people import People, people_of
from console.times import Times
from contactrules.history import rules_at
from contactrules.models import ContactRule
from core.actor import Actor
from events.models import Event
from imessage.history import live_and_kept, set_back
from imessage.models import Conversation, Message

# A thread opens with so many, and holds at most so many at once; where even those do not reach its end, fewer do.
NEWEST = 50
MOST = 500
STRETCH = 100


@dataclass(frozen=True)
class Reading:
    """Who reads which thread in which zone; as of now, or as of `at`, when `thread` has been set back to it."""

    actor: Actor
    thread: Conversation
    at: datetime | None = None
    times: Times = field(default_factory=Times)

    @property
    def hides_held(self) -> bool:
        """What was blocked is read by those who may decide about it."""
        return not sees_numbers(self.actor)

    @cached_property
    def people(self) -> People:
        """Who is in it."""
        return people_of(self.actor, self.thread)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a thread: from a position to the newest, or `STRETCH` where those are more than `MOST` away.

    `earlier` and `later` are the positions at which the stretches before and after it begin; 0 when there is none.
    """

    items: list[Item]
    first: int
    earlier: int
    later: int
    is_whole: bool
    is_live: bool


def first_position(thread: Conversation, wanted: int | None) -> int:
    """Where a window begins: as wanted, else so that the newest are shown."""
    return max(1, thread.next_position - NEWEST if wanted is None else wanted)


def open_window(reading: Reading, *, first: int, unseen_after: int | None = None) -> Window:
    """The messages from position `first` on; not live when newer ones had to be left out."""
    most = MOST if reading.thread.next_position - first <= MOST else STRETCH
    messages = _fetched(reading, _messages(reading).filter(position__gte=first)[:most])
    whole = len(messages) < most or messages[-1].position >= reading.thread.next_position - 1
    begins = messages[0].created_at if messages and first > 1 else None
    # What happened before the next stretch begins stands in this one.
    ends = reading.at if whole else _begin_after(reading, messages[-1])
    people = reading.people
    lines = lines_of(people, reading.thread, begins=begins, ends=ends, known_at=reading.at)
    rules = _rules(reading, messages)
    return Window(
        items=list(
            flow(
                messages,
                lines,
                rules,
                people,
                day_of=reading.times.day,
                unseen_after=unseen_after,
                hides_held=reading.hides_held,
            )
        ),
        first=first,
        earlier=max(1, first - NEWEST) if first > 1 else 0,
        later=0 if whole else messages[-1].position + 1,
        is_whole=whole,
        is_live=whole and reading.at is None,
    )


def _begin_after(reading: Reading, message: Message) -> datetime | None:
    following = _messages(reading).filter(position__gt=message.position)
    return following.values_list("created_at", flat=True).first() or reading.at


def newest_window(reading: Reading, *, first: int, unseen_after: int | None = None) -> Window:
    """The window of an open page drawn anew: always to the newest message, so the oldest may fall out of it."""
    first = max(first, reading.thread.next_position - MOST)
    return open_window(reading, first=first, unseen_after=unseen_after)


def tail(reading: Reading, *, after: int, since: int | None) -> list[Item]:
    """What an open page lacks: messages after a position, and those that events from number `since` on touched."""
    new = _fetched(reading, _messages(reading).filter(position__gt=after)[:MOST])
    changed = [] if since is None else _fetched(reading, _touched(reading, after=after, since=since))
    rules = _rules(reading, [*changed, *new])
    before = _messages(reading).filter(position__lte=after).last() if new else None
    people = reading.people
    shown: list[Item] = [bubble(message, rules, people, hides_held=reading.hides_held) for message in changed]
    day_of = reading.times.day
    yesterday = day_of(before.created_at) if before else None
    hides = reading.hides_held
    return shown + list(flow(new, [], rules, people, day_of=day_of, yesterday=yesterday, hides_held=hides))


def rules_of(actor: Actor, messages: Iterable[Message]) -> dict[UUID, ContactRule]:
    """The rules that blocked these messages and still exist."""
    ids = _rule_ids(messages)
    return {rule.pk: rule for rule in ContactRule.objects.visible_to(actor).filter(pk__in=ids)} if ids else {}


def _rules(reading: Reading, messages: list[Message]) -> dict[UUID, ContactRule]:
    if reading.at is None:
        return rules_of(reading.actor, messages)
    return rules_at(reading.thread.identity, _rule_ids(messages), reading.at)


def _rule_ids(messages: Iterable[Message]) -> set[UUID]:
    return {message.rule_id for message in messages if message.rule_id and (message.is_blocked or message.released_at)}


def _messages(reading: Reading) -> QuerySet[Message]:
    rows = Message.objects.visible_to(reading.actor).filter(conversation=reading.thread)
    return (rows if reading.at is None else rows.filter(created_at__lte=reading.at)).order_by("position")


def _fetched(reading: Reading, rows: QuerySet[Message]) -> list[Message]:
    rows = rows.select_related("line", "fallback_line", "reply_to")
    messages = list(live_and_kept(rows, at=reading.at))
    if reading.at is not None:
        set_back(reading.thread, messages, reading.at)
        _hide_again([message.reply_to for message in messages if message.reply_to], reading.at)
    return messages


def _hide_again(parents: Iterable[Message], at: datetime) -> None:
    """What was let through later was blocked still when it was quoted at that moment."""
    for parent in parents:
        parent.is_blocked = parent.is_blocked or bool(parent.released_at and parent.released_at > at)


def _touched(reading: Reading, *, after: int, since: int) -> QuerySet[Message]:
    events = Event.objects.visible_to(reading.actor).filter(conversation_id=reading.thread.id, number__gte=since)
    subjects = set()
    for text in events.values_list("subject_id", flat=True).distinct():
        try:
            subjects.add(UUID(text))
        except ValueError:
            continue
    return _messages(reading).filter(pk__in=subjects, position__lte=after)
