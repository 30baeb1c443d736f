"""Idempotency keys, for operators."""

from django.contrib import admin

from api.models import IdempotencyKey
from core.admin import BigTableAdmin


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(BigTableAdmin):
    list_display = ("created_at", "scope", "operation", "key", "subject_id", "status")
    list_filter = (("created_at", admin.DateFieldListFilter),)
    search_fields = ("key__exact", "subject_id__exact")
    id_fields = ("subject_id",)
