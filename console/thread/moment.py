"""Time travel: a thread as it stood at a moment, and the moments before and after at which something happened."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from console.thread.window import Reading
from contactrules.models import RuleRevision
from core.errors import Invalid
from core.moments import moment_of
from events.models import Event
from imessage.history import events_of, set_back_conversation

_HAPPENED = {
    "message.received": "A text came in",
    "message.blocked": "A text came in and was held back",
    "message.queued": "The agent's message was accepted",
    "message.accepted": "The provider took the message",
    "message.sent": "The message left",
    "message.delivered": "The message was delivered",
    "message.changed": "The provider told more of a message",
    "message.held": "Held by the pace of its line",
    "message.downgraded": "The message had to go as SMS",
    "message.sent_again": "The message is to be sent again",
    "message.unknown": "The provider's answer was lost",
    "message.delivery_failed": "The message failed",
    "message.peer_read": "The human read",
    "message.read": "The agent marked the thread read",
    "message.released": "A blocked text was let through",
    "tapback.added": "A tapback was added",
    "tapback.replaced": "A tapback was replaced",
    "tapback.removed": "A tapback was taken back",
    "tapback.blocked": "A tapback was held back",
    "media.stored": "An attachment was kept",
    "media.failed": "An attachment could not be fetched",
    "group.opened": "The group began",
    "group.changed": "The group's name or members changed",
    "conversation.metadata_changed": "The agent's program changed what it keeps here",
    "conversation.background_changed": "The picture behind the thread was changed",
    "conversation.background_removed": "The picture behind the thread was taken away",
    "line.substituted": "Another number stood in",
    "connection.created": "The human connected",
    "connection.moved": "The connection went to another line",
    "connection.released": "The connection was released",
    "rule_created": "A rule was added",
    "rule_updated": "A rule was changed",
    "rule_deleted": "A rule was removed",
    "mode_changed": "The filter mode was changed",
}


@dataclass(frozen=True, slots=True)
class Stop:
    """Something that happened, and when."""

    at: datetime
    type: str

    @property
    def text(self) -> str:
        """The moment as the address holds it."""
        return in_address(self.at)

    @property
    def words(self) -> str:
        return _HAPPENED.get(self.type.removesuffix(".blocked"), self.type)


@dataclass(frozen=True, slots=True)
class Travel:
    """Where in time a page stands; `here` is what happened at that very moment, if anything did."""

    at: datetime
    here: Stop | None
    before: Stop | None
    after: Stop | None

    @property
    def text(self) -> str:
        return in_address(self.at)


def asked_moment(request: HttpRequest) -> datetime | None:
    """The moment that an address names; None for the present. Raises `Invalid` for what is no moment."""
    text = request.GET.get("at", "").strip()
    if not text:
        return None
    try:
        return moment_of(text).astimezone(UTC)
    except OverflowError as odd:
        raise Invalid("That is no moment in ISO 8601.") from odd


def in_address(at: datetime) -> str:
    """A moment as `?at=` takes it, UTC with Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def travel(reading: Reading, at: datetime) -> tuple[Reading, Travel]:
    """The same reading at a moment, its thread set back, and where that moment lies."""
    set_back_conversation(reading.thread, at)
    past = replace(reading, at=at)
    return past, Travel(at=at, here=_here(past, at), before=before(past, at), after=_after(past, at))


def before(reading: Reading, at: datetime) -> Stop | None:
    """The last thing that happened to the thread before a moment."""
    events = _events(reading).filter(at__lt=at).reverse()
    revisions = _revisions(reading).filter(at__lt=at).order_by("-at")
    return max(_first(events, revisions), key=lambda stop: stop.at, default=None)


def _after(reading: Reading, at: datetime) -> Stop | None:
    events = _events(reading).filter(at__gt=at)
    revisions = _revisions(reading).filter(at__gt=at).order_by("at")
    return min(_first(events, revisions), key=lambda stop: stop.at, default=None)


def _here(reading: Reading, at: datetime) -> Stop | None:
    return next(iter(_first(_events(reading).filter(at=at).reverse(), _revisions(reading).filter(at=at))), None)


def _first(events: QuerySet[Event], revisions: QuerySet[RuleRevision]) -> Iterable[Stop]:
    found = [*events.values_list("at", "type")[:1], *revisions.values_list("at", "change")[:1]]
    return [Stop(at, kind) for at, kind in found]


def _events(reading: Reading) -> QuerySet[Event]:
    return events_of(Event.objects.visible_to(reading.actor), reading.thread)


def _revisions(reading: Reading) -> QuerySet[RuleRevision]:
    humans = reading.people.humans
    named = Q(before__match_target__in=humans) | Q(after__match_target__in=humans)
    rows = RuleRevision.objects.visible_to(reading.actor).filter(identity_id=reading.thread.identity_id)
    return rows.filter(named | Q(change="mode_changed"))
