"""Blocked messages that are let through afterwards."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Identity, Organization
from core.actor import Actor, TenantQuerySet
from core.ids import uuid7
from imessage.models.conversations import Conversation


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
