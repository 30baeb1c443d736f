"""Dedicated lines: an organization claims one of those that the operator has put in service."""

from django.conf import settings
from django.db import transaction

from accounts.models import Organization
from core.actor import Actor, Role
from core.errors import DomainError
from events.record import record
from lines.models import Line

# How long a client should wait before it asks again for a line that an operator has to add, in seconds.
_INVENTORY_PATIENCE = 3600


class LineQuotaReached(DomainError):
    """The organization has as many dedicated lines as it may have. Fields: `limit`, `current`."""

    status = 402
    code = "line_quota_reached"


class InventoryPending(DomainError):
    """No dedicated line is free just now; repeat after the time given."""

    status = 503
    code = "line_inventory_pending"


def claim_line(actor: Actor, *, organization: Organization) -> Line:
    """A free dedicated line, now the organization's own; not yet any identity's.

    Raises `Forbidden` unless the actor is an admin, `LineQuotaReached`, `InventoryPending`.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        _check_quota(organization)
        free = Line.objects.claimable().order_by("created_at").select_for_update(skip_locked=True, of=("self",))
        line = free.first()
        if line is None:
            raise InventoryPending(retry_after=_INVENTORY_PATIENCE)
        line.organization = organization
        line.save(update_fields=["organization"])
        record(actor, "line.claimed", organization_id=organization.id, subject_id=line.id)
    return line


def _check_quota(organization: Organization) -> None:
    limit = settings.DEDICATED_LINES_PER_ORGANIZATION
    current = Line.objects.filter(organization=organization).exclude(wanted=Line.Wanted.RETIRED).count()
    if current >= limit:
        raise LineQuotaReached(
            f"This organization has {current} of {limit} dedicated lines.", limit=limit, current=current
        )
