"""What is kept of a line's health: its readings, its hours, its incidents and the alerts about it."""

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from core.ids import uuid7
from lines.models.lines import Line, ProviderAccount


class LineHealth(models.Model):
    """The last measurement of a line, and what the next reading has to know of the ones before."""

    line = models.OneToOneField(Line, on_delete=models.CASCADE, primary_key=True, related_name="health")
    signals = models.JSONField(default=dict, blank=True, help_text="By name: value, sample, when, level.")
    measured_at = models.DateTimeField(null=True, blank=True)
    worse_readings = models.PositiveSmallIntegerField(default=0, help_text="In a row, that would make it worse.")
    better_readings = models.PositiveSmallIntegerField(default=0, help_text="In a row, that would make it better.")
    troubled_at = models.DateTimeField(null=True, blank=True, help_text="The last reading with any cause.")
    failed_probes = models.PositiveIntegerField(default=0, help_text="In a row.")
    helper_lost_at = models.DateTimeField(null=True, blank=True)
    counted_from = models.DateTimeField(
        null=True, blank=True, help_text="Sends before are forgiven: it came back from what they had shown."
    )
    queue_oldest_at = models.DateTimeField(null=True, blank=True, help_text="The oldest text that is due.")
    queue_depth = models.PositiveIntegerField(default=0)
    muted_until = models.DateTimeField(null=True, blank=True, help_text="Alerts about it go out to nobody till then.")
    probed_by_hand_at = models.DateTimeField(null=True, blank=True)
    repaired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "line health"

    def __str__(self) -> str:
        return f"health of {self.line_id}"


class AccountHealth(models.Model):
    """What is watched of a whole provider account: how many callbacks it has refused, now and in the last hour."""

    account = models.OneToOneField(ProviderAccount, on_delete=models.CASCADE, primary_key=True, related_name="health")
    refusals = models.JSONField(default=list, blank=True, help_text="Pairs of a moment and the count till then.")

    class Meta:
        verbose_name_plural = "account health"

    def __str__(self) -> str:
        return f"health of {self.account_id}"


class LineReading(models.Model):
    """What one probe saw; kept for a week, for the operator."""

    id = models.BigAutoField(primary_key=True)
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="readings")
    at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10)
    reasons = models.JSONField(default=list, blank=True)
    reachable = models.BooleanField(null=True)
    authenticated = models.BooleanField(null=True)
    provider_state = models.CharField(max_length=60, blank=True)
    addresses = models.JSONField(default=list, blank=True)
    clock_offset = models.FloatField(null=True, blank=True, help_text="The provider's clock less ours, in seconds.")
    software = models.CharField(max_length=60, blank=True)
    new_contacts_hour = models.IntegerField(null=True, blank=True, help_text="Left, as the provider says.")
    new_contacts_day = models.IntegerField(null=True, blank=True, help_text="Left, as the provider says.")
    resets_at = models.DateTimeField(null=True, blank=True)
    reputation = models.CharField(max_length=60, blank=True)
    raw = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes = [models.Index(fields=["line", "-at"], name="linereading_line_at")]

    def __str__(self) -> str:
        return f"{self.line_id} {self.state} at {self.at:%Y-%m-%d %H:%M:%S}"


class LineHour(models.Model):
    """What a line did in one hour: the grain of its spark lines and of everything measured over days."""

    id = models.BigAutoField(primary_key=True)
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="hours")
    hour = models.DateTimeField()
    outbound = models.PositiveIntegerField(default=0, help_text="Calls that sent a text, or tried.")
    accepted = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0, help_text="Errors that count against the line.")
    delivered = models.PositiveIntegerField(default=0)
    downgraded = models.PositiveIntegerField(default=0)
    delivery_p50 = models.FloatField(null=True, blank=True, help_text="Seconds from accepted to delivered.")
    inbound = models.PositiveIntegerField(default=0, help_text="Texts of humans.")
    late = models.PositiveIntegerField(default=0, help_text="Found by the poll alone.")
    opted_out = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["line", "hour"], name="linehour_line_hour")]
        indexes = [models.Index(fields=["hour"], name="linehour_hour")]

    def __str__(self) -> str:
        return f"{self.line_id} {self.hour:%Y-%m-%d %H}h"


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> Self:
        return self.filter(closed_at=None)


class Incident(models.Model):
    """A time in which a line was worse than healthy, with its cause and the humans it touched."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="incidents")
    cause = models.CharField(max_length=60, help_text="The code of what began it.")
    causes = models.JSONField(default=list, help_text="All that was seen in its course, in order.")
    worst = models.CharField(max_length=10, help_text="The worst that was seen.")
    opened_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)
    opened_by = models.JSONField()
    closed_by = models.JSONField(null=True, blank=True)
    touched = models.PositiveIntegerField(default=0, help_text="Humans; who they are is in their own table.")

    objects = IncidentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line"], condition=Q(closed_at=None), name="incident_one_open"),
        ]
        indexes = [models.Index(fields=["line", "-opened_at"], name="incident_line_opened")]

    def __str__(self) -> str:
        return f"{self.cause} on {self.line_id}"


class IncidentHuman(models.Model):
    """A human whom an incident touched, and how."""

    class How(models.TextChoices):
        HELD = "held"  # a text to them waited
        FAILED = "failed"  # a text to them failed
        UNKNOWN = "unknown"  # nobody knows whether a text reached them
        UNCONFIRMED = "unconfirmed"  # a text was taken and its arrival never told
        LATE = "late"  # what they wrote was found late

    id = models.BigAutoField(primary_key=True)
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="humans")
    human = models.CharField(max_length=100)
    how = models.CharField(max_length=12, choices=How)
    texts = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["incident", "human", "how"], name="incidenthuman_once")]

    def __str__(self) -> str:
        return f"{self.human} {self.how}"


class LineNote(models.Model):
    """What an operator wrote down about a line, or about one of its incidents."""

    id = models.BigAutoField(primary_key=True)
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="notes")
    incident = models.ForeignKey(Incident, null=True, blank=True, on_delete=models.CASCADE, related_name="notes")
    text = models.TextField()
    actor = models.JSONField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["line", "-at"], name="linenote_line_at")]

    def __str__(self) -> str:
        return self.text[:60]


class LineCap(models.Model):
    """A limit of a line that an operator changed: who, why, and until when."""

    id = models.BigAutoField(primary_key=True)
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="caps")
    name = models.CharField(max_length=40)
    before = models.FloatField(null=True, blank=True, help_text="The line's own setting before; null when it had none.")
    value = models.FloatField()
    reason = models.CharField(max_length=300)
    actor = models.JSONField()
    at = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line", "name"], condition=Q(ended_at=None), name="linecap_one_standing"),
        ]

    def __str__(self) -> str:
        return f"{self.name} = {self.value:g}"


class AlertQuerySet(models.QuerySet["Alert"]):
    def open(self) -> Self:
        return self.filter(closed_at=None)


class Alert(models.Model):
    """Somebody should look: one per line and cause, closed by itself when the cause is gone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    line = models.ForeignKey(Line, null=True, blank=True, on_delete=models.CASCADE, related_name="alerts")
    account = models.ForeignKey(ProviderAccount, null=True, blank=True, on_delete=models.CASCADE, related_name="alerts")
    cause = models.CharField(max_length=60)
    words = models.CharField(max_length=300)
    opened_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.JSONField(null=True, blank=True)
    muted_until = models.DateTimeField(null=True, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["line", "account", "cause"],
                condition=Q(closed_at=None),
                nulls_distinct=False,
                name="alert_one_open",
            ),
        ]
        indexes = [models.Index(F("opened_at").desc(), name="alert_opened")]

    def __str__(self) -> str:
        return self.words


class AlertNotice(models.Model):
    """One message about an alert over one channel, tried until it is taken or given up."""

    class Channel(models.TextChoices):
        EMAIL = "email"
        WEBHOOK = "webhook"

    class State(models.TextChoices):
        QUEUED = "queued"  # with the alert
        SENT = "sent"  # by the job: taken
        MUTED = "muted"  # by the alert: somebody wanted quiet
        GIVEN_UP = "given_up"  # by the job, after its last attempt

    id = models.BigAutoField(primary_key=True)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="notices")
    channel = models.CharField(max_length=10, choices=Channel)
    is_closing = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    problem = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["next_attempt_at"], name="alertnotice_due", condition=Q(state="queued")),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.state}"
