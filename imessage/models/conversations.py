"""What a connection's human and agent have said to each other, as one thread."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Identity, Organization
from core.actor import TenantQuerySet
from core.ids import uuid7
from imessage.models.connections import Connection
from lines.models import Line


class Conversation(models.Model):
    """The thread of one human and one agent; survives disconnects. Counters are kept for what agents may see
    and for what was blocked; *all* is derived from both."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="conversations")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="conversations")
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="conversations")
    human = models.CharField(max_length=100)
    thread_key = models.CharField(max_length=200, help_text="The human's number in a 1:1 thread.")
    owned_line = models.ForeignKey(Line, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
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
            )
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
        return f"{self.human} with {self.identity_id}"
