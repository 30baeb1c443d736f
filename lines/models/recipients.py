"""How humans can be reached, as far as lookups and failed sends have shown."""

from django.db import models
from django.utils import timezone

from core.ids import uuid7
from lines.models.lines import Line


class Recipient(models.Model):
    """What is known of the service that reaches one number; a yes is no promise."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    human = models.CharField(max_length=100, unique=True)
    service = models.CharField(max_length=8, blank=True, help_text="The last lookup's word; empty without one.")
    looked_up_at = models.DateTimeField(null=True, blank=True)
    looked_up_on = models.ForeignKey(
        Line,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Lookups are capped per line.",
    )
    downgrades = models.PositiveSmallIntegerField(default=0, help_text="In a row, up to now.")
    sms_until = models.DateTimeField(null=True, blank=True, help_text="SMS at once until then; iMessage after it.")
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.human} ({self.service or 'unknown'})"
