"""Contact rules, their history and every verdict, for operators."""

from django.contrib import admin

from contactrules.models import (
    ContactRule,
    Decision,
    Rehearsal,
    RehearsalPerson,
    RuleRevision,
    Shadow,
    ShadowVerdict,
)
from core.admin import BigTableAdmin, ReadOnlyAdmin


@admin.register(ContactRule)
class ContactRuleAdmin(ReadOnlyAdmin):
    list_display = ("match_target", "action", "status", "identity", "organization", "created_at")
    list_filter = ("action", "status")
    list_select_related = ("identity", "organization")
    search_fields = ("match_target", "identity__handle")
    id_fields = ("id", "identity_id", "organization_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)


@admin.register(RuleRevision)
class RuleRevisionAdmin(ReadOnlyAdmin):
    list_display = ("identity", "number", "change", "mode", "before", "after", "reason", "at")
    list_filter = ("change", "mode")
    list_select_related = ("identity",)
    search_fields = ("identity__handle", "reason")
    id_fields = ("identity_id", "rule_id", "rehearsal_id", "organization_id")
    date_hierarchy = "at"
    ordering = ("-id",)


@admin.register(Decision)
class DecisionAdmin(BigTableAdmin):
    list_display = ("at", "human", "direction", "subject", "allowed", "mode", "revision", "identity_id", "rule_id")
    list_filter = ("allowed", "direction", "subject", ("at", admin.DateFieldListFilter))
    search_fields = ("human__exact",)
    id_fields = ("message_id", "identity_id", "rule_id")


@admin.register(Rehearsal)
class RehearsalAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "organization", "identity", "state", "since", "until", "applied_at", "discarded_at")
    list_filter = ("state",)
    list_select_related = ("organization", "identity")
    search_fields = ("identity__handle",)
    id_fields = ("id", "identity_id", "organization_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)


@admin.register(RehearsalPerson)
class RehearsalPersonAdmin(BigTableAdmin):
    list_display = ("human", "identity", "rank", "loses", "gains", "messages", "sends", "has_live_thread")
    list_filter = ("loses", "gains", "has_live_thread")
    list_select_related = ("identity",)
    search_fields = ("human__exact",)
    id_fields = ("rehearsal_id", "identity_id")


@admin.register(Shadow)
class ShadowAdmin(ReadOnlyAdmin):
    list_display = ("started_at", "identity", "organization", "state", "ends_at", "ended_at", "reason")
    list_filter = ("state",)
    list_select_related = ("identity", "organization")
    search_fields = ("identity__handle", "reason")
    id_fields = ("id", "identity_id", "organization_id")
    date_hierarchy = "started_at"
    ordering = ("-started_at",)


@admin.register(ShadowVerdict)
class ShadowVerdictAdmin(BigTableAdmin):
    list_display = ("at", "human", "direction", "subject", "allowed", "would_allow", "shadow_id")
    list_filter = ("allowed", "would_allow", "subject", ("at", admin.DateFieldListFilter))
    search_fields = ("human__exact",)
    id_fields = ("shadow_id", "message_id")
