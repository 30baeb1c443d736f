"""Builds rows for tests with plain functions; what is not given is the most ordinary thing.

Rows are written directly, counters and routes included, so that a test of one deed does not depend on another.
"""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts import keys
from accounts.models import Contact, Identity, Membership, Organization, User
from contactrules.models import ContactRule
from core import secrets
from core.actor import Actor, Role
from imessage import waiting
from imessage.models import Connection, Conversation, MediaFile, Message, Part, Participant, Tapback
from lines.models import ANY_HUMAN, Line, ProviderAccount, Route

HUMAN = "+15555550123"
OTHER_HUMAN = "+15555550124"
ROUTER_NUMBER = "+15555550100"
PASSWORD = "correct horse battery"

_numbers = itertools.count(200)
_names = itertools.count(1)


def operator() -> Actor:
    """The installation's own operator."""
    return Actor.system("tests")


def make_organization(name: str | None = None) -> Organization:
    return Organization.objects.create(name=name or f"Organization {next(_names)}")


def make_user(organization: Organization | None, email: str, *, role: str = "admin", **fields: Any) -> User:
    """A person with `PASSWORD`; without an organization pass `is_superuser=True` for an operator."""
    user = User.objects.create_user(email, PASSWORD, **fields)
    if organization:
        Membership.objects.create(organization=organization, user=user, role=role)
    return user


def make_identity(organization: Organization | None = None, handle: str | None = None, **fields: Any) -> Identity:
    handle = handle or f"agent-{next(_names)}"
    return Identity.objects.create(
        organization=organization or make_organization(),
        handle=handle,
        **{"display_name": handle, "imessage_enabled": True, **fields},
    )


def make_key(organization: Organization, identity: Identity | None = None, label: str = "key") -> str:
    """The full text of a new API key; an admin key without `identity`."""
    _, text = keys.create_key(operator(), organization=organization, identity=identity, label=label)
    return text


def make_contact(organization: Organization, phone_number: str = HUMAN, name: str = "Dana", **fields: Any) -> Contact:
    return Contact.objects.create(organization=organization, phone_number=phone_number, name=name, **fields)


def admin_of(organization: Organization, *, role: Role = Role.ADMIN) -> Actor:
    """An actor of the organization, without any user or key behind it."""
    return Actor(role=role, kind="user", id="tests", label="tests", organization_id=organization.id)


def agent_of(identity: Identity) -> Actor:
    """The identity's own key as an actor."""
    return Actor(
        role=Role.AGENT,
        kind="api_key",
        id="tests",
        label="tests",
        organization_id=identity.organization_id,
        identity_id=identity.id,
    )


def make_account(name: str = "simulated", **fields: Any) -> ProviderAccount:
    """The simulated provider's account; the same row at every call with the same name."""
    account, _ = ProviderAccount.objects.get_or_create(
        name=name,
        defaults={
            "provider": "simulated",
            "base_url": "http://127.0.0.1:9",
            "sealed_token": secrets.seal("token"),
            "sealed_callback_secret": secrets.seal("callback secret"),
            **fields,
        },
    )
    return account


def make_line(address: str | None = None, *, kind: str = Line.Kind.POOL, **fields: Any) -> Line:
    """A healthy line in service."""
    return Line.objects.create(
        address=address or f"+1555555{next(_numbers):04d}",
        kind=kind,
        **{
            "account": fields.pop("account", None) or make_account(),
            "wanted": Line.Wanted.IN_SERVICE,
            "seen": Line.Seen.HEALTHY,
            "proof_of_life_at": timezone.now(),
            **fields,
        },
    )


def make_router(address: str = ROUTER_NUMBER, **fields: Any) -> Line:
    return make_line(address, kind=Line.Kind.ROUTER, **fields)


def make_connection(
    identity: Identity | None = None, human: str = HUMAN, *, line: Line | None = None, **fields: Any
) -> Connection:
    """An active connection with its live route; pass `status="released"` for one that has ended."""
    identity = identity or make_identity()
    line = line or make_line()
    released = fields.get("status") == Connection.Status.RELEASED
    if released:
        fields = {"released_at": timezone.now(), "released_by": "human", **fields}
    Route.objects.create(
        line=line,
        line_kind=line.kind,
        human=human,
        identity=identity,
        held_until=timezone.now() if released else None,
    )
    return Connection.objects.create(
        organization_id=identity.organization_id, identity=identity, line=line, human=human, **fields
    )


def make_conversation(
    identity: Identity | None = None, human: str = HUMAN, *, connection: Connection | None = None, **fields: Any
) -> Conversation:
    """An empty conversation under a connection; add to it with `make_message`."""
    connection = connection or make_connection(identity, human)
    return Conversation.objects.create(
        organization_id=connection.organization_id,
        identity_id=connection.identity_id,
        connection=connection,
        human=connection.human,
        thread_key=connection.human,
        **fields,
    )


def make_owned_line(identity: Identity, address: str | None = None, **fields: Any) -> Line:
    """A line of the organization's own, attached to the identity after those it has."""
    line = make_line(address, kind=Line.Kind.DEDICATED, organization=identity.organization, **fields)
    Route.objects.create(line=line, line_kind=line.kind, human=ANY_HUMAN, identity=identity)
    return line


def make_owned_conversation(line: Line, human: str = HUMAN, **fields: Any) -> Conversation:
    """An empty conversation of one human with the identity that the owned line speaks for."""
    identity = line.routes.get().identity
    connection = Connection.objects.create(
        organization_id=identity.organization_id, identity=identity, line=line, owned_line=line, human=human
    )
    return make_conversation(connection=connection, owned_line=line, **fields)


def make_group(
    line: Line, humans: Sequence[str] = (HUMAN, OTHER_HUMAN), *, key: str = "", **fields: Any
) -> Conversation:
    """A group on an owned line with the identity that it speaks for; the provider has named it."""
    identity = line.routes.get().identity
    group = Conversation.objects.create(
        organization_id=identity.organization_id,
        identity=identity,
        is_group=True,
        owned_line=line,
        thread_key=key or f"group-{next(_names)}",
        **fields,
    )
    for human in humans:
        Participant.objects.create(organization_id=group.organization_id, conversation=group, human=human)
    return group


def make_message(conversation: Conversation | None = None, text: str | None = "hi", **fields: Any) -> Message:
    """The next message of a conversation, inbound unless said otherwise, with the conversation's counters kept.

    In a group an inbound one needs its `human`, who wrote it.
    """
    conversation = conversation or make_conversation()
    fields.setdefault("direction", "inbound")
    fields.setdefault("status", "received" if fields["direction"] == "inbound" else "sent")
    fields.setdefault("filter_mode", conversation.identity.imessage_filter_mode)
    message = Message.objects.create(
        organization_id=conversation.organization_id,
        identity_id=conversation.identity_id,
        conversation=conversation,
        connection=conversation.connection,
        line=conversation.line,
        position=conversation.next_position,
        text=text,
        **{"human": conversation.human, **fields},
    )
    if text is not None:
        Part.objects.create(message=message, index=0, kind=Part.Kind.TEXT, text=text)
    _count(conversation, message)
    return message


def make_media(message: Message, url: str = "https://files.example.com/cat.png", **fields: Any) -> Part:
    """One more attachment on a message."""
    return Part.objects.create(
        message=message,
        index=message.parts.count(),
        kind=Part.Kind.MEDIA,
        url=url,
        **{"content_type": "image/png", "size": 1234, **fields},
    )


def make_file(organization: Organization, identity: Identity | None = None, **fields: Any) -> MediaFile:
    """A stored upload, without its bytes."""
    return MediaFile.objects.create(
        organization=organization,
        identity=identity,
        **{
            "source": MediaFile.Source.UPLOAD,
            "state": MediaFile.State.STORED,
            "content_type": "image/png",
            "size": 8,
            "path": f"tests/{next(_names)}",
            "expires_at": timezone.now() + timedelta(days=1),
            **fields,
        },
    )


def make_tapback(message: Message, kind: str = "like", *, ended_at: datetime | None = None, **fields: Any) -> Tapback:
    """A live tapback of the human's on a message; in a group of `human`, or of the message's sender."""
    return Tapback.objects.create(
        organization_id=message.organization_id,
        message=message,
        connection_id=message.connection_id,
        kind=kind,
        ended_at=ended_at,
        **{"direction": "inbound", "human": message.human, **fields},
    )


def make_rule(identity: Identity, match_target: str = HUMAN, action: str = "block", **fields: Any) -> ContactRule:
    return ContactRule.objects.create(
        organization_id=identity.organization_id,
        identity=identity,
        action=action,
        match_target=match_target,
        created_by=operator().frozen(),
        **fields,
    )


def _count(conversation: Conversation, message: Message) -> None:
    side = "blocked" if message.is_blocked else "visible"
    conversation.next_position += 1
    conversation.last_at = message.created_at
    setattr(conversation, f"{side}_total", getattr(conversation, f"{side}_total") + 1)
    setattr(conversation, f"{side}_last", message)
    setattr(conversation, f"{side}_last_at", message.created_at)
    if message.direction == "inbound" and not message.is_read:
        setattr(conversation, f"{side}_unread", getattr(conversation, f"{side}_unread") + 1)
    conversation.save()
    if message.direction == "inbound" or conversation.waiting_since:
        waiting.recount(conversation.id)
        conversation.refresh_from_db(fields=["waiting_since"])
