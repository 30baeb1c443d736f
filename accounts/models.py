"""Organizations, their people, their agent identities and the keys that speak for them."""

import functools
import operator
from datetime import datetime
from typing import Any, ClassVar, Self
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from core.actor import Actor, Role, TenantQuerySet
from core.ids import from_prefixed, prefixed, uuid7


class UserManager(BaseUserManager["User"]):
    """Makes users; people sign in by e-mail address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_superuser=True, is_staff=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in to the console. A superuser is an operator of the installation."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="May open Django admin (superusers only).")
    date_joined = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_ci")]

    def __str__(self) -> str:
        return self.email


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def named(self, name_or_id: str) -> Self:
        """The organization with this name (any case) or this `org_...` id."""
        key = from_prefixed("org", name_or_id)
        return self.filter(pk=key) if key else self.filter(name__iexact=name_or_id)


class Organization(models.Model):
    """A tenant: nothing of one organization is ever seen by another."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("name"), name="organization_name_ci")]

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """The id that APIs show: `org_` and the key in base32."""
        return organization_public_id(self.id)


def organization_public_id(key: UUID) -> str:
    """The `org_...` text of an organization's key."""
    return prefixed("org", key)


class Membership(models.Model):
    """A person's role in one organization."""

    class Roles(models.TextChoices):
        ADMIN = Role.ADMIN.value, "admin"
        VIEWER = Role.VIEWER.value, "viewer"

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Roles)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "user"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"


class IdentityQuerySet(TenantQuerySet["Identity"]):
    agent_column = "id"

    def live(self) -> Self:
        """Identities that were not deleted."""
        return self.exclude(status=Identity.Status.DELETED)

    def called(self, handle: str) -> Self:
        """The one with this handle, or that had it before it was renamed: printed handles keep working."""
        return self.filter(Q(handle=handle) | Q(former_handles__handle=handle)).distinct()


class Identity(models.Model):
    """An agent: a handle that humans connect to, with its own reach."""

    class Status(models.TextChoices):
        ACTIVE = "active"  # at creation
        PAUSED = "paused"  # by an admin; like `imessage_enabled` off for every channel
        DELETED = "deleted"  # by an admin; kept for history, its handle stays taken

    class FilterMode(models.TextChoices):
        BLACKLIST = "blacklist"  # everyone but numbers with an active block rule
        WHITELIST = "whitelist"  # nobody but numbers with an active allow rule

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="identities")
    handle = models.CharField(max_length=63, unique=True, help_text="Lower case, without the @.")
    display_name = models.CharField(max_length=255)
    description = models.TextField(null=True, blank=True)  # noqa: DJ001 - null and empty differ on the wire (inkbox.md 6.1)
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    imessage_enabled = models.BooleanField(default=False)
    imessage_filter_mode = models.CharField(max_length=10, choices=FilterMode, default=FilterMode.BLACKLIST)
    imessage_outbound_filter_mode = models.CharField(
        max_length=10,
        choices=FilterMode,
        blank=True,
        default="",
        help_text="Of what goes out; empty: the same as of what comes in.",
    )
    reach_revision = models.PositiveIntegerField(
        default=0, help_text="Number of the last change of rules or mode; kept by contactrules."
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = IdentityQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "identities"
        indexes = [models.Index(fields=["organization", "-created_at", "-id"], name="identity_org_newest")]

    def __str__(self) -> str:
        return f"@{self.handle}"

    @property
    def outbound_filter_mode(self) -> str:
        """The mode that judges what goes out."""
        return self.imessage_outbound_filter_mode or self.imessage_filter_mode

    @property
    def is_reachable(self) -> bool:
        """Whether humans may connect, texts may leave and webhooks may fire."""
        return self.imessage_enabled and self.status == self.Status.ACTIVE


class FormerHandle(models.Model):
    """A handle that an identity had before; it stays that identity's, so that nobody else is reached by it."""

    handle = models.CharField(primary_key=True, max_length=63)
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="former_handles")
    given_up_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"@{self.handle}"


class ApiKeyQuerySet(TenantQuerySet["ApiKey"]):
    def usable(self, at: datetime | None = None) -> Self:
        """Keys that were neither revoked nor have expired, now or at a given time."""
        return self.filter(revoked_at=None).exclude(expires_at__lte=at or timezone.now())


class ApiKey(models.Model):
    """A program's key: admin (no identity) or bound to one identity. Only a digest of the secret is kept."""

    id = models.CharField(primary_key=True, max_length=50, editable=False, help_text="ApiKey_<uuid4>")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="api_keys")
    identity = models.ForeignKey(Identity, null=True, blank=True, on_delete=models.CASCADE, related_name="api_keys")
    label = models.CharField(max_length=255)
    description = models.CharField(max_length=1000, null=True, blank=True)  # noqa: DJ001 - null on the wire
    secret_digest = models.CharField(max_length=64)
    last4 = models.CharField(max_length=4)
    created_by = models.CharField(max_length=50, blank=True)
    creator_type = models.CharField(max_length=10, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        indexes = [models.Index(fields=["organization", "-created_at"], name="apikey_org_newest")]

    def __str__(self) -> str:
        return f"{self.label} ({self.display_prefix}…)"

    @property
    def is_revoked(self) -> bool:
        return self.revoked_at is not None

    @property
    def display_prefix(self) -> str:
        return self.id[: len("ApiKey_") + 8]


class ContactQuerySet(TenantQuerySet["Contact"]):
    def visible_to_agent(self, actor: Actor) -> Self:
        """All of its organization's: the book names humans for every agent of the house."""
        return self

    def matching(self, words: str) -> Self:
        """Those whose name, number, e-mail address or notes hold the words, in any case."""
        columns = ("name", "phone_number", "email", "notes")
        return self.filter(functools.reduce(operator.or_, [Q(**{f"{name}__icontains": words}) for name in columns]))


class Contact(models.Model):
    """Who a human is, in an organization's own words; one entry a number."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="contacts", db_index=False)
    phone_number = models.CharField(max_length=16, help_text="E.164.")
    name = models.CharField(max_length=200)
    email = models.CharField(max_length=254, blank=True)
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = ContactQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "phone_number"], name="contact_number_once")]
        indexes = [models.Index(fields=["organization", "-created_at", "-id"], name="contact_org_newest")]

    def __str__(self) -> str:
        return f"{self.name} ({self.phone_number})"
