"""Finding what a command line names, or saying that there is no such thing."""

from django.core.management.base import CommandError

from accounts.identities import BadHandle, normal_handle
from accounts.models import Identity, Organization


def organization_named(name_or_id: str) -> Organization:
    """The organization with this name (any case) or `org_...` id; raises `CommandError`."""
    organization = Organization.objects.named(name_or_id).first()
    if organization is None:
        raise CommandError(f"There is no organization {name_or_id!r}.")
    return organization


def identity_named(organization: Organization, handle: str) -> Identity:
    """The organization's live identity with this handle, with or without its @; raises `CommandError`."""
    try:
        name = normal_handle(handle)
    except BadHandle as odd:
        raise CommandError(odd.message) from odd
    identity = Identity.objects.live().filter(organization=organization, handle=name).first()
    if identity is None:
        raise CommandError(f"{organization} has no identity @{name}.")
    return identity
