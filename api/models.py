"""Idempotency keys: the first answer to a repeated request, kept for 24 hours."""

from django.db import models
from django.utils import timezone


class IdempotencyKey(models.Model):
    """The answer that was given under a client's key, written in the transaction that did the work."""

    id = models.BigAutoField(primary_key=True)
    scope = models.CharField(max_length=80, help_text="Who the key belongs to: an identity or an API key.")
    operation = models.CharField(max_length=40)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the request that came with the key.")
    subject_id = models.CharField(max_length=60, blank=True, help_text="Id of the row the request made.")
    status = models.PositiveSmallIntegerField(default=0)
    answer = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "operation", "key"], name="idempotency_once")]

    def __str__(self) -> str:
        return f"{self.operation} {self.key}"
