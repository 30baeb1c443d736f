"""People: how they come in, and as whom they act."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.sessions.models import Session
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import Membership, Organization, User
from core.actor import Actor, Role
from core.errors import Conflict, Forbidden, Invalid
from core.texts import storable
from events.record import record

_LONGEST_NAME = 100


class NameTaken(Conflict):
    """There is an organization with this name already."""

    code = "name_taken"


class ClosedSignupAdapter(DefaultAccountAdapter):
    """Nobody signs up: people are added by an operator."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


def create_organization(actor: Actor, *, name: str) -> Organization:
    """A new tenant; names are unique in any case. Raises `Forbidden` unless an operator, `Invalid`, `NameTaken`."""
    actor.require(Role.OPERATOR)
    name = storable(name.strip())
    if not 0 < len(name) <= _LONGEST_NAME:
        raise Invalid(f"An organization's name has 1 to {_LONGEST_NAME} characters.")
    with _unless_taken(name), transaction.atomic():
        organization = Organization.objects.create(name=name)
        record(actor, "organization.created", organization_id=organization.id, subject_id=organization.id)
    return organization


@contextlib.contextmanager
def _unless_taken(name: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as taken:
        raise NameTaken(f"There is an organization {name!r} already.") from taken


def add_member(actor: Actor, organization: Organization, *, email: str, password: str, role: str, **user: Any) -> User:
    """A new person with a role in the organization; raises `Forbidden` unless the actor is an operator."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        person = User.objects.create_user(email, password, **user)
        Membership.objects.create(organization=organization, user=person, role=role)
        record(actor, "member.added", organization_id=organization.id, subject_id=person.id, data={"role": role})
    return person


def actor_of(user: User) -> Actor:
    """As whom a signed-in person acts: superusers run the installation, others act in their organization.

    Raises `Forbidden` for a person without any role.
    """
    if user.is_superuser:
        return Actor(role=Role.OPERATOR, kind="user", id=str(user.id), label=user.email)
    membership = Membership.objects.filter(user=user).order_by("created_at").first()
    if membership is None:
        raise Forbidden("You are not a member of any organization here.")
    return Actor(
        role=Role(membership.role),
        kind="user",
        id=str(user.id),
        label=user.email,
        organization_id=membership.organization_id,
    )


def actor_named(user_id: UUID | None) -> Actor:
    """As whom a person acts by now, for work they left behind; raises `Forbidden` once they may do nothing here."""
    user = User.objects.filter(pk=user_id, is_active=True).first() if user_id else None
    if user is None:
        raise Forbidden("Who started this may no longer sign in.")
    return actor_of(user)


# What a person's rights rest on: organization, role, whether an operator, and the hash of the password.
Standing = tuple[Any, ...]


def standings(sessions: Mapping[str, str]) -> dict[str, Standing]:
    """For each session key that still stands, what its person's rights rest on; `sessions` maps keys to user ids.

    Left out are sessions that ended or expired, and people who are no longer active. Two questions, however many.
    """
    people: dict[str, Standing] = {}
    rows = User.objects.filter(pk__in=set(sessions.values()), is_active=True).order_by("memberships__created_at")
    facts = ("memberships__organization_id", "memberships__role", "is_superuser", "password")
    for pk, *standing in rows.values_list("pk", *facts):
        people.setdefault(str(pk), tuple(standing))
    keys = Session.objects.filter(pk__in=list(sessions), expire_date__gt=timezone.now()).values_list("pk", flat=True)
    return {key: people[sessions[key]] for key in keys if sessions[key] in people}
