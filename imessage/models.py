"""Connections, conversations and all that is said in them, with its history from the first row."""

from datetime import datetime
from typing import ClassVar, Self

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils import timezone

from accounts.models import Identity, Organization
from core.actor import Actor, TenantQuerySet
from core.ids import uuid7
from imessage.links import media_link
from lines.models import Line, ProviderAccount


class Direction(models.TextChoices):
    INBOUND = "inbound"  # from the human
    OUTBOUND = "outbound"  # from the agent


class Service(models.TextChoices):
    IMESSAGE = "imessage"
    SMS = "sms"
    RCS = "rcs"


class SendStyle(models.TextChoices):
    """Expressive effects, by their public names (contract/lines.md 3.1)."""

    CELEBRATION = "celebration"
    SHOOTING_STAR = "shooting_star"
    FIREWORKS = "fireworks"
    LASERS = "lasers"
    LOVE = "love"
    CONFETTI = "confetti"
    BALLOONS = "balloons"
    SPOTLIGHT = "spotlight"
    ECHO = "echo"
    INVISIBLE = "invisible"
    GENTLE = "gentle"
    LOUD = "loud"
    SLAM = "slam"


class TapbackKind(models.TextChoices):
    LOVE = "love"
    LIKE = "like"
    DISLIKE = "dislike"
    LAUGH = "laugh"
    EMPHASIZE = "emphasize"
    QUESTION = "question"
    CUSTOM = "custom"  # any emoji; from humans only


class ConnectionMoveQuerySet(TenantQuerySet["ConnectionMove"]):
    agent_column = "connection__identity_id"


class Connection(models.Model):
    """One human with one agent, carried by one line. A new one is made at each connect; the conversation stays."""

    class Status(models.TextChoices):
        ACTIVE = "active"  # at connect
        RELEASED = "released"  # by the human's disconnect, an admin's release, or the identity's end

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="connections")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="connections")
    line = models.ForeignKey(Line, on_delete=models.PROTECT, related_name="connections")
    human = models.CharField(max_length=100)
    status = models.CharField(max_length=8, choices=Status, default=Status.ACTIVE)
    released_at = models.DateTimeField(null=True, blank=True)
    released_by = models.CharField(max_length=20, blank=True, help_text="human, admin or identity")
    moved_at = models.DateTimeField(null=True, blank=True, help_text="When it last went to another line.")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["identity", "human"], condition=Q(status="active"), name="connection_one_active"
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


class ReleaseQuerySet(TenantQuerySet["Release"]):
    def visible_to_agent(self, actor: Actor) -> Self:
        """None: what was blocked, and who let it through, is not the agent's business."""
        return self.none()

    def open(self) -> Self:
        """Those that wait out their hold or are under way."""
        return self.filter(state__in=[Release.State.HELD, Release.State.GOING])


class Release(models.Model):
    """Blocked texts of one human let through to the agent after all: one of them, or all of the conversation.

    Held for a few seconds, in which undoing it costs nothing. Not the release of a connection.
    """

    class State(models.TextChoices):
        HELD = "held"  # at the request; it can be undone
        GOING = "going"  # by the job, between two batches of a long one
        DONE = "done"  # by the job: what it names is visible
        UNDONE = "undone"  # by whoever undid it; nothing was shown
        REFUSED = "refused"  # by the job: what stood in the way came up during the hold

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="releases", db_index=False)
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="releases")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="releases", db_index=False)
    message = models.ForeignKey(
        "Message", null=True, blank=True, on_delete=models.CASCADE, related_name="+", help_text="Null: all of them."
    )
    human = models.CharField(max_length=100)
    allow = models.BooleanField(help_text="The number may reach the agent from then on.")
    up_to = models.PositiveIntegerField(help_text="The last position at the request.")
    reason = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=7, choices=State, default=State.HELD)
    count = models.PositiveIntegerField(default=0, help_text="How many were let through.")
    refusal = models.CharField(max_length=300, blank=True)
    requested_by = models.JSONField()
    settled_by = models.JSONField(null=True, blank=True, help_text="Who undid it.")
    due_at = models.DateTimeField(help_text="The end of the hold.")
    created_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = ReleaseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "message"],
                condition=Q(state__in=["held", "going"]),
                nulls_distinct=False,
                name="release_one_open",
            )
        ]
        indexes = [
            models.Index(fields=["organization", "-created_at", "-id"], name="release_org_newest"),
            models.Index(fields=["conversation", "-created_at"], name="release_conversation"),
            models.Index(fields=["due_at"], name="release_due", condition=Q(state__in=["held", "going"])),
        ]

    def __str__(self) -> str:
        return f"{self.human} to {self.identity_id} ({self.state})"

    @property
    def is_open(self) -> bool:
        return self.state in {self.State.HELD, self.State.GOING}

    @property
    def is_held(self) -> bool:
        return self.state == self.State.HELD


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
        IF_UNSUPPORTED_OR_FAILED = "if_unsupported_or_failed"  # also when that turns out after acceptance

    class Type(models.TextChoices):
        MESSAGE = "message"
        CAROUSEL = "carousel"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="messages")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="messages")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="messages")
    line = models.ForeignKey(Line, on_delete=models.PROTECT, related_name="messages")
    human = models.CharField(max_length=100)
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
    is_late = models.BooleanField(default=False, help_text="Found by a poll after the fact.")
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


class MediaFileQuerySet(TenantQuerySet["MediaFile"]):
    def visible_to_agent(self, actor: Actor) -> Self:
        """Its own, and what an admin uploaded for all; never what came with a blocked message."""
        own = Q(identity_id=actor.identity_id) | Q(identity=None)
        return self.filter(own).exclude(parts__message__is_blocked=True)

    def stored(self) -> Self:
        return self.filter(state=MediaFile.State.STORED)

    def forgettable(self, now: datetime) -> Self:
        """Files past their time that no message holds."""
        held = Part.objects.filter(media=models.OuterRef("pk"))
        return self.filter(~models.Exists(held), expires_at__lt=now)


class MediaFile(models.Model):
    """A file we keep: uploaded by an agent, or fetched from a provider for it. Links to it are made when shown."""

    class Source(models.TextChoices):
        UPLOAD = "upload"
        INBOUND = "inbound"

    class State(models.TextChoices):
        PENDING = "pending"  # at creation: its bytes are on their way
        STORED = "stored"  # once the storage has all of it
        FAILED = "failed"  # by the fetching job, for good

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="media_files")
    identity = models.ForeignKey(Identity, null=True, blank=True, on_delete=models.CASCADE, related_name="media_files")
    source = models.CharField(max_length=7, choices=Source)
    state = models.CharField(max_length=7, choices=State, default=State.PENDING)
    name = models.CharField(max_length=255, blank=True, help_text="As given; shown, never used as a path.")
    content_type = models.CharField(max_length=100, blank=True, help_text="By content, never by name.")
    size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    path = models.CharField(max_length=200, unique=True, help_text="Random name in the media storage.")
    account = models.ForeignKey(ProviderAccount, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    origin = models.CharField(max_length=2000, blank=True, help_text="Where the provider keeps it.")
    attempts = models.PositiveSmallIntegerField(default=0)
    problem = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(help_text="When it may be forgotten, unless a message holds it.")

    objects = MediaFileQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-created_at"], name="mediafile_org_newest"),
            models.Index(fields=["created_at"], name="mediafile_pending", condition=Q(state="pending")),
            models.Index(fields=["expires_at"], name="mediafile_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.content_type or 'file'} {self.id} ({self.state})"


class Part(models.Model):
    """One piece of a message, in order, with its own public id: a text or one attachment."""

    class Kind(models.TextChoices):
        TEXT = "text"
        MEDIA = "media"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="parts")
    index = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=5, choices=Kind)
    text = models.TextField(blank=True)
    url = models.URLField(max_length=2000, blank=True, help_text="Of a file that is not ours.")
    media = models.ForeignKey(MediaFile, null=True, blank=True, on_delete=models.SET_NULL, related_name="parts")
    content_type = models.CharField(max_length=100, blank=True)
    size = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message", "index"], name="part_index")]
        ordering: ClassVar[list[str]] = ["index"]

    def __str__(self) -> str:
        return f"{self.message_id}/{self.index}"

    @property
    def link(self) -> str:
        """Where the attachment can be fetched from now."""
        return media_link(self.media_id, self.content_type) if self.media_id else self.url


class TapbackQuerySet(TenantQuerySet["Tapback"]):
    def visible_to_agent(self, actor: Actor) -> Self:
        return self.filter(message__identity_id=actor.identity_id, message__is_blocked=False)

    def live(self) -> Self:
        return self.filter(ended_at=None)


class Tapback(models.Model):
    """A tapback that was put on a message part; live until replaced or removed, then kept."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="tapbacks")
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="tapbacks")
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="tapbacks")
    part_index = models.PositiveSmallIntegerField(default=0)
    direction = models.CharField(max_length=8, choices=Direction, help_text="Whose it is: the human's or the agent's.")
    kind = models.CharField(max_length=10, choices=TapbackKind)
    emoji = models.CharField(max_length=64, blank=True, help_text="Set for custom ones only.")
    human = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TapbackQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["message", "part_index", "direction"], condition=Q(ended_at=None), name="tapback_one_live"
            )
        ]
        ordering: ClassVar[list[str]] = ["created_at", "id"]

    def __str__(self) -> str:
        return f"{self.direction} {self.emoji or self.kind} on {self.message_id}"


class TapbackChangeQuerySet(TenantQuerySet["TapbackChange"]):
    def visible_to_agent(self, actor: Actor) -> Self:
        return self.filter(message__identity_id=actor.identity_id, message__is_blocked=False, is_blocked=False)

    def blocked(self) -> Self:
        return self.filter(is_blocked=True)


class TapbackChange(models.Model):
    """Every add, replace and remove of a tapback, blocked humans' included; nothing else keeps those."""

    class Action(models.TextChoices):
        ADD = "add"
        REPLACE = "replace"
        REMOVE = "remove"

    id = models.BigAutoField(primary_key=True)
    organization_id = models.UUIDField()
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="tapback_changes")
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="tapback_changes")
    tapback_id = models.UUIDField(null=True)
    part_index = models.PositiveSmallIntegerField(default=0)
    direction = models.CharField(max_length=8, choices=Direction)
    action = models.CharField(max_length=7, choices=Action)
    kind = models.CharField(max_length=10, choices=TapbackKind)
    emoji = models.CharField(max_length=64, blank=True)
    is_blocked = models.BooleanField(default=False)
    at = models.DateTimeField(default=timezone.now, help_text="By the provider's clock, if it told.")
    noted_at = models.DateTimeField(default=timezone.now, help_text="By our clock: from then on it was known.")

    objects = TapbackChangeQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["message", "at"], name="tapbackchange_message"),
            models.Index(fields=["conversation", "at"], name="tapbackchange_blocked", condition=Q(is_blocked=True)),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.emoji or self.kind} on {self.message_id}"


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
