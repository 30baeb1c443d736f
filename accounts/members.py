"""People: how they come in, and as whom they act."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.db import transaction
from django.http import HttpRequest

from accounts.models import Membership, Organization, User
from core.actor import Actor, Role
from core.errors import Forbidden
from events.record import record


class ClosedSignupAdapter(DefaultAccountAdapter):
    """Nobody signs up: people are added by an operator."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


def create_organization(actor: Actor, *, name: str) -> Organization:
    """A new tenant; raises `Forbidden` unless the actor is an operator."""
    actor.require(Role.OPERATOR)
    with transaction.atomic():
        organization = Organization.objects.create(name=name)
        record(actor, "organization.created", organization_id=organization.id, subject_id=organization.id)
    return organization


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
