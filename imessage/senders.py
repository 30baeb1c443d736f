"""From where a text leaves: one choice for every dialect's way of naming a number or an agent."""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from accounts.models import Identity
from core.actor import Actor
from core.errors import NotFound
from imessage.errors import NoSender
from imessage.models import Connection, Conversation
from lines.failover import Substitution, substitute_for
from lines.models import ANY_HUMAN, Line, Route
from lines.pool import owner_of

_LATELY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes, and over which number of the organization's own; None: the line of the pair's connection.

    `substitution` when that number stands in for the one that was asked for: `send_message` tells of it.
    """

    identity: Identity
    line: Line | None
    substitution: Substitution | None = None


def choose_sender(
    actor: Actor,
    *,
    number: str | None = None,
    line_id: UUID | None = None,
    identity: Identity | None = None,
    to: str | None = None,
    service: str = "",
) -> Sender:
    """The sender that was asked for; a number goes before a line's id, that before an agent, and the rest is unread.

    `number` may also be that of a pool line on which this organization talks with `to`. An agent sends from its first
    number, or without any over its connection with `to`. Nothing named: where the talk with `to` is, else the number
    that is least busy, of `service` (imessage, sms) if one is meant. Where a number cannot send just now, another
    stands in if its failover says so. Raises `NotFound` for what is not the actor's, `NoSender` when there is nothing
    to send from.
    """
    chosen = _chosen(actor, number=number, line_id=line_id, identity=identity, to=to, service=service)
    substitution = substitute_for(actor, chosen.line) if chosen.line else None
    if substitution is None:
        return chosen
    return replace(_of_line(substitution.used) or chosen, substitution=substitution)


def _chosen(
    actor: Actor,
    *,
    number: str | None,
    line_id: UUID | None,
    identity: Identity | None,
    to: str | None,
    service: str,
) -> Sender:
    if number is not None:
        return _of_line(owned_lines(actor).filter(address=number).first()) or _of_pool(actor, number, to)
    if line_id is not None:
        sender = _of_line(owned_lines(actor).filter(pk=line_id).first())
        if sender is None:
            raise NotFound("No such number.")
        return sender
    if identity is not None:
        return _of_identity(identity, to, service)
    return _where_the_talk_is(actor, to, service) or _least_busy(actor, service)


def owned_lines(actor: Actor) -> QuerySet[Line]:
    """The numbers of its own that the actor may send from."""
    return Line.objects.visible_to(actor).filter(kind=Line.Kind.DEDICATED).exclude(organization=None)


def numbers_of(identity: Identity) -> QuerySet[Line]:
    """An identity's numbers, the one that was attached first first."""
    lines = Line.objects.filter(routes__identity=identity, routes__human=ANY_HUMAN, routes__held_until=None)
    return lines.exclude(wanted=Line.Wanted.RETIRED).order_by("routes__created_at", "routes__id")


def _of_line(line: Line | None) -> Sender | None:
    if line is None:
        return None
    identity = owner_of(line)
    if identity is None:
        raise NoSender(f"{line.address} is attached to no agent yet; attach it to one first.")
    return Sender(identity, line)


def _of_pool(actor: Actor, number: str, to: str | None) -> Sender:
    """The agent that talks with this human over this shared number, now or before a move."""
    talks = Conversation.objects.visible_to(actor).filter(human=to or "", is_group=False, owned_line=None)
    found = talks.filter(
        Q(connection__line__address=number)
        | Q(identity__in=Route.objects.filter(line__address=number, human=to or "").values("identity_id"))
    )
    conversation = found.select_related("identity").order_by("-last_at").first()
    if conversation is None:
        raise NotFound("No such number.")
    return Sender(conversation.identity, None)


def _of_identity(identity: Identity, to: str | None, service: str) -> Sender:
    numbers = numbers_of(identity)
    line = (numbers.filter(service=service) if service else numbers).first()
    if line is None and not Connection.objects.pooled().filter(identity=identity, human=to or "").exists():
        raise NoSender(f"@{identity.handle} has no number to send from; attach one to it.")
    return Sender(identity, line)


def _where_the_talk_is(actor: Actor, to: str | None, service: str) -> Sender | None:
    talks = Conversation.objects.visible_to(actor).filter(human=to or "", is_group=False).exclude(visible_total=0)
    talks = talks.filter(Q(owned_line=None) | Q(owned_line__in=owned_lines(actor)))
    if service:
        talks = talks.filter(Q(owned_line__service=service) | Q(owned_line=None, connection__line__service=service))
    for conversation in talks.select_related("identity", "owned_line").order_by("-last_at", "-id")[:5]:
        line = conversation.owned_line
        if line is None or owner_of(line) == conversation.identity:
            return Sender(conversation.identity, line)
    return None


def _least_busy(actor: Actor, service: str) -> Sender:
    attached = owned_lines(actor).filter(routes__human=ANY_HUMAN, routes__held_until=None)
    if service:
        attached = attached.filter(service=service)
    since = timezone.now() - _LATELY
    load = Count("messages", filter=Q(messages__created_at__gt=since), distinct=True)
    sender = _of_line(attached.annotate(load=load).order_by("load", "created_at", "id").first())
    if sender is None:
        raise NoSender("There is no number to send from; claim one and attach it to an agent.")
    return sender
