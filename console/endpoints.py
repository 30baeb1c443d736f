"""How pages find endpoints: those that are kept, as the reader may see them."""

from datetime import timedelta
from uuid import UUID

from django.urls import reverse

from accounts.models import Organization
from console.entry import seen_by
from core.actor import Actor, Role
from core.errors import NotFound
from webhooks.models import Subscription, SubscriptionQuerySet

MOST_ORGANIZATIONS = 200

# What somebody has confirmed of one endpoint happens at once: the page shows what came of it.
NO_HOLD = timedelta(0)


def endpoints_of(actor: Actor) -> SubscriptionQuerySet:
    """All that the actor may see, with their identities."""
    return Subscription.objects.visible_to(actor).kept().select_related("identity")


def endpoint_of(actor: Actor, pk: UUID) -> Subscription:
    """One of them; raises `NotFound`, for deleted ones too."""
    subscription: Subscription = seen_by(actor, Subscription, pk, "identity")
    if subscription.status == Subscription.Status.DELETED:
        raise NotFound()
    return subscription


def organizations_of(actor: Actor) -> list[Organization]:
    """Those whose endpoints the actor may make: an operator's are all."""
    rows = Organization.objects.order_by("name")
    if actor.role is not Role.OPERATOR:
        rows = rows.filter(pk__in=[actor.organization_id])
    return list(rows[:MOST_ORGANIZATIONS])


def url_of(pk: UUID) -> str:
    """The address of an endpoint's page."""
    return reverse("console:webhook", args=[pk])
