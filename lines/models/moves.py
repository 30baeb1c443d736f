"""Connections on their way from one line to others: a paced job, and what became of each of them."""

from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Identity
from core.ids import uuid7
from lines.models.lines import Line


class MoveQuerySet(models.QuerySet["Move"]):
    def open(self) -> Self:
        """Those that go on, or could after an operator's word."""
        return self.filter(state__in=Move.OPEN)


class Move(models.Model):
    """Humans of one line that get new threads on others, newest activity first, as fast as allowances permit."""

    class State(models.TextChoices):
        GOING = "going"  # at the start, and by an operator's word after a stop
        STOPPED = "stopped"  # by the job: too many openers failed
        CANCELLED = "cancelled"  # by an operator; those moved stay moved
        DONE = "done"  # by the job: every connection has its result

    OPEN = (State.GOING, State.STOPPED)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="moves", help_text="The line they leave.")
    targets = models.JSONField(default=list, blank=True, help_text="Ids of the lines they may go to; empty for any.")
    state = models.CharField(max_length=10, choices=State, default=State.GOING)
    reason = models.CharField(max_length=300, blank=True)
    problem = models.CharField(max_length=300, blank=True)
    requested_by = models.JSONField()
    total = models.PositiveIntegerField(default=0)
    moved = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0, help_text="Ended, or moved by others, before their turn.")
    unplaced = models.PositiveIntegerField(default=0, help_text="No line could take them; they stay.")
    forecast_until = models.DateTimeField(null=True, blank=True, help_text="When the forecast saw the end.")
    next_at = models.DateTimeField(null=True, blank=True, help_text="When the next connection may go.")
    created_at = models.DateTimeField(default=timezone.now)
    resumed_at = models.DateTimeField(null=True, blank=True, help_text="Openers that failed before do not count.")
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = MoveQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line"], condition=Q(state__in=["going", "stopped"]), name="move_one_open")
        ]
        indexes = [models.Index(fields=["line", "-created_at"], name="move_newest")]

    def __str__(self) -> str:
        return f"{self.line_id}: {self.moved} of {self.total} ({self.state})"

    @property
    def target_ids(self) -> list[UUID]:
        return [UUID(pk) for pk in self.targets]

    @property
    def left(self) -> int:
        return self.total - self.moved - self.skipped - self.unplaced


class MoveItem(models.Model):
    """One human of a move."""

    class State(models.TextChoices):
        WAITING = "waiting"  # at the start
        MOVED = "moved"  # by the job
        SKIPPED = "skipped"  # by the job: the connection had ended or moved before
        NO_LINE = "no_line"  # by the job: on every other line somebody else has this human; they stay

    id = models.BigAutoField(primary_key=True)
    move = models.ForeignKey(Move, on_delete=models.CASCADE, related_name="items")
    rank = models.PositiveIntegerField(help_text="Those who talked last go first.")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="+")
    human = models.CharField(max_length=100)
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    to_line = models.ForeignKey(Line, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    opener_id = models.UUIDField(null=True, blank=True, help_text="The text that says who writes from the new number.")
    at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["move", "rank"], name="moveitem_rank")]
        indexes = [
            models.Index(fields=["move", "rank"], name="moveitem_waiting", condition=Q(state="waiting")),
            models.Index(fields=["opener_id"], name="moveitem_opener", condition=Q(opener_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.move_id}#{self.rank} {self.state}"
