"""Jobs of conversations: thin; the rows are the state, a job is only the nudge."""

import threading
from datetime import timedelta
from uuid import UUID

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from procrastinate.contrib.django import app

from core.wake import wake
from imessage import connecting, media, moving, owning, queues, releasing
from imessage.draining import ConversationQueue, RouterQueue, drain, wake_queue, wake_router
from imessage.models import Conversation, Message, RouterMessage
from imessage.receiving import apply_in_order
from lines import moving as lines_moving
from lines.models import Callback, Line
from lines.providers.base import Limits

# What should have moved by now and has not is nudged again: the net under every lost wake-up.
_OVERDUE = timedelta(seconds=10)

# The usual longest hold; a line with a longer one of its own is looked at in vain.
_HELD_AT_MOST = timedelta(seconds=Limits().hold_seconds or 0)

_fetching = threading.BoundedSemaphore(4)


@app.task(name="imessage.receive")
def receive(callback_id: int) -> None:
    """Apply one stored callback; `lock` is its thread, so those of one thread come in order."""
    apply_in_order(callback_id)


@app.task(name="imessage.drain")
def drain_conversation(conversation_id: str) -> None:
    """Send what waits in one conversation; `lock` and `queueing_lock` are the conversation."""
    drain(ConversationQueue(UUID(conversation_id)))


@app.task(name="imessage.drain_router")
def drain_router(line_id: str, human: str) -> None:
    """Send what the router owes one human."""
    drain(RouterQueue(UUID(line_id), human))


@app.task(name="imessage.wake_line")
def wake_line(line_id: str) -> None:
    """A line came back: everything that waited for it goes on.

    In the sweep's order: two transactions that queue the same jobs in different orders would deadlock.
    """
    with transaction.atomic():
        queued = _queued().filter(line_id=line_id).values_list("conversation_id", flat=True)
        for conversation_id in queued.order_by("conversation_id").distinct():
            wake_queue(conversation_id)
        for human in _owed().filter(line_id=line_id).values_list("human", flat=True).order_by("human").distinct():
            wake_router(UUID(line_id), human)


@app.task(name="imessage.move")
def move(move_id: str) -> None:
    """Take the steps of a move that are due; `lock` and `queueing_lock` are the move."""
    moving.go_on(UUID(move_id))


@app.task(name="imessage.connect_again")
def connect_again(heard_id: str) -> None:
    """Look again for a line for a human who asked for an agent; `lock` is the human."""
    connecting.try_again(UUID(heard_id))


@app.task(name="imessage.release")
def release(conversation_id: str) -> None:
    """Let through what is to be released in one conversation; `lock` and `queueing_lock` are the conversation."""
    releasing.settle(UUID(conversation_id))


@app.task(name="imessage.fetch_media")
def fetch_media(file_id: str) -> None:
    """Fetch a file that a human sent; a few at a time, for their bytes are held in memory."""
    with _fetching:
        media.fetch(UUID(file_id))


@app.periodic(cron="23 * * * *")
@app.task(name="imessage.tidy_media", queueing_lock="imessage.tidy_media")
def tidy_media(timestamp: int) -> None:
    """Forget files that nothing holds any more, and nudge those whose fetching has gone quiet."""
    media.forget()
    media.wake_pending()


@app.periodic(cron="* * * * *")
@app.task(name="imessage.release_expired", queueing_lock="imessage.release_expired")
def release_expired(timestamp: int) -> None:
    """Give back the numbers whose time is over."""
    owning.release_expired()


@app.periodic(cron="* * * * * */15")
@app.task(name="imessage.tell_queues", queueing_lock="imessage.tell_queues")
def tell_queues(timestamp: int) -> None:
    """Tell lines how long what is due on them waits."""
    queues.tell_queues()


@app.periodic(cron="* * * * * */5")
@app.task(name="imessage.sweep", queueing_lock="imessage.sweep")
def sweep(timestamp: int) -> None:
    """Nudge queues and callbacks that are overdue, and reports whose subject may have come meanwhile."""
    overdue = timezone.now() - _OVERDUE
    with transaction.atomic():
        for conversation_id in _overdue_conversations():
            wake_queue(conversation_id)
        for conversation_id in _held_too_long():
            wake_queue(conversation_id)
        owed = _owed().filter(created_at__lt=overdue, line__in=Line.objects.flowing()).values_list("line_id", "human")
        for line_id, human in owed.order_by("line_id", "human").distinct()[:500]:
            wake_router(line_id, human)
        releasing.wake_overdue()
        lines_moving.wake_overdue()
        waiting = Callback.objects.filter(
            Q(state=Callback.State.WAITING) | Q(state=Callback.State.STORED, received_at__lt=overdue)
        ).order_by("id")
        for callback in waiting[:500]:
            wake(
                "imessage.receive",
                lock=callback.thread or None,
                once=f"callback:{callback.id}",
                callback_id=callback.id,
            )


def _overdue_conversations() -> list[UUID]:
    now = timezone.now()
    # Not those of lines that are held: hundreds of them would leave no room for the others.
    stuck = _queued().filter(
        conversation_id=OuterRef("pk"), created_at__lt=now - _OVERDUE, line__in=Line.objects.flowing()
    )
    due = Q(next_attempt_at=None) | Q(next_attempt_at__lt=now)
    return list(Conversation.objects.filter(Exists(stuck), due).order_by("id").values_list("id", flat=True)[:500])


def _held_too_long() -> list[UUID]:
    """Conversations on held lines with texts that may have waited as long as texts may."""
    late = _queued().filter(created_at__lt=timezone.now() - _HELD_AT_MOST).exclude(line__in=Line.objects.flowing())
    return list(late.order_by("conversation_id").values_list("conversation_id", flat=True).distinct()[:100])


def _queued() -> models.QuerySet[Message]:
    return Message.objects.filter(status=Message.Status.QUEUED)


def _owed() -> models.QuerySet[RouterMessage]:
    return RouterMessage.objects.owed()
