"""Who is told of what, and what became of it: subscriptions, signing keys, deliveries and every single attempt."""

from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Identity, Organization
from core.actor import TenantQuerySet
from core.ids import prefixed, uuid7

_FAILING = Q(status="active", failing_since__isnull=False)
_DISABLED_BY_FAILURES = Q(status="disabled", disabled_reason__in=("failing", "gone"))


class SubscriptionQuerySet(TenantQuerySet["Subscription"]):
    def active(self) -> Self:
        return self.filter(status=Subscription.Status.ACTIVE)

    def kept(self) -> Self:
        """Active and disabled ones: what was deleted does not exist for anybody."""
        return self.exclude(status=Subscription.Status.DELETED)

    def of_dialect(self, dialect: str) -> Self:
        """Those of single identities in one dialect, as its own API shows them."""
        return self.filter(dialect=dialect).exclude(identity=None)

    def failing(self) -> Self:
        """Those that somebody should look at: nothing arrives, or failures have disabled them."""
        return self.filter(_FAILING | _DISABLED_BY_FAILURES)

    def disabled_by_failures(self) -> Self:
        """Those that were disabled by what they answered, not by their owner."""
        return self.filter(_DISABLED_BY_FAILURES)


class Subscription(models.Model):
    """An address that hears of an identity's events, or of all of an organization. An *endpoint* on the network."""

    class Dialect(models.TextChoices):
        """In whose words it is told, and by whose rules it is called (`webhooks.vendors`)."""

        INKBOX = "inkbox", "Inkbox"
        AGENTPHONE = "agentphone", "AgentPhone"
        CONTIGUITY = "contiguity", "Contiguity"

    class Status(models.TextChoices):
        ACTIVE = "active"  # at creation, and again when its owner enables it or changes its URL
        DISABLED = "disabled"  # by its owner, by five days of nothing but failures, or by the endpoint's own 410
        DELETED = "deleted"  # by its owner, or with its identity

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="subscriptions")
    identity = models.ForeignKey(
        Identity,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="subscriptions",
        db_index=False,
        help_text="Empty: every identity of the organization.",
    )
    url = models.CharField(max_length=2083)
    event_types = ArrayField(models.CharField(max_length=40), help_text="Names from the catalogue.")
    context_config = models.JSONField(null=True, blank=True)
    sealed_auth_token = models.TextField(blank=True)
    dialect = models.CharField(max_length=20, choices=Dialect, default=Dialect.INKBOX)
    sealed_secret = models.TextField(blank=True, help_text="Its own; empty: the keys of its identity sign.")
    secret_made_at = models.DateTimeField(null=True, blank=True)
    context_limit = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="How many earlier messages come with an event, where a dialect has that."
    )
    timeout = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Seconds for an answer; empty: 15.")
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    failing_since = models.DateTimeField(null=True, blank=True, help_text="First failure since the last success.")
    held_until = models.DateTimeField(null=True, blank=True, help_text="The endpoint asked us to stay away so long.")
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.CharField(max_length=20, blank=True, help_text="failing, gone or asked.")
    succeeded_count = models.PositiveBigIntegerField(default=0)
    failed_count = models.PositiveBigIntegerField(default=0)
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_failure_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["identity", "dialect", "url"], condition=~Q(status="deleted"), name="subscription_url_once"
            ),
            models.UniqueConstraint(
                fields=["organization", "dialect", "url"],
                condition=~Q(status="deleted") & Q(identity=None),
                name="subscription_url_once_of_organization",
            ),
            # AgentPhone knows one hook for a project and one for each agent (contract/agentphone.md, section 10).
            models.UniqueConstraint(
                fields=["identity"],
                condition=~Q(status="deleted") & Q(dialect="agentphone"),
                name="subscription_one_hook",
            ),
            models.UniqueConstraint(
                fields=["organization"],
                condition=~Q(status="deleted") & Q(dialect="agentphone", identity=None),
                name="subscription_one_hook_of_organization",
            ),
        ]
        indexes = [models.Index(fields=["organization", "-created_at", "-id"], name="subscription_org_newest")]

    def __str__(self) -> str:
        return f"{self.url} ({self.status})"

    @property
    def is_of_organization(self) -> bool:
        """Whether it hears of every identity."""
        return self.identity_id is None

    @property
    def scope(self) -> str:
        """Whose events it hears of, as people read it. Needs its identity."""
        return f"@{self.identity.handle}" if self.identity else "all agents"

    @property
    def has_own_secret(self) -> bool:
        return bool(self.sealed_secret)

    @property
    def has_auth_token(self) -> bool:
        return bool(self.sealed_auth_token)

    @property
    def is_active(self) -> bool:
        return self.status == self.Status.ACTIVE


class SigningKeyQuerySet(TenantQuerySet["SigningKey"]):
    def current(self) -> Self:
        return self.filter(replaced_at=None)


class SigningKey(models.Model):
    """What deliveries are signed with: an identity's, or without one its organization's. The former stays valid."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="signing_keys")
    identity = models.ForeignKey(Identity, null=True, blank=True, on_delete=models.CASCADE, related_name="signing_keys")
    sealed_key = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    replaced_at = models.DateTimeField(null=True, blank=True)

    objects = SigningKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["identity"], condition=Q(replaced_at=None), name="signingkey_one_current"),
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(replaced_at=None, identity=None),
                name="signingkey_one_current_of_organization",
            ),
        ]

    def __str__(self) -> str:
        return f"key of {self.created_at:%Y-%m-%d}"


class OrderNumber(models.Model):
    """The last order number given to a conversation's events for one subscription."""

    id = models.BigAutoField(primary_key=True)
    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="+", db_index=False)
    conversation_id = models.UUIDField()
    last = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subscription", "conversation_id"], name="ordernumber_once"),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id}: {self.last}"


class DeliveryQuerySet(TenantQuerySet["Delivery"]):
    def pending(self) -> Self:
        return self.filter(state=Delivery.State.PENDING)

    def failed(self) -> Self:
        return self.filter(state=Delivery.State.FAILED)

    def idle(self) -> Self:
        """Without a request under way, as far as their claims tell."""
        return self.filter(Q(claimed_until=None) | Q(claimed_until__lte=timezone.now()))


class Delivery(models.Model):
    """One event on its way to one endpoint, or one of several parts of it where a dialect tells them one by one.

    Its body is frozen: every attempt sends the same bytes.
    """

    class State(models.TextChoices):
        PENDING = "pending"  # at creation, after a failure with attempts left, and when replayed
        DELIVERED = "delivered"  # by a 2xx
        FAILED = "failed"  # by the last attempt, or because its endpoint was disabled; can be replayed
        CANCELLED = "cancelled"  # with its subscription

    class Ending(models.TextChoices):
        """Why it failed, unless its schedule came to its end."""

        DROPPED = "dropped"  # its endpoint was disabled before it could be delivered
        GONE = "gone"  # the endpoint answered 410

    class Kind(models.TextChoices):
        EVENT = "event"
        TEST = "test"  # asked for by an owner who tries the endpoint

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="deliveries")
    identity = models.ForeignKey(
        Identity,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        help_text="Whose event it is; empty only for a test of an endpoint of the whole organization.",
    )
    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    kind = models.CharField(max_length=5, choices=Kind, default=Kind.EVENT)
    event_id = models.UUIDField()
    part = models.PositiveSmallIntegerField(default=0, db_default=0)
    told_id = models.CharField(
        max_length=100, blank=True, default="", db_default="", help_text="What its receiver tells repeats by."
    )
    event_type = models.CharField(max_length=40, help_text="Name from the catalogue.")
    conversation_id = models.UUIDField(null=True, blank=True)
    order_number = models.PositiveBigIntegerField(null=True, blank=True)
    body = models.TextField()
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts_made = models.PositiveSmallIntegerField(default=0, help_text="On the present schedule.")
    is_replay = models.BooleanField(default=False, help_text="Asked for again: outside of the failure streak.")
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claimed_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True, help_text="A worker is at it, or died.")
    generation = models.PositiveIntegerField(default=0, help_text="Number of the latest claim.")
    created_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True, blank=True)
    ending = models.CharField(max_length=8, choices=Ending, blank=True, help_text="Empty: gave up.")
    replayed_at = models.DateTimeField(null=True, blank=True, help_text="Last sent again by hand.")
    tries = models.PositiveIntegerField(default=0, help_text="Requests ever made, replays included.")
    last_try_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_ms = models.PositiveIntegerField(null=True, blank=True)
    cause = models.CharField(max_length=12, blank=True, help_text="Why the last request failed; empty after a success.")

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            # Also what lists a subscription's deliveries.
            models.UniqueConstraint(fields=["subscription", "event_id", "part"], name="delivery_once"),
        ]
        indexes = [
            # The queue: only what is pending, by endpoint.
            models.Index(fields=["subscription", "next_attempt_at"], name="delivery_due", condition=Q(state="pending")),
            models.Index(fields=["subscription", "created_at"], name="delivery_failed", condition=Q(state="failed")),
            models.Index(fields=["settled_at"], name="delivery_settled", condition=~Q(settled_at=None)),
            models.Index(fields=["event_id"], name="delivery_event"),
            # The console's list and what narrows it; for operators without the organization.
            models.Index(fields=["organization", "-created_at", "-id"], name="delivery_org_newest"),
            models.Index(fields=["-created_at", "-id"], name="delivery_newest"),
            models.Index(fields=["identity", "-created_at", "-id"], name="delivery_identity_newest"),
            models.Index(fields=["subscription", "-created_at", "-id"], name="delivery_subscription_newest"),
            models.Index(
                fields=["organization", "state", "-created_at", "-id"],
                name="delivery_org_undelivered",
                condition=Q(state__in=("failed", "cancelled")),
            ),
            models.Index(
                fields=["state", "-created_at", "-id"],
                name="delivery_undelivered",
                condition=Q(state__in=("failed", "cancelled")),
            ),
            models.Index(
                fields=["organization", "cause", "-created_at", "-id"],
                name="delivery_org_cause",
                condition=~Q(cause=""),
            ),
            models.Index(fields=["cause", "-created_at", "-id"], name="delivery_cause", condition=~Q(cause="")),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.public_event_id} ({self.state})"

    @property
    def public_event_id(self) -> str:
        """The event's id as every dialect but AgentPhone shows it."""
        return prefixed("evt", self.event_id)

    @property
    def repeat_id(self) -> str:
        """The id that its receiver tells repeats by, the same in every attempt."""
        return self.told_id or self.public_event_id

    @property
    def is_in_flight(self) -> bool:
        """Whether a request of its is under way."""
        return self.claimed_until is not None and self.claimed_until > timezone.now()


class AttemptQuerySet(TenantQuerySet["Attempt"]):
    def succeeded(self) -> Self:
        return self.filter(response_status__range=(200, 299))

    def of_dialect(self, dialect: str) -> Self:
        """Requests to endpoints of single identities in one dialect."""
        return self.filter(subscription__dialect=dialect).exclude(subscription__identity=None)

    def unsuccessful(self) -> Self:
        """Another answer, or none."""
        return self.exclude(response_status__range=(200, 299)) | self.filter(response_status=None)


class Attempt(models.Model):
    """One request to an endpoint and what came back. Its id is the request's own."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+", db_index=False)
    identity = models.ForeignKey(
        Identity, null=True, blank=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    url = models.CharField(max_length=2083)
    request_headers = models.JSONField(help_text="As sent; signatures and the bearer token are left out.")
    response_status = models.PositiveSmallIntegerField(null=True, blank=True)
    response_body = models.TextField(null=True, blank=True)  # noqa: DJ001 - null: there was no answer
    error_detail = models.CharField(max_length=300, null=True, blank=True)  # noqa: DJ001 - null on the wire
    cause = models.CharField(max_length=12, blank=True, help_text="Why it failed, in one of our words.")
    signed_by = ArrayField(
        models.CharField(max_length=16), default=list, blank=True, help_text="Fingerprints of the keys, newest first."
    )
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    is_replay = models.BooleanField(default=False)
    at = models.DateTimeField(default=timezone.now)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-at", "-id"], name="attempt_org_newest"),
            models.Index(fields=["identity", "-at", "-id"], name="attempt_identity_newest"),
            models.Index(fields=["subscription", "-at", "-id"], name="attempt_subscription_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.response_status or 'no answer'} from {self.url}"

    @property
    def request_id(self) -> str:
        """What the request carried as its own id."""
        return str(self.id)

    @property
    def request_body(self) -> str:
        """The exact body sent."""
        return self.delivery.body

    @property
    def succeeded(self) -> bool:
        return self.response_status is not None and 200 <= self.response_status < 300

    def frozen(self) -> dict[str, Any]:
        """What an event keeps of the attempt."""
        return {"attempt_id": str(self.id), "status": self.response_status, "error": self.error_detail}
