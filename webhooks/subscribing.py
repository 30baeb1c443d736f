"""Subscriptions: which address hears of which events, of an identity or of a whole organization, in which dialect."""

import re
import time
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Identity, Organization
from core import secrets
from core.actor import Actor
from core.errors import Conflict, Invalid
from core.http import check_url
from events.record import record
from webhooks.claiming import drop
from webhooks.models import Delivery, Subscription, SubscriptionQuerySet
from webhooks.signing import first_key, new_secret, require_owner
from webhooks.vendors import VENDORS, Vendor

# Active and disabled ones of one identity (contract/inkbox.md section 20, row 7), or of an organization as a whole.
MOST_SUBSCRIPTIONS = 20

# Why it is disabled, when its owner asked for it.
ASKED = "asked"

CHANGEABLE = {"url", "event_types", "context_config", "auth_token", "context_limit", "timeout"}

# Seconds for an answer, and earlier messages with an event (contract/agentphone.md, section 10).
TIMEOUTS = range(5, 121)
CONTEXT_LIMITS = range(51)
CONTEXT_LIMIT = 10
TIMEOUT = 30

_TOKEN = re.compile(r"[\x21-\x7e]{1,2000}", re.ASCII)
_CONTEXT_CLASSES = {"email", "texts", "calls"}
_MOST = {"count": 50, "hours": 168}

# What was being posted when its endpoint changed ends by then, or left long before.
_LONGEST_WAIT = 3.0


class TooManySubscriptions(Conflict):
    """There are as many subscriptions as there may be; delete one first."""

    code = "too_many_subscriptions"


class DuplicateSubscription(Conflict):
    """An active subscription with the same url exists already; change that one."""

    code = "duplicate_subscription"


def create_subscription(
    actor: Actor,
    owner: Identity | Organization,
    *,
    url: str,
    dialect: str = Subscription.Dialect.INKBOX,
    event_types: list[str] | None = None,
    context_config: dict[str, Any] | None = None,
    auth_token: str | None = None,
    context_limit: int | None = None,
    timeout: int | None = None,
) -> tuple[Subscription, str | None]:
    """Tell `url` of the owner's events from now on; `event_types` are names of the catalogue, None for all there are.

    An organization's endpoint hears of every identity. With it comes the plaintext of what signs, shown this once:
    the endpoint's own secret, or the identity's first key when this call made one. Agents may subscribe for their own
    identity. Raises `Forbidden`, `OutboundRefused`, `Invalid`, `TooManySubscriptions`, `DuplicateSubscription`.
    """
    identity = _identity_of(owner)
    require_owner(actor, identity)
    vendor = _vendor(dialect)
    given = {
        "url": url,
        "event_types": list(vendor.events) if event_types is None else event_types,
        "context_config": context_config,
        "auth_token": auth_token,
        "context_limit": context_limit,
        "timeout": timeout,
    }
    values = _checked(given, vendor)
    try:
        with transaction.atomic():
            _lock(owner)
            kept = _kept_of(owner)
            # The clearer of two refusals first.
            if kept.filter(dialect=dialect).filter(url=url).exists():
                raise DuplicateSubscription()
            if vendor.at_most_one and kept.filter(dialect=dialect).exists():
                raise DuplicateSubscription(f"There is one endpoint of {vendor.label} here already; change that one.")
            if kept.count() >= MOST_SUBSCRIPTIONS:
                raise TooManySubscriptions()
            secret = new_secret() if vendor.own_secret or identity is None else None
            subscription = Subscription.objects.create(
                organization_id=identity.organization_id if identity else owner.pk,
                identity=identity,
                dialect=dialect,
                **values,
                **_secret_values(secret),
            )
            plaintext = secret or (first_key(actor, identity) if identity else None)
            _tell(actor, "webhook.subscribed", subscription)
    except IntegrityError as taken:
        raise DuplicateSubscription() from taken
    return subscription, plaintext


def save_hook(
    actor: Actor,
    owner: Identity | Organization,
    *,
    url: str,
    context_limit: int = CONTEXT_LIMIT,
    timeout: int = TIMEOUT,
) -> tuple[Subscription, str]:
    """Make AgentPhone's hook of an agent or of a project, or change the one there is; the row and its secret.

    Every save makes a new secret and enables a disabled hook; nothing goes to a former address any more when this
    returns. Raises as `create_subscription` does.
    """
    require_owner(actor, _identity_of(owner))
    with transaction.atomic():
        _lock(owner)
        hook = hook_of(owner)
        if hook is None:
            made, secret = create_subscription(
                actor,
                owner,
                url=url,
                dialect=Subscription.Dialect.AGENTPHONE,
                context_limit=context_limit,
                timeout=timeout,
            )
            return made, secret or ""
        hook, secret, given = _locked(hook), new_secret(), {"context_limit": context_limit, "timeout": timeout}
        _set(hook, _checked({"url": url, **given}, _vendor(hook.dialect)) | _secret_values(secret))
        if not hook.is_active:
            _reactivate(hook)
        _tell(actor, "webhook.changed", hook, {"changed": ["context_limit", "secret", "timeout", "url"]})
    _wait_for_what_is_being_posted(hook.id)
    return hook, secret


def hook_of(owner: Identity | Organization) -> Subscription | None:
    """AgentPhone's hook of an agent, or of a project (an organization as a whole); None when there is none."""
    return _kept_of(owner).filter(dialect=Subscription.Dialect.AGENTPHONE).select_related("identity").first()


def rotate_secret(actor: Actor, subscription: Subscription) -> str:
    """A new secret for an endpoint that has one of its own; from now on nothing is signed with the former.

    Its dialects' verifiers look at one signature alone, so two cannot be valid side by side. Raises `Forbidden`,
    `Invalid` for one that has none.
    """
    require_owner(actor, subscription.identity)
    with transaction.atomic():
        subscription = _locked(subscription)
        if not subscription.has_own_secret:
            raise Invalid("This endpoint has no secret of its own: its identity's key signs.")
        secret = new_secret()
        _set(subscription, _secret_values(secret))
        _tell(actor, "webhook.changed", subscription, {"changed": ["secret"]})
    return secret


def secret_of(actor: Actor, subscription: Subscription) -> str:
    """The endpoint's own secret in the clear, where its dialect shows it again; empty when it has none."""
    require_owner(actor, subscription.identity)
    return secrets.unseal(subscription.sealed_secret) if subscription.has_own_secret else ""


def update_subscription(actor: Actor, subscription: Subscription, *, changes: dict[str, Any]) -> Subscription:
    """Change what `CHANGEABLE` names; absent ones stay, None clears what may be empty.

    A new URL makes a disabled subscription active again. When this returns nothing goes to the former address
    any more. Raises as `create_subscription` does, and `Conflict` when it was deleted meanwhile.
    """
    require_owner(actor, subscription.identity)
    if unknown := changes.keys() - CHANGEABLE:
        raise Invalid(f"These cannot be changed here: {', '.join(sorted(unknown))}.")
    values = _checked(changes, _vendor(subscription.dialect))
    try:
        with transaction.atomic():
            subscription = _locked(subscription)
            if values:
                moved = "url" in values and values["url"] != subscription.url
                _set(subscription, values)
                if moved and not subscription.is_active:
                    _reactivate(subscription)
                _tell(actor, "webhook.changed", subscription, {"changed": sorted(changes)})
    except IntegrityError as taken:
        raise DuplicateSubscription() from taken
    if values:
        _wait_for_what_is_being_posted(subscription.id)
    return subscription


def enable_subscription(actor: Actor, subscription: Subscription) -> Subscription:
    """Make a disabled subscription active again; what it missed is sent by `replay_failed_since`."""
    require_owner(actor, subscription.identity)
    with transaction.atomic():
        subscription = _locked(subscription)
        if not subscription.is_active:
            _reactivate(subscription)
            _tell(actor, "webhook.enabled", subscription)
    return subscription


def disable_subscription(actor: Actor, subscription: Subscription, *, reason: str = "") -> Subscription:
    """Have nothing go to an endpoint until it is enabled again; what waits fails and can be sent again.

    Nothing is done to one that is disabled already.
    """
    require_owner(actor, subscription.identity)
    with transaction.atomic():
        subscription = _locked(subscription)
        if subscription.is_active:
            now = timezone.now()
            _set(
                subscription,
                {"status": Subscription.Status.DISABLED, "disabled_at": now, "disabled_reason": ASKED},
            )
            drop(subscription, now)
            _tell(actor, "webhook.disabled", subscription, {"reason": ASKED, "why": reason})
    return subscription


def take_back_disabling(actor: Actor, subscription: Subscription) -> Subscription:
    """Enable an endpoint that its owner has just disabled, and let what failed by that wait as before."""
    require_owner(actor, subscription.identity)
    with transaction.atomic():
        subscription = _locked(subscription)
        if subscription.is_active or subscription.disabled_reason != ASKED:
            raise Conflict("This endpoint was not disabled by hand, or is enabled again.")
        Delivery.objects.failed().filter(
            subscription=subscription, ending=Delivery.Ending.DROPPED, settled_at__gte=subscription.disabled_at
        ).update(state=Delivery.State.PENDING, ending="", settled_at=None)
        _set(subscription, {"status": Subscription.Status.ACTIVE, "disabled_at": None, "disabled_reason": ""})
        _tell(actor, "webhook.enabled", subscription)
    return subscription


def delete_subscription(actor: Actor, subscription: Subscription) -> None:
    """End a subscription: what waits for it is cancelled, and when this returns nothing goes there any more."""
    require_owner(actor, subscription.identity)
    with transaction.atomic():
        subscription = _locked(subscription)
        end(actor, subscription)
    _wait_for_what_is_being_posted(subscription.id)


def end_subscriptions(actor: Actor, identity_id: UUID) -> int:
    """End all subscriptions of an identity that was deleted, and cancel what waits elsewhere; how many there were."""
    with transaction.atomic():
        kept = list(
            Subscription.objects.kept().filter(identity_id=identity_id).select_for_update(no_key=True).order_by("id")
        )
        for subscription in kept:
            end(actor, subscription)
    _cancel_elsewhere(identity_id)
    return len(kept)


def _cancel_elsewhere(identity_id: UUID) -> None:
    """What waits of a deleted identity at endpoints of its whole organization, each under the endpoint's lock."""
    waiting = Delivery.objects.pending().filter(identity_id=identity_id)
    for key in set(waiting.values_list("subscription_id", flat=True)):
        with transaction.atomic():
            Subscription.objects.select_for_update(no_key=True).get(pk=key)
            waiting.filter(subscription_id=key).update(state=Delivery.State.CANCELLED, settled_at=timezone.now())


def end(actor: Actor, subscription: Subscription) -> None:
    """Mark it deleted and cancel what waits, inside the caller's transaction, which holds its lock."""
    _set(subscription, {"status": Subscription.Status.DELETED})
    Delivery.objects.pending().filter(subscription=subscription).update(
        state=Delivery.State.CANCELLED, settled_at=timezone.now()
    )
    _tell(actor, "webhook.deleted", subscription)


def _identity_of(owner: Identity | Organization) -> Identity | None:
    return owner if isinstance(owner, Identity) else None


def _kept_of(owner: Identity | Organization) -> SubscriptionQuerySet:
    """The endpoints of exactly this owner."""
    kept = Subscription.objects.kept()
    if isinstance(owner, Identity):
        return kept.filter(identity=owner)
    return kept.filter(organization=owner, identity=None)


def _lock(owner: Identity | Organization) -> None:
    type(owner)._default_manager.select_for_update(no_key=True).get(pk=owner.pk)


def _vendor(dialect: str) -> Vendor:
    if dialect not in VENDORS:
        raise Invalid(f"Unknown dialect; choose among {', '.join(VENDORS)}.")
    return VENDORS[dialect]


def _secret_values(secret: str | None) -> dict[str, Any]:
    if secret is None:
        return {}
    return {"sealed_secret": secrets.seal(secret), "secret_made_at": timezone.now()}


def _checked(values: dict[str, Any], vendor: Vendor) -> dict[str, Any]:
    """The columns for what was given; raises `Invalid` or `OutboundRefused`."""
    columns: dict[str, Any] = {}
    if "url" in values:
        columns["url"] = check_url(values["url"])
    if "event_types" in values:
        columns["event_types"] = _checked_event_types(values["event_types"], vendor)
    for name, allowed in (("context_limit", CONTEXT_LIMITS), ("timeout", TIMEOUTS)):
        if name in values:
            if values[name] is not None and values[name] not in allowed:
                raise Invalid(f"'{name}' is from {allowed[0]} to {allowed[-1]}.")
            columns[name] = values[name]
    if "context_config" in values:
        columns["context_config"] = _checked_context(values["context_config"])
    if "auth_token" in values:
        columns["sealed_auth_token"] = _sealed_token(values["auth_token"])
    return columns


def _checked_event_types(event_types: list[str], vendor: Vendor) -> list[str]:
    if not event_types or len(set(event_types)) != len(event_types):
        raise Invalid("'event_types' must name at least one event, each once.")
    if unknown := [name for name in event_types if name not in vendor.events]:
        raise Invalid(f"Unknown event types: {', '.join(unknown)}.")
    return event_types


def _checked_context(config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Per class of history null, or so many items, or so many hours (contract/inkbox.md 15.5)."""
    if config is None:
        return None
    if unknown := config.keys() - _CONTEXT_CLASSES:
        raise Invalid(f"'context_config' knows email, texts and calls, not {', '.join(sorted(unknown))}.")
    for name, wanted in config.items():
        if wanted is not None and not _is_context(wanted):
            raise Invalid(
                f"'context_config.{name}' is null, {{'mode': 'count', 'count': 1-50}} or "
                "{'mode': 'window', 'hours': 1-168}."
            )
    return config


def _is_context(wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return False
    unit = {"count": "count", "window": "hours"}.get(str(wanted.get("mode")))
    if unit is None or wanted.keys() != {"mode", unit}:
        return False
    amount = wanted[unit]
    return isinstance(amount, int) and not isinstance(amount, bool) and 1 <= amount <= _MOST[unit]


def _sealed_token(token: str | None) -> str:
    if token is None:
        return ""
    if not _TOKEN.fullmatch(token):
        raise Invalid("'auth_token' has 1 to 2000 printable ASCII characters without spaces.")
    return secrets.seal(token)


def _locked(subscription: Subscription) -> Subscription:
    locked = (
        Subscription.objects.kept()
        .select_for_update(no_key=True, of=("self",))
        .select_related("identity")
        .filter(pk=subscription.pk)
        .first()
    )
    if locked is None:
        raise Conflict("This subscription was deleted this moment.")
    return locked


def _set(subscription: Subscription, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(subscription, name, value)
    subscription.updated_at = timezone.now()
    subscription.save(update_fields=[*values, "updated_at"])


def _reactivate(subscription: Subscription) -> None:
    _set(
        subscription,
        {
            "status": Subscription.Status.ACTIVE,
            "failing_since": None,
            "held_until": None,
            "disabled_at": None,
            "disabled_reason": "",
        },
    )


def _wait_for_what_is_being_posted(subscription_id: UUID) -> None:
    """Until what was claimed for the former address before the change was committed has ended.

    Who claims later reads the change. A hung receiver must not hold up its owner: its request left long ago.
    """
    committed = timezone.now()
    until = time.monotonic() + _LONGEST_WAIT
    being_posted = Delivery.objects.filter(
        subscription_id=subscription_id, claimed_until__gt=committed, claimed_at__lt=committed
    )
    while being_posted.exists() and time.monotonic() < until:
        time.sleep(0.02)


def _tell(actor: Actor, type: str, subscription: Subscription, data: dict[str, Any] | None = None) -> None:
    record(
        actor,
        type,
        organization_id=subscription.organization_id,
        identity_id=subscription.identity_id,
        subject_id=subscription.id,
        data={"url": subscription.url, "event_types": subscription.event_types, **(data or {})},
    )
