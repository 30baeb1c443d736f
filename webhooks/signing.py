"""Signing keys: made, replaced, shown once; and the signatures that public verifiers accept.

A delivery carries the vendor's signature (its words are in `dialects`) and beside it the three headers of the
Standard Webhooks specification, with a signature of each valid key while one is being replaced.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import Identity, Organization
from core import secrets
from core.actor import Actor, Role
from core.errors import Forbidden
from events.record import record
from webhooks.models import SigningKey, Subscription

PREFIX = "whsec_"
_KEY_BYTES = 32

# A replaced key still signs for so long, so that receivers can change theirs without missing anything.
FORMER_VALID_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """Whether deliveries are signed, and since when by the present key."""

    configured: bool
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that signs, by what may be told of it. `signs_until` is set once it was replaced."""

    fingerprint: str
    of_organization: bool
    created_at: datetime
    signs_until: datetime | None


def rotate_key(actor: Actor, identity: Identity) -> tuple[SigningKey, str]:
    """Make the identity's signing key, or replace it; the row and the plaintext, which is shown this once.

    The former one signs beside it for 24 hours. An agent may replace its own. Raises `Forbidden`.
    """
    require_owner(actor, identity)
    with transaction.atomic():
        Identity.objects.select_for_update(no_key=True).get(pk=identity.pk)
        return _replace(actor, identity.organization_id, identity)


def rotate_key_at_once(actor: Actor, identity: Identity, *, reason: str = "") -> tuple[SigningKey, str]:
    """As `rotate_key`, but the former ones of the identity sign nothing any more: for a key that others have seen.

    Receivers that know only the former one refuse everything until they are given the new one.
    """
    require_owner(actor, identity)
    with transaction.atomic():
        Identity.objects.select_for_update(no_key=True).get(pk=identity.pk)
        key, plaintext = _replace(actor, identity.organization_id, identity)
        _end_former(actor, identity, reason)
    return key, plaintext


def end_overlap(actor: Actor, identity: Identity) -> bool:
    """Have the identity's former keys sign nothing any more, before their 24 hours are over; whether there were any."""
    require_owner(actor, identity)
    with transaction.atomic():
        Identity.objects.select_for_update(no_key=True).get(pk=identity.pk)
        return _end_former(actor, identity, "")


def rotate_organization_key(actor: Actor, organization: Organization) -> tuple[SigningKey, str]:
    """The same for the key of a whole organization: it signs for all identities but those that get a newer one."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        return _replace(actor, organization.id, None)


def first_key(actor: Actor, identity: Identity) -> str | None:
    """A first key for an identity whose deliveries nothing signs yet; None when something does.

    The caller holds the identity's lock.
    """
    if key_status(identity).configured:
        return None
    return _replace(actor, identity.organization_id, identity)[1]


def key_status(identity: Identity) -> KeyStatus:
    """What signs this identity's deliveries."""
    keys = SigningKey.objects.current().filter(
        Q(identity=identity) | Q(identity=None, organization_id=identity.organization_id)
    )
    key = keys.order_by("-created_at").first()
    return KeyStatus(key is not None, key.created_at if key else None)


def key_statuses(identities: Iterable[Identity]) -> dict[UUID, KeyStatus]:
    """`key_status` of many identities, in one query."""
    pairs = [(identity.id, identity.organization_id) for identity in identities]
    keys = list(
        SigningKey.objects.current().filter(
            Q(identity_id__in=[pair[0] for pair in pairs]) | Q(identity=None, organization_id__in={p[1] for p in pairs})
        )
    )
    found = {pair[0]: [key.created_at for key in keys if _is_for(key, *pair)] for pair in pairs}
    return {identity_id: KeyStatus(bool(moments), max(moments, default=None)) for identity_id, moments in found.items()}


def organization_key_status(actor: Actor, organization: Organization) -> KeyStatus:
    """Whether any identity that the actor may see, or the organization, has a key."""
    keys = SigningKey.objects.current().filter(organization=organization)
    if actor.is_agent:
        keys = keys.filter(Q(identity_id=actor.identity_id) | Q(identity=None))
    key = keys.order_by("-created_at").first()
    return KeyStatus(key is not None, key.created_at if key else None)


def valid_keys(identities: Iterable[tuple[UUID, UUID]]) -> dict[UUID, list[str]]:
    """For each (identity, organization) the plaintext keys that sign now, the newest first.

    Of an identity's own key and its organization's the newer one signs, the other beside it for 24 hours.
    """
    pairs = set(identities)
    if not pairs:
        return {}
    since = timezone.now() - FORMER_VALID_FOR
    keys = list(
        SigningKey.objects.filter(Q(replaced_at=None) | Q(replaced_at__gt=since))
        .filter(
            Q(identity_id__in=[pair[0] for pair in pairs]) | Q(identity=None, organization_id__in={p[1] for p in pairs})
        )
        .order_by("-created_at")
    )
    return {
        identity_id: [secrets.unseal(key.sealed_key) for key in _signing(keys, identity_id, organization_id, since)]
        for identity_id, organization_id in pairs
    }


def known_keys(identity: Identity) -> list[KnownKey]:
    """The keys that sign the identity's deliveries now, the newest, which receivers should know, first."""
    return [key for key, _ in keys_with_secrets(identity)]


def keys_with_secrets(identity: Identity) -> list[tuple[KnownKey, str]]:
    """The same with their plaintexts, for signing and checking; never for showing."""
    since = timezone.now() - FORMER_VALID_FOR
    rows = list(
        SigningKey.objects.filter(Q(replaced_at=None) | Q(replaced_at__gt=since))
        .filter(Q(identity=identity) | Q(identity=None, organization_id=identity.organization_id))
        .order_by("-created_at")
    )
    found = []
    for key in _signing(rows, identity.id, identity.organization_id, since):
        plaintext = secrets.unseal(key.sealed_key)
        until = key.replaced_at + FORMER_VALID_FOR if key.replaced_at else None
        found.append((KnownKey(fingerprint(plaintext), key.identity_id is None, key.created_at, until), plaintext))
    return found


def endpoint_keys(subscription: Subscription) -> list[KnownKey]:
    """The keys that sign what goes to an endpoint now, the newest first."""
    return [key for key, _ in endpoint_keys_with_secrets(subscription)]


def endpoint_keys_with_secrets(subscription: Subscription) -> list[tuple[KnownKey, str]]:
    """The same with their plaintexts, for signing and checking; never for showing."""
    if subscription.identity and not subscription.has_own_secret:
        return keys_with_secrets(subscription.identity)
    if not subscription.has_own_secret:
        return []
    plaintext = secrets.unseal(subscription.sealed_secret)
    made_at = subscription.secret_made_at or subscription.created_at
    return [(KnownKey(fingerprint(plaintext), subscription.is_of_organization, made_at, None), plaintext)]


def new_secret() -> str:
    """A secret that nobody has seen, in the form that all verifiers take."""
    return PREFIX + base64.b64encode(os.urandom(_KEY_BYTES)).decode()


def standard_headers(keys: Sequence[str], *, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of the Standard Webhooks specification; without keys there is no signature."""
    headers = {"webhook-id": event_id, "webhook-timestamp": str(timestamp)}
    if keys:
        headers["webhook-signature"] = " ".join(_standard_signature(key, event_id, timestamp, body) for key in keys)
    return headers


def fingerprint(key: str) -> str:
    """A short name for a key that tells nothing of it: from a key of 32 random bytes nobody finds the way back."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def require_owner(actor: Actor, identity: Identity | None) -> None:
    """Raise `Forbidden` unless the actor is an admin, or the identity's own agent; None stands for all identities."""
    if not actor.is_agent:
        actor.require(Role.ADMIN)
    elif identity is None or actor.identity_id != identity.id:
        raise Forbidden("This key is bound to another identity.")


def _replace(actor: Actor, organization_id: UUID, identity: Identity | None) -> tuple[SigningKey, str]:
    plaintext = new_secret()
    now = timezone.now()
    former = SigningKey.objects.current().filter(organization_id=organization_id, identity=identity)
    replaced = former.update(replaced_at=now)
    key = SigningKey.objects.create(
        organization_id=organization_id, identity=identity, sealed_key=secrets.seal(plaintext), created_at=now
    )
    record(
        actor,
        "webhook.key_replaced" if replaced else "webhook.key_created",
        organization_id=organization_id,
        identity_id=identity.id if identity else None,
        subject_id=key.id,
    )
    return key, plaintext


def _end_former(actor: Actor, identity: Identity, reason: str) -> bool:
    ended, _ = SigningKey.objects.filter(identity=identity).exclude(replaced_at=None).delete()
    if ended:
        record(
            actor,
            "webhook.key_ended",
            organization_id=identity.organization_id,
            identity_id=identity.id,
            subject_id=identity.id,
            data={"count": ended, "reason": reason},
        )
    return bool(ended)


def _signing(keys: list[SigningKey], identity_id: UUID, organization_id: UUID, since: datetime) -> list[SigningKey]:
    """Of keys in order, the newest for this identity, and beside it those that it has taken the place of lately.

    A key of the organization that is made later comes before the identity's own: clients that know no other kind
    hold that one (contract/inkbox.md, section 14).
    """
    meant = [key for key in keys if _is_for(key, identity_id, organization_id)]
    return meant if meant and meant[0].created_at > since else meant[:1]


def _is_for(key: SigningKey, identity_id: UUID, organization_id: UUID) -> bool:
    return key.identity_id == identity_id or (key.identity_id is None and key.organization_id == organization_id)


def _standard_signature(key: str, event_id: str, timestamp: int, body: bytes) -> str:
    message = f"{event_id}.{timestamp}.".encode() + body
    digest = hmac.new(base64.b64decode(key.removeprefix(PREFIX)), message, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
