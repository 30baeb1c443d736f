"""The contact book of an organization: who the humans behind the numbers are. It names them; it decides nothing."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.models import Contact, Organization
from core.actor import Actor, Role
from core.errors import Conflict, Invalid, NotFound
from core.phones import e164
from core.texts import storable
from events.record import record

# The longest a field may be, in code points.
_LONGEST = {"name": 200, "email": 254, "notes": 10_000}

CHANGEABLE = {"phone_number", *_LONGEST}


class ContactExists(Conflict):
    """This number stands in the contact book already. Field: `contact_id`."""

    code = "contact_exists"


def create_contact(
    actor: Actor, *, organization: Organization, phone_number: str, name: str, email: str = "", notes: str = ""
) -> Contact:
    """A new entry of the organization's contact book.

    Raises `Forbidden` for keys bound to an identity, `NotE164`, `Invalid`, `ContactExists`.
    """
    actor.require(Role.ADMIN)
    fields = _checked({"phone_number": phone_number, "name": name, "email": email, "notes": notes})
    with _one_a_number(organization.id, phone_number), transaction.atomic():
        contact = Contact.objects.create(organization=organization, **fields)
        _record(actor, "contact.created", contact)
    return contact


def change_contact(actor: Actor, contact: Contact, *, changes: dict[str, str]) -> Contact:
    """Change `phone_number`, `name`, `email` or `notes`; absent ones stay.

    Raises as `create_contact` does, and `NotFound`.
    """
    actor.require(Role.ADMIN)
    changes = _checked(changes)
    number = changes.get("phone_number", contact.phone_number)
    with _one_a_number(contact.organization_id, number), transaction.atomic():
        contact = _locked(contact)
        changed = [name for name, value in changes.items() if getattr(contact, name) != value]
        if changed:
            for name in changed:
                setattr(contact, name, changes[name])
            contact.updated_at = timezone.now()
            contact.save(update_fields=[*changed, "updated_at"])
            _record(actor, "contact.changed", contact, changed=changed)
    return contact


def delete_contact(actor: Actor, contact: Contact) -> None:
    """Take an entry out of the book; what was told under its name stays told. Raises `Forbidden`, `NotFound`."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        contact = _locked(contact)
        _record(actor, "contact.deleted", contact)
        contact.delete()


def contact_of(organization_id: UUID, human: str) -> Contact | None:
    """The entry of a number, if the organization has one."""
    return Contact.objects.filter(organization_id=organization_id, phone_number=human).first()


def contact_shape(contact: Contact | None) -> dict[str, Any] | None:
    """An entry as events freeze it: id, name, e-mail address and number."""
    if contact is None:
        return None
    return {
        "id": str(contact.id),
        "name": contact.name,
        "email": contact.email or None,
        "phone_number": contact.phone_number,
    }


def names_of(organization_id: UUID, humans: Iterable[str]) -> dict[str, str]:
    """What the organization calls these numbers; those that it does not know are left out."""
    known = Contact.objects.filter(organization_id=organization_id, phone_number__in=list(humans))
    return dict(known.values_list("phone_number", "name"))


def called(words: str, *, column: str = "human") -> Q:
    """Rows with an `organization_id` whose number in `column` that organization calls so."""
    named = Contact.objects.filter(name__icontains=words)
    own = named.filter(organization_id=OuterRef("organization_id"), phone_number=OuterRef(column))
    # The first is asked once, and leaves few rows for the second.
    return Q(**{f"{column}__in": named.values("phone_number")}) & Q(Exists(own))


def _checked(fields: dict[str, str]) -> dict[str, str]:
    if unknown := fields.keys() - CHANGEABLE:
        raise Invalid(f"A contact has no {', '.join(sorted(unknown))}.")
    for name, value in fields.items():
        if name == "phone_number":
            e164(value)
        elif len(storable(value)) > _LONGEST[name]:
            raise Invalid(f"'{name}' is longer than {_LONGEST[name]:,} characters.")
    if not fields.get("name", "x").strip():
        raise Invalid("A contact needs a name.")
    return fields


@contextlib.contextmanager
def _one_a_number(organization_id: UUID, number: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as taken:
        standing = contact_of(organization_id, number)
        raise ContactExists(contact_id=str(standing.id) if standing else None) from taken


def _locked(contact: Contact) -> Contact:
    found = Contact.objects.select_for_update(no_key=True).filter(pk=contact.pk).first()
    if found is None:
        raise NotFound()
    return found


def _record(actor: Actor, type: str, contact: Contact, **more: Any) -> None:
    data = {"phone_number": contact.phone_number, **more}
    record(actor, type, organization_id=contact.organization_id, subject_id=contact.id, data=data)
