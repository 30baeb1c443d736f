"""Live tapbacks, and every change of one."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Organization
from core.actor import Actor, TenantQuerySet
from core.ids import uuid7
from imessage.models.connections import Connection
from imessage.models.conversations import Conversation
from imessage.models.messages import Message
from imessage.models.words import Direction, TapbackKind


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
    connection = models.ForeignKey(
        Connection,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="tapbacks",
        help_text="Null in groups.",
    )
    part_index = models.PositiveSmallIntegerField(default=0)
    direction = models.CharField(max_length=8, choices=Direction, help_text="Whose it is: the human's or the agent's.")
    kind = models.CharField(max_length=10, choices=TapbackKind)
    emoji = models.CharField(max_length=64, blank=True, help_text="Set for custom ones only.")
    human = models.CharField(
        max_length=100, blank=True, help_text="The one it is with; in a group whose it is, empty for the agent's."
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TapbackQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["message", "part_index", "direction", "human"],
                condition=Q(ended_at=None),
                name="tapback_one_live",
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
    human = models.CharField(max_length=100, blank=True, default="", db_default="", help_text="As on the tapback.")
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
