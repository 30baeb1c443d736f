"""Provider accounts, the lines they hold, and what changed about a line."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Count, F, Q
from django.db.models.functions import Cast, Greatest
from django.utils import timezone

from accounts.models import Organization
from core.actor import Actor, Role
from core.ids import uuid7


class ProviderAccount(models.Model):
    """One set of credentials with one provider; it may hold many lines."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=30, help_text="Name of the driver in lines/providers.")
    name = models.CharField(max_length=100, unique=True)
    base_url = models.URLField(help_text="An operator's setting; skips the outbound guard.")
    sealed_token = models.TextField(help_text="Credential for calls out, encrypted.")
    sealed_callback_secret = models.TextField(help_text="Proves callbacks, encrypted.")
    former_callback_secrets = models.JSONField(
        default=list, blank=True, help_text="Still valid for a while: sealed, and until when."
    )
    settings = models.JSONField(
        default=dict, blank=True, help_text="What the driver of this provider wants to know; docs/reference/lines.md."
    )
    limits = models.JSONField(default=dict, blank=True, help_text="Pace where it differs from the usual.")
    region = models.CharField(max_length=2, blank=True, help_text="Country of its lines, ISO 3166.")
    poll_cursor = models.TextField(blank=True)
    callbacks_refused = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class LineQuerySet(models.QuerySet["Line"]):
    def in_service(self) -> Self:
        return self.filter(wanted=Line.Wanted.IN_SERVICE)

    def taking_connections(self) -> Self:
        """Pool lines that may be given to a new connection (contract/lines.md 7.3)."""
        healthy = self.in_service().filter(kind=Line.Kind.POOL, seen=Line.Seen.HEALTHY)
        return healthy.filter(service=Line.Service.IMESSAGE)

    def flowing(self) -> Self:
        """Lines whose queues are not held; the same rule as `Line.holds_queue`."""
        return self.exclude(wanted__in=Line.HOLDING_WANTED).exclude(seen__in=Line.HOLDING_SEEN)

    def routers(self) -> Self:
        return self.in_service().filter(kind=Line.Kind.ROUTER)

    def with_load(self, now: datetime) -> Self:
        """With `talking` humans of the last 24 hours, the `share` of the capacity that they are, `carried` connections,
        and the strangers written to first (`opened_day`, `opened_hour`)."""
        day = now - timedelta(days=1)
        return self.annotate(
            talking=Count("routes", filter=Q(routes__last_traffic_at__gt=day)),
            carried=Count("routes", filter=Q(routes__held_until=None)),
            opened_day=Count("routes", filter=Q(routes__opened_at__gt=day)),
            opened_hour=Count("routes", filter=Q(routes__opened_at__gt=now - timedelta(hours=1))),
            share=Cast(F("talking"), models.FloatField()) / Greatest(F("capacity"), 1),
        )

    def visible_to(self, actor: Actor) -> Self:
        """Dedicated lines of the actor's organization; shared lines are hidden from every tenant."""
        if actor.role is Role.OPERATOR:
            return self
        rows = self.ever_of(actor).filter(released_at=None)
        return rows.exclude(wanted=Line.Wanted.RETIRED)

    def ever_of(self, actor: Actor) -> Self:
        """Dedicated lines that are or were the actor's organization's; for a bound key its identity's of now."""
        if actor.role is Role.OPERATOR:
            return self.filter(kind=Line.Kind.DEDICATED).exclude(organization=None)
        rows = self.filter(kind=Line.Kind.DEDICATED, organization_id=actor.organization_id)
        return rows.filter(routes__identity_id=actor.identity_id, routes__held_until=None) if actor.is_agent else rows

    def claimable(self) -> Self:
        """Dedicated lines in service that nobody owns."""
        return self.in_service().filter(kind=Line.Kind.DEDICATED, organization=None, routes=None)


class Line(models.Model):
    """One address that a provider can send from."""

    class Kind(models.TextChoices):
        POOL = "pool"
        ROUTER = "router"
        DEDICATED = "dedicated"

    class Wanted(models.TextChoices):
        PROVISIONING = "provisioning"  # at creation
        IN_SERVICE = "in_service"  # by an operator
        DRAINING = "draining"  # by an operator: no new connections
        PAUSED = "paused"  # by an operator: the queue is held
        RETIRED = "retired"  # by an operator, for good

    class Service(models.TextChoices):
        IMESSAGE = "imessage"
        SMS = "sms"  # carries what iMessage cannot reach, and nothing else

    class Seen(models.TextChoices):
        UNKNOWN = "unknown"  # no proof of life yet, or too old
        HEALTHY = "healthy"  # a good probe or a proven callback
        DEGRADED = "degraded"  # a probe with reasons
        DOWN = "down"  # a probe or a call that says so
        FLAGGED = "flagged"  # the provider's verdict

    class Allowance(models.TextChoices):
        OPEN = "open"  # new humans may be written to
        AT_CAP = "at_cap"  # by the provider's word or our count, until it resets
        SLOWED = "slowed"  # while the line's pace rises after a flag or a long pause

    # Texts wait on such a line instead of being sent (contract/lines.md 7.3).
    HOLDING_WANTED = (Wanted.PAUSED, Wanted.RETIRED, Wanted.PROVISIONING)
    HOLDING_SEEN = (Seen.DOWN, Seen.FLAGGED)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(ProviderAccount, on_delete=models.PROTECT, related_name="lines")
    organization = models.ForeignKey(
        Organization,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="lines",
        help_text="Whose dedicated line it is; null while nobody has claimed it, and on shared lines.",
    )
    address = models.CharField(max_length=100, unique=True, help_text="E.164, or an Apple ID e-mail.")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.POOL)
    service = models.CharField(max_length=8, choices=Service, default=Service.IMESSAGE)
    region = models.CharField(max_length=2, blank=True, help_text="Country, ISO 3166; empty: the account's.")
    domain = models.CharField(
        max_length=100, blank=True, help_text="What fails with it: the Mac, the Apple account or the carrier."
    )
    capacity = models.PositiveIntegerField(default=150, help_text="Humans with traffic in 24 hours.")
    most_connections = models.PositiveIntegerField(default=1000, help_text="Connections in all.")
    limits = models.JSONField(default=dict, blank=True, help_text="Pace where it differs from the account's.")
    ramp_since = models.DateTimeField(
        null=True, blank=True, help_text="When it came back from a flag or a long pause; its pace rises for two days."
    )
    paced_until = models.DateTimeField(
        null=True, blank=True, help_text="The provider asked for patience; nothing is sent before."
    )
    wanted = models.CharField(max_length=15, choices=Wanted, default=Wanted.PROVISIONING)
    seen = models.CharField(max_length=10, choices=Seen, default=Seen.UNKNOWN)
    seen_reasons = models.JSONField(default=list, blank=True)
    seen_since = models.DateTimeField(default=timezone.now)
    lost_capabilities = models.JSONField(default=list, blank=True, help_text="What the last probe found gone.")
    allowance = models.CharField(max_length=10, choices=Allowance, default=Allowance.OPEN, db_default="open")
    allowance_until = models.DateTimeField(null=True, blank=True)
    proof_of_life_at = models.DateTimeField(null=True, blank=True)
    last_given_at = models.DateTimeField(null=True, blank=True, help_text="When a new connection last got it.")
    advertised_at = models.DateTimeField(
        null=True, blank=True, help_text="Routers: since when its number is the one that is shown."
    )
    replaced_at = models.DateTimeField(
        null=True, blank=True, help_text="Routers: when another took its place; it names that one for 30 days."
    )
    claimed_at = models.DateTimeField(null=True, blank=True, help_text="Dedicated: since when it is somebody's.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Dedicated: when its owner gives it back.")
    external_id = models.CharField(max_length=255, blank=True, default="", db_default="", help_text="Its owner's name.")
    failover = models.JSONField(
        default=dict, blank=True, db_default={}, help_text="Which of its owner's numbers may stand in for it."
    )
    contact_card = models.JSONField(default=dict, blank=True, db_default={}, help_text="Who humans see it as.")
    released_at = models.DateTimeField(
        null=True, blank=True, help_text="Dedicated: when its owner gave it back; an operator may offer it again."
    )
    created_at = models.DateTimeField(default=timezone.now)

    objects = LineQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(organization=None) | Q(kind="dedicated"), name="line_owned_only_dedicated"
            )
        ]
        indexes = [models.Index(fields=["kind", "wanted", "seen"], name="line_pick")]

    def __str__(self) -> str:
        return self.address

    @property
    def holds_queue(self) -> bool:
        """Whether texts for this line wait instead of being sent."""
        return self.wanted in self.HOLDING_WANTED or self.seen in self.HOLDING_SEEN


class LineEvent(models.Model):
    """A change of what we see of a line or want from it, with the reason."""

    id = models.BigAutoField(primary_key=True)
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="events")
    column = models.CharField(max_length=10, choices=[(name, name) for name in ("wanted", "seen", "allowance")])
    before = models.CharField(max_length=15)
    after = models.CharField(max_length=15)
    reason = models.CharField(max_length=300)
    readings = models.JSONField(default=dict, blank=True, help_text="What was measured then and was not good.")
    actor = models.JSONField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["line", "-at"], name="lineevent_line_at")]

    def __str__(self) -> str:
        return f"{self.line_id}: {self.before} → {self.after}"
