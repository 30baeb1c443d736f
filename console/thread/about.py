"""What stands beside a thread: who, over which line, under which rules, how much may still be sent, what was told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db.models import Count, Q
from django.utils import timezone

from console.thread.people import Person
from console.thread.window import Reading
from contactrules.history import Reach, reach_at
from contactrules.models import ContactRule
from contactrules.rules import Verdict
from core.actor import Actor, Role
from events.models import Event
from imessage.models import Connection, Conversation, Direction, Message, Participant
from imessage.sending import CAP, used_of_cap
from lines.models import Line
from webhooks.catalog import TOLD_AS
from webhooks.history import set_back
from webhooks.models import Delivery

# A cap that is nearly used up is worth a mark.
LOW = 20
# How far back the counts beside Block and Allow look.
REHEARSED = timedelta(days=30)
COUNTED = 5000
_DELIVERIES = 8


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of the rolling 24 hours' cap is used."""

    used: int

    @property
    def cap(self) -> int:
        return CAP

    @property
    def left(self) -> int:
        return max(0, CAP - self.used)

    @property
    def low(self) -> bool:
        return self.left < LOW


@dataclass(frozen=True, slots=True)
class LineUse:
    """A line that carried the pair, and since when."""

    line: Line
    since: datetime
    is_now: bool


@dataclass(frozen=True, slots=True)
class Reached:
    """One human of a thread under the rules: what names them, what these decide, what a rule would have changed.

    `key` tells the members of a group apart on the page, where each has `member`; it is empty for the only one.
    """

    person: Person
    rules: list[ContactRule]
    verdict: Verdict
    would: "Consequence | None"
    member: Participant | None = None

    @property
    def key(self) -> str:
        return f"-{self.member.pk}" if self.member else ""


@dataclass(frozen=True, slots=True)
class Background:
    """The picture behind a thread: how often it was changed, and since when it is this one."""

    version: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Told:
    """One webhook delivery about this thread."""

    delivery: Delivery

    @property
    def host(self) -> str:
        return urlsplit(self.delivery.subscription.url).hostname or self.delivery.subscription.url


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a rule for this number would have decided otherwise in the last days: a small rehearsal.

    `visible` texts a block would have held back and `sent` messages it would have refused; `held` ones an allow rule
    would have let through. Counted over the newest `COUNTED` messages at most.
    """

    visible: int
    held: int
    sent: int
    days: int = REHEARSED.days


def about(reading: Reading) -> dict[str, Any]:
    """All of the panel, now or then."""
    thread, actor = reading.thread, reading.actor
    reached = _reached(reading)
    return {
        "thread": thread,
        "title": reading.people.title(thread),
        "reached": reached,
        "gone": [(reading.people.person(one.human), one) for one in reading.people.roster if one.left_at],
        "shut_out": sum(not one.verdict.allowed for one in reached),
        "mode": reached[0].verdict.mode if reached else thread.identity.imessage_filter_mode,
        "budget": Budget(used_of_cap(thread.identity, at=reading.at)),
        "own_number": thread.owned_line,
        "lines": _lines(actor, thread, reading.at) if actor.role is Role.OPERATOR else [],
        "background": _background(reading),
        "metadata": thread.metadata,
        "deliveries": _deliveries(actor, thread, reading.at),
        "may_change_rules": _may_change(reading),
        "is_operator": actor.role is Role.OPERATOR,
    }


def _may_change(reading: Reading) -> bool:
    return reading.at is None and reading.actor.may(Role.ADMIN)


def _reached(reading: Reading) -> list[Reached]:
    """The human of the thread, or everybody who is in the group."""
    people = reading.people
    if not reading.thread.is_group:
        members: list[Participant | None] = [None]
    else:
        members = [one for one in people.roster if one.left_at is None]
    humans = [one.human if one else reading.thread.human for one in members]
    reach = _reach(reading, humans)
    would = consequences(reading.actor, reading.thread, humans) if _may_change(reading) else {}
    return [
        Reached(
            person=people.person(human),
            rules=reach[human].rules,
            verdict=reach[human].verdict(),
            would=None if reach[human].rules else would.get(human),
            member=member,
        )
        for human, member in zip(humans, members, strict=True)
    ]


def consequences(actor: Actor, thread: Conversation, humans: Sequence[str]) -> dict[str, Consequence]:
    """What blocking or allowing each number would have changed. In a group every text of the agent's is one that the
    block of any member would have refused."""
    recent = Message.objects.visible_to(actor).filter(
        conversation=thread,
        position__gte=thread.next_position - COUNTED,
        created_at__gt=timezone.now() - REHEARSED,
    )
    inbound = recent.filter(direction=Direction.INBOUND).order_by().values("human")
    counted = inbound.annotate(
        visible=Count("id", filter=Q(is_blocked=False)), held=Count("id", filter=Q(is_blocked=True))
    )
    by_human = {row["human"]: row for row in counted}
    sent = recent.exclude(direction=Direction.INBOUND).count()
    nothing = {"visible": 0, "held": 0}
    return {
        human: Consequence(
            visible=by_human.get(human, nothing)["visible"], held=by_human.get(human, nothing)["held"], sent=sent
        )
        for human in humans
    }


def _reach(reading: Reading, humans: Sequence[str]) -> dict[str, Reach]:
    """The rules for each human, with what they decide."""
    identity = reading.thread.identity
    if reading.at is not None:
        return {human: reach_at(identity, human, reading.at) for human in humans}
    named = ContactRule.objects.visible_to(reading.actor).filter(identity=identity, match_target__in=humans)
    rules = list(named.order_by("created_at", "id"))
    return {
        human: Reach(
            mode=identity.imessage_filter_mode,
            outbound_mode=identity.outbound_filter_mode,
            revision=identity.reach_revision,
            rules=[rule for rule in rules if rule.match_target == human],
        )
        for human in humans
    }


def _lines(actor: Actor, thread: Conversation, at: datetime | None) -> Sequence[LineUse]:
    """The line now and those before, the newest first; operators only."""
    if thread.owned_line:
        return []
    rows = Connection.objects.visible_to(actor).filter(
        identity_id=thread.identity_id, human=thread.human, owned_line=None
    )
    if at is not None:
        rows = rows.filter(created_at__lte=at)
    uses: list[LineUse] = []
    rows = rows.select_related("line").prefetch_related("moves__from_line", "moves__to_line")
    for connection in rows.order_by("created_at", "id"):
        for line, since in _carriers(connection):
            if (not uses or uses[-1].line.id != line.id) and (at is None or since <= at):
                uses.append(LineUse(line, since, is_now=False))
    return [LineUse(use.line, use.since, is_now=n == 0) for n, use in enumerate(reversed(uses))]


def _background(reading: Reading) -> Background | None:
    """The picture behind the thread as it is now, or was then."""
    thread = reading.thread
    if thread.background_id is None:
        return None
    changes = Event.objects.visible_to(reading.actor).filter(
        conversation_id=thread.id, type="conversation.background_changed", data__version=thread.background_version
    )
    return Background(thread.background_version, changes.values_list("at", flat=True).first())


def _carriers(connection: Connection) -> list[tuple[Line, datetime]]:
    """The lines of one connection in their order, and since when."""
    moves = list(connection.moves.all())
    first = moves[0].from_line if moves else connection.line
    return [(first, connection.created_at), *((move.to_line, move.at) for move in moves)]


def _deliveries(actor: Actor, thread: Conversation, at: datetime | None) -> list[Told]:
    """The newest webhook deliveries about this thread, found by the ids of its events; now or as they stood then."""
    told = Event.objects.visible_to(actor).filter(conversation_id=thread.id, type__in=list(TOLD_AS))
    rows = Delivery.objects.visible_to(actor).filter(identity_id=thread.identity_id)
    if at is not None:
        told, rows = told.filter(at__lte=at), rows.filter(created_at__lte=at)
    ids = list(told.order_by("-number").values_list("id", flat=True)[:_DELIVERIES])
    if not ids:
        return []
    newest = rows.filter(event_id__in=ids).select_related("subscription").order_by("-created_at", "-id")
    found = list(newest[:_DELIVERIES])
    if at is not None:
        set_back(found, at)
    return [Told(row) for row in found]
