"""Contact rules, their history and every verdict, for operators."""

from django.contrib import admin

from contactrules.models import ContactRule, Decision, RuleRevision
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
    id_fields = ("identity_id", "rule_id", "organization_id")
    date_hierarchy = "at"
    ordering = ("-id",)


@admin.register(Decision)
class DecisionAdmin(BigTableAdmin):
    list_display = ("at", "human", "direction", "subject", "allowed", "mode", "revision", "identity_id", "rule_id")
    list_filter = ("allowed", "direction", "subject", ("at", admin.DateFieldListFilter))
    search_fields = ("human__exact",)
    id_fields = ("message_id", "identity_id", "rule_id")
