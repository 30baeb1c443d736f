"""Identities and keys: made, changed, recognised."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import identities, keys, members
from accounts.models import ApiKey, Identity, Organization, User
from core.actor import Role
from core.dialects import Dialect
from core.errors import Forbidden, Invalid
from events.models import Event
from tests import make

HANDLES = [("helper", "helper"), ("@Helper", "helper"), (" a ", "a"), ("a-b", "a-b"), ("9", "9"), ("a" * 63, "a" * 63)]
NOT_HANDLES = ["", "@", "@@a", "-a", "a-", "a_b", "a b", "é", "a" * 64, "a\n-", "ａ", "a.b", "a\x00"]


@pytest.mark.parametrize(("text", "handle"), HANDLES)
def test_a_handle_is_lower_case_without_its_at(text: str, handle: str) -> None:
    assert identities.normal_handle(text) == handle


@pytest.mark.parametrize("text", NOT_HANDLES)
def test_other_texts_are_no_handles(text: str) -> None:
    with pytest.raises(identities.BadHandle):
        identities.normal_handle(text)


def test_an_identity_is_made_with_its_event(organization: Organization) -> None:
    identity = identities.create_identity(make.admin_of(organization), organization=organization, handle="@New")
    assert (identity.handle, identity.display_name, identity.imessage_enabled) == ("new", "new", False)
    assert Event.objects.get(type="identity.created").identity_id == identity.id


def test_a_handle_is_taken_for_ever_and_everywhere(identity: Identity, other_organization: Organization) -> None:
    Identity.objects.update(status="deleted")
    with pytest.raises(identities.HandleUnavailable):
        identities.create_identity(
            make.admin_of(other_organization), organization=other_organization, handle=identity.handle
        )
    assert Organization.objects.exists(), "the outer transaction lives on"


def test_a_change_is_recorded_once_with_what_was_before(identity: Identity) -> None:
    admin = make.admin_of(identity.organization)
    for _ in range(2):
        identities.update_identity(admin, identity, changes={"display_name": "New name"})
    event = Event.objects.get(type="identity.updated")
    assert event.data == {"before": {"display_name": "Helper"}, "after": {"display_name": "New name"}}


@pytest.mark.parametrize(
    "changes",
    [
        {"handle": "x"},
        {"status": "deleted"},
        {"status": "asleep"},
        {"display_name": "a\x00"},
        {"description": "\ud800"},
    ],
)
def test_what_cannot_be_changed_is_refused(changes: dict[str, str], identity: Identity) -> None:
    with pytest.raises(Invalid):
        identities.update_identity(make.operator(), identity, changes=changes)


def test_an_agent_changes_only_itself(identity: Identity, charlies_identity: Identity) -> None:
    agent = make.agent_of(identity)
    identities.update_identity(agent, identity, changes={"display_name": "Me"})
    with pytest.raises(Forbidden):
        identities.update_identity(agent, charlies_identity, changes={"display_name": "Me"})


def test_a_key_is_recognised_and_its_use_noted(identity: Identity, agent_key: str) -> None:
    key = keys.authenticate(agent_key)
    actor = keys.actor_of(key)
    assert (actor.role, actor.identity_id, actor.organization_id) == (
        Role.AGENT,
        identity.id,
        identity.organization_id,
    )
    assert ApiKey.objects.get().last_used_at
    assert agent_key not in str(ApiKey.objects.values())


def test_an_admin_key_is_an_admin(organization: Organization, admin_key: str) -> None:
    assert keys.actor_of(keys.authenticate(admin_key)).role is Role.ADMIN


@pytest.mark.parametrize("dialect", Dialect.values)
def test_a_key_is_recognised_in_every_form(dialect: str, admin_key: str) -> None:
    assert keys.authenticate(keys.dressed(admin_key, dialect)) == keys.authenticate(admin_key)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: "sk_live_contiguity_sk_" + text,
        lambda text: "sk_test_" + text,
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text.swapcase(),
        lambda text: text.replace(".", ".."),
        lambda text: f"ApiKey_{uuid.uuid4()}" + text[text.index(".") :],
        lambda text: text + "\n",
        lambda text: text[:-8] + "00000000",
        lambda text: "\x00" + text,
    ],
)
def test_anything_else_is_no_key(change: object, admin_key: str) -> None:
    with pytest.raises(keys.BadKey):
        keys.authenticate(change(admin_key))  # type: ignore[operator]


@pytest.mark.parametrize("ended", ["revoked_at", "expires_at"])
def test_a_key_that_has_ended_is_no_key(ended: str, admin_key: str) -> None:
    ApiKey.objects.update(**{ended: timezone.now() - timedelta(seconds=1)})
    with pytest.raises(keys.BadKey):
        keys.authenticate(admin_key)


def test_a_deleted_identity_s_key_is_no_key(identity: Identity, agent_key: str) -> None:
    Identity.objects.update(status="deleted")
    with pytest.raises(keys.BadKey):
        keys.authenticate(agent_key)


def test_only_people_make_admin_keys(organization: Organization, identity: Identity, admin_key: str) -> None:
    actor = keys.actor_of(keys.authenticate(admin_key))
    keys.create_key(actor, organization=organization, identity=identity, label="bound")
    with pytest.raises(Forbidden):
        keys.create_key(actor, organization=organization, identity=None, label="admin")
    with pytest.raises(Forbidden):
        keys.create_key(make.agent_of(identity), organization=organization, identity=identity, label="more")


def test_people_act_as_their_membership_says(alice: User, bob: User, operator: User) -> None:
    assert [members.actor_of(user).role for user in (alice, bob, operator)] == [Role.ADMIN, Role.VIEWER, Role.OPERATOR]


def test_a_person_without_membership_may_nothing(db: None) -> None:
    with pytest.raises(Forbidden):
        members.actor_of(make.make_user(None, "nobody@example.com"))
