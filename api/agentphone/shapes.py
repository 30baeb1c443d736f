"""Our canonical shapes of what the AgentPhone dialect shows beside messages."""

import json
from collections.abc import Iterable
from typing import Any

from accounts.models import Contact, Identity
from core.phones import area_code_of
from imessage.models import Conversation
from imessage.shapes import Names, Seen, conversation_summary_shape, iso, line_shape
from lines.cards import card_of
from lines.models import Line
from lines.pacing import new_contacts_of
from lines.pool import country_of, region_of
from lines.showing import owners_of
from webhooks.models import Attempt, Delivery, Subscription
from webhooks.tallies import Tally, fate_of, next_try_of, trouble_of


def agent_shape(identity: Identity, lines: Iterable[Line]) -> dict[str, Any]:
    """An identity with its numbers, in the order in which they were attached."""
    return {
        "id": str(identity.id),
        "display_name": identity.display_name,
        "description": identity.description,
        "imessage_enabled": identity.imessage_enabled,
        "lines": [_number(line) for line in lines],
        "created_at": iso(identity.created_at),
    }


def number_shapes(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Owned numbers, each with whom it belongs to and how many strangers it may still be used for."""
    lines = list(lines)
    owners = owners_of(line.id for line in lines)
    contacts = new_contacts_of(lines)
    return [
        {
            **_number(line),
            "country": country_of(line) or region_of(line.address) or "US",
            "identity_id": owners.get(line.id),
            "new_contacts": contacts.get(line.id),
            "claimed_at": iso(line.claimed_at),
            "external_id": line.external_id,
            "expires_at": iso(line.expires_at),
            "created_at": iso(line.created_at),
        }
        for line in lines
    ]


def number_shape(line: Line) -> dict[str, Any]:
    """One owned number."""
    return number_shapes([line])[0]


def free_number_shape(line: Line) -> dict[str, Any]:
    """A number that can be claimed."""
    return {"address": line.address, "area_code": area_code_of(line.address)}


def card_shape(line: Line) -> dict[str, Any]:
    """Who humans see a number as."""
    card = line.contact_card
    return {
        "first_name": card.get("first_name", ""),
        "last_name": card.get("last_name", ""),
        "display_name": card.get("display_name") or None,
        "avatar_url": card.get("avatar_url") or None,
    }


def thread_shape(conversation: Conversation, names: Names | None = None) -> dict[str, Any]:
    """A conversation over what is visible of it, with the line that carries it; read by `finding.conversations`.

    `names` are those of everybody in a list, `imessage.shapes.names_in`.
    """
    line = conversation.line
    card = card_of(line)
    return {
        **conversation_summary_shape(conversation, Seen.VISIBLE, names),
        # The conversations of an agent that was deleted live on with none.
        "identity_id": None if _is_deleted(conversation.identity) else str(conversation.identity_id),
        "line": line_shape(line),
        "is_open": conversation.is_open,
        "takes_tapbacks": card.tapback,
        "takes_emoji": card.tapback_emoji,
        "takes_media": card.most_media > 0,
        "background_id": str(conversation.background_id) if conversation.background_id else None,
        "background_version": conversation.background_version,
    }


def book_shape(contact: Contact) -> dict[str, Any]:
    """An entry of the contact book, whole."""
    return {
        "id": str(contact.id),
        "phone_number": contact.phone_number,
        "name": contact.name,
        "email": contact.email or None,
        "notes": contact.notes,
        "created_at": iso(contact.created_at),
        "updated_at": iso(contact.updated_at),
    }


def webhook_shape(hook: Subscription, secret: str) -> dict[str, Any]:
    """A webhook with its secret in the clear."""
    return {
        "id": str(hook.id),
        "url": hook.url,
        "secret": secret,
        "status": hook.status,
        "context_limit": hook.context_limit,
        "timeout": hook.timeout,
        "created_at": iso(hook.created_at),
    }


def delivery_shape(delivery: Delivery) -> dict[str, Any]:
    """A delivery and its last request, as `webhooks.tallies` reads it; of what was told only what tells it apart."""
    told = json.loads(delivery.body)
    return {
        "id": str(delivery.id),
        "message_id": told["data"].get("messageId"),
        "event_type": told["event"],
        "channel": told["channel"],
        "fate": fate_of(delivery),
        "response_status": delivery.last_status,
        "error_detail": trouble_of(delivery),
        "response_body": delivery.answer_body,  # type: ignore[attr-defined]  # annotated there
        "attempts": delivery.tries,
        "last_attempt_at": iso(delivery.last_try_at),
        "next_attempt_at": iso(next_try_of(delivery)),
        "created_at": iso(delivery.created_at),
    }


def trial_shape(attempt: Attempt) -> dict[str, Any]:
    """What came of an example."""
    return {
        "succeeded": attempt.succeeded,
        "response_status": attempt.response_status,
        "duration_ms": attempt.duration_ms,
        "error_detail": attempt.error_detail or None,
    }


def tally_shape(tally: Tally) -> dict[str, Any]:
    """How many deliveries fared how."""
    return {
        "total": tally.total,
        "success_rate": tally.success_rate,
        "counts": tally.counts,
        "by_type": tally.by_type,
        "by_hour": [{"hour": iso(hour), "counts": counts} for hour, counts in tally.by_hour],
    }


def _number(line: Line) -> dict[str, Any]:
    released = line.released_at is not None or line.wanted == Line.Wanted.RETIRED
    return {**line_shape(line), "status": "released" if released else "active"}


def _is_deleted(identity: Identity) -> bool:
    return identity.status == Identity.Status.DELETED
