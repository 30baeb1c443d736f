"""Subscriptions: which address hears of which events of an identity."""

import re
import time
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Identity
from core import secrets
from core.actor import Actor
from core.errors import Conflict, Invalid
from core.http import check_url
from events.record import record
from webhooks.catalog import EVENT_TYPES
from webhooks.claiming import drop
from webhooks.models import Delivery, Subscription
from webhooks.signing import first_key, require_owner

# Active and disabled ones of one identity (contract/inkbox.md section 20, row 7).
MOST_SUBSCRIPTIONS = 20

# Why it is disabled, when its owner asked for it.
ASKED = "asked"

CHANGEABLE = {"url", "event_types", "context_config", "auth_token"}

_TOKEN = re.compile(r"[\x21-\x7e]{1,2000}", re.ASCII)
_CONTEXT_CLASSES = {"email", "texts", "calls"}
_MOST = {"count": 50, "hours": 168}

# What was being posted when its endpoint changed ends by then, or left long before.
_LONGEST_WAIT = 3.0


class TooManySubscriptions(Conflict):
    """This identity has as many subscriptions as it may have; delete one first."""

    code = "too_many_subscriptions"


class DuplicateSubscription(Conflict):
    """An active subscription of this identity with the same url exists already; change that one."""

    code = "duplicate_subscription"


def create_subscription(
    actor: Actor,
    identity: Identity,
    *,
    url: str,
    event_types: list[str],
    context_config: dict[str, Any] | None = None,
    auth_token: str | None = None,
) -> tuple[Subscription, str | None]:
    """Tell `url` of the identity's events from now on; `event_types` are names of the catalogue.

    With it comes the plaintext of the identity's first signing key when this call made one: shown this once.
    Agents may subscribe for their own identity. Raises `Forbidden`, `OutboundRefused`, `Invalid`,
    `TooManySubscriptions`, `DuplicateSubscription`.
    """
    require_owner(actor, identity)
    values = _checked(
        {"url": url, "event_types": event_types, "context_config": context_config, "auth_token": auth_token}
    )
    try:
        with transaction.atomic():
            Identity.objects.select_for_update(no_key=True).get(pk=identity.pk)
            kept = Subscription.objects.kept().filter(identity=identity)
            # The clearer of two refusals first.
            if kept.filter(url=url).exists():
                raise DuplicateSubscription()
            if kept.count() >= MOST_SUBSCRIPTIONS:
                raise TooManySubscriptions()
            subscription = Subscription.objects.create(
                organization_id=identity.organization_id, identity=identity, **values
            )
            plaintext = first_key(actor, identity)
            _tell(actor, "webhook.subscribed", subscription)
    except IntegrityError as taken:
        raise DuplicateSubscription() from taken
    return subscription, plaintext


def update_subscription(actor: Actor, subscription: Subscription, *, changes: dict[str, Any]) -> Subscription:
    """Change `url`, `event_types`, `context_config` or `auth_token` (None clears the last two); absent ones stay.

    A new URL makes a disabled subscription active again. When this returns nothing goes to the former address
    any more. Raises as `create_subscription` does, and `Conflict` when it was deleted meanwhile.
    """
    require_owner(actor, subscription.identity)
    if unknown := changes.keys() - CHANGEABLE:
        raise Invalid(f"These cannot be changed here: {', '.join(sorted(unknown))}.")
    values = _checked(changes)
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
    """End all subscriptions of an identity that was deleted; how many there were."""
    with transaction.atomic():
        kept = list(
            Subscription.objects.kept().filter(identity_id=identity_id).select_for_update(no_key=True).order_by("id")
        )
        for subscription in kept:
            end(actor, subscription)
    return len(kept)


def end(actor: Actor, subscription: Subscription) -> None:
    """Mark it deleted and cancel what waits, inside the caller's transaction, which holds its lock."""
    _set(subscription, {"status": Subscription.Status.DELETED})
    Delivery.objects.pending().filter(subscription=subscription).update(
        state=Delivery.State.CANCELLED, settled_at=timezone.now()
    )
    _tell(actor, "webhook.deleted", subscription)


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """The columns for what was given; raises `Invalid` or `OutboundRefused`."""
    columns: dict[str, Any] = {}
    if "url" in values:
        columns["url"] = check_url(values["url"])
    if "event_types" in values:
        columns["event_types"] = _checked_event_types(values["event_types"])
    if "context_config" in values:
        columns["context_config"] = _checked_context(values["context_config"])
    if "auth_token" in values:
        columns["sealed_auth_token"] = _sealed_token(values["auth_token"])
    return columns


def _checked_event_types(event_types: list[str]) -> list[str]:
    if not event_types or len(set(event_types)) != len(event_types):
        raise Invalid("'event_types' must name at least one event, each once.")
    if unknown := [name for name in event_types if name not in EVENT_TYPES]:
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
