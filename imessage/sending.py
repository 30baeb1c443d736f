"""An agent's message on its way out: accepted here under locks, then drained one conversation at a time."""

import math
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import Identity
from contactrules.models import Decision
from contactrules.rules import Verdict, lock_reach
from core.actor import Actor
from core.compiled import Compiled
from core.errors import Invalid, NotFound
from core.phones import e164
from core.texts import MESSAGE_LIMIT, storable
from imessage import accepting
from imessage.accepting import Reply
from imessage.connecting import connect_command, open_thread, router_line
from imessage.counters import advance
from imessage.draining import drain_job
from imessage.errors import (
    AwaitingInbound,
    CapReached,
    FallbackImpossible,
    FastTrackUnavailable,
    NoRouter,
    NoSender,
    NotConnected,
    NotEnabled,
    QueueFull,
    ReplyTargetNotFound,
    ReplyTargetUnavailable,
)
from imessage.fallback import can_send_sms, could_fall_back
from imessage.groups import checked_members, members_of, open_group
from imessage.media import part_for
from imessage.models import Connection, Conversation, Direction, Message, Part, SendStyle
from imessage.receipts import check_reachable, check_recipient, refusals_kept
from imessage.senders import numbers_of
from lines.cards import card_of
from lines.failover import Substitution, note_substitution
from lines.models import Line
from lines.pool import owner_of

# Every accepted outbound message counts, failed ones too (architecture.md, section 5).
CAP = 100

# Pictures in one message (contract/agentphone.md, section 5); a line may take fewer.
MOST_MEDIA = 20
CAP_WINDOW = timedelta(hours=24)

# A Retry-After of five seconds or less makes newer clients repeat the call by themselves (contract/inkbox.md 1.5).
_SHORTEST_RETRY = 6


# When to come back to a line whose queue is full, in seconds: it may have sent that many texts by then.
_QUEUE_PATIENCE = 60

# Before every other job.
FAST = 10


def _locking(*related: str) -> Compiled[Conversation]:
    """A conversation by its key, locked, with what stands beside it; every join costs the planner."""
    return Compiled(
        lambda key: (
            Conversation.objects.select_for_update(no_key=True, of=("self",)).select_related(*related).filter(pk=key)
        ),
        key=UUID(int=1),
    )


_locked = _locking("connection__line__account", "identity")
_locked_to_send = _locking("connection")


def send_message(
    actor: Actor,
    *,
    identity: Identity | None = None,
    to: str | None = None,
    conversation: Conversation | None = None,
    conversation_id: UUID | None = None,
    recipients: Sequence[str] = (),
    line: Line | None = None,
    text: str | None = None,
    media_urls: Sequence[str] = (),
    send_style: str = "",
    reply_to: UUID | None = None,
    reply_to_part: int = 0,
    require_native_reply: bool = False,
    fallback: str = Message.Fallback.IF_UNSUPPORTED_OR_FAILED,
    fallback_line: Line | None = None,
    require_fallback: bool = False,
    is_fast: bool = False,
    substitution: Substitution | None = None,
) -> Message:
    """Accept a message for a human or a group; it is `queued` and will leave once, in the conversation's order.

    Whom it is for is named by `conversation`, or by the sending `identity` and one of `conversation_id`, `to` and
    `recipients`, who become a new group. From a `line` of its own (`senders.choose_sender`) an agent may write first;
    a human of the shared pool must have connected and written before. `reply_to` is a message of the same
    conversation; where it cannot be threaded the text goes as an ordinary one and says so, unless
    `require_native_reply`. `fallback_line` is the number that SMS is to leave from; with `require_fallback` there must
    be some. `is_fast` passes the line's own pace. `substitution` is the sender's, if `line` stands in for another.
    The checks come in the order of contract/inkbox.md 16.3 and raise `Invalid`, `NotFound` for an id that the identity
    or the actor does not know, `NotE164`, `NoSender`, `NotEnabled`, `NotConnected`, `ConnectionReleased`,
    `RecipientBlocked`, `AwaitingInbound`, `GroupsUnsupported`, `ReplyTargetNotFound`, `ReplyTargetUnavailable`,
    `FallbackImpossible`, `FastTrackUnavailable`, `CapReached`, `QueueFull`. Committed when this returns outside a
    transaction.
    """
    _check_content(text, media_urls, send_style)
    if [conversation, conversation_id, to, recipients or None].count(None) != 3:
        raise Invalid("Name the recipient by exactly one of 'to' and 'conversation_id'.")
    sender = conversation.identity if conversation else _required(identity)
    with refusals_kept(sender, subject=Decision.Subject.MESSAGE), _one_transaction():
        sender = lock_reach(sender)
        if recipients:
            target = _new_group(sender, line)
        elif to is not None:
            target = _thread_with(actor, sender, e164(to), line)
        else:
            target = _target(actor, sender, conversation.id if conversation else cast(UUID, conversation_id))
        humans = checked_members(target.line, recipients) if recipients else members_of(target)
        given = _judged(target, humans)
        reply = _reply(actor, target, reply_to, reply_to_part) if reply_to else None
        if reply and require_native_reply and reply.unresolved:
            raise ReplyTargetUnavailable()
        _check_way(target, media_urls, fallback_line, is_fast=is_fast)
        if require_fallback and not could_fall_back(target, fallback_line):
            raise FallbackImpossible()
        now = _check_room(sender, target.line_id)
        parts = [Part(kind=Part.Kind.TEXT, text=text)] if text else []
        parts += [part_for(actor, url, organization_id=target.organization_id) for url in media_urls]
        if target._state.adding:
            target = _opened(actor, target, humans)
        message = accepting.write(
            actor,
            target,
            given=given,
            humans=humans,
            text=text or None,
            parts=parts,
            send_style=send_style,
            # Nobody is connected over a line that knows nothing but SMS.
            service=target.owned_line.service if target.owned_line else Line.Service.IMESSAGE,
            reply=reply,
            fallback=fallback,
            fallback_line=fallback_line,
            is_fast=is_fast,
            now=now,
            job=drain_job(target.id, priority=FAST if is_fast else 0),
        )
        if substitution:
            note_substitution(
                actor, substitution, message_id=message.id, identity_id=sender.id, conversation_id=target.id
            )
        return message


def lock_conversation(conversation: Conversation) -> Conversation:
    """The conversation, locked until the transaction ends; after the identity, before its messages."""
    locked = _locked.first(key=conversation.pk)
    if locked is None:
        raise Conversation.DoesNotExist()
    return locked


def append(conversation: Conversation, message: Message, parts: Sequence[Part]) -> Message:
    """Store a message at the end of its conversation, with its counters; the caller holds the conversation's lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            advance(direction=message.direction, is_blocked=message.is_blocked),
            {"conversation": conversation.id, "id": message.id, "now": message.created_at},
        )
        (message.position,) = cursor.fetchone()
    message.save(force_insert=True)
    for index, part in enumerate(parts):
        part.message, part.index = message, index
    Part.objects.bulk_create(parts)
    return message


def used_of_cap(identity: Identity, *, at: datetime | None = None) -> int:
    """How many messages of the rolling 24 hours the identity has used; or had used at a moment."""
    return _in_window([identity.id], at or timezone.now()).count()


def used_of_caps(identity_ids: Collection[UUID]) -> dict[UUID, int]:
    """The same for several identities, in one question; one that used nothing is left out."""
    used = _in_window(identity_ids, timezone.now()).order_by().values_list("identity_id")
    return dict(used.annotate(used=models.Count("id")))


def _one_transaction() -> AbstractContextManager[Any]:
    """The caller's transaction, or one of our own. No savepoint: whatever is refused has written nothing yet."""
    return nullcontext() if connection.in_atomic_block else transaction.atomic()


def _check_content(text: str | None, media_urls: Sequence[str], send_style: str) -> None:
    if not text and not media_urls:
        raise Invalid("A message needs 'text' or one of 'media_urls'.")
    if text is not None and len(storable(text)) > MESSAGE_LIMIT:
        raise Invalid(f"'text' is {len(text):,} characters long; the limit is {MESSAGE_LIMIT:,}.")
    if len(media_urls) > MOST_MEDIA:
        raise Invalid(f"'media_urls' takes at most {MOST_MEDIA} URLs.")
    for url in media_urls:
        _check_media_url(url)
    if send_style and send_style not in SendStyle.values:
        raise Invalid(f"'send_style' must be one of {', '.join(SendStyle.values)}.")


def _check_media_url(url: str) -> None:
    try:
        parts = urlsplit(storable(url))
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"} or len(url) > 2000 or not url.isprintable():
        raise Invalid("'media_urls' must be http or https URLs of at most 2,000 characters.")


def _required(identity: Identity | None) -> Identity:
    if identity is None:
        raise Invalid("Name the sending identity.")
    return identity


def _target(actor: Actor, sender: Identity, conversation_id: UUID) -> Conversation:
    """The conversation to write into, locked, with `sender` (locked) as its identity."""
    target = _locked_to_send.first(key=conversation_id)
    if target is None or target.identity_id != sender.id or (actor.is_agent and not target.visible_total):
        raise NotFound()
    target.identity = sender
    return target


def _new_group(sender: Identity, line: Line | None) -> Conversation:
    """A group that is not stored yet."""
    line = line or numbers_of(sender).filter(service=Line.Service.IMESSAGE).first()
    if line is None:
        raise NoSender(f"@{sender.handle} has no number of its own; groups are opened from one.")
    _require_own(sender, line)
    return Conversation(
        organization_id=sender.organization_id, identity=sender, owned_line=line, is_group=True, thread_key=""
    )


def _thread_with(actor: Actor, sender: Identity, human: str, line: Line | None) -> Conversation:
    """The thread with one human: over this line, else over the shared pool, else over a number of the sender's own."""
    if line is None:
        own = None if Connection.objects.pooled().filter(identity=sender, human=human).exists() else numbers_of(sender)
        line = own.first() if own is not None else None
    if line is None:
        return _target(actor, sender, _by_number(sender, human).id)
    _require_own(sender, line)
    if human == line.address:
        raise Invalid("A number cannot write to itself.")
    found = Conversation.objects.filter(identity=sender, thread_key=human, owned_line=line).values_list("id").first()
    target = _locked_to_send.first(key=found[0]) if found else None
    if target is not None:
        target.identity = sender
        return target
    # Not stored before it is certain that something leaves.
    return Conversation(
        organization_id=sender.organization_id, identity=sender, owned_line=line, human=human, thread_key=human
    )


def _require_own(sender: Identity, line: Line) -> None:
    if owner_of(line) != sender:
        raise NoSender(f"{line.address} is not attached to @{sender.handle}.")


def _opened(actor: Actor, target: Conversation, humans: Sequence[str]) -> Conversation:
    """The thread that the first text of an owned line begins, stored."""
    line = cast(Line, target.owned_line)
    if target.is_group:
        return open_group(actor, target.identity, line, humans)
    return open_thread(actor, target.identity, line, target.human)


def _judged(target: Conversation, humans: Sequence[str]) -> Verdict:
    """The verdict that allows it; of a thread that is not stored yet nothing else can stand in the way."""
    if not target._state.adding:
        return check_reachable(target)
    if not target.identity.is_reachable:
        raise NotEnabled()
    return [check_recipient(target.identity, human) for human in humans][-1]


def _reply(actor: Actor, target: Conversation, message_id: UUID, part_index: int) -> Reply:
    """What is answered inline, and whether it can be; raises `ReplyTargetNotFound`.

    What this human and the agent said over another number is known, and cannot be threaded here.
    """
    here = Q(conversation_id=target.id)
    elsewhere = Q(identity=target.identity, human=target.human, connection__isnull=False)
    said = Message.objects.visible_to(actor).filter(here if target.is_group else here | elsewhere, is_blocked=False)
    parent = said.filter(pk=message_id).select_related("line__account").first()
    if parent is None:
        raise ReplyTargetNotFound("Reply target not found.")
    # One that is still in the queue is on the phone before its answer.
    on_phone = bool(parent.provider_handle) or parent.status in {Message.Status.QUEUED, Message.Status.ACCEPTED}
    over_imessage = parent.service == Line.Service.IMESSAGE and target.line.service == Line.Service.IMESSAGE
    same_thread = parent.conversation_id == target.id and parent.line_id == target.line_id
    threads = same_thread and card_of(parent.line).reply
    return Reply(parent, part_index, unresolved=not (on_phone and over_imessage and threads))


def _check_way(target: Conversation, media_urls: Sequence[str], fallback_line: Line | None, *, is_fast: bool) -> None:
    """Raise unless the line can carry it in the way that was asked for."""
    if is_fast and target.owned_line_id is None:
        raise FastTrackUnavailable("The fast track is for texts from a number of the organization's own.")
    if len(media_urls) > 1 and len(media_urls) > (most := card_of(target.line).most_media):
        raise Invalid(f"This number sends at most {most} file{'s' * (most != 1)} in one message.")
    if fallback_line is not None and not can_send_sms(fallback_line):
        raise FallbackImpossible(f"{fallback_line.address} cannot send SMS.")


def _by_number(sender: Identity, human: str) -> Conversation:
    """The pair's conversation; refuses in order: not enabled, never connected, released, blocked, not written yet."""
    latest = Connection.objects.pooled().filter(identity=sender, human=human).order_by("-created_at").first()
    if latest is None:
        raise NotEnabled() if not sender.is_reachable else _never_connected(sender, human)
    found = Conversation.objects.filter(identity=sender, thread_key=human, owned_line=None).first()
    if found is None:
        check_reachable(Conversation(identity=sender, connection=latest, human=human))
        raise AwaitingInbound()
    return found


def _never_connected(sender: Identity, human: str) -> NotConnected:
    command = connect_command(sender)
    try:
        number = router_line().address
    except NoRouter:
        number = None
    where = f"to {number}" if number else "to the router number"
    return NotConnected(
        f"{human} is not connected to @{sender.handle}. Have them text '{command}' {where} first.",
        connect_command=command,
        router_number=number,
    )


def _check_room(sender: Identity, line_id: UUID) -> datetime:
    """Raise `CapReached` or `QueueFull` unless there is room, by the database's clock, which is returned.

    The caller holds the identity's lock.

    `now()` would be the transaction's start, which may lie before the wait for the lock.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), extract(epoch FROM min(created_at)), clock_timestamp(),"
            " (SELECT count(*) FROM (SELECT FROM imessage_message"
            "  WHERE line_id = %s AND status = 'queued' LIMIT %s) AS queued)"
            " FROM (SELECT created_at FROM imessage_message"
            "  WHERE identity_id = %s AND direction = 'outbound'"
            "   AND created_at > clock_timestamp() - make_interval(secs => %s)"
            "  ORDER BY created_at DESC LIMIT %s) AS newest",
            [line_id, settings.LINE_QUEUE_LIMIT, sender.id, CAP_WINDOW.total_seconds(), CAP],
        )
        used, oldest, now, waiting = cursor.fetchone()
    if waiting >= settings.LINE_QUEUE_LIMIT:
        raise QueueFull(
            f"{waiting} messages wait for this line already; repeat after the time given.",
            retry_after=_QUEUE_PATIENCE,
            waiting=waiting,
        )
    if used < CAP:
        return cast(datetime, now)
    frees_at = math.ceil(float(oldest) + CAP_WINDOW.total_seconds())
    raise CapReached(
        f"@{sender.handle} has sent {CAP} messages in the last 24 hours; repeat after the time given.",
        retry_after=max(_SHORTEST_RETRY, frees_at - int(now.timestamp())),
        limit=CAP,
        remaining=0,
        reset=frees_at,
    )


def _in_window(identity_ids: Collection[UUID], at: datetime) -> models.QuerySet[Message]:
    return Message.objects.filter(
        identity_id__in=identity_ids,
        direction=Direction.OUTBOUND,
        created_at__gt=at - CAP_WINDOW,
        created_at__lte=at,
    )
