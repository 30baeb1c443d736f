"""Telling lines how long what is due on them waits: their health is judged by it, and queues are ours."""

from datetime import datetime
from uuid import UUID

from django.db.models import Count, Min, Q
from django.utils import timezone

from imessage.models import Direction, Message, RouterMessage
from lines.health import incidents, measuring
from lines.models import Incident


def tell_queues() -> None:
    """Hand down the depth and age of every line's queue, and whom open incidents keep waiting.

    A text that was told to wait, by pace or after an error, is not due before its time.
    """
    now = timezone.now()
    due = Q(conversation__next_attempt_at=None) | Q(conversation__next_attempt_at__lte=now)
    queued = Message.objects.filter(due, status=Message.Status.QUEUED)
    owed = RouterMessage.objects.filter(direction=Direction.OUTBOUND, status="queued")
    waiting: dict[UUID, tuple[int, datetime]] = {}
    for rows in (queued, owed):
        for line, depth, oldest in rows.values_list("line").annotate(depth=Count("id"), oldest=Min("created_at")):
            before = waiting.get(line, (0, oldest))
            waiting[line] = (before[0] + depth, min(before[1], oldest))
    measuring.note_queues(waiting)
    troubled = Incident.objects.open().values("line")
    held = queued.filter(line__in=troubled).values_list("line_id", "human")
    incidents.note_held(
        {
            (line, human): (texts, since)
            for line, human, texts, since in held.annotate(texts=Count("id"), since=Min("created_at"))
        }
    )
