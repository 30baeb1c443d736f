"""Moving the humans of a line to others: the forecast, and a job that is as slow as the allowances of the targets.

A move is a new thread on each human's phone and costs the target a new contact. The texts themselves belong to a
higher app: `imessage.move` takes one step after the other from here.
"""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from core.actor import Actor, Role
from core.errors import Conflict, Invalid
from core.wake import wake
from events.record import record
from lines.models import RESERVED_FOR, Line, Move, MoveItem, Route
from lines.pool import lock_assignment, region_of, take
from lines.rooms import DAY, Place, Room, best_place, rooms_of

# Who cannot go yet does not hold up those behind them; so many are looked at.
_WINDOW = 50

# With every target full, room comes back as humans fall silent.
_LOOK_AGAIN = timedelta(minutes=10)


_COUNTED = {
    MoveItem.State.MOVED: "moved",
    MoveItem.State.SKIPPED: "skipped",
    MoveItem.State.NO_LINE: "unplaced",
}


class NothingToMove(Conflict):
    """No connection of this line can be moved."""

    code = "nothing_to_move"


class MoveUnderWay(Conflict):
    """Connections of this line are being moved already."""

    code = "move_under_way"


class NotAsConfirmed(Conflict):
    """The number of humans is another one by now; look at the forecast again. Fields: `humans`."""

    code = "not_as_confirmed"


@dataclass(frozen=True, slots=True)
class Passenger:
    """One human to be moved; `barred` are lines on which somebody else has them."""

    identity_id: UUID
    human: str
    talks: bool
    region: str
    barred: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a move would do: who goes where, until when, and for whom there is no line.

    `talking` of them had traffic in the last 24 hours. `until` is None when nobody can go.
    """

    line: Line
    humans: int
    talking: int
    lines: Sequence[tuple[Line, int]]
    unplaced: int
    begins: datetime
    until: datetime | None

    @property
    def placed(self) -> int:
        return self.humans - self.unplaced

    @property
    def is_enough(self) -> bool:
        """Whether the lines have room for all of them."""
        return not self.unplaced

    @property
    def lasts(self) -> timedelta:
        return (self.until or self.begins) - self.begins

    @property
    def days(self) -> int:
        """Days on which openers are sent, begun ones counted."""
        return self.lasts // DAY + 1 if self.placed else 0


@dataclass(frozen=True, slots=True)
class Step:
    """The next connection of a move and the line it goes to; None when no line can ever take it."""

    item: MoveItem
    to: Line | None


def forecast_move(
    line: Line,
    *,
    to: Collection[UUID] = (),
    humans: Collection[str] | None = None,
    now: datetime | None = None,
) -> Forecast:
    """What moving these humans (all, if none are named) to these lines (any) would come to. Changes nothing."""
    now = now or timezone.now()
    passengers = _passengers(line, humans, now)
    rooms = _rooms(line, to, now)
    placed, last = _simulated(passengers, rooms, now)
    return Forecast(
        line=line,
        humans=len(passengers),
        talking=sum(passenger.talks for passenger in passengers),
        lines=sorted(((room.line, placed[room.line.id]) for room in rooms if placed.get(room.line.id)), key=_most),
        unplaced=len(passengers) - sum(placed.values()),
        begins=now,
        until=last,
    )


def start_move(
    actor: Actor,
    line: Line,
    *,
    to: Collection[UUID] = (),
    humans: Collection[str] | None = None,
    reason: str = "",
    confirmed: int | None = None,
) -> Move:
    """Begin moving connections off a pool line, newest activity first; each gets a new thread and an opener.

    `confirmed` is the number of humans that the operator has seen and typed. Raises `Forbidden`, `Invalid`,
    `NothingToMove`, `MoveUnderWay`, `NotAsConfirmed`.
    """
    actor.require(Role.OPERATOR)
    if line.kind != Line.Kind.POOL or line.service != Line.Service.IMESSAGE:
        raise Invalid("Only connections of pool lines can be moved.")
    with transaction.atomic():
        line = Line.objects.select_for_update(no_key=True).get(pk=line.pk)
        if Move.objects.open().filter(line=line).exists():
            raise MoveUnderWay()
        forecast = forecast_move(line, to=to, humans=humans)
        _check(forecast, confirmed)
        move = Move.objects.create(
            line=line,
            targets=[str(pk) for pk in to],
            reason=reason[:300],
            requested_by=actor.frozen(),
            total=forecast.humans,
            forecast_until=forecast.until,
        )
        passengers = _passengers(line, humans, forecast.begins)
        MoveItem.objects.bulk_create(
            MoveItem(move=move, rank=rank, identity_id=passenger.identity_id, human=passenger.human)
            for rank, passenger in enumerate(passengers, 1)
        )
        tell(actor, move, "line.move_started", reason=reason)
        wake_move(move.id)
    return move


def cancel_move(actor: Actor, move: Move, *, reason: str = "") -> Move:
    """End a move; those moved stay moved. Raises `Forbidden`, `Conflict` when it has ended already."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        _settle(move, Move.State.CANCELLED)
        tell(actor, move, "line.move_cancelled", reason=reason)
    return move


def resume_move(actor: Actor, move: Move, *, reason: str = "") -> Move:
    """Let a stopped move go on. Raises `Forbidden`, `Conflict` unless it is stopped."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        going = Move.objects.filter(pk=move.pk, state=Move.State.STOPPED).update(
            state=Move.State.GOING, problem="", resumed_at=timezone.now()
        )
        if not going:
            raise Conflict("This move is not stopped.")
        move.refresh_from_db()
        tell(actor, move, "line.move_resumed", reason=reason)
        wake_move(move.id)
    return move


def stop_move(move: Move, *, problem: str) -> None:
    """The job's own brake, in its transaction: an operator has to look before it goes on."""
    if Move.objects.filter(pk=move.pk, state=Move.State.GOING).update(state=Move.State.STOPPED, problem=problem[:300]):
        move.refresh_from_db()
        tell(Actor.system("move"), move, "line.move_stopped", reason=problem)


def finish_move(move: Move) -> None:
    """Every connection has its result."""
    with contextlib.suppress(Conflict), transaction.atomic():
        _settle(move, Move.State.DONE)
        tell(Actor.system("move"), move, "line.move_done")


def next_step(move: Move, *, now: datetime) -> Step | datetime | None:
    """Whose turn it is, else when the next may go, else None: nobody is left to go.

    A proposal, made without any lock; `place` decides.
    """
    waiting = list(
        move.items.filter(state=MoveItem.State.WAITING).select_related("identity").order_by("rank")[:_WINDOW]
    )
    if not waiting:
        return None
    rooms = _rooms(move.line, move.target_ids, now)
    passengers = {who.human: who for who in _passengers(move.line, {item.human for item in waiting}, now)}
    soonest = now + _LOOK_AGAIN
    for item in waiting:
        found = _found(passengers.get(item.human), item, rooms, now)
        if not isinstance(found, datetime):
            return Step(item, found)
        soonest = min(soonest, found)
    return soonest


def place(move: Move, item: MoveItem, *, now: datetime) -> Step | None:
    """The same for one connection, under the lock of assignment; None when it has to wait after all.

    Inside the caller's transaction, after the locks of identity and conversation; the move is locked as well, and
    goes on unless it was stopped or cancelled meanwhile.
    """
    lock_assignment()
    if not Move.objects.select_for_update(no_key=True).filter(pk=move.pk, state=Move.State.GOING).exists():
        return None
    passengers = _passengers(move.line, {item.human}, now)
    found = _found(next(iter(passengers), None), item, _rooms(move.line, move.target_ids, now), now)
    return None if isinstance(found, datetime) else Step(item, found)


def move_pair(step: Step, *, away: Line, now: datetime) -> bool:
    """Turn the pair's route on the line it leaves into an alias and route it to the new one; False if it left before.

    Inside the transaction of `place`. What the human still writes to the old line reaches the agent for 30 days.
    """
    identity, human = step.item.identity, step.item.human
    old = Route.objects.carrying().filter(line=away, identity=identity, human=human).first()
    if old is None or step.to is None:
        return False
    Route.objects.filter(pk=old.pk).update(role=Route.Role.ALIAS, held_until=now + RESERVED_FOR, updated_at=now)
    take(step.to, identity, human, now=now, opened_at=now)
    Route.objects.filter(line=step.to, human=human).update(last_traffic_at=old.last_traffic_at)
    return True


def note_result(
    move: Move, item: MoveItem, state: MoveItem.State, *, to: Line | None = None, opener_id: UUID | None = None
) -> None:
    """What became of one connection, in its transaction; `to` and the opener of one that moved."""
    item.state, item.to_line, item.opener_id, item.at = state, to, opener_id, timezone.now()
    item.save(update_fields=["state", "to_line", "opener_id", "at"])
    column = _COUNTED[state]
    Move.objects.filter(pk=move.pk).update(**{column: F(column) + 1})
    move.refresh_from_db(fields=list(_COUNTED.values()))
    tell(Actor.system("move"), move, "line.move_progressed")


def is_opener(text_id: UUID) -> bool:
    """Whether this text is the first from a number that a move led to."""
    return MoveItem.objects.filter(opener_id=text_id).exists()


def wait_until(move: Move, at: datetime) -> None:
    """Nobody may go before then: have the job come back."""
    with transaction.atomic():
        Move.objects.filter(pk=move.pk).update(next_at=at)
        wake_move(move.id, at=at)


def wake_overdue() -> None:
    """Nudge moves whose job was lost; inside the caller's transaction."""
    overdue = timezone.now() - timedelta(seconds=10)
    due = Q(next_at=None, created_at__lt=overdue) | Q(next_at__lt=overdue)
    for move_id in Move.objects.filter(due, state=Move.State.GOING).order_by("id").values_list("id", flat=True):
        wake_move(move_id)


def move_stranded() -> list[Move]:
    """Begin to move the humans of lines that were retired, or have been flagged for a day (contract/lines.md 6.2).

    Once: after a move of the last day the operator decides.
    """
    now = timezone.now()
    stranded = Q(wanted=Line.Wanted.RETIRED) | Q(seen=Line.Seen.FLAGGED, seen_since__lt=now - DAY)
    lines = Line.objects.filter(stranded, kind=Line.Kind.POOL, service=Line.Service.IMESSAGE)
    lines = lines.exclude(moves__created_at__gt=now - DAY).exclude(moves__state__in=Move.OPEN)
    moves = []
    for line in lines.order_by("created_at"):
        with contextlib.suppress(NothingToMove, MoveUnderWay):
            moves.append(start_move(Actor.system("stranded"), line, reason="The line is retired or flagged."))
    return moves


def wake_move(move_id: UUID, *, at: datetime | None = None) -> None:
    """Have the job take the next step, now or then."""
    name = f"move:{move_id}"
    wake("imessage.move", lock=name, once=name, at=at, move_id=str(move_id))


def tell(actor: Actor, move: Move, type: str, *, reason: str = "") -> None:
    """Record an event about a move, in the caller's transaction."""
    counts = {"total": move.total, "moved": move.moved, "skipped": move.skipped, "unplaced": move.unplaced}
    data = {"move_id": str(move.id), "reason": reason, **counts}
    record(actor, type, subject_id=move.line_id, data=data)


def _check(forecast: Forecast, confirmed: int | None) -> None:
    if not forecast.humans:
        raise NothingToMove()
    if not forecast.placed:
        raise NothingToMove("No line has room for any of these humans.")
    if confirmed is not None and confirmed != forecast.humans:
        raise NotAsConfirmed(
            f"{forecast.humans:,} humans would be moved, not {confirmed:,}; look at the forecast again.",
            humans=forecast.humans,
        )


def _settle(move: Move, state: Move.State) -> None:
    ended = Move.objects.open().filter(pk=move.pk).update(state=state, next_at=None, settled_at=timezone.now())
    if not ended:
        raise Conflict("This move has ended already.")
    move.refresh_from_db()


def _passengers(line: Line, humans: Collection[str] | None, now: datetime) -> list[Passenger]:
    """Who would go, those who talked last first."""
    routes = Route.objects.carrying().filter(line=line)
    if humans is not None:
        routes = routes.filter(human__in=humans)
    rows = list(routes.values_list("identity_id", "human", "last_traffic_at", "created_at"))
    rows.sort(key=lambda row: row[2] or row[3], reverse=True)
    elsewhere = _elsewhere([row[1] for row in rows])
    return [
        Passenger(
            identity_id=identity_id,
            human=human,
            talks=at is not None and at > now - DAY,
            region=region_of(human),
            barred=frozenset(on for on, whose in elsewhere.get(human, ()) if whose != identity_id),
        )
        for identity_id, human, at, _ in rows
    ]


def _elsewhere(humans: Collection[str]) -> dict[str, list[tuple[UUID, UUID]]]:
    """By human: each line on which they have a pair, and whose it is."""
    found: dict[str, list[tuple[UUID, UUID]]] = {}
    taken = Route.objects.standing().filter(human__in=humans)
    for human, line_id, identity_id in taken.values_list("human", "line_id", "identity_id"):
        found.setdefault(human, []).append((line_id, identity_id))
    return found


def _found(passenger: Passenger | None, item: MoveItem, rooms: Sequence[Room], now: datetime) -> Line | datetime | None:
    """Where this one may go now, or when to look again, or None: it left before, or no line can ever take it."""
    if passenger is None or passenger.identity_id != item.identity_id:
        return None
    if rooms and passenger.barred.issuperset(room.line.id for room in rooms):
        return None
    place = _place(passenger, rooms, now)
    if place is None:
        return now + _LOOK_AGAIN
    return place.room.line if place.at <= now else place.at


def _rooms(line: Line, to: Collection[UUID], now: datetime) -> list[Room]:
    targets = Line.objects.taking_connections().exclude(pk=line.pk)
    if to:
        targets = targets.filter(pk__in=to)
    return rooms_of(targets.select_related("account").with_load(now), now=now)


def _place(passenger: Passenger, rooms: Sequence[Room], now: datetime) -> Place | None:
    return best_place(rooms, region=passenger.region, barred=passenger.barred, talks=passenger.talks, now=now)


def _simulated(
    passengers: Sequence[Passenger], rooms: list[Room], now: datetime
) -> tuple[dict[UUID, int], datetime | None]:
    """How many each line would get, and when the last one would go: the job's steps, without the job."""
    left, placed, last = list(passengers), dict[UUID, int](), None
    while left:
        found = _first_to_go(left[:_WINDOW], rooms, now)
        if found is None:
            del left[:_WINDOW]  # nobody of these can go anywhere
            continue
        index, place = found
        place.room.take(place.at, talks=left.pop(index).talks)
        placed[place.room.line.id] = placed.get(place.room.line.id, 0) + 1
        now = last = place.at
    return placed, last


def _first_to_go(waiting: Sequence[Passenger], rooms: list[Room], now: datetime) -> tuple[int, Place] | None:
    soonest: tuple[int, Place] | None = None
    for index, passenger in enumerate(waiting):
        place = _place(passenger, rooms, now)
        if place and place.at <= now:
            return index, place
        if place and (soonest is None or place.at < soonest[1].at):
            soonest = index, place
    return soonest


def _most(row: tuple[Line, int]) -> tuple[int, str]:
    return -row[1], row[0].address
