"""Agent identities: made, renamed in words, enabled and paused. Their filter mode is changed by contactrules."""

import contextlib
import re
import secrets
import unicodedata
from collections.abc import Iterator
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.keys import revoke_key
from accounts.models import ApiKey, FormerHandle, Identity, Organization
from core import gate
from core.actor import Actor, Role
from core.errors import Conflict, Forbidden, Invalid
from core.texts import storable
from events.record import record

# Lower case letters, digits and hyphens, as in host names (contract/inkbox.md section 20, row 11).
_HANDLE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

# `/identities/self` means the caller's own identity (contract/inkbox.md 6.2).
_RESERVED = {"self"}

CHANGEABLE = {"display_name", "description", "imessage_enabled", "status"}


class HandleUnavailable(Conflict):
    """This agent handle is already taken; choose another."""

    code = "handle_unavailable"


class BadHandle(Invalid):
    """A handle is 1 to 63 lower case letters, digits and hyphens, and begins and ends with a letter or digit."""

    code = "bad_handle"


def normal_handle(text: str) -> str:
    """The handle that `text` means: without its @, in lower case; raises `BadHandle`."""
    handle = text.strip().removeprefix("@").lower()
    if not _HANDLE.fullmatch(handle):
        raise BadHandle()
    return handle


def free_handle(name: str) -> str:
    """A handle made of a name, for programs that have names alone; with a few letters more when it is taken."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    handle = re.sub(r"[^a-z0-9]+", "-", plain)[:50].strip("-") or "agent"
    if handle in _RESERVED or Identity.objects.called(handle).exists():
        return f"{handle}-{secrets.token_hex(4)}"
    return handle


def create_identity(
    actor: Actor,
    *,
    organization: Organization,
    handle: str,
    display_name: str | None = None,
    description: str | None = None,
    imessage_enabled: bool = False,
) -> Identity:
    """A new identity; handles are unique over all organizations, deleted ones included.

    Raises `Forbidden`, `BadHandle`, `HandleUnavailable`.
    """
    actor.require(Role.ADMIN)
    handle = normal_handle(handle)
    with _unless_taken(handle), transaction.atomic():
        identity = Identity.objects.create(
            organization=organization,
            handle=handle,
            display_name=storable(display_name or handle),
            description=None if description is None else storable(description),
            imessage_enabled=imessage_enabled,
        )
        _require_nobodys(identity)
        _record(actor, "identity.created", identity, {"handle": handle, "imessage_enabled": imessage_enabled})
    return identity


def rename_identity(actor: Actor, identity: Identity, *, handle: str) -> Identity:
    """Give an identity another handle; humans who text the former one still reach it. Its own handle changes nothing.

    Raises `Forbidden` unless the actor is an admin, `BadHandle`, `HandleUnavailable`.
    """
    handle = normal_handle(handle)
    if handle == identity.handle:
        return identity
    actor.require(Role.ADMIN)
    with _unless_taken(handle), transaction.atomic():
        identity = Identity.objects.select_for_update(no_key=True).get(pk=identity.pk)
        former = identity.handle
        FormerHandle.objects.get_or_create(handle=former, defaults={"identity": identity})
        FormerHandle.objects.filter(handle=handle, identity=identity).delete()
        identity.handle = handle
        identity.updated_at = timezone.now()
        identity.save(update_fields=["handle", "updated_at"])
        _require_nobodys(identity)
        _record(actor, "identity.renamed", identity, {"before": {"handle": former}, "after": {"handle": handle}})
    return identity


def update_identity(actor: Actor, identity: Identity, *, changes: dict[str, Any], reason: str = "") -> Identity:
    """Change `display_name`, `description`, `imessage_enabled` or `status` (active, paused); absent ones stay.

    A disabled or paused identity keeps its connections: nothing leaves, nothing is delivered, and what humans
    write meanwhile is stored (architecture.md, section 10). Agents may change their own identity.
    """
    if not actor.is_agent:
        actor.require(Role.ADMIN)
    elif actor.identity_id != identity.id:
        raise Forbidden("This key is bound to another identity.")
    if unknown := changes.keys() - CHANGEABLE:
        raise Invalid(f"These cannot be changed here: {', '.join(sorted(unknown))}.")
    if changes.get("status", Identity.Status.ACTIVE) not in {Identity.Status.ACTIVE, Identity.Status.PAUSED}:
        raise Invalid("A status is 'active' or 'paused'; an identity is deleted with DELETE.")
    for text in (changes.get("display_name"), changes.get("description")):
        storable(text or "")
    with transaction.atomic():
        identity = Identity.objects.select_for_update(no_key=True).get(pk=identity.pk)
        before = {name: getattr(identity, name) for name in changes}
        if changes and changes != before:
            for name, value in changes.items():
                setattr(identity, name, value)
            identity.updated_at = timezone.now()
            identity.save(update_fields=[*changes, "updated_at"])
            if not identity.is_reachable:
                gate.shut(identity.id)
            said = {"reason": reason} if reason else {}
            _record(actor, "identity.updated", identity, {"before": before, "after": changes, **said})
    return identity


def retire_identity(actor: Actor, identity: Identity) -> Identity:
    """Mark an identity deleted and revoke its keys; its handle stays taken, its history stays.

    Only a part of the deed: surfaces call `imessage.connecting.delete_identity`, which also ends its connections.
    Inside the caller's transaction, which holds the identity's lock. Raises `Forbidden` unless an admin.
    """
    actor.require(Role.ADMIN)
    identity.status = Identity.Status.DELETED
    identity.updated_at = timezone.now()
    identity.save(update_fields=["status", "updated_at"])
    for key in ApiKey.objects.usable().filter(identity=identity):
        revoke_key(actor, key)
    gate.shut(identity.id)
    _record(actor, "identity.deleted", identity, {"handle": identity.handle})
    return identity


@contextlib.contextmanager
def _unless_taken(handle: str) -> Iterator[None]:
    if handle in _RESERVED:
        raise HandleUnavailable(f"The agent handle '{handle}' is reserved; choose another.")
    try:
        yield
    except IntegrityError as taken:
        raise HandleUnavailable(f"The agent handle '{handle}' is already taken; choose another.") from taken


def _require_nobodys(identity: Identity) -> None:
    """After the row is written: whoever gives this handle up at the same time has committed or waits for us."""
    if FormerHandle.objects.filter(handle=identity.handle).exclude(identity=identity).exists():
        raise HandleUnavailable(f"The agent handle '{identity.handle}' is already taken; choose another.")


def _record(actor: Actor, type: str, identity: Identity, data: dict[str, Any]) -> None:
    record(
        actor,
        type,
        organization_id=identity.organization_id,
        identity_id=identity.id,
        subject_id=identity.id,
        data=data,
    )
