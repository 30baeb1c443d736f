"""Lines that carry conversations, who is routed where on them, and every exchange with their providers."""

from datetime import timedelta
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Identity, Organization
from core.actor import Actor, Role
from core.ids import uuid7

# A released pair stays reserved so long: providers call a contact new again after 30 days (contract/lines.md 6.2).
RESERVED_FOR = timedelta(days=30)

ANY_HUMAN = "*"


class ProviderAccount(models.Model):
    """One set of credentials with one provider; it may hold many lines."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=30, help_text="Name of the driver in lines/providers.")
    name = models.CharField(max_length=100, unique=True)
    base_url = models.URLField(help_text="An operator's setting; skips the outbound guard.")
    sealed_token = models.TextField(help_text="Credential for calls out, encrypted.")
    sealed_callback_secret = models.TextField(help_text="Proves callbacks, encrypted.")
    poll_cursor = models.CharField(max_length=200, blank=True)
    callbacks_refused = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class LineQuerySet(models.QuerySet["Line"]):
    def in_service(self) -> Self:
        return self.filter(wanted=Line.Wanted.IN_SERVICE)

    def taking_connections(self) -> Self:
        """Pool lines that may be given to a new connection (contract/lines.md 7.3)."""
        return self.in_service().filter(kind=Line.Kind.POOL, seen=Line.Seen.HEALTHY)

    def flowing(self) -> Self:
        """Lines whose queues are not held; the same rule as `Line.holds_queue`."""
        return self.exclude(wanted__in=Line.HOLDING_WANTED).exclude(seen__in=Line.HOLDING_SEEN)

    def routers(self) -> Self:
        return self.in_service().filter(kind=Line.Kind.ROUTER)

    def visible_to(self, actor: Actor) -> Self:
        """Dedicated lines of the actor's organization; shared lines are hidden from every tenant."""
        if actor.role is Role.OPERATOR:
            return self
        rows = self.filter(kind=Line.Kind.DEDICATED, organization_id=actor.organization_id)
        rows = rows.exclude(wanted=Line.Wanted.RETIRED)
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

    class Seen(models.TextChoices):
        UNKNOWN = "unknown"  # no proof of life yet, or too old
        HEALTHY = "healthy"  # a good probe or a proven callback
        DEGRADED = "degraded"  # a probe with reasons
        DOWN = "down"  # a probe or a call that says so
        FLAGGED = "flagged"  # the provider's verdict

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
    wanted = models.CharField(max_length=15, choices=Wanted, default=Wanted.PROVISIONING)
    seen = models.CharField(max_length=10, choices=Seen, default=Seen.UNKNOWN)
    seen_reasons = models.JSONField(default=list, blank=True)
    seen_since = models.DateTimeField(default=timezone.now)
    proof_of_life_at = models.DateTimeField(null=True, blank=True)
    last_given_at = models.DateTimeField(null=True, blank=True, help_text="When a new connection last got it.")
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


class RouteQuerySet(models.QuerySet["Route"]):
    def live(self) -> Self:
        return self.filter(held_until=None)

    def takeable(self) -> Self:
        """Released pairs whose reservation has run out, by the database's clock."""
        return self.filter(held_until__lt=Now())


class Route(models.Model):
    """Whose texts a (line, human) pair are. Inbound carries nothing else that could tell two agents apart."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    line = models.ForeignKey(Line, on_delete=models.PROTECT, related_name="routes")
    line_kind = models.CharField(max_length=10, choices=Line.Kind)
    human = models.CharField(max_length=100, help_text="The remote address, or * for every human of a dedicated line.")
    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="routes")
    held_until = models.DateTimeField(null=True, blank=True, help_text="Null while live; reserved until then.")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = RouteQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line", "human"], name="route_line_human"),
            models.CheckConstraint(
                condition=Q(human=ANY_HUMAN, line_kind=Line.Kind.DEDICATED)
                | (~Q(human=ANY_HUMAN) & ~Q(line_kind=Line.Kind.DEDICATED)),
                name="route_any_human_only_dedicated",
            ),
        ]
        indexes = [models.Index(fields=["identity", "human"], name="route_identity_human")]

    def __str__(self) -> str:
        return f"{self.line_id}/{self.human}"


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
    late = models.BooleanField(default=False, help_text="Found by a poll, not brought by a callback.")
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

    class Outcome(models.TextChoices):
        IN_FLIGHT = "in_flight"  # by the claim, before the call
        ACCEPTED = "accepted"  # by the provider's answer, by find_sent or by a status report
        REFUSED = "refused"  # by the provider's answer: nothing left
        UNKNOWN = "unknown"  # by a lost answer or a dead worker
        NOT_SENT = "not_sent"  # by find_sent, asked often enough: nothing left

    OPEN = (Outcome.IN_FLIGHT, Outcome.UNKNOWN)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=10, choices=Kind)
    order_id = models.UUIDField(help_text="The message or router message; also the key given to the provider.")
    attempt = models.PositiveSmallIntegerField()
    line = models.ForeignKey(Line, on_delete=models.PROTECT, related_name="dispatches")
    human = models.CharField(max_length=100)
    text = models.TextField(blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.IN_FLIGHT)
    handle = models.CharField(max_length=200, blank=True, help_text="The provider's id of the text.")
    provider_state = models.CharField(max_length=30, blank=True)
    error_class = models.CharField(max_length=30, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error_text = models.CharField(max_length=500, blank=True)
    generation = models.PositiveSmallIntegerField(
        default=1, help_text="Rises with every worker that takes the call over; a frozen one's late word is refused."
    )
    lookups = models.PositiveSmallIntegerField(default=0, help_text="Honest answers of find_sent that found nothing.")
    next_lookup_at = models.DateTimeField(null=True, blank=True)
    claimed_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True, blank=True)

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
            models.Index(
                fields=["claimed_at"], name="dispatch_open", condition=Q(outcome__in=["in_flight", "unknown"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}#{self.attempt} {self.outcome}"


class LineEvent(models.Model):
    """A change of what we see of a line or want from it, with the reason."""

    id = models.BigAutoField(primary_key=True)
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="events")
    column = models.CharField(max_length=10, choices=[("wanted", "wanted"), ("seen", "seen")])
    before = models.CharField(max_length=15)
    after = models.CharField(max_length=15)
    reason = models.CharField(max_length=300)
    actor = models.JSONField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["line", "-at"], name="lineevent_line_at")]

    def __str__(self) -> str:
        return f"{self.line_id}: {self.before} → {self.after}"


def thread_of(line_id: UUID, human: str) -> str:
    """The lock name of one thread on a phone."""
    return f"{line_id}/{human}"
