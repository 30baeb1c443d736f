"""Which human an identity is connected with, over which line, and the router's own talk with humans."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Identity, Organization
from core.actor import Actor, TenantQuerySet
from core.ids import uuid7
from imessage.models.words import Direction
from lines.models import Line


class ConnectionMoveQuerySet(TenantQuerySet["ConnectionMove"]):
    agent_column = "connection__identity_id"


class ConnectionQuerySet(TenantQuerySet["Connection"]):
    def pooled(self) -> Self:
        """Those that humans made through the router; on an owned line one is made by the first text."""
        return self.filter(owned_line=None)

    def visible_to_agent(self, actor: Actor) -> Self:
        """Not one that only a blocked human's texts have made: nothing tells of those."""
        own = self.filter(identity_id=actor.identity_id)
        return own.filter(Q(owned_line=None) | Q(conversations__visible_total__gt=0))


class Connection(models.Model):
    """One human with one agent, carried by one line. A new one is made at each connect; the conversation stays."""

    class Status(models.TextChoices):
        ACTIVE = "active"  # at connect, or by the first text on an owned line
        RELEASED = "released"  # by the human's disconnect, an admin's release, or the identity's end

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="connections")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="connections")
    line = models.ForeignKey(Line, on_delete=models.PROTECT, related_name="connections")
    owned_line = models.ForeignKey(
        Line, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Null on pool lines."
    )
    human = models.CharField(max_length=100)
    status = models.CharField(max_length=8, choices=Status, default=Status.ACTIVE)
    released_at = models.DateTimeField(null=True, blank=True)
    released_by = models.CharField(max_length=20, blank=True, help_text="human, admin or identity")
    moved_at = models.DateTimeField(null=True, blank=True, help_text="When it last went to another line.")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["identity", "human", "owned_line"],
                condition=Q(status="active"),
                nulls_distinct=False,
                name="connection_one_active",
            )
        ]
        indexes = [models.Index(fields=["organization", "identity", "-created_at", "-id"], name="connection_newest")]

    def __str__(self) -> str:
        return f"{self.human} with {self.identity_id} ({self.status})"

    @property
    def is_active(self) -> bool:
        return self.status == self.Status.ACTIVE


class ConnectionMove(models.Model):
    """A connection left one line for another; the human has a new thread on the phone since then."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="moves")
    from_line = models.ForeignKey(Line, on_delete=models.PROTECT, related_name="+")
    to_line = models.ForeignKey(Line, on_delete=models.PROTECT, related_name="+")
    move_id = models.UUIDField(help_text="The job that it was part of.")
    at = models.DateTimeField(default=timezone.now)

    objects = ConnectionMoveQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["organization", "-at"], name="connectionmove_newest")]
        ordering: ClassVar[list[str]] = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.connection_id} to {self.to_line_id}"


class RouterMessageQuerySet(models.QuerySet["RouterMessage"]):
    def owed(self) -> Self:
        """Texts of ours that have not left."""
        return self.filter(direction=Direction.OUTBOUND, status="queued")


class RouterMessage(models.Model):
    """One text to or from the router. It belongs to no organization; operators only."""

    class Command(models.TextChoices):
        CONNECT = "connect"
        DISCONNECT = "disconnect"
        REPLACE = "replace"  # a connect that may give up the oldest reservation
        HELP = "help"
        OTHER = "other"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    line = models.ForeignKey(Line, on_delete=models.PROTECT, related_name="router_messages")
    human = models.CharField(max_length=100)
    direction = models.CharField(max_length=8, choices=Direction)
    text = models.TextField(blank=True)
    command = models.CharField(max_length=10, choices=Command, blank=True)
    outcome = models.CharField(max_length=20, blank=True, help_text="What the command came to; never told as such.")
    status = models.CharField(max_length=10, default="queued")
    error_reason = models.CharField(max_length=60, blank=True)
    provider_handle = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = RouterMessageQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["line", "human", "created_at"], name="router_thread")]

    def __str__(self) -> str:
        return f"{self.direction} {self.command or 'answer'} {self.id}"
