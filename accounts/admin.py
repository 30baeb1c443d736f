"""Organizations, people, identities and keys, for operators."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.identities import update_identity
from accounts.members import actor_of
from accounts.models import ApiKey, Contact, FormerHandle, Identity, Membership, Organization, User
from core.actor import Actor
from core.admin import ReadOnlyAdmin, ReadOnlyInline


class MembershipInline(ReadOnlyInline):
    model = Membership
    fields = ("organization", "user", "role", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        rows: QuerySet[Membership] = super().get_queryset(request).select_related("organization", "user")
        return rows


@admin.register(Organization)
class OrganizationAdmin(ReadOnlyAdmin):
    list_display = ("name", "public_id", "created_at")
    search_fields = ("name",)
    date_hierarchy = "created_at"
    ordering = ("name",)
    derived_fields = ("public_id",)
    inlines = (MembershipInline,)


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("email", "name", "is_superuser", "is_active", "last_login", "date_joined")
    list_filter = ("is_superuser", "is_active")
    search_fields = ("email", "name")
    date_hierarchy = "date_joined"
    ordering = ("email",)
    inlines = (MembershipInline,)


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    list_display = ("user", "organization", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "organization")
    search_fields = ("user__email", "organization__name")
    id_fields = ("organization_id", "user_id")
    ordering = ("-created_at",)


@admin.register(Identity)
class IdentityAdmin(ReadOnlyAdmin):
    list_display = (
        "handle",
        "display_name",
        "organization",
        "status",
        "imessage_enabled",
        "imessage_filter_mode",
        "created_at",
    )
    list_filter = ("status", "imessage_enabled", "imessage_filter_mode")
    list_select_related = ("organization",)
    search_fields = ("handle", "display_name")
    id_fields = ("id", "organization_id")
    date_hierarchy = "created_at"
    ordering = ("handle",)
    actions = ("pause", "activate")

    @admin.action(description="Pause: nothing leaves, what comes in is stored")
    def pause(self, request: HttpRequest, rows: QuerySet[Identity]) -> None:
        self._set_status(request, rows, Identity.Status.PAUSED, done="Paused")

    @admin.action(description="Make active again")
    def activate(self, request: HttpRequest, rows: QuerySet[Identity]) -> None:
        self._set_status(request, rows, Identity.Status.ACTIVE, done="Active")

    def _set_status(self, request: HttpRequest, rows: QuerySet[Identity], status: str, *, done: str) -> None:
        actor = operator_of(request)
        # A deleted identity stays deleted: its connections are gone.
        living = rows.exclude(status=Identity.Status.DELETED)
        self.carry_out(request, living, lambda row: update_identity(actor, row, changes={"status": status}), done=done)


@admin.register(FormerHandle)
class FormerHandleAdmin(ReadOnlyAdmin):
    list_display = ("handle", "identity", "given_up_at")
    list_select_related = ("identity",)
    search_fields = ("handle",)
    id_fields = ("identity_id",)
    ordering = ("handle",)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("label", "id", "organization", "identity", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = (("identity", admin.EmptyFieldListFilter), ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("organization", "identity")
    search_fields = ("label", "id", "identity__handle")
    id_fields = ("organization_id", "identity_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)


@admin.register(Contact)
class ContactAdmin(ReadOnlyAdmin):
    list_display = ("name", "phone_number", "email", "organization", "created_at")
    list_select_related = ("organization",)
    search_fields = ("name", "phone_number", "email")
    id_fields = ("id", "organization_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)


def operator_of(request: HttpRequest) -> Actor:
    """As whom an action on any page of Django admin is carried out."""
    assert isinstance(request.user, User)  # noqa: S101 - nobody else passes the site's door
    return actor_of(request.user)
