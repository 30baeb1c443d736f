"""What stands beside a thread: who, over which line, under which rules, how much may still be sent, what was told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db.models import Count, Q
from django.utils import timezone

from console.thread.window import Reading
from contactrules.history import reach_at
from contactrules.models import ContactRule
from contactrules.rules import Verdict, verdict
from core.actor import Actor, Role
from events.models import Event
from imessage.models import Connection, Conversation, Direction, Message
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
    rules, given = _reach(reading)
    may_change = reading.at is None and actor.may(Role.ADMIN)
    return {
        "thread": thread,
        "rules": rules,
        "verdict": given,
        "budget": Budget(used_of_cap(thread.identity, at=reading.at)),
        "lines": _lines(actor, thread, reading.at) if actor.role is Role.OPERATOR else [],
        "deliveries": _deliveries(actor, thread, reading.at),
        "may_change_rules": may_change,
        "would": consequence(actor, thread) if may_change and not rules else None,
        "is_operator": actor.role is Role.OPERATOR,
    }


def consequence(actor: Actor, thread: Conversation) -> Consequence:
    """What blocking or allowing this number would have changed."""
    inbound = Q(direction=Direction.INBOUND)
    recent = Message.objects.visible_to(actor).filter(
        conversation=thread,
        position__gte=thread.next_position - COUNTED,
        created_at__gt=timezone.now() - REHEARSED,
    )
    counted = recent.aggregate(
        visible=Count("id", filter=inbound & Q(is_blocked=False)),
        held=Count("id", filter=inbound & Q(is_blocked=True)),
        sent=Count("id", filter=~inbound),
    )
    return Consequence(**counted)


def _reach(reading: Reading) -> tuple[list[ContactRule], Verdict]:
    thread = reading.thread
    if reading.at is not None:
        reach = reach_at(thread.identity, thread.human, reading.at)
        return reach.rules, reach.verdict()
    rules = ContactRule.objects.visible_to(reading.actor)
    named = rules.filter(identity=thread.identity, match_target=thread.human).order_by("created_at", "id")
    return list(named), verdict(thread.identity, thread.human)


def _lines(actor: Actor, thread: Conversation, at: datetime | None) -> Sequence[LineUse]:
    """The line now and those before, the newest first; operators only."""
    rows = Connection.objects.visible_to(actor).filter(identity_id=thread.identity_id, human=thread.human)
    if at is not None:
        rows = rows.filter(created_at__lte=at)
    uses: list[LineUse] = []
    rows = rows.select_related("line").prefetch_related("moves__from_line", "moves__to_line")
    for connection in rows.order_by("created_at", "id"):
        for line, since in _carriers(connection):
            if (not uses or uses[-1].line.id != line.id) and (at is None or since <= at):
                uses.append(LineUse(line, since, is_now=False))
    return [LineUse(use.line, use.since, is_now=n == 0) for n, use in enumerate(reversed(uses))]


def _carriers(connection: Connection) -> list[tuple[Line, datetime]]:
    """The lines of one connection in their order, and since when."""
    moves = list(connection.moves.all())
    first = moves[0].from_line if moves else connection.line
    return [(first, connection.created_at), *((move.to_line, move.at) for move in moves)]


def _deliveries(actor: Actor, thread: Conversation, at: datetime | None) -> list[Told]:
    """The newest webhook deliveries about this thread, found by the ids of its events; now or as they stood then."""
    told = Event.objects.visible_to(actor).filter(conversation_id=thread.id, type__in=list(TOLD_AS))
    rows = Delivery.objects.visible_to(actor).filter(subscription__identity_id=thread.identity_id)
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
