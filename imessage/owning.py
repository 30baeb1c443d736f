"""An identity's own numbers: attached, detached, given back; what that means for whoever talks over them.

Claiming is `lines.claiming`'s. A number speaks for one identity at a time, an identity may have several, in the order
in which they were attached.
"""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Identity
from contactrules.rules import lock_reach
from core import gate
from core.actor import Actor, Role
from core.errors import Conflict, DomainError, NotFound
from events.record import record, record_all
from imessage.draining import wake_queue
from imessage.models import Connection, Conversation, Message
from lines import claiming
from lines.models import ANY_HUMAN, Line, Route

_EXPIRY = Actor.system("expiry")

# Why a connection ended that an attaching begins anew.
_BY_DETACHING = "line"


class NumberAttached(Conflict):
    """This number is another identity's; detach it first. Field: `identity_id`."""

    code = "number_attached"


def attach(actor: Actor, line: Line, identity: Identity) -> Line:
    """Let the identity speak over an owned number, and have what is written to it; again changes nothing.

    Whom it talked with over the number before it was detached, it is connected with again. What humans wrote over it
    to another identity stays that one's. Raises `Forbidden` unless an admin, `LineReleased`, `NumberAttached`,
    `NotFound` for a number or an identity that is not of the actor's organization or was deleted.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity = lock_reach(identity)
        line = claiming.locked(actor, line)
        if identity.organization_id != line.organization_id or identity.status == Identity.Status.DELETED:
            raise NotFound()
        standing = _route(line)
        if standing and standing.held_until is None:
            if standing.identity_id == identity.id:
                return line
            raise NumberAttached(identity_id=str(standing.identity_id))
        now = timezone.now()
        fields = {"identity": identity, "held_until": None, "created_at": now, "updated_at": now}
        Route.objects.update_or_create(line=line, line_kind=line.kind, human=ANY_HUMAN, defaults=fields)
        _tell(actor, "line.attached", line, identity, connections=_begin_connections_anew(actor, line, identity, now))
    return line


def detach(actor: Actor, line: Line) -> Line:
    """Take an owned number from its identity; it stays the organization's, and what was said stays readable.

    Its connections end without a word to the humans, and what was queued on it is declined. A number of nobody's is
    left alone. Raises `Forbidden` unless an admin, `NotFound`, `LineReleased`.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        before = _route(line)
        identity = lock_reach(before.identity) if before else None
        line = claiming.locked(actor, line)
        route = _route(line)
        if route and route.held_until is None:
            if identity is None or route.identity_id != identity.id:
                raise Conflict("This number was attached to another identity this moment; repeat.")
            _detach(actor, line, identity)
    return line


def release(actor: Actor, line: Line) -> Line:
    """Give an owned number back, for good; detached first, as `detach` does. Its history stays.

    Nobody claims it again before an operator has offered it (`lines.claiming.offer_again`). Raises `Forbidden`
    unless an admin, `NotFound`, `LineReleased` when it was released before.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        return claiming.give_back(actor, detach(actor, line))


def change(actor: Actor, line: Line, **changes: Any) -> Line:
    """Change `external_id`, `expires_at`, `failover` or `contact_card`; see `lines.claiming.change_line`."""
    return claiming.change_line(actor, line, changes=changes)


def release_expired(*, now: datetime | None = None) -> int:
    """Give back the numbers whose time is over; how many there were."""
    gone = 0
    for line_id in claiming.expired(now or timezone.now()):
        # Released by somebody else this moment.
        with contextlib.suppress(DomainError):
            release(_EXPIRY, Line.objects.get(pk=line_id))
            gone += 1
    return gone


def detach_all(actor: Actor, identity: Identity) -> None:
    """Part of the end of an identity, whose lock the caller's transaction holds."""
    routes = Route.objects.live().filter(identity=identity, human=ANY_HUMAN).order_by("line_id")
    for route in routes.select_related("line"):
        detach(actor, route.line)


def _detach(actor: Actor, line: Line, identity: Identity) -> None:
    """The caller holds the locks of both."""
    now = timezone.now()
    Route.objects.filter(line=line, human=ANY_HUMAN).update(held_until=now, updated_at=now)
    ended = _end_connections(actor, line, identity, now)
    gate.shut(identity.id)
    _tell(actor, "line.detached", line, identity, connections=ended)
    # What was queued will not leave any more: the drain declines it.
    queued = Conversation.objects.filter(owned_line=line, identity=identity, messages__status=Message.Status.QUEUED)
    for conversation_id in queued.order_by("id").values_list("id", flat=True).distinct():
        wake_queue(conversation_id)


def _end_connections(actor: Actor, line: Line, identity: Identity, now: datetime) -> int:
    active = Connection.objects.filter(owned_line=line, identity=identity, status=Connection.Status.ACTIVE)
    ended = list(active.select_for_update(no_key=True).order_by("id"))
    active.update(status=Connection.Status.RELEASED, released_at=now, released_by=_BY_DETACHING, updated_at=now)
    _tell_all(actor, "connection.released", ended, by=_BY_DETACHING)
    return len(ended)


def _begin_connections_anew(actor: Actor, line: Line, identity: Identity, now: datetime) -> int:
    """One for each thread whose connection the detaching ended; the former ones stay what they were."""
    threads = Conversation.objects.filter(
        owned_line=line,
        identity=identity,
        connection__status=Connection.Status.RELEASED,
        connection__released_by=_BY_DETACHING,
    )
    ended = list(threads.select_for_update(no_key=True, of=("self",)).order_by("id"))
    whose = {"organization_id": identity.organization_id, "identity": identity, "line": line, "owned_line": line}
    begun = [Connection(**whose, human=thread.human, created_at=now) for thread in ended]
    for thread, connection in zip(ended, begun, strict=True):
        thread.connection = connection
    Connection.objects.bulk_create(begun)
    Conversation.objects.bulk_update(ended, ["connection"])
    _tell_all(actor, "connection.created", begun)
    return len(begun)


def _tell_all(actor: Actor, type: str, connections: Sequence[Connection], **more: str) -> None:
    threads = Conversation.objects.filter(connection__in=connections).values_list("connection_id", "id")
    thread_of = dict(threads)
    record_all(
        actor,
        type,
        [
            {
                "organization_id": one.organization_id,
                "identity_id": one.identity_id,
                "conversation_id": thread_of.get(one.id),
                "subject_id": one.id,
                "data": {"human": one.human, "line_id": str(one.line_id), **more},
            }
            for one in connections
        ],
    )


def _route(line: Line) -> Route | None:
    return Route.objects.filter(line=line, human=ANY_HUMAN).select_related("identity").first()


def _tell(actor: Actor, type: str, line: Line, identity: Identity, **more: Any) -> None:
    record(
        actor,
        type,
        organization_id=line.organization_id,
        identity_id=identity.id,
        subject_id=line.id,
        data={"line_id": str(line.id), "address": line.address, "handle": identity.handle, **more},
    )
