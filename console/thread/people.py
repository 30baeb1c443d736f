"""Who a thread is with: one human, or the members of a group; by name where there is one and the reader may know it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from accounts.contacts import called
from accounts.models import Contact
from console.masking import sees_numbers, shown_number
from core.actor import Actor
from imessage.finding import with_member
from imessage.models import Conversation

# So many members of a group without a name stand in its title.
TITLED = 3
# So many colours tell the members of a group apart; the sheet has as many.
HUES = 6

# What an organization calls a number.
Names = Mapping[tuple[UUID, str], str]


@dataclass(frozen=True, slots=True)
class Person:
    """A human of a thread. Whoever may not read the number gets no name either; `hue` is 0 where there is only one."""

    human: str
    name: str = ""
    hue: int = 0


@dataclass(frozen=True, slots=True)
class Title:
    """What a thread is called: by a name, else by `people` and how many more there are."""

    name: str
    people: Sequence[Person]
    more: int = 0
    is_group: bool = False

    @property
    def rest(self) -> str:
        """What follows those who are named."""
        if not self.people:
            return "A group with nobody in it"
        return f" and {self.more} more" if self.more else ""


class People:
    """The humans of one thread for one reader, in the order in which they came."""

    def __init__(self, actor: Actor, thread: Conversation, names: Names) -> None:
        self.actor, self.is_group = actor, thread.is_group
        self.roster = list(thread.participants.all()) if thread.is_group else []
        told = {one.human: one.name for one in self.roster} if thread.is_group else {thread.human: ""}
        self._persons: dict[str, Person] = {}
        for hue, (human, name) in enumerate(told.items(), 1):
            known = (names.get((thread.organization_id, human)) or name) if sees_numbers(actor) else ""
            self._persons[human] = Person(human, known, (hue - 1) % HUES + 1 if thread.is_group else 0)

    @property
    def humans(self) -> list[str]:
        """Everybody who is or was in it."""
        return list(self._persons)

    def person(self, human: str) -> Person:
        return self._persons.get(human) or Person(human)

    def words(self, human: str) -> str:
        """One of them in a sentence; in a thread of one human nobody needs to be told apart."""
        if not self.is_group or not human:
            return "the human"
        return self.person(human).name or shown_number(self.actor, human)

    def title(self, thread: Conversation) -> Title:
        """What the thread is called."""
        if not thread.is_group:
            person = self.person(thread.human)
            return Title(person.name, [person])
        present = [self.person(one.human) for one in self.roster if one.left_at is None]
        return Title(thread.group_name, present[:TITLED], len(present[TITLED:]), is_group=True)


def people_of(actor: Actor, thread: Conversation) -> People:
    """The humans of a thread, by the names they have."""
    return People(actor, thread, names_of(actor, [thread]))


def in_words(actor: Actor, title: Title) -> str:
    """A title as bare text, for labels and attributes."""
    if title.name:
        return title.name
    whom = [one.name or shown_number(actor, one.human) for one in title.people]
    return f"{', '.join(whom)}{title.rest}"


def titles_of(actor: Actor, threads: Sequence[Conversation]) -> dict[UUID, Title]:
    """What each thread is called; their `participants` prefetched, with one query more for all of them."""
    names = names_of(actor, threads)
    return {thread.pk: People(actor, thread, names).title(thread) for thread in threads}


def names_of(actor: Actor, threads: Iterable[Conversation]) -> Names:
    """What the contact books say of the humans of these threads; nothing to whom numbers are masked."""
    humans = {
        human
        for thread in threads
        for human in ([one.human for one in thread.participants.all()] if thread.is_group else [thread.human])
    }
    return known_names(actor, humans)


def known_names(actor: Actor, humans: Collection[str]) -> Names:
    """What the contact books say of these numbers; nothing to whom numbers are masked."""
    if not humans or not sees_numbers(actor):
        return {}
    known = Contact.objects.visible_to(actor).filter(phone_number__in=humans)
    return {(book, number): name for book, number, name in known.values_list("organization_id", "phone_number", "name")}


def with_human(digits: str) -> Q:
    """Threads with a human, or a member, whose number holds these digits; to be asked for who may read numbers."""
    return Q(human__contains=digits) | with_member(Q(human__contains=digits))


def with_name(words: str) -> Q:
    """Threads of a group with such a name, or with a human whom the organization calls so; of rows that say by
    `is_readable` whether their reader may know the latter."""
    known = called(words)
    return Q(group_name__icontains=words) | Q(is_readable=True) & (known | with_member(known))
