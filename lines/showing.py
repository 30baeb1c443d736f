"""What tenants are shown of lines: the numbers they own or owned, whose each is, and by which number a text went."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import QuerySet

from core.actor import Actor
from lines.models import ANY_HUMAN, Line, Route


def numbers_ever_of(actor: Actor) -> QuerySet[Line]:
    """The dedicated lines that are or were of the actor's organization; for a bound key those of its identity."""
    return Line.objects.ever_of(actor).select_related("account")


def owners_of(line_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Which identity each of these dedicated lines is attached to; those of nobody's are left out."""
    routes = Route.objects.live().filter(line__in=list(line_ids), human=ANY_HUMAN)
    return {line_id: str(identity_id) for line_id, identity_id in routes.values_list("line_id", "identity_id")}


def addresses_of(line_ids: Iterable[str]) -> dict[str, str]:
    """The numbers of lines that messages which the caller may see have gone over."""
    return {str(key): address for key, address in Line.objects.filter(pk__in=line_ids).values_list("id", "address")}
