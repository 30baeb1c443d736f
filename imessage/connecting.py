"""How humans come to agents: what the router hears and answers, and the life of a connection."""

import contextlib
import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.identities import retire_identity
from accounts.models import Identity
from contactrules.models import Decision
from contactrules.rules import connecting_verdict, lock_reach, note_decision
from core import gate
from core.actor import Actor, Role
from core.phones import pretty
from core.texts import cleaned
from core.wake import wake
from events.record import record
from imessage import owning
from imessage.draining import lock_router_queue, wake_queue, wake_router
from imessage.errors import ConnectionReleased, NoRouter
from imessage.models import Connection, Conversation, Direction, RouterMessage
from lines.models import Line
from lines.pool import give_line, has_reservations, is_worth_waiting, release_line
from lines.routers import shown_router, successor_of

PLACEHOLDER_HANDLE = "your-handle"

# What came of a connect for which no line was free at the moment.
WAITS_FOR_LINE = "waits_for_line"
_TRIES_EVERY = timedelta(seconds=20)

_QUOTES = "\"'“”‘’«»<>()"
_COMMAND = re.compile(rf"(connect|disconnect|replace)[\s@{_QUOTES}]+([a-z0-9-]{{1,63}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Command:
    """What a text to the router asks for; `handle` is empty when none was named."""

    verb: RouterMessage.Command
    handle: str = ""


def router_line() -> Line:
    """The router whose number is shown now. Raises `NoRouter`."""
    router = shown_router()
    if router is None:
        raise NoRouter()
    return router


def connect_command(identity: Identity | None) -> str:
    """What a human texts to the router; a placeholder handle when no identity is meant."""
    return f"connect @{identity.handle if identity else PLACEHOLDER_HANDLE}"


def read_command(text: str) -> Command:
    """The command in a text: any case, any spaces, with or without the @, a full stop or quotes around it."""
    words = " ".join(text.split()).strip(f"{_QUOTES}.!, ").lower()
    if words in {"help", "?", "hi", "hello", "info"}:
        return Command(RouterMessage.Command.HELP)
    if words == "disconnect":
        return Command(RouterMessage.Command.DISCONNECT)
    match = _COMMAND.fullmatch(words)
    if match:
        return Command(RouterMessage.Command(match[1]), match[2])
    return Command(RouterMessage.Command.OTHER)


def hear(line: Line, *, human: str, text: str, handle: str) -> RouterMessage:
    """What a human texted to the router: stored, done, and answered once. Inside the caller's transaction."""
    command = read_command(text)
    _forget_waiting(human, command)
    outcome, answer = _obey(line, human, command)
    heard = RouterMessage.objects.create(
        line=line,
        human=human,
        direction=Direction.INBOUND,
        text=cleaned(text),
        command=command.verb,
        outcome=outcome,
        status="received",
        provider_handle=handle,
    )
    if outcome == WAITS_FOR_LINE:
        _try_later(heard)
    return say(line, human, answer + _new_number(line))


def try_again(heard_id: UUID) -> None:
    """A connect that waits for a line: connect it, let it wait on, or apologise once its time is over."""
    with transaction.atomic():
        waiting = RouterMessage.objects.select_for_update(no_key=True).filter(outcome=WAITS_FOR_LINE)
        heard = waiting.select_related("line").filter(pk=heard_id).first()
        if heard is None:
            return
        command = read_command(heard.text)
        outcome, answer = _obey(heard.line, heard.human, command)
        if outcome == WAITS_FOR_LINE:
            if timezone.now() - heard.created_at < timedelta(seconds=settings.CONNECT_PATIENCE):
                _try_later(heard)
                return
            outcome, answer = "no_free_line", f"I am sorry: no line came free for you and @{command.handle}. Try later."
        RouterMessage.objects.filter(pk=heard.pk).update(outcome=outcome, updated_at=timezone.now())
        say(heard.line, heard.human, answer)


def say(line: Line, human: str, text: str) -> RouterMessage:
    """Queue one text of our own to a human, inside the caller's transaction; the router's drain sends it once."""
    lock_router_queue(line.id, human)
    answer = RouterMessage.objects.create(line=line, human=human, direction=Direction.OUTBOUND, text=text)
    wake_router(line.id, human)
    return answer


def name_of(identity: Identity) -> str:
    """The agent as humans read it: its name and its handle."""
    handle = f"@{identity.handle}"
    return handle if identity.display_name.casefold() == identity.handle else f"{identity.display_name} ({handle})"


def greeting_link(line: Line) -> str:
    """Opens a thread with the line on a phone, a greeting filled in: who writes first costs the line nothing."""
    return f"sms:{line.address}?&body=Hello"


def open_thread(actor: Actor, identity: Identity, line: Line, human: str) -> Conversation:
    """The thread of a human on an owned line, with a live connection; both made by the first text, whoever writes it.

    Inside the caller's transaction, which holds the identity's lock.
    """
    connection, is_new = Connection.objects.get_or_create(
        identity=identity,
        human=human,
        owned_line=line,
        status=Connection.Status.ACTIVE,
        defaults={"organization_id": identity.organization_id, "line": line},
    )
    conversation, _ = Conversation.objects.get_or_create(
        identity=identity,
        thread_key=human,
        owned_line=line,
        defaults={"organization_id": identity.organization_id, "connection": connection, "human": human},
    )
    if conversation.connection_id != connection.id:
        conversation.connection = connection
        conversation.save(update_fields=["connection"])
    if is_new:
        _tell(actor, "connection.created", connection, {})
    return conversation


def release(actor: Actor, connection: Connection, *, by: str = "admin") -> Connection:
    """End a connection: what the human writes stops reaching the agent, the pair's line stays reserved.

    Raises `Forbidden` for keys bound to an identity, `ConnectionReleased` when it has ended already. The human
    is not told.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity = lock_reach(connection.identity)
        now = timezone.now()
        ended = Connection.objects.filter(pk=connection.pk, status=Connection.Status.ACTIVE).update(
            status=Connection.Status.RELEASED, released_at=now, released_by=by, updated_at=now
        )
        if not ended:
            raise ConnectionReleased("This connection has ended already.")
        if connection.owned_line_id is None:
            release_line(identity, connection.human)
        gate.shut(identity.id)
        _tell(actor, "connection.released", connection, {"by": by})
        # What was queued will not leave any more: the drain declines it.
        for conversation_id in Conversation.objects.filter(connection=connection).values_list("id", flat=True):
            wake_queue(conversation_id)
    connection.refresh_from_db()
    return connection


def delete_identity(actor: Actor, identity: Identity) -> None:
    """End an identity: connections released, numbers detached, keys revoked, subscriptions ended by a job.

    Its handle stays taken and what was said stays readable for admins. Raises `Forbidden` unless an admin. Deleting
    it again changes nothing.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity = lock_reach(identity)
        if identity.status == Identity.Status.DELETED:
            return
        active = Connection.objects.filter(identity=identity, status=Connection.Status.ACTIVE).order_by("id")
        for connection in active.select_related("identity"):
            release(actor, connection, by="identity")
        owning.detach_all(actor, identity)
        retire_identity(actor, identity)
        wake("webhooks.end_subscriptions", identity_id=str(identity.id))


def _try_later(heard: RouterMessage) -> None:
    at = timezone.now() + _TRIES_EVERY
    wake(
        "imessage.connect_again",
        lock=f"connect:{heard.human}",
        once=f"connect:{heard.id}",
        at=at,
        heard_id=str(heard.id),
    )


def _forget_waiting(human: str, command: Command) -> None:
    """A newer word about the same agent takes the place of a connect that still waits."""
    waiting = RouterMessage.objects.filter(human=human, outcome=WAITS_FOR_LINE)
    about = [heard.pk for heard in waiting if read_command(heard.text).handle in {command.handle, ""}]
    if command == Command(RouterMessage.Command.DISCONNECT):
        about = [heard.pk for heard in waiting]
    RouterMessage.objects.filter(pk__in=about).update(outcome="superseded", updated_at=timezone.now())


def _new_number(line: Line) -> str:
    """What a former router adds to every answer for 30 days."""
    successor = successor_of(line, now=timezone.now())
    return f"\nMy number has changed: from now on please text {pretty(successor.address)}." if successor else ""


def _obey(line: Line, human: str, command: Command) -> tuple[str, str]:
    """What came of the command (for operators) and the answer (for the human)."""
    match command.verb:
        case RouterMessage.Command.CONNECT:
            return _connect(human, command.handle)
        case RouterMessage.Command.REPLACE:
            return _connect(human, command.handle, replacing=True)
        case RouterMessage.Command.DISCONNECT:
            return _disconnect(human, command.handle)
        case RouterMessage.Command.HELP:
            return "helped", _help(human)
    return "not_understood", "I did not understand that. " + _help(human)


def _connect(human: str, handle: str, *, replacing: bool = False) -> tuple[str, str]:
    identity = Identity.objects.live().called(handle).first()
    if identity is None:
        return "unknown_agent", _unknown_agent(handle)
    identity = lock_reach(identity)
    if not identity.is_reachable:
        return "not_enabled", _unknown_agent(handle)
    # The verdict comes before everything that would tell a blocked human that the agent exists.
    given = connecting_verdict(identity, human)
    note_decision(identity, human, given, direction=Decision.Direction.INBOUND, subject=Decision.Subject.CONNECT)
    if not given.allowed:
        return "blocked", _unknown_agent(handle)
    active = Connection.objects.pooled().filter(identity=identity, human=human, status=Connection.Status.ACTIVE)
    current = active.select_related("line").first()
    if current:
        return "already_connected", (
            f"You are already connected to {name_of(identity)}. Text it at {pretty(current.line.address)}."
        )
    line = give_line(identity, human, replacing=replacing)
    if line is None:
        return _no_line(identity, human)
    _open(identity, human, line)
    about = f"\n{identity.description}" if identity.description else ""
    return "connected", (
        f"You are connected to {name_of(identity)}.{about}\n"
        f"Text it at {pretty(line.address)}: everything you write there goes to @{identity.handle}.\n"
        f"Tap to begin: {greeting_link(line)}"
    )


def _no_line(identity: Identity, human: str) -> tuple[str, str]:
    if is_worth_waiting(human):
        return WAITS_FOR_LINE, (
            f"One moment: every line is busy. I will connect you to {name_of(identity)} as soon as one is free."
        )
    way_out = f"text: replace @{identity.handle}"
    if has_reservations(human):
        way_out = f"To give up the one that you have left for longest, {way_out}"
    else:
        way_out = f"Text 'disconnect' with another agent's handle first, and then {way_out}"
    return "no_free_line", (
        f"No line is free for you and {name_of(identity)}: each of them is for another agent of yours. {way_out}"
    )


def _open(identity: Identity, human: str, line: Line) -> Connection:
    """A new connection; the conversation of an earlier one is bound to it, so its id stays."""
    connection = Connection.objects.create(
        organization_id=identity.organization_id, identity=identity, human=human, line=line
    )
    Conversation.objects.filter(identity=identity, thread_key=human, owned_line=None).update(
        connection=connection, updated_at=timezone.now()
    )
    _tell(_human(human), "connection.created", connection, {})
    return connection


def _disconnect(human: str, handle: str) -> tuple[str, str]:
    active = list(
        Connection.objects.pooled()
        .filter(human=human, status=Connection.Status.ACTIVE)
        .select_related("identity")
        .order_by("created_at")
    )
    wanted = [connection for connection in active if connection.identity.handle == handle] if handle else active
    if len(wanted) == 1:
        # Ended by somebody else this moment: the human's wish is fulfilled all the same.
        with contextlib.suppress(ConnectionReleased):
            release(Actor.system("router"), wanted[0], by="human")
        return "disconnected", f"You are disconnected from {name_of(wanted[0].identity)}."
    if handle:
        return "not_connected", f"You are not connected to @{handle}. " + _connections(active)
    if not active:
        return "not_connected", "You are not connected to any agent. To connect, text: connect @handle"
    return "asked_which", "Which one? " + _connections(active) + " Text: disconnect @handle"


def _help(human: str) -> str:
    rows = Connection.objects.pooled().filter(human=human, status=Connection.Status.ACTIVE)
    active = list(rows.select_related("identity"))
    return (
        "Text one of these to this number:\n"
        "connect @handle – talk with an agent\n"
        "disconnect @handle – stop\n"
        "help – this message\n" + _connections(active)
    )


def _connections(active: list[Connection]) -> str:
    if not active:
        return "You are not connected to any agent."
    return "You are connected to " + ", ".join(f"@{connection.identity.handle}" for connection in active) + "."


def _unknown_agent(handle: str) -> str:
    """The same bytes for an unknown, a disabled and a blocking agent (contract/inkbox.md 16.1)."""
    return f"I do not know an agent called @{handle}. Check the handle and text: connect @handle"


def _human(number: str) -> Actor:
    return Actor(role=Role.VIEWER, kind="human", id=number, label=number)


def _tell(actor: Actor, type: str, connection: Connection, data: dict[str, str]) -> None:
    conversation_id = (
        Conversation.objects.filter(
            identity_id=connection.identity_id, thread_key=connection.human, owned_line=connection.owned_line_id
        )
        .values_list("id", flat=True)
        .first()
    )
    record(
        actor,
        type,
        organization_id=connection.organization_id,
        identity_id=connection.identity_id,
        conversation_id=conversation_id,
        subject_id=connection.id,
        data={"human": connection.human, "line_id": str(connection.line_id), **data},
    )
