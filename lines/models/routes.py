"""Whose texts the humans of a line are: one row for each pair of line and human."""

from datetime import timedelta
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Identity
from core.ids import uuid7
from lines.models.lines import Line

# A released pair stays reserved so long: providers call a contact new again after 30 days (contract/lines.md 6.2).
RESERVED_FOR = timedelta(days=30)

ANY_HUMAN = "*"


class RouteQuerySet(models.QuerySet["Route"]):
    def live(self) -> Self:
        return self.filter(held_until=None)

    def carrying(self) -> Self:
        """Live pairs of pool lines whose answers leave from this line."""
        return self.live().filter(role=Route.Role.MAIN, line_kind=Line.Kind.POOL)

    def reaching(self) -> Self:
        """Pairs over which a human's text reaches the agent: live ones, and the former line after a move."""
        return self.filter(Q(held_until=None) | Q(role=Route.Role.ALIAS, held_until__gt=Now()))

    def standing(self) -> Self:
        """Live or reserved: the pair is somebody's."""
        return self.exclude(held_until__lt=Now())


class Route(models.Model):
    """Whose texts a (line, human) pair are. Inbound carries nothing else that could tell two agents apart."""

    class Role(models.TextChoices):
        MAIN = "main"  # by a connect or a move: answers leave from here
        ALIAS = "alias"  # by a move, on the pair it left: inbound still reaches the agent until `held_until`
        SMS = "sms"  # by a fallback: the connection's second address

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    line = models.ForeignKey(Line, on_delete=models.PROTECT, related_name="routes")
    line_kind = models.CharField(max_length=10, choices=Line.Kind)
    human = models.CharField(max_length=100, help_text="The remote address, or * for every human of a dedicated line.")
    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="routes")
    role = models.CharField(max_length=5, choices=Role, default=Role.MAIN)
    held_until = models.DateTimeField(null=True, blank=True, help_text="Null while live; reserved until then.")
    chat = models.CharField(max_length=200, blank=True, help_text="The provider's name of the thread; a hint.")
    reached_at = models.DateTimeField(null=True, blank=True, help_text="When a text first reached the human over it.")
    opened_at = models.DateTimeField(
        null=True, blank=True, help_text="When we wrote first on it: a new contact of the line."
    )
    last_traffic_at = models.DateTimeField(
        null=True, blank=True, help_text="When a text last went over it, give or take ten minutes."
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = RouteQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line", "human"], name="route_line_human"),
            models.CheckConstraint(
                condition=Q(human=ANY_HUMAN, line_kind=Line.Kind.DEDICATED)
                | (~Q(human=ANY_HUMAN) & ~Q(line_kind=Line.Kind.DEDICATED)),
                name="route_any_human_only_dedicated",
            ),
            models.UniqueConstraint(
                fields=["identity", "human"],
                condition=Q(held_until=None, role="main") & ~Q(human=ANY_HUMAN),
                name="route_one_main",
            ),
            models.CheckConstraint(
                condition=~Q(role="alias") | Q(held_until__isnull=False), name="route_alias_has_an_end"
            ),
        ]
        indexes = [models.Index(fields=["identity", "human"], name="route_identity_human")]

    def __str__(self) -> str:
        return f"{self.line_id}/{self.human}"


def thread_of(line_id: UUID, human: str) -> str:
    """The lock name of one thread on a phone."""
    return f"{line_id}/{human}"
