"""A connection goes to another line: a new thread on the human's phone, begun by a text that says who writes.

Which line and when is decided by `lines.moving`; here is what that means for the conversation.
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import Identity
from contactrules.rules import lock_reach
from core.actor import Actor
from events.record import record
from imessage.connecting import name_of, say
from imessage.draining import wake_queue
from imessage.models import Connection, ConnectionMove, Conversation, Message, RouterMessage
from lines import moving
from lines.models import Dispatch, Line, Move, MoveItem

_MOVER = Actor.system("move")

# Of the newest so many openers, more than a fifth and at least three failed: something is wrong with what we do.
_LOOKED_AT = 20
_FAILED_SHARE = 0.2
_FAILED_LEAST = 3


def go_on(move_id: UUID, *, now: datetime | None = None) -> None:
    """Take the steps of a move that are due; the caller holds the move's job lock."""
    while _step(move_id, now=now or timezone.now()):
        pass


def opener(identity: Identity) -> str:
    """The first text from a new number: plain, with the agent's name, without a link."""
    return f"This is {name_of(identity)}. From now on I write to you from this number; please answer here."


def _step(move_id: UUID, *, now: datetime) -> bool:
    """One connection, in a transaction of its own; whether there may be more to do now."""
    move = Move.objects.select_related("line").filter(pk=move_id, state=Move.State.GOING).first()
    if move is None:
        return False
    problem = _trouble(move)
    if problem:
        with transaction.atomic():
            moving.stop_move(move, problem=problem)
        return False
    found = moving.next_step(move, now=now)
    if isinstance(found, datetime):
        moving.wait_until(move, found)
        return False
    if found is None:
        moving.finish_move(move)
        return False
    with transaction.atomic():
        _move(move, found.item, now=now)
    return True


def _move(move: Move, item: MoveItem, *, now: datetime) -> None:
    """Locks in the usual order: identity, conversation, then the pick."""
    identity = lock_reach(item.identity)
    conversation = (
        Conversation.objects.select_for_update(no_key=True)
        .filter(identity=identity, thread_key=item.human, owned_line=None)
        .first()
    )
    step = moving.place(move, item, now=now)
    if step is None:
        return
    connection = Connection.objects.pooled().filter(identity=identity, human=item.human, status="active").first()
    if connection is None or connection.line_id != move.line_id:
        moving.note_result(move, item, MoveItem.State.SKIPPED)
        return
    if step.to is None:
        moving.note_result(move, item, MoveItem.State.NO_LINE)
        return
    if not moving.move_pair(step, away=move.line, now=now):
        moving.note_result(move, item, MoveItem.State.SKIPPED)
        return
    _carry(move, connection, to=step.to, now=now)
    if conversation:
        _redirect_queue(conversation, away=move.line, to=step.to)
    first = say(step.to, item.human, opener(identity))
    moving.note_result(move, item, MoveItem.State.MOVED, to=step.to, opener_id=first.id)


def _carry(move: Move, connection: Connection, *, to: Line, now: datetime) -> None:
    Connection.objects.filter(pk=connection.pk).update(line=to, moved_at=now, updated_at=timezone.now())
    ConnectionMove.objects.create(
        organization_id=connection.organization_id,
        connection=connection,
        from_line=move.line,
        to_line=to,
        move_id=move.id,
        at=now,
    )
    record(
        _MOVER,
        "connection.moved",
        organization_id=connection.organization_id,
        identity_id=connection.identity_id,
        conversation_id=Conversation.objects.filter(connection=connection).values_list("id", flat=True).first(),
        subject_id=connection.id,
        data={"human": connection.human, "before": str(move.line_id), "line_id": str(to.id), "move_id": str(move.id)},
    )


def _redirect_queue(conversation: Conversation, *, away: Line, to: Line) -> None:
    """What has not left yet leaves from the new line; a text that may be out already is settled where it was sent."""
    queued = Message.objects.filter(conversation=conversation, line=away, status=Message.Status.QUEUED)
    standing = Dispatch.objects.filter(order_id__in=queued.values("id"), outcome__in=Dispatch.STANDING)
    queued.exclude(id__in=standing.values("order_id")).update(line=to)
    wake_queue(conversation.id)


def _trouble(move: Move) -> str:
    """Why the move should not go on by itself; empty when nothing is wrong."""
    openers = move.items.filter(state=MoveItem.State.MOVED).exclude(opener_id=None)
    if move.resumed_at:
        openers = openers.filter(at__gt=move.resumed_at)
    newest = [item.opener_id for item in openers.order_by("-at", "-rank")[:_LOOKED_AT] if item.opener_id]
    failed = RouterMessage.objects.filter(id__in=newest, status="error").count()
    if failed < _FAILED_LEAST or failed <= _FAILED_SHARE * len(newest):
        return ""
    return f"{failed} of the last {len(newest)} first texts from new numbers failed."
