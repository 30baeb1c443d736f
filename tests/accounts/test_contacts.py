"""The contact book: one entry a number, an organization's own."""

from typing import Any

import pytest

from accounts import contacts
from accounts.models import Contact, Identity, Organization
from core.errors import Forbidden, Invalid, NotFound
from core.phones import NotE164
from events.models import Event
from tests import make

pytestmark = pytest.mark.django_db


def create(organization: Organization, **fields: Any) -> Contact:
    fields = {"phone_number": make.HUMAN, "name": "Dana", **fields}
    return contacts.create_contact(make.admin_of(organization), organization=organization, **fields)


def test_a_contact_is_written_down_and_told(organization: Organization) -> None:
    contact = create(organization, email="dana@example.com")
    event = Event.objects.get(type="contact.created")
    assert (event.subject_id, event.data) == (str(contact.id), {"phone_number": make.HUMAN})
    assert contacts.contact_shape(contact) == {
        "id": str(contact.id),
        "name": "Dana",
        "email": "dana@example.com",
        "phone_number": make.HUMAN,
    }


def test_a_number_stands_in_the_book_once(organization: Organization, other_organization: Organization) -> None:
    contact = create(organization)
    with pytest.raises(contacts.ContactExists) as refused:
        create(organization, name="Another")
    assert (refused.value.status, refused.value.fields) == (409, {"contact_id": str(contact.id)})
    create(other_organization)


def test_a_change_to_a_number_that_stands_already_is_refused(organization: Organization) -> None:
    create(organization)
    other = create(organization, phone_number=make.OTHER_HUMAN)
    with pytest.raises(contacts.ContactExists):
        contacts.change_contact(make.admin_of(organization), other, changes={"phone_number": make.HUMAN})


def test_only_what_differs_is_changed(organization: Organization) -> None:
    contact = create(organization)
    for changes in ({"name": "Dana"}, {"name": "Dana Ray", "notes": ""}):
        contact = contacts.change_contact(make.admin_of(organization), contact, changes=changes)
    assert contact.name == "Dana Ray"
    assert Event.objects.get(type="contact.changed").data["changed"] == ["name"]


def test_a_deleted_contact_is_gone(organization: Organization) -> None:
    contact = create(organization)
    contacts.delete_contact(make.admin_of(organization), contact)
    with pytest.raises(NotFound):
        contacts.delete_contact(make.admin_of(organization), contact)
    assert contacts.contact_of(organization.id, make.HUMAN) is None


@pytest.mark.parametrize(
    "fields", [{"name": " "}, {"name": "x" * 201}, {"notes": "\x00"}, {"email": "x" * 255}, {"phone_number": "555"}]
)
def test_what_cannot_be_kept_is_refused(fields: dict[str, str], organization: Organization) -> None:
    with pytest.raises((Invalid, NotE164)):
        create(organization, **fields)


def test_bound_keys_read_the_book_and_do_not_write_it(identity: Identity, charlies_identity: Identity) -> None:
    contact = create(identity.organization)
    agent = make.agent_of(identity)
    with pytest.raises(Forbidden):
        contacts.create_contact(agent, organization=identity.organization, phone_number=make.OTHER_HUMAN, name="x")
    assert Contact.objects.visible_to(agent).get() == contact
    assert not Contact.objects.visible_to(make.agent_of(charlies_identity)).exists()


def test_the_book_is_searched_and_names_humans(organization: Organization) -> None:
    create(organization, notes="from the fair")
    found = Contact.objects.visible_to(make.admin_of(organization)).matching
    assert [found(words).count() for words in ("dAn", "0123", "fair", "nobody")] == [1, 1, 1, 0]
    assert contacts.names_of(organization.id, [make.HUMAN, make.OTHER_HUMAN]) == {make.HUMAN: "Dana"}
