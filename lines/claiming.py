"""Owned numbers: an organization looks for, claims and gives back dedicated lines that the operator put in service.

Which identity speaks over one is `imessage.owning`'s: detaching ends connections, which only that app knows.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

import phonenumbers
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import Organization
from core.actor import Actor, Role
from core.errors import Conflict, DomainError, Invalid, NotFound
from core.texts import storable
from events.record import record
from lines.models import Line, Route

# How long a client should wait before it asks again for a line that an operator has to add, in seconds.
_INVENTORY_PATIENCE = 3600

# Area codes are a North American notion; a search that names one and no country means that.
_COUNTRY_OF_AREA_CODES = "US"

_LONGEST_EXTERNAL_ID = 255

# Beyond it some zone's time has no year that Python and PostgreSQL can both write.
_LAST_YEAR = 2999
_CARD = {"first_name", "last_name", "display_name", "avatar_url"}


class LineQuotaReached(DomainError):
    """The organization has as many dedicated lines as it may have. Fields: `limit`, `current`."""

    status = 402
    code = "line_quota_reached"


class InventoryPending(DomainError):
    """No dedicated line is free just now; repeat after the time given."""

    status = 503
    code = "line_inventory_pending"


class AlreadyOwned(Conflict):
    """This number is the organization's own already."""

    code = "line_already_owned"


class LineReleased(DomainError):
    """This number was released; that is for good."""

    status = 400
    code = "line_released"


class Wish(TypedDict, total=False):
    """Which free line is looked for; what is left out may be anything.

    `address` is a certain one. `area_code` are the digits after the country's code. `country` is ISO 3166.
    `service` is imessage or sms.
    """

    address: str
    area_code: str
    country: str
    service: str


def free_lines(**wish: Unpack[Wish]) -> QuerySet[Line]:
    """The dedicated lines that any organization may claim now, oldest first."""
    lines = Line.objects.claimable().select_related("account").order_by("created_at", "id")
    country, area_code = wish.get("country", "").upper(), wish.get("area_code", "")
    if wish.get("address"):
        lines = lines.filter(address=wish["address"])
    if wish.get("service"):
        lines = lines.filter(service=wish["service"])
    if country:
        told = Q(region=country) | Q(region="", account__region=country)
        untold = Q(region="", account__region="", address__startswith=_calling_code(country))
        lines = lines.filter(told | untold)
    if area_code:
        lines = lines.filter(address__startswith=_calling_code(country or _COUNTRY_OF_AREA_CODES) + area_code)
    return lines


def claim_line(
    actor: Actor,
    *,
    organization: Organization,
    external_id: str = "",
    expires_at: datetime | None = None,
    **wish: Unpack[Wish],
) -> Line:
    """A free dedicated line, now the organization's own; not yet any identity's.

    Without a wish for a service it is one for iMessage; a certain `address` is taken whatever it carries.
    Raises `Forbidden` unless the actor is an admin, `LineQuotaReached`, `InventoryPending`, `Invalid`; for a certain
    address `NotFound` when it is not free, `AlreadyOwned`.
    """
    actor.require(Role.ADMIN)
    now = timezone.now()
    fields = checked({"external_id": external_id, "expires_at": expires_at}, now=now)
    if not wish.get("address"):
        wish = {"service": Line.Service.IMESSAGE, **wish}
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        _check_not_own(organization, wish.get("address", ""))
        _check_quota(organization)
        line = free_lines(**wish).select_for_update(skip_locked=True, no_key=True, of=("self",)).first()
        if line is None:
            raise NotFound() if wish.get("address") else InventoryPending(retry_after=_INVENTORY_PATIENCE)
        line.organization, line.claimed_at = organization, now
        line.external_id, line.expires_at = fields["external_id"], fields["expires_at"]
        line.failover, line.contact_card = {}, {}
        line.save(update_fields=["organization", "claimed_at", "external_id", "expires_at", "failover", "contact_card"])
        _record(actor, "line.claimed", line, service=line.service)
    return line


def give_back(actor: Actor, line: Line) -> Line:
    """The organization has no more to do with the line, for good; part of `imessage.owning.release`, which detaches it.

    Inside the caller's transaction, which holds the line's lock. It stays written down whose it was. Nobody claims it
    again before an operator offers it (`offer_again`): for a while its humans still write to the organization.
    """
    line.released_at = timezone.now()
    line.save(update_fields=["released_at"])
    _record(actor, "line.released", line)
    return line


def offer_again(actor: Actor, line: Line, *, reason: str) -> Line:
    """A released line is free for any organization to claim; the operator's decision, with its reason.

    Raises `Forbidden`, `Invalid` without a reason, `Conflict` for one that is not released.
    """
    actor.require(Role.OPERATOR)
    if not reason.strip():
        raise Invalid("Say why: the audit trail keeps it.")
    with transaction.atomic():
        line = Line.objects.select_for_update(no_key=True, of=("self",)).get(pk=line.pk)
        if line.released_at is None:
            raise Conflict("This line was not released by an organization.")
        _record(actor, "line.offered", line, reason=reason)
        Route.objects.filter(line=line).delete()
        line.organization = line.claimed_at = line.expires_at = line.released_at = None
        line.external_id, line.failover, line.contact_card = "", {}, {}
        line.save()
    return line


def locked(actor: Actor, line: Line) -> Line:
    """An owned line of the actor's organization, locked; after the identity's lock, before any conversation's.

    Raises `NotFound` for one that it does not own, `LineReleased`.
    """
    owned = Line.objects.ever_of(actor).select_for_update(no_key=True, of=("self",)).select_related("account")
    found = owned.filter(pk=line.pk).first()
    if found is None:
        raise NotFound()
    if found.released_at:
        raise LineReleased()
    return found


def change_line(actor: Actor, line: Line, *, changes: Mapping[str, Any]) -> Line:
    """Change what its organization keeps of a line: `external_id`, `expires_at`, `failover`, `contact_card`.

    Absent ones stay. `expires_at` None: never. `failover` is {enabled, mode (all or selective), numbers}: whether, and
    through which other lines of the organization, texts leave while this one cannot send. `contact_card` is
    {first_name, last_name, display_name, avatar_url}, {} for none. Raises `Forbidden` unless an admin, `Invalid`,
    `NotFound`, `LineReleased`.
    """
    actor.require(Role.ADMIN)
    fields = checked(changes, now=timezone.now())
    with transaction.atomic():
        line = locked(actor, line)
        _check_stand_ins(line, fields.get("failover", {}).get("numbers", []))
        changed = [name for name, value in fields.items() if getattr(line, name) != value]
        if changed:
            for name in changed:
                setattr(line, name, fields[name])
            line.save(update_fields=changed)
            _record(actor, "line.changed", line, changed=sorted(changed))
    return line


def expired(now: datetime) -> Iterable[UUID]:
    """Owned lines whose time is over; whoever has them given back calls `imessage.owning.release` for each."""
    owned = Line.objects.filter(kind=Line.Kind.DEDICATED, released_at=None, expires_at__lte=now)
    return list(owned.exclude(organization=None).order_by("expires_at", "id").values_list("id", flat=True)[:500])


def checked(changes: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """What may be kept of a line, in its stored form; raises `Invalid`."""
    fields = dict(changes)
    if unknown := fields.keys() - {"external_id", "expires_at", "failover", "contact_card"}:
        raise Invalid(f"These cannot be changed here: {', '.join(sorted(unknown))}.")
    if len(storable(fields.get("external_id") or "")) > _LONGEST_EXTERNAL_ID:
        raise Invalid(f"An external id has at most {_LONGEST_EXTERNAL_ID} characters.")
    if "external_id" in fields:
        fields["external_id"] = fields["external_id"] or ""
    ends = fields.get("expires_at")
    if ends is not None:
        if timezone.is_naive(ends) or ends <= now or ends.year > _LAST_YEAR:
            raise Invalid(f"A number expires at a time in the future, with its zone, at the latest in {_LAST_YEAR}.")
        # PostgreSQL reads fewer offsets than ISO 8601 can write.
        fields["expires_at"] = ends.astimezone(UTC)
    if "failover" in fields:
        fields["failover"] = _failover(fields["failover"])
    if "contact_card" in fields:
        fields["contact_card"] = _card(fields["contact_card"])
    return fields


def _failover(given: Mapping[str, Any]) -> dict[str, Any]:
    mode, numbers = given.get("mode", "all"), list(given.get("numbers") or [])
    if mode not in {"all", "selective"}:
        raise Invalid("The mode of a failover is 'all' or 'selective'.")
    if mode == "selective" and given.get("enabled") and not numbers:
        raise Invalid("A selective failover names its numbers.")
    if not all(isinstance(number, str) for number in numbers):
        raise Invalid("The numbers of a failover are texts.")
    return {"enabled": bool(given.get("enabled")), "mode": mode, "numbers": numbers}


def _card(given: Mapping[str, Any]) -> dict[str, str]:
    card = {name: value for name, value in given.items() if value}
    if card.keys() - _CARD or not all(
        isinstance(value, str) and len(storable(value)) <= 500 for value in card.values()
    ):
        raise Invalid(f"A contact card holds {', '.join(sorted(_CARD))}, each of at most 500 characters.")
    return card


def _check_stand_ins(line: Line, numbers: list[str]) -> None:
    own = Line.objects.filter(organization=line.organization, released_at=None, address__in=numbers)
    strange = set(numbers) - set(own.exclude(pk=line.pk).values_list("address", flat=True))
    if strange:
        raise Invalid(f"A failover goes to other numbers of the organization; {min(strange)[:40]} is none.")


def _check_not_own(organization: Organization, address: str) -> None:
    if address and Line.objects.filter(organization=organization, address=address, released_at=None).exists():
        raise AlreadyOwned()


def _check_quota(organization: Organization) -> None:
    limit = settings.DEDICATED_LINES_PER_ORGANIZATION
    owned = Line.objects.filter(organization=organization, released_at=None)
    current = owned.exclude(wanted=Line.Wanted.RETIRED).count()
    if current >= limit:
        raise LineQuotaReached(
            f"This organization has {current} of {limit} dedicated lines.", limit=limit, current=current
        )


def _calling_code(country: str) -> str:
    """A country's code as numbers begin with it; no number begins with that of an unknown one."""
    code = phonenumbers.country_code_for_region(country)
    return f"+{code}" if code else "-"


def _record(actor: Actor, type: str, line: Line, **more: Any) -> None:
    data = {"line_id": str(line.id), "address": line.address, **more}
    record(actor, type, organization_id=line.organization_id, subject_id=line.id, data=data)
