"""Signing secrets: a new one with the old beside it, or at once; shown on one answer and never again."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.views.decorators.http import require_http_methods

from accounts.models import Identity
from console.endpoints import NO_HOLD, endpoint_of, endpoints_of, url_of
from console.entry import PageRequest, draw, page, tell
from console.friction import Confirmation, Confirmed, Fact, confirm, leave_for
from console.outcomes import host_of
from core.actor import Actor, Role
from core.errors import NotFound
from webhooks.models import Attempt, Subscription, SubscriptionQuerySet
from webhooks.signing import KnownKey, end_overlap, endpoint_keys, known_keys, rotate_key, rotate_key_at_once
from webhooks.subscribing import rotate_secret as rotate_own


@page
@require_http_methods(["GET", "POST"])
def rotate_secret(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """A new signing secret; the old one signs beside it for a day. The new one is shown on the answer, once."""
    subscription = endpoint_of(actor, pk)
    actor.require(Role.ADMIN)
    if subscription.has_own_secret:
        return _rotate_own(request, actor, subscription)
    identity = _signing_identity(subscription)
    confirmed = confirm(
        request,
        actor,
        Confirmation(
            title=f"New signing secret of @{identity.handle}",
            sentence=(
                "The new secret signs from now on, and for 24 hours the old one signs beside it in webhook-signature. "
                "X-Inkbox-Signature is made with the new one at once: who checks that one needs the new secret first."
            ),
            action="Make a new secret",
            back=url_of(pk),
            facts=_key_facts(actor, identity),
            sample=_hosts(actor, identity),
            undoable="The old secret cannot be made the present one again.",
            hold=NO_HOLD,
        ),
    )
    if not isinstance(confirmed, Confirmed):
        return confirmed
    _, secret = rotate_key(actor, identity)
    return show_secret(request, actor, subscription, secret, "The new signing secret")


@page
@require_http_methods(["GET", "POST"])
def rotate_secret_at_once(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """A new signing secret, and the old one signs nothing any more: for a secret that others have seen."""
    subscription = endpoint_of(actor, pk)
    actor.require(Role.ADMIN)
    identity = _signing_identity(subscription)
    confirmed = confirm(
        request,
        actor,
        Confirmation(
            title=f"Replace the secret of @{identity.handle} at once",
            sentence="The old secret signs nothing any more. Endpoints refuse everything until they have the new one.",
            action="Replace it at once",
            back=url_of(pk),
            grade=4,
            typed=identity.handle,
            facts=_key_facts(actor, identity),
            sample=_hosts(actor, identity),
            warning="What endpoints refuse meanwhile is tried again by the schedule, for days.",
            undoable="The old secret cannot come back.",
            hold=NO_HOLD,
        ),
    )
    if not isinstance(confirmed, Confirmed):
        return confirmed
    _, secret = rotate_key_at_once(actor, identity, reason=confirmed.reason)
    return show_secret(request, actor, subscription, secret, "The new signing secret")


@page
@require_http_methods(["GET", "POST"])
def end_old_secret(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Have the old secret sign nothing any more before its day is over."""
    subscription = endpoint_of(actor, pk)
    actor.require(Role.ADMIN)
    identity = _signing_identity(subscription)
    confirmed = confirm(
        request,
        actor,
        Confirmation(
            title=f"End the old secret of @{identity.handle}",
            sentence="The old secret signs nothing any more. An endpoint that still uses it refuses what it gets.",
            action="End it now",
            back=url_of(pk),
            grade=4,
            typed=identity.handle,
            sample=[f"{each['host']}: {each['words']}" for each in still_old(actor, identity, known_keys(identity))],
            undoable="It cannot come back.",
            hold=NO_HOLD,
        ),
    )
    if not isinstance(confirmed, Confirmed):
        return confirmed
    end_overlap(actor, identity)
    tell(request, "Only the new secret signs now.")
    return leave_for(request, url_of(pk))


def _rotate_own(request: PageRequest, actor: Actor, subscription: Subscription) -> HttpResponse:
    """A new secret of one endpoint: its dialect's verifiers know no second one beside it."""
    host = host_of(subscription.url)
    confirmed = confirm(
        request,
        actor,
        Confirmation(
            title=f"New signing secret of {host}",
            sentence=(
                "The new secret signs from now on, and the old one signs nothing any more: "
                "the endpoint refuses everything until it has the new one."
            ),
            action="Make a new secret",
            back=url_of(subscription.pk),
            facts=[Fact("Now signs", key.fingerprint) for key in endpoint_keys(subscription)],
            warning="What the endpoint refuses meanwhile may be lost to it: send it again from its list.",
            undoable="The old secret cannot be made the present one again.",
            hold=NO_HOLD,
        ),
    )
    if not isinstance(confirmed, Confirmed):
        return confirmed
    return show_secret(request, actor, subscription, rotate_own(actor, subscription), "The new signing secret")


def _signing_identity(subscription: Subscription) -> Identity:
    """Whose keys sign for an endpoint; raises `NotFound` for one with a secret of its own."""
    if subscription.identity is None or subscription.has_own_secret:
        raise NotFound()
    return subscription.identity


def signed_by(actor: Actor, identity: Identity) -> SubscriptionQuerySet:
    """The endpoints that the identity's keys sign for."""
    return endpoints_of(actor).filter(identity=identity, sealed_secret="")


def _key_facts(actor: Actor, identity: Identity) -> list[Fact]:
    keys = known_keys(identity)
    facts = [Fact("Now signs", f"{keys[0].fingerprint}, made {keys[0].created_at:%d %b %Y}" if keys else "nothing")]
    return [*facts, Fact("Endpoints that need the new one", signed_by(actor, identity).count())]


def _hosts(actor: Actor, identity: Identity) -> list[str]:
    urls = signed_by(actor, identity).order_by("created_at").values_list("url", flat=True)
    return [host_of(url) for url in urls]


def show_secret(
    request: PageRequest, actor: Actor, subscription: Subscription, secret: str, title: str
) -> HttpResponse:
    """The one answer that holds a secret: never stored by a browser, and not to be had again."""
    context = {"subscription": subscription, "secret": secret, "title": title}
    template = "console/webhooks/_secret.html" if request.htmx else "console/webhooks/secret.html"
    return draw(request, actor, template, context)


def still_old(actor: Actor, identity: Identity, keys: Sequence[KnownKey]) -> list[dict[str, Any]]:
    """While a former key signs beside the newest: how each endpoint has answered since, for it shows who knows it.

    The vendor's header is made with the newest key alone, so whoever checks that with the old one refuses.
    """
    if not any(key.signs_until for key in keys):
        return []
    since = keys[0].created_at
    endpoints = list(signed_by(actor, identity).order_by("created_at", "id"))
    found = []
    for endpoint in endpoints:
        latest = Attempt.objects.visible_to(actor).filter(subscription=endpoint, at__gt=since).order_by("-at", "-id")
        attempt = latest.first()
        found.append({"endpoint": endpoint, "host": host_of(endpoint.url), "words": since_rotation(attempt)})
    return found


def since_rotation(attempt: Attempt | None) -> str:
    if attempt is None:
        return "Nothing was sent there since: it may still use the old secret"
    if attempt.succeeded:
        return "Takes what is signed with both"
    if attempt.response_status in {400, 401, 403}:
        return f"Answers {attempt.response_status} since: it still uses the old secret, most likely"
    return "Failed since, for another reason"
