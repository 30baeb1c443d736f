"""API keys: made, shown once, recognised."""

import binascii
import re
import uuid
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts.models import ApiKey, Identity, Organization
from core import secrets
from core.actor import Actor, Role
from core.compiled import Compiled
from core.dialects import Dialect
from core.errors import Forbidden, Unauthenticated
from core.texts import storable
from events.record import record

# A secret is 192 random bits and eight hex digits of CRC32, so that a scanner can tell a key from noise
# and a mistyped one is refused without a query (reliability.md, J1).
_KEY = re.compile(r"(ApiKey_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([A-Za-z0-9_-]{32})([0-9a-f]{8})", re.ASCII)

# What a vendor's clients and people look for at the start of a key; Contiguity's JavaScript client refuses one without.
_CLOTHES = {Dialect.INKBOX: "", Dialect.AGENTPHONE: "sk_live_", Dialect.CONTIGUITY: "contiguity_sk_"}

# `last_used_at` is written at most so often: it must not cost every request a write.
_USE_NOTED_EVERY = timedelta(minutes=1)


_usable = Compiled(
    lambda key_id, now: ApiKey.objects.usable(now).select_related("identity").filter(pk=key_id),
    key_id="ApiKey_sample",
    now=datetime(1970, 1, 1, tzinfo=UTC),
)


class BadKey(Unauthenticated):
    """The API key is missing, malformed, unknown, expired or revoked."""


def create_key(
    actor: Actor, *, organization: Organization, identity: Identity | None, label: str, description: str | None = None
) -> tuple[ApiKey, str]:
    """A new key and its full text, which is shown this once. Without an identity it is an admin key.

    Raises `Forbidden` unless the actor is an admin; only people may make admin keys (contract/inkbox.md section 2).
    """
    actor.require(Role.ADMIN)
    if identity is not None and identity.organization_id != organization.id:
        raise Forbidden("This identity belongs to another organization.")
    if identity is None and actor.kind == "api_key":
        raise Forbidden("An API key can only create keys that are scoped to an identity; pass scoped_identity_id.")
    key_id, secret = f"ApiKey_{uuid.uuid4()}", _new_secret()
    with transaction.atomic():
        key = ApiKey.objects.create(
            id=key_id,
            organization=organization,
            identity=identity,
            label=storable(label),
            description=None if description is None else storable(description),
            secret_digest=secrets.digest(secret),
            last4=secret[-4:],
            created_by=actor.id,
            creator_type="agent" if actor.is_agent else "human",
        )
        record(
            actor,
            "api_key.created",
            organization_id=organization.id,
            identity_id=identity.id if identity else None,
            subject_id=key.id,
            data={"label": label, "scoped": identity is not None},
        )
    return key, f"{key_id}.{secret}"


def dressed(text: str, dialect: str) -> str:
    """A key's full text in the form that the clients of `dialect` demand; every API takes every form."""
    return _CLOTHES[Dialect(dialect)] + text


def revoke_key(actor: Actor, key: ApiKey) -> ApiKey:
    """End a key for good; the next request with it answers 401. A revoked key stays as it is.

    Raises `Forbidden` unless the actor is an admin or the key itself.
    """
    if actor.id != key.id:
        actor.require(Role.ADMIN)
    with transaction.atomic():
        key = ApiKey.objects.select_for_update(no_key=True).get(pk=key.pk)
        if not key.is_revoked:
            key.revoked_at = key.updated_at = timezone.now()
            key.save(update_fields=["revoked_at", "updated_at"])
            record(
                actor,
                "api_key.revoked",
                organization_id=key.organization_id,
                identity_id=key.identity_id,
                subject_id=key.id,
                data={"label": key.label},
            )
    return key


def authenticate(text: str) -> ApiKey:
    """The usable key whose full text this is, in any dialect's form.

    Raises `BadKey` for anything else, the same for every reason.
    """
    match = _KEY.fullmatch(_undressed(text))
    if not match or _checksum(match[2]) != match[3]:
        raise BadKey()
    now = timezone.now()
    key = _usable.first(key_id=match[1], now=now)
    if key is None or not secrets.matches(match[2] + match[3], key.secret_digest):
        raise BadKey()
    if key.identity and key.identity.status == Identity.Status.DELETED:
        raise BadKey()
    if key.last_used_at is None or now - key.last_used_at > _USE_NOTED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def actor_of(key: ApiKey) -> Actor:
    """As whom the holder of this key acts."""
    return Actor(
        role=Role.AGENT if key.identity_id else Role.ADMIN,
        kind="api_key",
        id=key.id,
        label=key.label,
        organization_id=key.organization_id,
        identity_id=key.identity_id,
    )


def _undressed(text: str) -> str:
    clothes = next((clothes for clothes in _CLOTHES.values() if clothes and text.startswith(clothes)), "")
    return text.removeprefix(clothes)


def _new_secret() -> str:
    random = secrets.new_token(24)
    return random + _checksum(random)


def _checksum(random: str) -> str:
    return f"{binascii.crc32(random.encode()):08x}"
