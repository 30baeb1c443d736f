"""Every exchange with a provider: what it told us, and each call that sends a text."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from core.ids import uuid7
from lines.models.lines import Line, ProviderAccount


class Callback(models.Model):
    """One thing a provider told us, raw: stored before it is understood, kept after."""

    class State(models.TextChoices):
        STORED = "stored"  # by the request that brought it; its job is queued in the same transaction
        APPLIED = "applied"  # by the job
        WAITING = "waiting"  # by the job: what it speaks of is not here yet; a sweep tries again
        UNROUTED = "unrouted"  # by the job: no live route; kept for the operator
        UNMATCHED = "unmatched"  # by the sweep: what it speaks of never came
        UNRECOGNISED = "unrecognised"  # by the job: a type or shape the driver does not know

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(ProviderAccount, on_delete=models.PROTECT, related_name="callbacks")
    event_key = models.CharField(max_length=200)
    thread = models.CharField(max_length=210, blank=True, help_text="line/human; callbacks of one are read in order.")
    body = models.BinaryField()
    order_key = models.CharField(max_length=36, blank=True, help_text="The order that its path named.")
    late = models.BooleanField(default=False, help_text="Found by a poll, not brought by a callback.")
    # What it came to, for the line's health; without an index: whoever asks reads all of a time.
    kind = models.CharField(
        max_length=20,
        blank=True,
        default="",
        db_default="",
        help_text="Of its first report: text, status...",
    )
    line = models.ForeignKey(Line, null=True, blank=True, on_delete=models.SET_NULL, db_index=False, related_name="+")
    human = models.CharField(max_length=100, blank=True, default="", db_default="")
    provider_at = models.DateTimeField(null=True, blank=True, help_text="When it happened, as the provider says.")
    state = models.CharField(max_length=15, choices=State, default=State.STORED)
    detail = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    received_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "event_key"], name="callback_once")]
        indexes = [
            models.Index(fields=["received_at"], name="callback_open", condition=Q(state__in=["stored", "waiting"]))
        ]

    def __str__(self) -> str:
        return f"{self.event_key} ({self.state})"


class DispatchQuerySet(models.QuerySet["Dispatch"]):
    def open(self) -> Self:
        """Calls whose outcome is not known: under way, or lost."""
        return self.filter(outcome__in=Dispatch.OPEN)


class Dispatch(models.Model):
    """One call to a provider that sends a text: written before the call, completed after it.

    At most one dispatch of an order is open or accepted: the constraint is what keeps a human from being
    texted twice.
    """

    class Kind(models.TextChoices):
        MESSAGE = "message"
        ROUTER = "router"
        TEST = "test"  # an operator's own text to their own phone; no message stands behind it

    class Outcome(models.TextChoices):
        IN_FLIGHT = "in_flight"  # by the claim, before the call
        ACCEPTED = "accepted"  # by the provider's answer, by find_sent or by a status report
        REFUSED = "refused"  # by the provider's answer: nothing left
        UNKNOWN = "unknown"  # by a lost answer or a dead worker
        FAILED = "failed"  # by a report after acceptance that makes room for a fallback: nothing reached the phone
        NOT_SENT = "not_sent"  # by find_sent, asked often enough: nothing left

    # What stands for the human where the text goes into a group, before the conversation's id.
    TO_GROUP = "group:"
    OPEN = (Outcome.IN_FLIGHT, Outcome.UNKNOWN)
    STANDING = (*OPEN, Outcome.ACCEPTED)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=10, choices=Kind)
    order_id = models.UUIDField(help_text="The message or router message; also the key given to the provider.")
    attempt = models.PositiveSmallIntegerField()
    line = models.ForeignKey(Line, on_delete=models.PROTECT, related_name="dispatches")
    human = models.CharField(max_length=100)
    text = models.TextField(blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.IN_FLIGHT)
    handle = models.CharField(max_length=200, blank=True, help_text="The provider's id of the text.")
    service = models.CharField(max_length=8, default="imessage", help_text="What was asked for.")
    first_contact = models.BooleanField(default=False, help_text="Counts against the line's new contacts.")
    provider_state = models.CharField(max_length=30, blank=True)
    error_class = models.CharField(max_length=30, blank=True)
    counts_against_line = models.BooleanField(default=False, help_text="Whether the error is a sign of the line's.")
    error_code = models.CharField(max_length=60, blank=True)
    error_text = models.CharField(max_length=500, blank=True)
    generation = models.PositiveSmallIntegerField(
        default=1, help_text="Rises with every worker that takes the call over; a frozen one's late word is refused."
    )
    lookups = models.PositiveSmallIntegerField(default=0, help_text="Honest answers of find_sent that found nothing.")
    next_lookup_at = models.DateTimeField(null=True, blank=True)
    claimed_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True, blank=True)
    # What was reported of an accepted text later; the line's health is measured by it.
    delivered_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    was_downgraded = models.BooleanField(null=True)
    answered_at = models.DateTimeField(null=True, blank=True, help_text="Of a first contact: when the human wrote.")

    objects = DispatchQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "dispatches"
        constraints = [
            models.UniqueConstraint(fields=["order_id", "attempt"], name="dispatch_attempt"),
            models.UniqueConstraint(
                fields=["order_id"],
                condition=Q(outcome__in=["in_flight", "unknown", "accepted"]),
                name="dispatch_one_standing",
            ),
        ]
        indexes = [
            models.Index(fields=["line", "handle"], name="dispatch_handle", condition=~Q(handle="")),
            models.Index(fields=["line", "human"], name="dispatch_first", condition=Q(first_contact=True)),
            models.Index(fields=["line", "claimed_at"], name="dispatch_pace"),
            models.Index(fields=["line", "claimed_at"], name="dispatch_new", condition=Q(first_contact=True)),
            models.Index(
                fields=["claimed_at"], name="dispatch_open", condition=Q(outcome__in=["in_flight", "unknown"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}#{self.attempt} {self.outcome}"

    @property
    def is_to_group(self) -> bool:
        return self.human.startswith(self.TO_GROUP)
