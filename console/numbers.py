"""An identity's own numbers, as its page shows them: those attached to it, and those that could be."""

from django.db.models import Exists, F, OuterRef, QuerySet

from accounts.models import Identity
from core.actor import Actor
from lines.models import ANY_HUMAN, Line, Route

# Enough to choose from.
MOST_OFFERED = 200


def numbers_of(actor: Actor, identity: Identity) -> QuerySet[Line]:
    """The numbers that speak for the identity, each with `since`; the first attached is the first chosen to send."""
    attached = Line.objects.visible_to(actor).filter(
        routes__identity=identity, routes__human=ANY_HUMAN, routes__held_until=None
    )
    return attached.annotate(since=F("routes__created_at")).order_by("since", "id")


def free_numbers(actor: Actor, identity: Identity) -> QuerySet[Line]:
    """The organization's numbers that speak for nobody now."""
    taken = Route.objects.live().filter(line=OuterRef("pk"), human=ANY_HUMAN)
    own = Line.objects.visible_to(actor).filter(organization_id=identity.organization_id, released_at=None)
    return own.filter(~Exists(taken), kind=Line.Kind.DEDICATED).order_by("address")[:MOST_OFFERED]
