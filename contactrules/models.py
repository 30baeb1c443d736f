"""Who may reach whom: the rules of each identity, every change of them, and every verdict they gave."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Identity, Organization
from core.actor import Actor, TenantQuerySet
from core.ids import uuid7


class ContactRuleQuerySet(TenantQuerySet["ContactRule"]):
    def active(self) -> Self:
        return self.filter(status=ContactRule.Status.ACTIVE)

    def covering(self, direction: str) -> Self:
        """Rules that judge this direction, or for `both` any of the two."""
        if direction == ContactRule.Direction.BOTH:
            return self
        return self.filter(direction__in=[direction, ContactRule.Direction.BOTH])


class ContactRule(models.Model):
    """An allow or a block for one number on one identity; a paused one has no effect but keeps its place."""

    class Action(models.TextChoices):
        ALLOW = "allow"
        BLOCK = "block"

    class MatchType(models.TextChoices):
        EXACT_NUMBER = "exact_number"

    class Status(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"

    class Direction(models.TextChoices):
        INBOUND = "inbound"  # judges what the human sends
        OUTBOUND = "outbound"  # judges what the agent sends
        BOTH = "both"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="contact_rules")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="contact_rules")
    action = models.CharField(max_length=5, choices=Action)
    match_type = models.CharField(max_length=15, choices=MatchType, default=MatchType.EXACT_NUMBER)
    match_target = models.CharField(max_length=16)
    status = models.CharField(max_length=6, choices=Status, default=Status.ACTIVE)
    direction = models.CharField(max_length=8, choices=Direction, default=Direction.BOTH)
    created_by = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = ContactRuleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["identity", "match_type", "match_target"],
                condition=~Q(direction="outbound"),
                name="rule_one_inbound",
            ),
            models.UniqueConstraint(
                fields=["identity", "match_type", "match_target"],
                condition=~Q(direction="inbound"),
                name="rule_one_outbound",
            ),
        ]
        indexes = [models.Index(fields=["organization", "identity", "-created_at", "-id"], name="rule_org_newest")]

    def __str__(self) -> str:
        return f"{self.action} {self.match_target} on {self.identity_id}"


class RuleRevision(models.Model):
    """One numbered row per change of an identity's reach: a rule added, changed or removed, or the mode flipped."""

    id = models.BigAutoField(primary_key=True)
    organization_id = models.UUIDField()
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="rule_revisions")
    number = models.PositiveIntegerField()
    change = models.CharField(max_length=20, help_text="rule_created, rule_updated, rule_deleted or mode_changed")
    rule_id = models.UUIDField(null=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    mode = models.CharField(max_length=10, choices=Identity.FilterMode, help_text="After the change.")
    outbound_mode = models.CharField(
        max_length=10, choices=Identity.FilterMode, blank=True, default="", help_text="Empty: the same as mode."
    )
    actor = models.JSONField()
    reason = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["identity", "number"], name="revision_number")]

    def __str__(self) -> str:
        return f"{self.identity_id} r{self.number} {self.change}"


class DecisionQuerySet(TenantQuerySet["Decision"]):
    def visible_to_agent(self, actor: Actor) -> Self:
        """A verdict that blocked would tell of a text that the agent must never hear of."""
        return self.filter(identity_id=actor.identity_id, allowed=True)


class Decision(models.Model):
    """One verdict that was given, kept so that any change of rules can be rehearsed against what happened."""

    class Direction(models.TextChoices):
        INBOUND = "inbound"
        OUTBOUND = "outbound"

    class Subject(models.TextChoices):
        CONNECT = "connect"
        MESSAGE = "message"
        TAPBACK = "tapback"
        RECEIPT = "receipt"

    id = models.BigAutoField(primary_key=True)
    organization_id = models.UUIDField()
    identity_id = models.UUIDField()
    human = models.CharField(max_length=100)
    direction = models.CharField(max_length=8, choices=Direction)
    subject = models.CharField(max_length=8, choices=Subject)
    allowed = models.BooleanField()
    mode = models.CharField(max_length=10, choices=Identity.FilterMode)
    revision = models.PositiveIntegerField()
    rule_id = models.UUIDField(null=True)
    message_id = models.UUIDField(null=True)
    at = models.DateTimeField(default=timezone.now)

    objects = DecisionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organization_id", "identity_id", "-at"], name="decision_identity_at"),
            models.Index(fields=["message_id"], name="decision_message", condition=Q(message_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.direction} {self.human}: {'allowed' if self.allowed else 'blocked'}"
