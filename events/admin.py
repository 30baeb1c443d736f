"""The table of what happened, for operators."""

from django.contrib import admin

from core.admin import BigTableAdmin
from events.models import Event


@admin.register(Event)
class EventAdmin(BigTableAdmin):
    list_display = ("number", "type", "at", "actor", "organization_id", "identity_id", "subject_id")
    list_filter = (("at", admin.DateFieldListFilter),)
    search_fields = ("type__exact",)
    id_fields = ("id", "conversation_id", "organization_id")
    derived_fields = ("public_id",)
