"""Messages, blocked ones included, and the steps of their delivery."""

from typing import ClassVar, Self
from uuid import UUID

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils import timezone

from accounts.models import Identity, Organization
from core.actor import Actor, TenantQuerySet
from core.ids import uuid7
from imessage.models.connections import Connection
from imessage.models.conversations import Conversation
from imessage.models.releases import Release
from imessage.models.words import Direction, SendStyle, Service
from lines.models import Line


class MessageQuerySet(TenantQuerySet["Message"]):
    def visible_to_agent(self, actor: Actor) -> Self:
        return self.filter(identity_id=actor.identity_id, is_blocked=False)

    def blocked(self) -> Self:
        return self.filter(is_blocked=True)

    def to_review(self) -> Self:
        """Blocked, and nobody has looked at it yet."""
        return self.filter(is_blocked=True, reviewed_at=None)

    def held_back(self) -> Self:
        """All that a verdict ever blocked, released or not."""
        return self.filter(Q(is_blocked=True) | Q(released_at__isnull=False))

    def released(self) -> Self:
        """Blocked once, visible to the agent now."""
        return self.filter(released_at__isnull=False)


class Message(models.Model):
    """One message of a conversation, with the verdict it was given."""

    class Status(models.TextChoices):
        """contract/lines.md 2.5. `registered` and `pending` are read from dialects, never written here."""

        REGISTERED = "registered"
        PENDING = "pending"
        QUEUED = "queued"  # at acceptance
        ACCEPTED = "accepted"  # by a status report: the provider handed it on
        SENT = "sent"  # by the provider's answer or a status report
        DELIVERED = "delivered"  # by a status report: the device has it
        DECLINED = "declined"  # refused before the network: blocked, released or disabled meanwhile, or by policy
        ERROR = "error"  # tried and failed
        RECEIVED = "received"  # inbound

    # A report never lowers the rank; `delivered` beats `error` (contract/lines.md 2.5).
    RANK: ClassVar[dict[str, int]] = {
        Status.REGISTERED: 0,
        Status.PENDING: 1,
        Status.QUEUED: 2,
        Status.ACCEPTED: 3,
        Status.SENT: 4,
        Status.DECLINED: 5,
        Status.ERROR: 5,
        Status.DELIVERED: 6,
        Status.RECEIVED: 9,
    }

    class Fallback(models.TextChoices):
        """When a text may leave as SMS instead: never because its outcome is unknown, or slow."""

        NEVER = "never"
        IF_UNSUPPORTED = "if_unsupported"  # refused at once: the human has no iMessage
        IF_FAILED = "if_failed"  # only when that turns out after acceptance
        IF_UNSUPPORTED_OR_FAILED = "if_unsupported_or_failed"  # both

    class Type(models.TextChoices):
        MESSAGE = "message"
        CAROUSEL = "carousel"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="messages")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="messages")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    connection = models.ForeignKey(
        Connection,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="messages",
        help_text="Null in groups.",
    )
    line = models.ForeignKey(Line, on_delete=models.PROTECT, related_name="messages")
    human = models.CharField(
        max_length=100, blank=True, help_text="The one it is with; in a group who wrote it, empty for the agent's."
    )
    direction = models.CharField(max_length=8, choices=Direction)
    position = models.PositiveIntegerField()
    text = models.TextField(null=True, blank=True)  # noqa: DJ001 - null for media only, on the wire too
    message_type = models.CharField(max_length=8, choices=Type, default=Type.MESSAGE)
    service = models.CharField(max_length=8, choices=Service, default=Service.IMESSAGE)
    send_style = models.CharField(max_length=15, choices=SendStyle, blank=True)
    status = models.CharField(max_length=10, choices=Status)
    was_downgraded = models.BooleanField(null=True)
    fallback = models.CharField(
        max_length=25,
        choices=Fallback,
        db_default=Fallback.IF_UNSUPPORTED_OR_FAILED,
        help_text="When SMS may carry it.",
    )
    fallback_line = models.ForeignKey(
        Line,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The number that SMS is to leave from, if one was named.",
    )
    is_fast = models.BooleanField(default=False, db_default=False, help_text="Passes the line's own pace.")
    reply_to = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="replies", db_index=False
    )
    reply_to_part = models.PositiveSmallIntegerField(default=0, db_default=0)
    thread_root = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="thread",
        db_index=False,
        help_text="What the first of these replies answered.",
    )
    reply_unresolved = models.BooleanField(
        null=True, blank=True, help_text="Null: no reply. True: left as an ordinary text. False: threaded."
    )
    error_code = models.CharField(max_length=60, blank=True)
    error_reason = models.CharField(max_length=60, blank=True)
    error_message = models.CharField(max_length=300, blank=True)
    error_detail = models.CharField(max_length=500, blank=True)
    is_read = models.BooleanField(default=False, help_text="Inbound: the agent marked it read.")
    read_at = models.DateTimeField(null=True, blank=True, help_text="Inbound: when the agent marked it read.")
    peer_read_at = models.DateTimeField(null=True, blank=True, help_text="Outbound: when the human read it.")
    is_blocked = models.BooleanField(default=False)
    rule_id = models.UUIDField(null=True, blank=True, help_text="The rule that decided, if one did.")
    rule_revision = models.PositiveIntegerField(default=0)
    filter_mode = models.CharField(max_length=10, choices=Identity.FilterMode)
    reviewed_at = models.DateTimeField(null=True, blank=True, help_text="Blocked: when somebody had looked at it.")
    reviewed_by = models.JSONField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True, help_text="Blocked once: since when the agent sees it.")
    release = models.ForeignKey(
        Release, null=True, blank=True, on_delete=models.SET_NULL, related_name="messages", db_index=False
    )
    provider_handle = models.CharField(max_length=200, blank=True)
    provider_at = models.DateTimeField(null=True, blank=True, help_text="The provider's time; shown, never sorted by.")
    is_late = models.BooleanField(default=False, help_text="Long on its way, or found by a poll after the fact.")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "position"], name="message_position"),
            models.CheckConstraint(
                condition=Q(direction="inbound", status="received") | (Q(direction="outbound") & ~Q(status="received")),
                name="message_status_fits_direction",
            ),
        ]
        indexes = [
            # What a text holds is found by groups of three letters, in any language.
            GinIndex(OpClass(Upper("text"), name="gin_trgm_ops"), name="message_text"),
            # Operators see every organization at once.
            models.Index(fields=["-created_at", "-id"], name="message_newest"),
            models.Index(fields=["organization", "-created_at", "-id"], name="message_org_newest"),
            models.Index(fields=["identity", "-created_at", "-id"], name="message_identity_newest"),
            models.Index(
                fields=["identity", "-created_at", "-id"],
                name="message_held_back_of",
                condition=Q(is_blocked=True) | Q(released_at__isnull=False),
            ),
            models.Index(
                fields=["conversation", "position"], name="message_blocked_thread", condition=Q(is_blocked=True)
            ),
            models.Index(
                fields=["organization", "-created_at", "-id"],
                name="message_to_review",
                condition=Q(is_blocked=True, reviewed_at=None),
            ),
            models.Index(
                fields=["-created_at", "-id"],
                name="message_to_review_all",
                condition=Q(is_blocked=True, reviewed_at=None),
            ),
            models.Index(
                fields=["organization", "-created_at", "-id"],
                name="message_held_back",
                condition=Q(is_blocked=True) | Q(released_at__isnull=False),
            ),
            models.Index(
                fields=["-created_at", "-id"],
                name="message_held_back_all",
                condition=Q(is_blocked=True) | Q(released_at__isnull=False),
            ),
            models.Index(
                fields=["organization", "-created_at", "-id"],
                name="message_released",
                condition=Q(released_at__isnull=False),
            ),
            models.Index(
                fields=["-created_at", "-id"], name="message_released_all", condition=Q(released_at__isnull=False)
            ),
            models.Index(fields=["release"], name="message_release", condition=Q(release__isnull=False)),
            models.Index(fields=["conversation", "position"], name="message_queue", condition=Q(status="queued")),
            models.Index(fields=["line"], name="message_line_queue", condition=Q(status="queued")),
            models.Index(fields=["reply_to"], name="message_reply", condition=Q(reply_to__isnull=False)),
            models.Index(
                fields=["thread_root", "position"], name="message_thread", condition=Q(thread_root__isnull=False)
            ),
            models.Index(
                fields=["conversation"], name="message_unread", condition=Q(direction="inbound", is_read=False)
            ),
            models.Index(fields=["line", "provider_handle"], name="message_handle", condition=~Q(provider_handle="")),
            models.Index(fields=["identity", "created_at"], name="message_cap", condition=Q(direction="outbound")),
            # The few that threads are looked for by.
            models.Index(fields=["conversation"], name="message_failed", condition=Q(status__in=["error", "declined"])),
            models.Index(fields=["conversation"], name="message_downgraded", condition=Q(was_downgraded=True)),
            models.Index(fields=["service"], name="message_other_service", condition=~Q(service="imessage")),
        ]

    def __str__(self) -> str:
        return f"{self.direction} {self.id} ({self.status})"

    @property
    def is_outbound(self) -> bool:
        return self.direction == Direction.OUTBOUND

    @property
    def thread_id(self) -> UUID:
        """The message that began the thread of replies this one belongs to; itself when it answers none."""
        return self.thread_root_id or self.id

    @property
    def is_group(self) -> bool:
        """Whether it was said in a group: nobody is connected there."""
        return self.connection_id is None


class DeliveryStep(models.Model):
    """One step of an outbound message on its way, as it became known."""

    id = models.BigAutoField(primary_key=True)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="delivery_steps")
    state = models.CharField(max_length=12, help_text="A message status, or claimed, unknown, read.")
    detail = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField(default=timezone.now, help_text="By the provider's clock, if it told.")
    noted_at = models.DateTimeField(default=timezone.now, help_text="By our clock: from then on it was known.")

    class Meta:
        indexes = [models.Index(fields=["message", "at"], name="deliverystep_message")]

    def __str__(self) -> str:
        return f"{self.message_id} {self.state}"
