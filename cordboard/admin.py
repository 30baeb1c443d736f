"""The job queue, for operators."""

from django.contrib import admin
from procrastinate.contrib.django.models import ProcrastinateJob

from core.admin import BigTableAdmin


@admin.register(ProcrastinateJob)
class JobAdmin(BigTableAdmin):
    list_display = ("id", "task_name", "status", "attempts", "scheduled_at", "lock")
    list_filter = ("status",)
    # Finished jobs are deleted, so looking through the words of all is cheap.
    search_fields = ("task_name", "lock", "queueing_lock")
    id_fields = ()
