"""Who may reach whom: the rules of each identity, every change of them, and every verdict they gave."""

from typing import Any, Self

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
    rehearsal_id = models.UUIDField(null=True, help_text="The rehearsal that was applied by it.")
    at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["identity", "number"], name="revision_number")]
        indexes = [models.Index(fields=["rule_id", "-id"], name="revision_rule", condition=Q(rule_id__isnull=False))]

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
            models.Index(fields=["rule_id", "-at"], name="decision_rule_at", condition=Q(rule_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.direction} {self.human}: {'allowed' if self.allowed else 'blocked'}"


class UntoldQuerySet(TenantQuerySet[Any]):
    """Of operators alone: what a draft would block is never heard of by an agent."""

    def visible_to_agent(self, actor: Actor) -> Self:
        return self.none()


class Rehearsal(models.Model):
    """What a draft would have changed: the whole set of rules judged twice over the decisions of a period."""

    class State(models.TextChoices):
        WAITING = "waiting"  # at creation, until somebody runs it
        RUNNING = "running"  # by `rehearsal.run`, or the job of a long one
        DONE = "done"  # by `rehearsal.run`
        FAILED = "failed"  # by the job, when it could not be run to the end

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="rehearsals")
    identity = models.ForeignKey(
        Identity, null=True, blank=True, on_delete=models.CASCADE, related_name="rehearsals", help_text="Empty: all."
    )
    draft = models.JSONField(help_text="See contactrules/reach.py.")
    since = models.DateTimeField()
    until = models.DateTimeField()
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    read = models.PositiveIntegerField(default=0, help_text="Decisions judged so far.")
    total = models.PositiveIntegerField(default=0, help_text="Decisions of the period.")
    counts = models.JSONField(default=dict)
    covered_from = models.DateTimeField(null=True, help_text="The first decision that is kept of the whole history.")
    revisions = models.JSONField(default=dict, help_text="Each identity's revision that was judged, by its id.")
    created_by = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    applied_by = models.JSONField(null=True)
    applied_at = models.DateTimeField(null=True)
    discarded_at = models.DateTimeField(null=True)

    objects = UntoldQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["organization", "-created_at", "-id"], name="rehearsal_org_newest")]

    def __str__(self) -> str:
        return f"rehearsal of {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def is_done(self) -> bool:
        return self.state == self.State.DONE

    @property
    def is_open(self) -> bool:
        """Whether it may still be applied, turned into a shadow or discarded."""
        return self.is_done and self.applied_at is None and self.discarded_at is None


class RehearsalPerson(models.Model):
    """One human whose messages, sends or thread a rehearsed draft would change; the most affected are kept."""

    id = models.BigAutoField(primary_key=True)
    organization_id = models.UUIDField()
    rehearsal = models.ForeignKey(Rehearsal, on_delete=models.CASCADE, related_name="people")
    rank = models.PositiveIntegerField(help_text="1 is who would be changed most.")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="+")
    human = models.CharField(max_length=100)
    loses = models.BooleanField(help_text="Whether anything would be blocked that is not today.")
    gains = models.BooleanField(help_text="Whether anything would pass that does not today.")
    messages = models.PositiveIntegerField(default=0, help_text="The human's messages whose verdict changes.")
    sends = models.PositiveIntegerField(default=0, help_text="The agent's sends whose verdict changes.")
    connects = models.PositiveIntegerField(default=0, help_text="Attempts to connect whose verdict changes.")
    tapbacks = models.PositiveIntegerField(default=0, help_text="The human's tapbacks whose verdict changes.")
    has_live_thread = models.BooleanField(default=False)
    last_at = models.DateTimeField(null=True, help_text="The last decision about them in the period.")

    objects = UntoldQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "rehearsal people"
        constraints = [models.UniqueConstraint(fields=["rehearsal", "rank"], name="rehearsal_rank")]

    def __str__(self) -> str:
        return f"{self.human} in {self.rehearsal_id}"


class Shadow(models.Model):
    """A draft that is judged beside the real rules for some days, and changes nothing."""

    class State(models.TextChoices):
        RUNNING = "running"  # at creation
        ENDED = "ended"  # by the periodic job, when its time is over
        PROMOTED = "promoted"  # by an admin, who put the draft in force
        STOPPED = "stopped"  # by an admin, before its time

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="shadows")
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="shadows")
    draft = models.JSONField(help_text="See contactrules/reach.py.")
    state = models.CharField(max_length=8, choices=State, default=State.RUNNING)
    reason = models.CharField(max_length=500, blank=True)
    rehearsal = models.ForeignKey(Rehearsal, null=True, blank=True, on_delete=models.SET_NULL, related_name="shadows")
    started_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    judged_to = models.DateTimeField(help_text="Decisions up to here have their second verdict.")
    created_by = models.JSONField()
    ended_by = models.JSONField(null=True)

    objects = UntoldQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["identity"], condition=Q(state="running"), name="shadow_one_running")
        ]
        indexes = [models.Index(fields=["organization", "-started_at", "-id"], name="shadow_org_newest")]

    def __str__(self) -> str:
        return f"shadow on {self.identity_id}, {self.state}"

    @property
    def is_running(self) -> bool:
        return self.state == self.State.RUNNING


class ShadowVerdict(models.Model):
    """The verdict that a shadow's draft gives on a decision, beside the one that was acted on."""

    id = models.BigAutoField(primary_key=True)
    organization_id = models.UUIDField()
    shadow = models.ForeignKey(Shadow, on_delete=models.CASCADE, related_name="verdicts")
    decision_id = models.BigIntegerField()
    human = models.CharField(max_length=100)
    direction = models.CharField(max_length=8, choices=Decision.Direction)
    subject = models.CharField(max_length=8, choices=Decision.Subject)
    message_id = models.UUIDField(null=True)
    allowed = models.BooleanField(help_text="As it was decided.")
    would_allow = models.BooleanField(help_text="As the draft decides.")
    at = models.DateTimeField(help_text="When it was decided.")
    judged_at = models.DateTimeField(default=timezone.now, help_text="When the second verdict was given.")

    objects = UntoldQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["shadow", "decision_id"], name="shadow_verdict_once")]
        indexes = [
            models.Index(
                fields=["organization_id", "shadow", "human", "at"],
                name="shadow_verdict_differs",
                condition=~Q(allowed=models.F("would_allow")),
            )
        ]

    def __str__(self) -> str:
        return f"{self.direction} {self.human}: would be {'allowed' if self.would_allow else 'blocked'}"

    @property
    def differs(self) -> bool:
        return self.allowed != self.would_allow
