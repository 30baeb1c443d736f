"""Finding the rows that a request names. What the caller may not see is missing: the same 404 as for no such id."""

from collections.abc import Collection, Iterable
from typing import TypeVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from pydantic import BaseModel

from accounts.identities import BadHandle, normal_handle
from accounts.models import Identity
from api.auth import actor_of, key_of
from contactrules.models import ContactRule
from core.actor import Actor, Role
from core.compiled import Compiled
from core.errors import Conflict, Forbidden, NotFound
from imessage.errors import NotEnabled
from imessage.groups import with_members
from imessage.models import Connection, Conversation, Message, Tapback
from lines.models import Line
from webhooks.models import Attempt, Subscription

Row = TypeVar("Row")


class Owner(BaseModel):
    """The identity that a request says is the owner of what it names."""

    agent_identity_id: UUID | None = None

    def require(self, identity_id: UUID) -> None:
        """Raise `NotFound` when another identity is the owner."""
        if self.agent_identity_id not in {None, identity_id}:
            raise NotFound()


def identity_named(actor: Actor, handle: str) -> Identity:
    """The live identity with this handle, with or without its @; raises `NotFound`."""
    try:
        name = normal_handle(handle)
    except BadHandle as odd:
        raise NotFound() from odd
    identity: Identity | None = Identity.objects.visible_to(actor).live().filter(handle=name).first()
    return _found(identity)


def owned_identity(request: HttpRequest, handle: str) -> tuple[Actor, Identity]:
    """Who asks, and the identity named; a bound key may name only its own, else `Forbidden`. Raises `NotFound`."""
    actor = actor_of(request)
    own = key_of(request).identity
    if own and handle.removeprefix("@").lower() != own.handle:
        raise Forbidden("This key is bound to another identity.")
    return actor, identity_named(actor, handle)


def identity_with(actor: Actor, identity_id: UUID) -> Identity:
    """The live identity with this id; raises `NotFound`."""
    identity: Identity | None = Identity.objects.visible_to(actor).live().filter(pk=identity_id).first()
    return _found(identity)


def narrowing_identity(actor: Actor, identity_id: UUID | None) -> Identity | None:
    """The identity that a list is narrowed to, if one is named.

    Raises `Forbidden` when a bound key names any other than its own, `NotFound`, and `NotEnabled` for one that
    is not enabled for iMessage.
    """
    if identity_id is None:
        return None
    if actor.is_agent and identity_id != actor.identity_id:
        raise Forbidden("This key is bound to another identity.")
    identity = identity_with(actor, identity_id)
    if not identity.is_reachable:
        raise NotEnabled()
    return identity


def own_lines(actor: Actor, identities: Iterable[Identity]) -> dict[UUID, list[Line]]:
    """The iMessage lines of each identity's own, by its id, the one it has had longest first."""
    found: dict[UUID, list[Line]] = {identity.id: [] for identity in identities}
    rows = Line.objects.visible_to(actor).filter(
        service=Line.Service.IMESSAGE, routes__identity__in=list(found), routes__held_until=None
    )
    # A dedicated line has one route, and that is for every human.
    for line in rows.prefetch_related("routes").order_by("routes__created_at", "id"):
        found[line.routes.all()[0].identity_id].append(line)
    return found


def line_with(actor: Actor, line_id: UUID) -> Line:
    """The iMessage line of the organization's own; raises `NotFound`."""
    rows = Line.objects.visible_to(actor).filter(service=Line.Service.IMESSAGE)
    line: Line | None = rows.filter(pk=line_id).first()
    return _found(line)


def conversation_with(actor: Actor, conversation_id: UUID) -> Conversation:
    """The conversation with its connection and identity; raises `NotFound`.

    To an agent a conversation that holds only blocked messages does not exist.
    """
    if actor.is_agent:
        return _found(
            _agents_conversation.first(
                organization_id=actor.organization_id, identity_id=actor.identity_id, key=conversation_id
            )
        )
    return _found(_conversations(actor).filter(pk=conversation_id).first())


def _conversations(actor: Actor) -> QuerySet[Conversation]:
    rows = Conversation.objects.visible_to(actor).select_related("connection", "identity")
    return rows.filter(visible_total__gt=0) if actor.is_agent else rows


_agents_conversation = Compiled(
    lambda organization_id, identity_id, key: _conversations(
        Actor(Role.AGENT, "api_key", "", "", organization_id=organization_id, identity_id=identity_id)
    ).filter(pk=key),
    organization_id=UUID(int=1),
    identity_id=UUID(int=2),
    key=UUID(int=3),
)


class AmbiguousGroup(Conflict):
    """Several groups have exactly these participants; name one by its conversation_id."""

    code = "group_ambiguous"


def group_of(actor: Actor, identity: Identity, lines: Iterable[Line], humans: Collection[str]) -> Conversation | None:
    """The group in which just these humans are, on one of the identity's lines; raises `AmbiguousGroup`."""
    own = {line.id for line in lines}
    found = [group for group in with_members(identity, humans) if group.owned_line_id in own]
    if actor.is_agent:
        found = [group for group in found if group.visible_total]
    if len(found) > 1:
        raise AmbiguousGroup()
    return next(iter(found), None)


def message_with(actor: Actor, message_id: UUID) -> Message:
    """The message with its conversation; raises `NotFound`."""
    rows = Message.objects.visible_to(actor).select_related("conversation")
    message: Message | None = rows.filter(pk=message_id).first()
    return _found(message)


def tapback_with(actor: Actor, tapback_id: UUID) -> Tapback:
    """The tapback, live or gone; raises `NotFound`."""
    tapback: Tapback | None = Tapback.objects.visible_to(actor).filter(pk=tapback_id).first()
    return _found(tapback)


def active_connection_with(actor: Actor, connection_id: UUID) -> Connection:
    """The connection with its identity; raises `NotFound` for one that has ended, too."""
    rows = Connection.objects.visible_to(actor).filter(status=Connection.Status.ACTIVE).select_related("identity")
    connection: Connection | None = rows.filter(pk=connection_id).first()
    return _found(connection)


def subscription_with(actor: Actor, subscription_id: UUID) -> Subscription:
    """The subscription with its identity; raises `NotFound` for a deleted one, too."""
    rows = Subscription.objects.visible_to(actor).kept().of_dialect("inkbox").select_related("identity")
    subscription: Subscription | None = rows.filter(pk=subscription_id).first()
    return _found(subscription)


def attempt_with(actor: Actor, attempt_id: UUID) -> Attempt:
    """The attempt with its delivery and subscription; raises `NotFound`."""
    rows = Attempt.objects.visible_to(actor).of_dialect("inkbox").select_related("delivery", "subscription")
    attempt: Attempt | None = rows.filter(pk=attempt_id).first()
    return _found(attempt)


def rule_with(actor: Actor, identity: Identity, rule_id: UUID) -> ContactRule:
    """The rule of this identity; raises `NotFound`."""
    rows = ContactRule.objects.visible_to(actor).select_related("identity")
    rule: ContactRule | None = rows.filter(identity=identity, pk=rule_id).first()
    return _found(rule)


def id_in_path(text: str) -> UUID:
    """The id that a path names; raises `NotFound` for what cannot be one."""
    try:
        return UUID(text)
    except ValueError as odd:
        raise NotFound() from odd


def _found(row: Row | None) -> Row:
    if row is None:
        raise NotFound()
    return row
