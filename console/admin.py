"""Long work, saved views and preferences, for operators."""

from django.contrib import admin

from console.models import Job, JobItem, Preferences, SavedView, ThreadMark
from core.admin import BigTableAdmin, ReadOnlyAdmin


@admin.register(Job)
class JobAdmin(BigTableAdmin):
    list_display = ("deed", "list_name", "state", "who", "organization", "total", "done", "failed", "created_at")
    list_filter = ("state",)
    list_select_related = ("organization",)
    id_fields = ("id", "organization_id", "user_id")


@admin.register(JobItem)
class JobItemAdmin(BigTableAdmin):
    list_display = ("job_id", "subject_id", "state", "words", "at")
    id_fields = ("job_id",)


@admin.register(SavedView)
class SavedViewAdmin(ReadOnlyAdmin):
    list_display = ("name", "list_name", "user", "organization", "is_shared", "query", "updated_at")
    list_filter = ("is_shared",)
    list_select_related = ("user", "organization")
    id_fields = ("id", "organization_id", "user_id")
    ordering = ("-created_at",)


@admin.register(Preferences)
class PreferencesAdmin(ReadOnlyAdmin):
    list_display = ("user", "zone", "clock", "theme", "density", "shortcuts")
    list_filter = ("theme", "density", "shortcuts")
    list_select_related = ("user",)
    search_fields = ("user__email", "zone")
    id_fields = ("user_id",)
    ordering = ("user",)


@admin.register(ThreadMark)
class ThreadMarkAdmin(BigTableAdmin):
    list_display = ("conversation_id", "user", "seen_position", "is_starred", "updated_at")
    list_filter = ("is_starred",)
    list_select_related = ("user",)
    id_fields = ("conversation_id", "user_id")
