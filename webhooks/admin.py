"""Subscriptions, keys, deliveries and attempts, for operators."""

from django.contrib import admin

from core.admin import BigTableAdmin, ReadOnlyAdmin, ReadOnlyInline
from webhooks.models import Attempt, Delivery, OrderNumber, SigningKey, Subscription


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = (
        "url",
        "organization",
        "identity",
        "dialect",
        "status",
        "failing_since",
        "succeeded_count",
        "failed_count",
        "created_at",
    )
    list_filter = ("status", "dialect", ("failing_since", admin.EmptyFieldListFilter))
    list_select_related = ("organization", "identity")
    search_fields = ("url", "identity__handle")
    id_fields = ("id", "organization_id", "identity_id")
    ordering = ("-created_at",)
    derived_fields = ("has_auth_token", "has_own_secret")


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
    list_display = ("id", "organization", "identity", "created_at", "replaced_at")
    list_select_related = ("organization", "identity")
    search_fields = ("identity__handle", "organization__name")
    id_fields = ("id", "organization_id", "identity_id")
    ordering = ("-created_at",)


class AttemptInline(ReadOnlyInline):
    model = Attempt
    fields = ("number", "url", "response_status", "error_detail", "duration_ms", "is_replay", "at")
    ordering = ("at",)


@admin.register(Delivery)
class DeliveryAdmin(BigTableAdmin):
    list_display = ("public_event_id", "event_type", "subscription", "state", "attempts_made", "created_at")
    list_filter = ("state", "kind")
    list_select_related = ("subscription",)
    search_fields = ()
    id_fields = ("id", "event_id", "subscription_id", "conversation_id", "organization_id")
    derived_fields = ("public_event_id",)
    inlines = (AttemptInline,)


@admin.register(Attempt)
class AttemptAdmin(BigTableAdmin):
    list_display = ("id", "url", "response_status", "error_detail", "duration_ms", "is_replay", "at")
    id_fields = ("id", "delivery_id", "subscription_id", "identity_id", "organization_id")
    derived_fields = ("request_body",)


@admin.register(OrderNumber)
class OrderNumberAdmin(BigTableAdmin):
    list_display = ("conversation_id", "subscription", "last")
    list_select_related = ("subscription",)
    id_fields = ("conversation_id", "subscription_id")
