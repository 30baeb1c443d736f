"""Our canonical shapes of what only the APIs show; messages and tapbacks have theirs in `imessage.shapes`."""

from datetime import datetime
from typing import Any

from accounts.models import ApiKey, Identity, organization_public_id
from contactrules.models import ContactRule
from core.secrets import unseal
from imessage.models import Connection
from imessage.shapes import iso
from lines.health.states import public_word, shown
from lines.models import Line
from webhooks.models import Attempt, Subscription
from webhooks.signing import KeyStatus


def identity_shape(identity: Identity, signed: KeyStatus, line: Line | None) -> dict[str, Any]:
    """With what signs its webhooks, and the line of its own that it has had longest."""
    return {
        "id": str(identity.id),
        "organization_id": organization_public_id(identity.organization_id),
        "handle": identity.handle,
        "display_name": identity.display_name,
        "description": identity.description,
        "status": identity.status,
        "imessage_enabled": identity.imessage_enabled,
        "inbound_filter_mode": identity.imessage_filter_mode,
        "outbound_filter_mode": identity.outbound_filter_mode,
        "signing_key_configured": signed.configured,
        "signing_key_created_at": iso(signed.created_at),
        "line": {"id": str(line.id), "address": line.address} if line else None,
        **_times(identity.created_at, identity.updated_at),
    }


def key_shape(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "organization_id": organization_public_id(key.organization_id),
        "identity_id": str(key.identity_id) if key.identity_id else None,
        "created_by": key.created_by or None,
        "creator_type": key.creator_type or None,
        "label": key.label,
        "description": key.description,
        "last4": key.last4,
        "display_prefix": key.display_prefix,
        "status": "revoked" if key.is_revoked else "active",
        "revoked_at": iso(key.revoked_at),
        **_times(key.created_at, key.updated_at),
        "last_used_at": iso(key.last_used_at),
        "expires_at": iso(key.expires_at),
    }


def connection_shape(connection: Connection) -> dict[str, Any]:
    return {
        "id": str(connection.id),
        "organization_id": organization_public_id(connection.organization_id),
        "identity_id": str(connection.identity_id),
        "human": connection.human,
        "status": connection.status,
        "released_at": iso(connection.released_at),
        **_times(connection.created_at, connection.updated_at),
    }


def rule_shape(rule: ContactRule) -> dict[str, Any]:
    return {
        "id": str(rule.id),
        "identity_id": str(rule.identity_id),
        "action": rule.action,
        "match_type": rule.match_type,
        "match_target": rule.match_target,
        "status": rule.status,
        "direction": rule.direction,
        **_times(rule.created_at, rule.updated_at),
    }


def line_shape(line: Line) -> dict[str, Any]:
    """A dedicated line; prefetch `routes__identity`."""
    identity = next((route.identity for route in line.routes.all() if route.held_until is None), None)
    return {
        "id": str(line.id),
        "address": line.address,
        "in_service": public_word(shown(wanted=line.wanted, seen=line.seen, allowance=line.allowance)) == "active",
        "identity_id": str(identity.id) if identity else None,
        "handle": identity.handle if identity else None,
    }


def subscription_shape(subscription: Subscription) -> dict[str, Any]:
    """With its bearer token in the clear: its owner may read it back (contract/inkbox.md 13.1)."""
    return {
        "id": str(subscription.id),
        "organization_id": organization_public_id(subscription.organization_id),
        "identity_id": str(subscription.identity_id),
        "url": subscription.url,
        "event_types": list(subscription.event_types),
        "status": subscription.status,
        "context_config": subscription.context_config,
        "auth_token": unseal(subscription.sealed_auth_token) if subscription.has_auth_token else None,
        **_times(subscription.created_at, subscription.updated_at),
    }


def attempt_shape(attempt: Attempt) -> dict[str, Any]:
    """Reads `attempt.delivery` and `attempt.subscription`."""
    return {
        "id": str(attempt.id),
        "organization_id": organization_public_id(attempt.organization_id),
        "subscription_id": str(attempt.subscription_id),
        "event_id": attempt.delivery.public_event_id,
        "event_type": attempt.delivery.event_type,
        "url": attempt.url,
        "request_body": attempt.request_body,
        "response_status": attempt.response_status,
        "response_body": attempt.response_body,
        "error_detail": attempt.error_detail,
        "duration_ms": attempt.duration_ms,
        "is_replay": attempt.is_replay,
        "unavailable_reason": _why_not_replayable(attempt),
        "created_at": iso(attempt.at),
    }


def _why_not_replayable(attempt: Attempt) -> str | None:
    if not attempt.subscription.is_active:
        return "The subscription is not active."
    if attempt.delivery.event_type not in attempt.subscription.event_types:
        return "The subscription no longer selects this type of event."
    return None


def _times(created_at: datetime, updated_at: datetime) -> dict[str, str | None]:
    return {"created_at": iso(created_at), "updated_at": iso(updated_at)}
