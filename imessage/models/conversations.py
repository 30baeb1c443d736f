"""What humans and an agent have said to each other, as one thread: one human's, or a group's."""

from typing import ClassVar, Self, cast
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Identity, Organization
from core.actor import TenantQuerySet
from core.ids import uuid7
from imessage.models.connections import Connection
from lines.models import Line

# Stands in for a provider's name of a group until it has told one.
UNNAMED = "new:"


class Conversation(models.Model):
    """The thread of one human, or of a group, and one agent; survives disconnects. Counters are kept for what agents
    may see and for what was blocked; *all* is derived from both. Groups live on owned lines only, and nobody
    connects to them: who texts is in `participants`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="conversations")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="conversations")
    connection = models.ForeignKey(
        Connection, null=True, blank=True, on_delete=models.PROTECT, related_name="conversations"
    )
    human = models.CharField(max_length=100, blank=True, help_text="Empty for a group.")
    is_group = models.BooleanField(default=False, db_default=False)
    group_name = models.CharField(max_length=200, blank=True, default="", db_default="")
    thread_key = models.CharField(
        max_length=200, help_text="The human's number; for a group the provider's name of it, or new: and our id."
    )
    owned_line = models.ForeignKey(
        Line, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Null on pool lines."
    )
    metadata = models.JSONField(null=True, blank=True, help_text="What the agent's program keeps with the thread.")
    background_id = models.UUIDField(null=True, blank=True, help_text="The media file that is shown behind the thread.")
    background_url = models.CharField(max_length=2000, blank=True, default="", db_default="", help_text="As asked for.")
    background_sha256 = models.CharField(max_length=64, blank=True, default="", db_default="")
    background_version = models.PositiveIntegerField(default=0, db_default=0, help_text="Grows with each real change.")
    next_position = models.PositiveIntegerField(default=1)
    visible_total = models.PositiveIntegerField(default=0)
    visible_unread = models.PositiveIntegerField(default=0)
    visible_last = models.ForeignKey("Message", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    visible_last_at = models.DateTimeField(null=True, blank=True)
    blocked_total = models.PositiveIntegerField(default=0)
    blocked_unread = models.PositiveIntegerField(default=0)
    blocked_last = models.ForeignKey("Message", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    blocked_last_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(default=timezone.now, help_text="Of the newest message, blocked or not.")
    waiting_since = models.DateTimeField(
        null=True, blank=True, help_text="Oldest text without an answer; imessage/waiting.py has the rule."
    )
    next_attempt_at = models.DateTimeField(null=True, blank=True, help_text="When the drain goes on; null when free.")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["identity", "thread_key", "owned_line"], nulls_distinct=False, name="conversation_once"
            ),
            models.CheckConstraint(
                condition=Q(is_group=False, connection__isnull=False)
                | Q(is_group=True, connection__isnull=True, human="", owned_line__isnull=False),
                name="conversation_group_has_no_connection",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-last_at", "-id"], name="conversation_org_latest"),
            # Operators see every organization at once.
            models.Index(fields=["-last_at", "-id"], name="conversation_latest"),
            models.Index(fields=["identity", "-visible_last_at", "-id"], name="conversation_visible_latest"),
            models.Index(
                fields=["organization", "waiting_since", "id"],
                name="conversation_org_waiting",
                condition=Q(waiting_since__isnull=False),
            ),
            models.Index(
                fields=["waiting_since", "id"], name="conversation_waiting", condition=Q(waiting_since__isnull=False)
            ),
            models.Index(
                fields=["organization", "-blocked_last_at", "-id"],
                name="conversation_blocked",
                condition=Q(blocked_total__gt=0),
            ),
            models.Index(
                fields=["-blocked_last_at", "-id"], name="conversation_blocked_all", condition=Q(blocked_total__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.human or self.group_name or 'a group'} with {self.identity_id}"

    @property
    def line(self) -> Line:
        """The line that carries it now."""
        if self.connection is not None:
            return self.connection.line
        return cast(Line, self.owned_line)  # a constraint says so

    @property
    def line_id(self) -> UUID:
        """The key of `line`."""
        return self.connection.line_id if self.connection is not None else cast(UUID, self.owned_line_id)

    @property
    def is_open(self) -> bool:
        """Whether the agent may act in it, as far as the connection goes; a group has none to be ended."""
        return self.connection is None or self.connection.is_active

    @property
    def chat(self) -> str:
        """A group's name at the provider; empty until it has told one, and for a thread of one human."""
        return self.thread_key if self.is_group and not self.thread_key.startswith(UNNAMED) else ""


class ParticipantQuerySet(TenantQuerySet["Participant"]):
    agent_column = "conversation__identity_id"

    def present(self) -> Self:
        return self.filter(left_at=None)


class Participant(models.Model):
    """A human in a group, from when until when we know them there. Whoever comes back gets a new row."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="participants")
    human = models.CharField(max_length=100)
    name = models.CharField(max_length=200, blank=True, help_text="As the provider told it, if it did.")
    joined_at = models.DateTimeField(default=timezone.now)
    left_at = models.DateTimeField(null=True, blank=True)

    objects = ParticipantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "human"], condition=Q(left_at=None), name="participant_once"
            )
        ]
        indexes = [models.Index(fields=["organization", "human"], name="participant_human")]
        ordering: ClassVar[list[str]] = ["joined_at", "id"]

    def __str__(self) -> str:
        return f"{self.human} in {self.conversation_id}"
