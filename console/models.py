"""What the console keeps of its own: long work with a result per row, saved views of lists, how people read it,
and what they have seen."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Organization, User
from core.actor import Actor, Role, TenantQuerySet
from core.ids import uuid7
from imessage.models import Conversation


class JobQuerySet(TenantQuerySet["Job"]):
    def unfinished(self) -> Self:
        return self.exclude(state__in=Job.FINISHED)

    def due(self, now: datetime) -> Self:
        """Jobs that a worker should be at."""
        at_work = Q(state__in=[Job.State.COUNTING, Job.State.RUNNING, Job.State.CANCELLING])
        return self.filter(at_work | Q(state=Job.State.HELD, held_until__lte=now))


class Job(models.Model):
    """Long work on rows of one list: those that matched a filter at one moment, or those a person selected."""

    class State(models.TextChoices):
        COUNTING = "counting"  # at creation: which rows it is about is being written down
        HELD = "held"  # by the worker, until `held_until`: nothing was done yet and it can be cancelled
        RUNNING = "running"  # by the worker
        PAUSED = "paused"  # by a person; goes on when resumed
        CANCELLING = "cancelling"  # by a person while a worker may be at it
        CANCELLED = "cancelled"
        DONE = "done"  # by the worker: every row has its result
        FAILED = "failed"  # by the worker: it may not or cannot go on; `problem` says why

    FINISHED: ClassVar[tuple[str, ...]] = (State.CANCELLED, State.DONE, State.FAILED)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    who = models.CharField(max_length=254, help_text="Who started it, as it was called then.")
    deed = models.CharField(max_length=60, help_text="Name of what is done, or export.")
    list_name = models.CharField(max_length=60)
    query = models.TextField(blank=True, help_text="The filter, with its range fixed.")
    chosen = models.JSONField(null=True, blank=True, help_text="Keys of selected rows; null: all that match.")
    options = models.JSONField(default=dict, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    words = models.TextField(blank=True, help_text="The filter in words, as it was.")
    state = models.CharField(max_length=10, choices=State, default=State.COUNTING)
    problem = models.CharField(max_length=300, blank=True)
    snapshot_at = models.DateTimeField(help_text="Rows that appeared later are not touched.")
    held_until = models.DateTimeField(null=True, blank=True)
    expected = models.PositiveIntegerField(default=0, help_text="The count that was shown before it began.")
    total = models.PositiveIntegerField(null=True, blank=True, help_text="Null until counted.")
    done = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    worked = models.DurationField(default=timedelta, help_text="Time spent working, without holds and pauses.")
    file = models.CharField(max_length=200, blank=True, help_text="Of an export: random name in the storage.")
    file_size = models.PositiveBigIntegerField(default=0)
    file_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-created_at", "-id"], name="job_org_newest"),
            models.Index(fields=["-created_at", "-id"], name="job_newest"),
            models.Index(fields=["file_until"], name="job_file", condition=~Q(file="")),
            models.Index(
                fields=["state"], name="job_unfinished", condition=~Q(state__in=["cancelled", "done", "failed"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deed} on {self.list_name} ({self.state})"

    @property
    def finished(self) -> int:
        """How many rows have their result."""
        return self.done + self.failed + self.skipped

    @property
    def is_finished(self) -> bool:
        return self.state in self.FINISHED

    @property
    def is_export(self) -> bool:
        return self.deed == "export"

    @property
    def rate(self) -> float:
        """Rows a second while it worked; 0 before."""
        seconds = self.worked.total_seconds()
        return self.finished / seconds if seconds else 0.0

    @property
    def percent(self) -> int:
        """How far it is, 0 to 100."""
        return 100 * self.finished // self.total if self.total else (100 if self.state == self.State.DONE else 0)


class JobItem(models.Model):
    """One row of a job and what came of it; written in the transaction of the deed, so that it happens once."""

    class State(models.IntegerChoices):
        """In the order in which people want to see them; what waits comes last, so that results stay where they are."""

        FAILED = 0
        SKIPPED = 1
        DONE = 2
        WAITING = 3

    WORDS: ClassVar[Mapping[int, str]] = {
        State.FAILED: "failed",
        State.SKIPPED: "skipped",
        State.DONE: "done",
        State.WAITING: "waiting",
    }

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="items", db_index=False)
    subject_id = models.CharField(max_length=60)
    state = models.PositiveSmallIntegerField(choices=State, default=State.WAITING)
    words = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "subject_id"], name="jobitem_once")]
        indexes = [models.Index(fields=["job", "state", "id"], name="jobitem_by_state")]

    def __str__(self) -> str:
        return f"{self.subject_id}: {self.WORDS[self.state]}"


class SavedViewQuerySet(TenantQuerySet["SavedView"]):
    def visible_to(self, actor: Actor) -> Self:
        """One's own, and those shared within one's organization; operators share among themselves."""
        if actor.kind != "user":
            return self if actor.role is Role.OPERATOR else self.none()
        shared = Q(is_shared=True, organization_id=actor.organization_id)
        return self.filter(Q(user_id=actor.id, organization_id=actor.organization_id) | shared)


class SavedView(models.Model):
    """A named filter of one list, of one person or shared."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    list_name = models.CharField(max_length=60)
    slug = models.CharField(max_length=60)
    name = models.CharField(max_length=60)
    query = models.TextField(blank=True)
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "list_name", "slug"],
                condition=Q(is_shared=True),
                nulls_distinct=False,
                name="savedview_shared_once",
            ),
            models.UniqueConstraint(
                fields=["user", "list_name", "slug"], condition=Q(is_shared=False), name="savedview_own_once"
            ),
        ]
        indexes = [models.Index(fields=["organization", "list_name", "name"], name="savedview_of_list")]

    def __str__(self) -> str:
        return f"{self.name} of {self.list_name}"


class Preferences(models.Model):
    """How one person reads the console; without a row the defaults hold."""

    class Theme(models.TextChoices):
        SYSTEM = "system", "As the system"
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    class Density(models.TextChoices):
        COMFORTABLE = "comfortable", "Comfortable"
        COMPACT = "compact", "Compact"

    class Clock(models.TextChoices):
        H24 = "24", "14:05"
        H12 = "12", "2:05 pm"

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="preferences")
    zone = models.CharField(max_length=64, default="UTC")
    clock = models.CharField(max_length=2, choices=Clock, default=Clock.H24)
    exact_times = models.BooleanField(default=False, help_text="In lists and threads too, where they are short.")
    theme = models.CharField(max_length=10, choices=Theme, default=Theme.SYSTEM)
    density = models.CharField(max_length=12, choices=Density, default=Density.COMFORTABLE)
    shortcuts = models.BooleanField(default=True)

    class Meta:
        verbose_name_plural = "preferences"

    def __str__(self) -> str:
        return f"preferences of {self.user}"


class ThreadMarkQuerySet(models.QuerySet["ThreadMark"]):
    def visible_to(self, actor: Actor) -> Self:
        """One's own; nobody else's business."""
        return self.filter(user_id=actor.id) if actor.kind == "user" else self.none()


class ThreadMark(models.Model):
    """How far one person has seen one thread, and whether they keep an eye on it."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="thread_marks", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="marks")
    seen_position = models.PositiveIntegerField(null=True, blank=True, help_text="Null: never opened.")
    is_starred = models.BooleanField(default=False)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = ThreadMarkQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "conversation"], name="threadmark_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.conversation_id}"
