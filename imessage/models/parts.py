"""What a message consists of, and the files that are kept for it."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Identity, Organization
from core.actor import Actor, TenantQuerySet
from core.ids import uuid7
from imessage.links import media_link
from imessage.models.conversations import Conversation
from imessage.models.messages import Message
from lines.models import ProviderAccount


class MediaFileQuerySet(TenantQuerySet["MediaFile"]):
    def visible_to_agent(self, actor: Actor) -> Self:
        """Its own, and what an admin uploaded for all; never what came with a blocked message."""
        own = Q(identity_id=actor.identity_id) | Q(identity=None)
        return self.filter(own).exclude(parts__message__is_blocked=True)

    def stored(self) -> Self:
        return self.filter(state=MediaFile.State.STORED)

    def forgettable(self, now: datetime) -> Self:
        """Files past their time that no message holds and that stand behind no thread."""
        held = Part.objects.filter(media=models.OuterRef("pk"))
        shown = Conversation.objects.filter(background_id=models.OuterRef("pk"))
        return self.filter(~models.Exists(held), ~models.Exists(shown), expires_at__lt=now)


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
