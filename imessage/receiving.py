"""What came in: a stored callback becomes messages, tapbacks, states and reads, each applied once."""

import contextlib
import logging
from datetime import timedelta
from hashlib import sha256

from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import DataError, InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import Identity
from contactrules.models import Decision
from contactrules.rules import lock_reach, note_decision, verdict
from core.actor import Actor, Role
from core.texts import cleaned
from core.wake import wake
from events.record import record
from imessage import connecting, fallback, groups, media, receipts, tapbacks
from imessage.draining import party_of, wake_queue
from imessage.errors import ConnectionReleased
from imessage.models import Connection, Conversation, Direction, Message, Part, RouterMessage, SendStyle, Service
from imessage.sending import append, lock_conversation
from imessage.telling import tell
from lines import health, recipients
from lines.dispatching import settle
from lines.health import reports
from lines.models import Callback, Dispatch, Line
from lines.pool import live_route, note_traffic, owner_of
from lines.providers import driver_of, opened
from lines.providers.base import (
    AliasLost,
    GroupChanged,
    LineReported,
    OptedOut,
    Outcome,
    OwnTextSeen,
    ReadReported,
    Report,
    Restarted,
    SendReceipt,
    StatusChanged,
    TapbackArrived,
    TapbackTextArrived,
    TextArrived,
    TextEdited,
    TextUnsent,
    TypingChanged,
    Unrecognised,
)
from lines.routers import router_for_hints
from lines.threads import line_of_thread, note_chat

logger = logging.getLogger(__name__)

_PROVIDER = Actor.system("provider")

# How long a report waits for what it speaks of: a tapback may overtake its message (contract/lines.md 3.2).
WAITS_FOR = timedelta(minutes=10)

# A text this much older than its arrival is late: an agent must not answer it as if it were new.
LATE_AFTER = timedelta(minutes=5)

# How long news of one text may come, in seconds: a Mac tells of a week's.
_TOLD_AGAIN_WITHIN = 8 * 24 * 3600

# One hint to a human who writes to a line without a route, per day.
_HINT_EVERY = timedelta(days=1)
_HINT = "This number has no conversation with you just now. To talk with an agent, text 'help' to {router}."


class NotHereYet(Exception):
    """A report about something that has not been stored yet."""


class SentOutside(Exception):
    """A text from a line of ours that nobody sent through here: somebody wrote at the provider itself."""

    def __init__(self, line: Line, human: str, handle: str) -> None:
        self.line, self.human, self.handle = line, human, handle
        super().__init__(handle)


class Unrouted(Exception):
    """A text on a line without a live route for this human, or on no line of ours."""

    def __init__(self, reason: str, *, line: Line | None = None, human: str = "") -> None:
        self.reason, self.line, self.human = reason, line, human
        super().__init__(reason)


def apply_in_order(callback_id: int) -> None:
    """Apply one stored callback, and before it those of its thread whose job was lost with the database.

    The caller holds the thread's lock. A fault in an earlier one stops only that one.
    """
    for earlier_id in _left_behind(callback_id):
        try:
            apply_callback(earlier_id)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            logger.exception("An earlier callback cannot be applied", extra={"callback_id": earlier_id})
    apply_callback(callback_id)


def _left_behind(callback_id: int) -> list[int]:
    thread = Callback.objects.values_list("thread", flat=True).get(pk=callback_id)
    earlier = Callback.objects.filter(state=Callback.State.STORED, thread=thread, id__lt=callback_id)
    return list(earlier.order_by("id").values_list("id", flat=True)) if thread else []


def apply_callback(callback_id: int) -> Callback.State | None:
    """Apply one stored callback, all of it or nothing; applying it again changes nothing.

    Returns its new state, None when it had been applied before. The caller's job runs in the thread's order.
    """
    with transaction.atomic():
        callback = (
            Callback.objects.select_for_update(no_key=True, of=("self",)).select_related("account").get(pk=callback_id)
        )
        if callback.state not in {Callback.State.STORED, Callback.State.WAITING}:
            return None
        callback.state, callback.detail = _apply(callback)
        callback.attempts += 1
        callback.applied_at = timezone.now()
        callback.save(update_fields=["state", "detail", "attempts", "applied_at", *reports.COLUMNS])
    return Callback.State(callback.state)


def _apply(callback: Callback) -> tuple[Callback.State, str]:
    try:
        told = driver_of(callback.account).parse(opened(callback.account), body=bytes(callback.body))
    except (ValueError, KeyError, TypeError, AttributeError) as unreadable:
        return Callback.State.UNRECOGNISED, f"{type(unreadable).__name__}: {cleaned(str(unreadable))}"[:500]
    try:
        with transaction.atomic():
            for report in told:
                _apply_report(callback, report)
    except SentOutside as sent:
        _note_outside(sent)
        return Callback.State.APPLIED, "Nobody sent this text through here."
    except NotHereYet as missing:
        overdue = timezone.now() - callback.received_at > WAITS_FOR
        return (Callback.State.UNMATCHED if overdue else Callback.State.WAITING), cleaned(str(missing))
    except Unrouted as unrouted:
        if unrouted.line:
            _hint(unrouted.line, unrouted.human)
        return Callback.State.UNROUTED, unrouted.reason
    except (DataError, ValueError) as unstorable:
        # Longer or stranger than our columns: trying again would never help.
        return Callback.State.UNRECOGNISED, f"{type(unstorable).__name__}: {cleaned(str(unstorable))}"[:500]
    if any(isinstance(report, Unrecognised | TextEdited | TextUnsent) for report in told):
        return Callback.State.UNRECOGNISED, ""
    return Callback.State.APPLIED, ""


def _note_outside(sent: SentOutside) -> None:
    """Once per text: it is told of again when it arrives and when it is read."""
    handle = sha256(sent.handle.encode()).hexdigest()
    if cache.add(f"sent_outside:{sent.line.id}:{handle}", True, timeout=_TOLD_AGAIN_WITHIN):
        data = {"line_id": str(sent.line.id), "human": sent.human}
        record(_PROVIDER, "text.sent_outside", subject_id=sent.line.id, data=data)


def _apply_report(callback: Callback, report: Report) -> None:
    if isinstance(report, Unrecognised):
        return
    if isinstance(report, Restarted):
        _look_again(str(callback.account_id))
        return
    line = _line(callback, report)
    if line is None:
        raise Unrouted(f"No line of this account has the address {report.line[:50]!r}.")
    reports.note_report(callback, line, report)
    # What happens in a group names it too: never the place where to write to one of its members.
    is_alone = isinstance(report, StatusChanged) or (isinstance(report, TextArrived | OwnTextSeen) and not report.group)
    if is_alone and report.chat and report.human:
        note_chat(line, report.human, report.chat)
    match report:
        case OwnTextSeen():
            _receive_own_text(line, report)
        case GroupChanged():
            _change_group(line, report)
        case TextArrived():
            _receive_text(line, report, callback)
        case TapbackArrived():
            _receive_tapback(line, report)
        case TapbackTextArrived():
            _receive_tapback_text(line, report, callback)
        case StatusChanged():
            _receive_status(line, report, order_key=report.order_key or callback.order_key)
        case ReadReported():
            _receive_read(line, report)
        case TypingChanged():
            _receive_typing(line, report)
        case OptedOut():
            _opt_out(line, report)
        case LineReported():
            health.hear_verdict(line, seen=report.seen, reason=report.reason)
        case AliasLost():
            _lose_alias(line, report)


def _look_again(account_id: str) -> None:
    """The provider's software started anew: it tells nobody what came while it was away."""
    poll, probe = f"poll:{account_id}", f"probe:{account_id}"
    wake("lines.poll", lock=poll, once=poll, account_id=account_id)
    wake("lines.probe_account", lock=probe, once=f"{probe}/all", account_id=account_id, of="all")


def _lose_alias(line: Line, report: AliasLost) -> None:
    """Without its own address a line's texts would leave from another, into a new thread on every phone."""
    if report.address.lower() == line.address.lower():
        health.hear_verdict(line, seen=Line.Seen.FLAGGED, reason="wrong_sender")


def _line(callback: Callback, report: Report) -> Line | None:
    """The line that a report is about; where it is not named, the only one, or the one of what is spoken of."""
    lines = Line.objects.filter(account=callback.account).select_related("account")
    if report.line:
        return lines.filter(address=report.line).first()
    only = list(lines.exclude(wanted=Line.Wanted.RETIRED)[:2])
    if len(only) == 1:
        return only[0]
    handle = cleaned(getattr(report, "handle", ""))
    if not handle:
        of_group = groups.line_of(callback.account, report.chat)
        return of_group or line_of_thread(callback.account, human=report.human, chat=report.chat)
    calls = Dispatch.objects.filter(line__in=lines, handle=handle).values("line_id")
    texts = Message.objects.filter(line__in=lines, provider_handle=handle).values("line_id")
    line = lines.filter(Q(id__in=calls) | Q(id__in=texts)).first()
    if line is None:
        raise NotHereYet(f"No text with the handle {handle[:60]!r} on any line yet.")
    return line


def _receive_text(line: Line, report: TextArrived, callback: Callback) -> None:
    if report.group and line.kind != Line.Kind.DEDICATED:
        # Never into the thread that one of its members has alone with an agent.
        raise Unrouted("A text in a group on a shared line, which speaks for no one agent.")
    if _is_known(line, report):
        callback.kind = "other"  # a text counts once
        return
    if line.kind == Line.Kind.ROUTER:
        connecting.hear(line, human=report.human, text=report.text, handle=report.handle)
        return
    identity, conversation = _thread_of(line, report)
    given = verdict(identity, report.human)
    answered = _answered(conversation, line, report, is_blocked=not given.allowed)
    now = timezone.now()
    message = Message(
        organization_id=identity.organization_id,
        identity=identity,
        conversation=conversation,
        connection=conversation.connection,
        line=line,
        human=report.human,
        direction=Direction.INBOUND,
        text=cleaned(report.text) or None,
        message_type=Message.Type.CAROUSEL if len(report.media) > 1 else Message.Type.MESSAGE,
        service=report.service if report.service in Service.values else Service.IMESSAGE,
        send_style=report.effect if report.effect in SendStyle.values else "",
        reply_to=answered,
        reply_to_part=report.reply_to.part if answered and report.reply_to else 0,
        thread_root_id=answered.thread_id if answered else None,
        reply_unresolved=False if answered else None,
        status=Message.Status.RECEIVED,
        is_blocked=not given.allowed,
        rule_id=given.rule_id,
        rule_revision=given.revision,
        filter_mode=given.mode,
        provider_handle=report.handle,
        provider_at=report.at,
        is_late=callback.late or report.late or _is_old(report, callback),
        created_at=now,
        updated_at=now,
    )
    append(conversation, message, _parts(report, line=line, identity=identity))
    if Message.objects.filter(conversation=conversation, status=Message.Status.QUEUED).exists():
        # It may have waited for the human to write, by our count or the provider's.
        Conversation.objects.filter(pk=conversation.pk).update(next_attempt_at=None)
        wake_queue(conversation.id)
    note_decision(
        identity,
        report.human,
        given,
        direction=Decision.Direction.INBOUND,
        subject=Decision.Subject.MESSAGE,
        message_id=message.id,
    )
    tell(
        _human(report.human),
        "message.received" if given.allowed else "message.blocked",
        message,
        identity_reachable=identity.is_reachable,
        callback_id=callback.id,
    )


def _thread_of(line: Line, report: TextArrived) -> tuple[Identity, Conversation]:
    """Whose text it is and in which thread, both locked; the thread is made by its first text. Raises `Unrouted`."""
    if line.kind != Line.Kind.DEDICATED:
        identity, connection = _addressee(line, report.human)
        return identity, lock_conversation(_conversation(identity, connection))
    identity = _owner(line, report.human)
    if report.group:
        group = groups.hear_of(_human(report.human), identity, line, report.group, sender=report.human)
        return identity, lock_conversation(group)
    return identity, lock_conversation(connecting.open_thread(_human(report.human), identity, line, report.human))


def _owner(line: Line, human: str) -> Identity:
    """The agent that a dedicated line belongs to, locked; raises `Unrouted` while it belongs to none."""
    route = live_route(line, human)
    identity = lock_reach(route.identity) if route else None
    # Under the lock once more: it may have been detached meanwhile.
    if identity is None or owner_of(line) != identity:
        raise Unrouted("This number is attached to no agent.", line=line, human=human)
    return identity


def _answered(conversation: Conversation, line: Line, report: TextArrived, *, is_blocked: bool) -> Message | None:
    """The message that an inline reply answers, if it is one of this thread.

    What agents see never points at what was blocked: in a group anybody may answer whom a rule keeps out.
    """
    if report.reply_to is None:
        return None
    said = Message.objects.filter(conversation=conversation, line=line, provider_handle=cleaned(report.reply_to.handle))
    return (said if is_blocked else said.filter(is_blocked=False)).first()


def _change_group(line: Line, report: GroupChanged) -> None:
    """Name and members of a group that we know; of another one its first text will tell."""
    group = groups.group_of(line, report.group.key)
    if group:
        lock_reach(group.identity)
        by = _human(report.human) if report.human else _PROVIDER
        groups.apply_roster(by, lock_conversation(group), report.group)


def _is_old(report: TextArrived, callback: Callback) -> bool:
    """Whether the text was long on its way: a Mac that wakes tells of the night's texts in ordinary callbacks."""
    return report.at is not None and callback.received_at - report.at > LATE_AFTER


def _is_known(line: Line, report: TextArrived) -> bool:
    """Whether this text has come before, in a callback that differed: providers tell old texts anew (their edits)."""
    said = {"line": line, "provider_handle": cleaned(report.handle), "direction": Direction.INBOUND}
    return Message.objects.filter(**said).exists() or RouterMessage.objects.filter(human=report.human, **said).exists()


def _receive_own_text(line: Line, report: OwnTextSeen) -> None:
    """A text from our line, shown back to us: it proves that a lost send left; else it is a stranger's."""
    calls = Dispatch.objects.filter(line=line)
    if calls.filter(handle=cleaned(report.handle)).exists():
        return
    party = _party(line, report)
    dispatch = _call_of_order(line, report.order_key) or _lost_call(line, party, report)
    if dispatch is None:
        if calls.open().filter(human=party).exists():
            raise NotHereYet("A call to this human is under way.")
        raise SentOutside(line, party, report.handle)
    if dispatch.outcome == Dispatch.Outcome.UNKNOWN:  # one in flight has its own answer coming, which says more
        told = StatusChanged(line=report.line, human=report.human, at=report.at, handle=report.handle, state="sent")
        _apply_status(dispatch, told)


def _party(line: Line, report: OwnTextSeen) -> str:
    """With whom a text of ours was, as calls name it."""
    if report.group is None:
        return report.human
    group = groups.group_of(line, report.group.key)
    return party_of(group.id) if group else report.group.key


def _lost_call(line: Line, party: str, report: OwnTextSeen) -> Dispatch | None:
    """The call with these words whose answer was lost, if it was made before the text was seen."""
    unknown = Dispatch.Outcome.UNKNOWN
    lost = Dispatch.objects.filter(line=line, human=party, text=report.text, outcome=unknown)
    # A minute of grace: the provider's clock is not ours.
    return lost.filter(claimed_at__lt=(report.at or timezone.now()) + timedelta(minutes=1)).first()


def _addressee(line: Line, human: str) -> tuple[Identity, Connection]:
    """Whose text this is, the identity locked; raises `Unrouted`, also when a release came first this moment."""
    route = live_route(line, human)
    if route:
        identity = lock_reach(route.identity)
        owned = line if line.kind == Line.Kind.DEDICATED else None
        active = Connection.objects.filter(identity=identity, human=human, status=Connection.Status.ACTIVE)
        connection = active.filter(owned_line=owned).first()
        if connection:
            note_traffic(route, now=timezone.now())
            return identity, connection
    raise Unrouted("No live route for this human on this line.", line=line, human=human)


def _receive_tapback(line: Line, report: TapbackArrived) -> None:
    if not report.mine:
        _take_tapback(_message_by_handle(line, report.handle), report, part=report.part)


def _take_tapback(message: Message, report: TapbackArrived | TapbackTextArrived, *, part: int) -> None:
    """A tapback on a message; of a human who has disconnected it no longer reaches the agent."""
    lock_reach(message.identity)
    connected = Connection.objects.filter(conversations=message.conversation_id, status=Connection.Status.ACTIVE)
    if not message.is_group and not connected.exists():
        raise Unrouted("The human has disconnected from the agent.")
    tapbacks.receive_tapback(
        _human(report.human),
        message,
        human=report.human,
        kind=report.kind,
        emoji=cleaned(report.emoji),
        part_index=part,
        removed=report.removed,
        at=report.at,
    )


def _receive_tapback_text(line: Line, report: TapbackTextArrived, callback: Callback) -> None:
    """A tapback that quotes its target; where that is no text of the agent's or several, it stays a text."""
    quoted = cleaned(report.quoted)
    ours = RouterMessage.objects.filter(line=line, human=report.human, direction=Direction.OUTBOUND, text=quoted)
    if ours.exists():
        return  # on an answer of the switchboard's own, which no agent needs to hear of
    target = None if line.kind == Line.Kind.ROUTER else _quoted(line, report)
    if target:
        _take_tapback(target, report, part=0)
        return
    text = TextArrived(
        line=report.line,
        human=report.human,
        at=report.at,
        handle=report.handle,
        chat=report.chat,
        text=report.text,
        service=report.service,
        group=report.group,
    )
    _receive_text(line, text, callback)


def _quoted(line: Line, report: TapbackTextArrived) -> Message | None:
    """The one message with these words that the human, or their group, has of the agent; None for none and several."""
    said = Message.objects.filter(line=line, direction=Direction.OUTBOUND, text=cleaned(report.quoted)).exclude(
        status__in=[Message.Status.DECLINED, Message.Status.ERROR]
    )
    if report.group:
        said = said.filter(conversation=groups.group_of(line, report.group.key))
    else:
        owner = _owner(line, report.human) if line.kind == Line.Kind.DEDICATED else _addressee(line, report.human)[0]
        said = said.filter(identity=owner, human=report.human)
    found = said.select_related("identity")[:2]
    return found[0] if len(found) == 1 else None


def _receive_status(line: Line, report: StatusChanged, *, order_key: str) -> None:
    """Settle the call it speaks of, then move the message on; in whatever order reports come."""
    _apply_status(_dispatch(line, report.handle, order_key), report)


def _apply_status(dispatch: Dispatch, report: StatusChanged) -> None:
    if dispatch.outcome == Dispatch.Outcome.REFUSED and report.state in {"error", "declined"}:
        return  # known from the answer, and acted upon
    receipt = SendReceipt(outcome=Outcome.ACCEPTED, handle=report.handle, state=report.state)
    if dispatch.kind != Dispatch.Kind.MESSAGE:
        settle(dispatch, receipt)
        reports.note_status(dispatch, report)
        if dispatch.kind == Dispatch.Kind.ROUTER:
            _move_router_message(dispatch, report)
        return
    # Before the dispatch and the message, as the drain takes them.
    Conversation.objects.select_for_update(no_key=True, of=("self",)).get(messages=dispatch.order_id)
    message = Message.objects.select_related("line__account").get(pk=dispatch.order_id)
    if message.is_group and report.chat:
        # The answer may be lost, or come later: the next text must find the group that this one made.
        groups.note_key(message.conversation_id, report.chat)
    reports.note_status(dispatch, report)
    if fallback.is_former_attempt(message, dispatch):
        _hear_former(message, dispatch, report)
        return
    if settle(dispatch, receipt):
        wake_queue(message.conversation_id)
    if not message.provider_handle:
        Message.objects.filter(pk=message.pk).update(provider_handle=report.handle)
    if report.state == Message.Status.ERROR and fallback.fall_back(message, report.error, was_accepted=True):
        wake_queue(message.conversation_id)
        return
    if report.state in Message.RANK:
        carried = fallback.carried(message, service=report.service, downgraded=report.downgraded)
        message = receipts.advance(
            _PROVIDER,
            message,
            report.state,
            at=report.at,
            service=carried.service,
            downgraded=carried.downgraded,
            error=report.error,
        )
        if report.state == Message.Status.DELIVERED and message.service == Service.IMESSAGE:
            recipients.note_imessage(message.human)


def _hear_former(message: Message, dispatch: Dispatch, report: StatusChanged) -> None:
    """Word of the call before a fallback: only an arrival counts, for it cannot be taken back."""
    if report.state == Message.Status.DELIVERED:
        fallback.take_back(message, dispatch)
        receipts.advance(_PROVIDER, message, report.state, at=report.at)


def _opt_out(line: Line, report: OptedOut) -> None:
    """The human wants no more of it: their connection over this line ends, on every service."""
    with contextlib.suppress(Unrouted, ConnectionReleased):
        _, connection = _addressee(line, report.human)
        connecting.release(_PROVIDER, connection, by="human")


def _receive_read(line: Line, report: ReadReported) -> None:
    if RouterMessage.objects.filter(line=line, provider_handle=report.handle).exists():
        reports.note_read(line, report.handle, at=report.at)
        return
    message = _message_by_handle(line, report.handle)
    # The call before the message, as everywhere.
    reports.note_read(line, message.provider_handle, at=report.at)
    receipts.apply_read_report(_human(report.human or message.human), message, at=report.at)


def _receive_typing(line: Line, report: TypingChanged) -> None:
    group = groups.group_of(line, report.chat) if report.chat else None
    if group:
        if verdict(group.identity, report.human).allowed:
            receipts.signal_typing(group, on=report.on, by="human")
        return
    route = live_route(line, report.human)
    if route and verdict(route.identity, report.human).allowed:
        owned = line if line.kind == Line.Kind.DEDICATED else None
        for conversation in Conversation.objects.filter(
            identity=route.identity, thread_key=report.human, owned_line=owned
        ):
            receipts.signal_typing(conversation, on=report.on, by="human")


def _conversation(identity: Identity, connection: Connection) -> Conversation:
    """The pair's conversation, made by the human's first text and bound to the connection it came over."""
    conversation, _ = Conversation.objects.get_or_create(
        identity=identity,
        thread_key=connection.human,
        owned_line=None,
        defaults={
            "organization_id": identity.organization_id,
            "connection": connection,
            "human": connection.human,
        },
    )
    return conversation


def _parts(report: TextArrived, *, line: Line, identity: Identity) -> list[Part]:
    text = cleaned(report.text)
    parts = [Part(kind=Part.Kind.TEXT, text=text)] if text else []
    return parts + [media.expect(sent, line=line, identity=identity) for sent in report.media]


def _hint(line: Line, human: str) -> None:
    """Keep the text findable, and tell the human once a day where to go; the same whoever they are."""
    record(_human(human), "text.unrouted", subject_id=line.id, data={"line_id": str(line.id), "human": human})
    told = RouterMessage.objects.filter(
        line=line, human=human, direction=Direction.OUTBOUND, created_at__gt=timezone.now() - _HINT_EVERY
    )
    router = router_for_hints(human)
    if router and not told.exists():
        connecting.say(line, human, _HINT.format(router=router.address))


def _message_by_handle(line: Line, handle: str) -> Message:
    sent = Message.objects.filter(line=line, provider_handle=cleaned(handle))
    message = sent.select_related("identity").first()
    if message is None:
        raise NotHereYet(f"No message with the handle {handle[:60]!r} yet.")
    return message


def _dispatch(line: Line, handle: str, order_key: str) -> Dispatch:
    dispatch = Dispatch.objects.filter(line=line, handle=handle).first() or _call_of_order(line, order_key)
    if dispatch is None:
        raise NotHereYet(f"No call with the handle {handle[:60]!r} yet.")
    return dispatch


def _call_of_order(line: Line, order_key: str) -> Dispatch | None:
    with contextlib.suppress(ValidationError):  # not an id: an order of somebody else's on this account
        return Dispatch.objects.filter(line=line, order_id=order_key).order_by("-attempt").first()
    return None


def _move_router_message(dispatch: Dispatch, report: StatusChanged) -> None:
    rank = {"queued": 0, "sent": 1, "error": 2, "delivered": 3}
    answer = RouterMessage.objects.select_for_update(no_key=True).get(pk=dispatch.order_id)
    if rank.get(report.state, 0) > rank.get(answer.status, 0):
        answer.status = report.state
        answer.provider_handle = answer.provider_handle or report.handle
        answer.updated_at = timezone.now()
        answer.save(update_fields=["status", "provider_handle", "updated_at"])


def _human(number: str) -> Actor:
    return Actor(role=Role.VIEWER, kind="human", id=number, label=number)
