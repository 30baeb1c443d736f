"""The way out: one job empties one queue, in order, one text in flight, each text once.

A queue is a conversation's queued messages, or what the router owes one human. The rows are the order; the job
is only the nudge. Each round decides under a lock, calls the provider outside any transaction, and records.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Protocol
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Identity
from contactrules.models import Decision
from contactrules.rules import lock_reach, note_decision, verdict
from core import gate
from core.actor import Actor
from core.wake import Job, wake
from imessage import fallback, groups, receipts
from imessage.media import upload_of
from imessage.models import Conversation, Direction, Message, Part, RouterMessage, Service
from lines import dispatching, health, pacing
from lines.callbacks import status_url
from lines.dispatching import ClaimLost, Step
from lines.models import RESERVED_FOR, Dispatch, Line, Route
from lines.moving import is_opener
from lines.pacing import Hold
from lines.pool import note_sent, owner_of
from lines.providers.base import (
    ErrorClass,
    Group,
    Outcome,
    ProviderCallFailed,
    ProviderError,
    ReplyTarget,
    Scope,
    SendOrder,
    SendReceipt,
)
from lines.recipients import is_on_imessage
from lines.threads import chat_of, note_chat

logger = logging.getLogger(__name__)

_DRAIN = Actor.system("drain")

# States a provider may answer a send with; any other word means that it has the text, no more.
_TOLD_AT_ONCE = {Message.Status.SENT, Message.Status.DELIVERED, Message.Status.DECLINED, Message.Status.ERROR}

_NOT_ON_ITS_WAY = (Message.Status.QUEUED, Message.Status.DECLINED, Message.Status.ERROR)

# Seconds between attempts at a retryable error, and how long a text may be tried at all (contract/lines.md 2.6).
_BACKOFF = (5, 30, 120, 600)
_GIVE_UP_AFTER = timedelta(minutes=30)


class Unclear(Enum):
    """A call that said nothing."""

    NOBODY_CAN_TELL = "nobody_can_tell"
    CLAIM_LOST = "claim_lost"


class Queue(Protocol):
    """What the drain needs of a queue; all but `come_back` run inside its transactions."""

    def lock(self) -> None:
        """Shut out writers into the queue until the transaction ends; before any lock on a call or a row."""

    def head(self) -> "Head | None":
        """The oldest text that waits, its queue locked; None when the queue is empty or held."""

    def conclude(self, head: "Head", receipt: SendReceipt, *, reason: str = "") -> None:
        """Put the outcome on the row: accepted, or failed for good."""

    def come_back(self, at: datetime) -> None:
        """Look at the queue again then."""

    def unanswered(self, head: "Head") -> int:
        """How many texts left since the human last wrote."""

    def note_hold(self, head: "Head", hold: Hold) -> None:
        """Keep why a text waits longer than a moment, once per reason."""


@dataclass(frozen=True, slots=True)
class Head:
    kind: Dispatch.Kind
    id: UUID
    line: Line
    human: str
    text: str
    since: datetime
    media: tuple[str, ...] = ()
    effect: str = ""
    identity_id: UUID | None = None
    chat: str = ""
    first_contact: bool = False
    service: str = "imessage"
    looks_up: bool = False
    reply_to: ReplyTarget | None = None
    group: Group | None = None
    conversation_id: UUID | None = None
    is_fast: bool = False

    @property
    def party(self) -> str:
        """With whom the text is, as calls name it."""
        return party_of(self.conversation_id) if self.group and self.conversation_id else self.human

    @property
    def order(self) -> SendOrder:
        return SendOrder(
            key=str(self.id),
            line=self.line.address,
            human=self.human,
            text=self.text,
            media=self.media,
            effect=self.effect,
            service=self.service,
            chat=self.chat,
            first_contact=self.first_contact,
            reply_to=self.reply_to,
            group=self.group,
            status_url=status_url(self.line.account, str(self.id)),
            read_media=upload_of,
        )


def wake_queue(conversation_id: UUID, *, at: datetime | None = None) -> None:
    """Have a conversation's queue looked at; a writer into it holds its lock, against a lost wake-up."""
    job = drain_job(conversation_id)
    wake(job.task, lock=job.lock, once=job.once, at=at, **job.args)


def party_of(conversation_id: UUID) -> str:
    """How calls name a group: in place of the human of others."""
    return f"{Dispatch.TO_GROUP}{conversation_id}"


def drain_job(conversation_id: UUID, *, priority: int = 0) -> Job:
    """The job that looks at a conversation's queue."""
    queue = f"conversation:{conversation_id}"
    args = {"conversation_id": str(conversation_id)}
    return Job("imessage.drain", args, lock=queue, once=queue, priority=priority)


def wake_router(line_id: UUID, human: str, *, at: datetime | None = None) -> None:
    """Have what the router owes this human looked at."""
    queue = f"router:{line_id}/{human}"
    wake("imessage.drain_router", lock=queue, once=queue, at=at, line_id=str(line_id), human=human)


def lock_router_queue(line_id: UUID, human: str) -> None:
    """Held by whoever writes into this queue or looks at it, until the transaction ends: no wake-up is lost."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('router'), hashtext(%s))", [f"{line_id}/{human}"])


def drain(queue: Queue) -> None:
    """Send what waits until the queue is empty, held, or has to wait; then say when to come back.

    The caller holds the queue's job lock: nobody else drains it, so a call found in flight is a dead worker's.
    """
    while _go_on(queue):
        pass


def _go_on(queue: Queue) -> bool:
    """Deal with the head of the queue; whether the queue may go on at once."""
    with gate.passage() as enter:
        with transaction.atomic():
            head = queue.head()
            if head is None:
                return False
            step = dispatching.next_step(head.id)
            if step.step is Step.DONE and step.dispatch:
                queue.conclude(head, _receipt_of(step.dispatch))
                return True
            if step.step is Step.CALL and (held := _paced(queue, head)):
                return _wait(queue, head, held)
            dispatch = _claim(head, step)
            if dispatch and head.identity_id:
                enter(head.identity_id)
        if step.step is Step.WAIT and step.at:
            queue.come_back(step.at)
            return False
        if dispatch is None:
            return True  # a report settled it meanwhile; the next round reads what it says
        answer = _ask(dispatch, head, lost=step.step is Step.REPEAT)
    return _record(queue, head, dispatch, answer)


def _paced(queue: Queue, head: Head) -> Hold | None:
    return pacing.hold(
        head.line,
        head.party,
        now=timezone.now(),
        first_contact=head.first_contact,
        is_fast=head.is_fast,
        unanswered=lambda: queue.unanswered(head),
    )


def _wait(queue: Queue, head: Head, held: Hold) -> bool:
    """Park the text until the end of its hold; one that would wait longer than texts may is declined now."""
    patience = pacing.limits_of(head.line).hold_seconds
    gives_up = head.since + timedelta(seconds=patience) if patience else datetime.max.replace(tzinfo=UTC)
    if max(held.until or timezone.now(), timezone.now()) >= gives_up:
        error = ProviderError(ErrorClass.PERMANENT, held.reason, "")
        queue.conclude(head, SendReceipt(outcome=Outcome.REFUSED, error=error), reason=held.reason)
        return True
    queue.note_hold(head, held)
    queue.come_back(held.until or gives_up)
    return False


def _claim(head: Head, step: dispatching.Next) -> Dispatch | None:
    if step.step is Step.CALL:
        note_sent(head.line, head.human, now=timezone.now())
        return dispatching.claim(
            kind=head.kind,
            order_id=head.id,
            line=head.line,
            human=head.party,
            text=head.text,
            first_contact=head.first_contact,
            service=head.service,
        )
    if step.step is Step.REPEAT and step.dispatch:
        return dispatching.take_over(step.dispatch)
    return None


def _ask(dispatch: Dispatch, head: Head, *, lost: bool) -> SendReceipt | Unclear | None:
    """The call itself; None for an honest "no" of a lookup."""
    try:
        if lost:
            return dispatching.find_out(dispatch, head.order)
        if head.looks_up and not is_on_imessage(head.line, head.human):
            return SendReceipt(outcome=Outcome.REFUSED, error=fallback.UNREACHABLE)
        return dispatching.call(dispatch, head.order)
    except ProviderCallFailed:
        return Unclear.NOBODY_CAN_TELL
    except ClaimLost:
        return Unclear.CLAIM_LOST


def _record(queue: Queue, head: Head, dispatch: Dispatch, answer: SendReceipt | Unclear | None) -> bool:
    """What the call came to, on the dispatch and the row; whether the queue may go on at once."""
    with transaction.atomic():
        queue.lock()
        match answer:
            case SendReceipt():
                return _record_receipt(queue, head, dispatch, answer)
            case None:
                return _record_not_found(queue, head, dispatch)
            case Unclear.NOBODY_CAN_TELL:
                queue.come_back(dispatching.postpone(dispatch))
            case Unclear.CLAIM_LOST:
                queue.come_back(timezone.now() + timedelta(seconds=1))
        return False


def _record_receipt(queue: Queue, head: Head, dispatch: Dispatch, receipt: SendReceipt) -> bool:
    # A worker that was thought dead keeps an accepted word, and leaves the queue to its successor.
    still_ours = not dispatching.is_taken_over(dispatch)
    if not dispatching.settle(dispatch, receipt):
        # A report settled it meanwhile; the next round reads what it says. Where the text went only the answer tells.
        _note_chat(head, receipt)
        return still_ours
    if receipt.outcome is Outcome.ACCEPTED:
        queue.conclude(head, receipt)
        _note_accepted(head, receipt)
        return still_ours
    if dispatching.is_unknown(receipt):
        queue.come_back(timezone.now() + timedelta(seconds=1))
        _note_unknown(head)
        return False
    return _record_refusal(queue, head, dispatch, receipt)


def _record_not_found(queue: Queue, head: Head, dispatch: Dispatch) -> bool:
    """Nothing shows that the text left: look again, or once it is certain enough make the one new attempt."""
    if not dispatching.note_not_found(dispatch):
        return True  # the next round finds when to look again
    if not dispatching.may_try_again(head.id):
        error = ProviderError(ErrorClass.RETRYABLE, "outcome_unknown", "")
        queue.conclude(head, SendReceipt(outcome=Outcome.REFUSED, error=error), reason="outcome_unknown")
    return True


def _record_refusal(queue: Queue, head: Head, dispatch: Dispatch, receipt: SendReceipt) -> bool:
    """The provider refused: fail for good, wait and try again, or hold the whole line."""
    error = receipt.error
    if error and error.error_class is ErrorClass.LINE_DOWN:
        for line in _struck(head.line, error):
            health.see(line, seen=Line.Seen.DOWN, reasons=[error.code])
        return False  # the line's return wakes its queues
    if error and error.error_class is ErrorClass.HELD:
        return _wait(queue, head, _asked_to_wait(head, error))
    first = Dispatch.objects.filter(order_id=head.id).order_by("attempt").values_list("claimed_at", flat=True)[0]
    may_wait = error and error.error_class is ErrorClass.RETRYABLE
    if error and may_wait and timezone.now() - first < _GIVE_UP_AFTER:
        wait = error.retry_after or _BACKOFF[min(dispatch.attempt - 1, len(_BACKOFF) - 1)]
        queue.come_back(timezone.now() + timedelta(seconds=wait))
        return False
    queue.conclude(head, receipt)
    return True


def _note_accepted(head: Head, receipt: SendReceipt) -> None:
    """What an answer tells beside the text's own fate."""
    _note_chat(head, receipt)
    if receipt.line and receipt.line != head.line.address:
        # The text is on the phone, from a strange sender: the next one must not follow it.
        logger.error("A provider used another line", extra={"line_id": str(head.line.id), "order_id": str(head.id)})
        health.hear_verdict(head.line, seen=Line.Seen.FLAGGED, reason="wrong_sender")


def _note_chat(head: Head, receipt: SendReceipt) -> None:
    """Keep what the provider calls the thread, if it said."""
    if receipt.chat and head.group and head.conversation_id:
        groups.note_key(head.conversation_id, receipt.chat)
    elif receipt.chat:
        note_chat(head.line, head.human, receipt.chat)


def _struck(line: Line, error: ProviderError) -> list[Line]:
    """The lines that cannot send because of this error, in the order in which lines are locked."""
    if error.scope is not Scope.ACCOUNT:
        return [line]
    lines = Line.objects.filter(account_id=line.account_id).exclude(wanted=Line.Wanted.RETIRED)
    return list(lines.exclude(seen=Line.Seen.FLAGGED).select_related("account").order_by("id"))


def _asked_to_wait(head: Head, error: ProviderError) -> Hold:
    """The provider's own pace: for this text, or for all that would leave over the line or the account."""
    if error.until_inbound:
        return Hold("awaiting_reply", None)
    until = timezone.now() + timedelta(seconds=error.retry_after or _BACKOFF[1])
    if error.scope in {Scope.LINE, Scope.ACCOUNT}:
        pacing.be_patient(head.line, until=until, whole_account=error.scope is Scope.ACCOUNT)
    return Hold("provider_pace", until)


def _note_unknown(head: Head) -> None:
    if head.kind == Dispatch.Kind.MESSAGE:
        receipts.note_unknown(_DRAIN, Message.objects.get(pk=head.id))


def _receipt_of(dispatch: Dispatch) -> SendReceipt:
    return SendReceipt(outcome=Outcome.ACCEPTED, handle=dispatch.handle, state=dispatch.provider_state or "sent")


class ConversationQueue:
    """The queued messages of one conversation, by position."""

    def __init__(self, conversation_id: UUID) -> None:
        self.conversation_id = conversation_id

    def lock(self) -> None:
        self._locked()

    def head(self) -> Head | None:
        conversation = self._locked()
        while message := self._oldest():
            if message.line.holds_queue:
                if not self._was_held_too_long(message):
                    return None
                receipts.advance(_DRAIN, message, Message.Status.ERROR, reason="line_unavailable")
                continue
            if self._opener_waits(message):
                return None
            if self._waits(conversation, message):
                # A new text woke the queue early: the wake-up that was planned must not be spent on it.
                wake_queue(self.conversation_id, at=conversation.next_attempt_at)
                return None
            refusal = self._refusal(conversation, message)
            if refusal is None:
                message = fallback.begin_as_sms(message, now=timezone.now())
                return None if message.line.holds_queue else self._head(conversation, message)
            receipts.advance(_DRAIN, message, Message.Status.DECLINED, reason=refusal)
        return None

    def conclude(self, head: Head, receipt: SendReceipt, *, reason: str = "") -> None:
        message = Message.objects.get(pk=head.id)
        if receipt.outcome is Outcome.ACCEPTED:
            Message.objects.filter(pk=message.pk).update(provider_handle=receipt.handle)
            message.provider_handle = receipt.handle
            # What a provider calls queued has left us: ours is at least accepted.
            state = receipt.state if receipt.state in _TOLD_AT_ONCE else Message.Status.ACCEPTED
            carried = fallback.carried(message, service=receipt.service, downgraded=receipt.downgraded)
            receipts.advance(_DRAIN, message, state, service=carried.service, downgraded=carried.downgraded)
            receipts.note_left_out(message, receipt.notes)
            # Over SMS, or where the parent never reached the phone, nothing threads it.
            if message.reply_to_id and ("reply_dropped" in receipt.notes or head.reply_to is None):
                Message.objects.filter(pk=message.pk).update(reply_unresolved=True)
            return
        if fallback.fall_back(message, receipt.error, was_accepted=False):
            return  # it is still the head of the queue
        # Refused up front for good: declined. Tried and failed: an error (contract/lines.md 2.6).
        up_front = receipt.error is not None and receipt.error.error_class is ErrorClass.PERMANENT
        status = Message.Status.DECLINED if up_front else Message.Status.ERROR
        receipts.advance(_DRAIN, message, status, error=receipt.error, reason=reason)

    def come_back(self, at: datetime) -> None:
        with transaction.atomic():
            self._locked()
            Conversation.objects.filter(pk=self.conversation_id).update(next_attempt_at=at)
            wake_queue(self.conversation_id, at=at)

    def _locked(self) -> Conversation:
        """Identity first, then the conversation: the order of every lock (architecture.md, section 7)."""
        identity_id = Conversation.objects.values_list("identity_id", flat=True).get(pk=self.conversation_id)
        identity = lock_reach(Identity(pk=identity_id))
        conversation = Conversation.objects.select_for_update(no_key=True).get(pk=self.conversation_id)
        conversation.identity = identity
        return conversation

    def _oldest(self) -> Message | None:
        return (
            Message.objects.filter(conversation_id=self.conversation_id, status=Message.Status.QUEUED)
            .select_related("line__account", "connection")
            .order_by("position")
            .first()
        )

    def _was_held_too_long(self, message: Message) -> bool:
        """An answer that late is as good as none; a text that may be out already waits for its line all the same."""
        patience = pacing.limits_of(message.line).hold_seconds
        if not patience or timezone.now() - message.updated_at < timedelta(seconds=patience):
            return False
        return not Dispatch.objects.open().filter(order_id=message.id).exists()

    def _opener_waits(self, message: Message) -> bool:
        """Whether the text that says who writes from a new number is still on its way; its end wakes the queue."""
        if message.connection is None or message.connection.moved_at is None:
            return False
        return RouterMessage.objects.owed().filter(line_id=message.line_id, human=message.human).exists()

    def _waits(self, conversation: Conversation, message: Message) -> bool:
        """Whether the queue was told to wait, for this text: the one before it may have been settled meanwhile."""
        told = conversation.next_attempt_at is not None and conversation.next_attempt_at > timezone.now()
        return told and Dispatch.objects.filter(order_id=message.id).exists()

    def _refusal(self, conversation: Conversation, message: Message) -> str | None:
        """Why a message that was accepted may not leave any more; a text that may be out already is never declined."""
        if Dispatch.objects.open().filter(order_id=message.id).exists():
            return None
        if not conversation.identity.is_reachable:
            return "identity_not_enabled"
        if message.connection is not None and not message.connection.is_active:
            return "connection_released"
        if message.is_group and owner_of(message.line) != conversation.identity:
            return "connection_released"
        for human in groups.members_of(conversation):
            given = verdict(conversation.identity, human, direction=Decision.Direction.OUTBOUND)
            if given.allowed:
                continue
            note_decision(
                conversation.identity,
                human,
                given,
                direction=Decision.Direction.OUTBOUND,
                subject=Decision.Subject.MESSAGE,
                message_id=message.id,
            )
            return "recipient_blocked"
        return None

    def _head(self, conversation: Conversation, message: Message) -> Head:
        text = message.text or ""
        media = tuple(part.link for part in message.parts.all() if part.kind == Part.Kind.MEDIA)
        service = fallback.asked_service(message)
        if service == "sms":
            text, media = fallback.sms_content(message)
        is_first = self._is_first_contact(message)
        group = None
        if conversation.is_group:
            group = Group(conversation.chat, tuple(groups.members_of(conversation)), conversation.group_name)
        return Head(
            kind=Dispatch.Kind.MESSAGE,
            id=message.id,
            line=message.line,
            human=message.human,
            text=text,
            since=message.updated_at,
            media=media,
            effect="" if service == "sms" else message.send_style,
            identity_id=message.identity_id,
            chat=conversation.chat or chat_of(message.line, message.human),
            first_contact=is_first,
            service=service,
            looks_up=group is None and fallback.looks_up_first(message, is_first=is_first, now=timezone.now()),
            reply_to=None if service == "sms" else _reply_target(message),
            group=group,
            conversation_id=conversation.id,
            is_fast=message.is_fast,
        )

    def unanswered(self, head: Head) -> int:
        said = Message.objects.filter(conversation_id=self.conversation_id).exclude(pk=head.id)
        heard = said.filter(direction=Direction.INBOUND).order_by("-position").values_list("position", flat=True)
        since = said.filter(direction=Direction.OUTBOUND, position__gt=heard.first() or 0, line=head.line)
        return since.exclude(status__in=_NOT_ON_ITS_WAY).count()

    def note_hold(self, head: Head, hold: Hold) -> None:
        receipts.note_hold(_DRAIN, Message.objects.get(pk=head.id), reason=hold.reason, until=hold.until)

    def _is_first_contact(self, message: Message) -> bool:
        """Whether nobody wrote on this line in this thread lately; providers call a human new again after a while."""
        lately = Message.objects.filter(
            conversation_id=self.conversation_id, line=message.line, created_at__gt=timezone.now() - RESERVED_FOR
        )
        if lately.exclude(pk=message.pk).exclude(status__in=_NOT_ON_ITS_WAY).exists():
            return False
        # After a move the opener was the first contact.
        return not Route.objects.filter(line=message.line, human=message.human).exclude(opened_at=None).exists()


def _reply_target(message: Message) -> ReplyTarget | None:
    """What the message answers on the phone; None when that is not there, or lies in another thread."""
    parent = message.reply_to
    if parent is None or not parent.provider_handle or parent.line_id != message.line_id:
        return None
    over_imessage = parent.service == Service.IMESSAGE
    return ReplyTarget(parent.provider_handle, message.reply_to_part) if over_imessage else None


class RouterQueue:
    """What the router (or a line without a route) owes one human, oldest first."""

    def __init__(self, line_id: UUID, human: str) -> None:
        self.line_id = line_id
        self.human = human

    def lock(self) -> None:
        lock_router_queue(self.line_id, self.human)

    def head(self) -> Head | None:
        self.lock()
        answer = (
            RouterMessage.objects.owed()
            .filter(line_id=self.line_id, human=self.human)
            .select_related("line__account")
            .order_by("created_at", "id")
            .first()
        )
        if answer is None or answer.line.holds_queue:
            return None
        return Head(
            kind=Dispatch.Kind.ROUTER,
            id=answer.id,
            line=answer.line,
            human=answer.human,
            text=answer.text,
            since=answer.created_at,
            chat=chat_of(answer.line, answer.human),
            first_contact=answer.line.kind == Line.Kind.POOL and is_opener(answer.id),
            service=fallback.service_of(answer.line, may_fall_back=True),
        )

    def unanswered(self, head: Head) -> int:
        """None: the router only ever answers."""
        return 0

    def note_hold(self, head: Head, hold: Hold) -> None:
        """Nobody looks for it."""

    def conclude(self, head: Head, receipt: SendReceipt, *, reason: str = "") -> None:
        accepted = receipt.outcome is Outcome.ACCEPTED
        RouterMessage.objects.filter(pk=head.id, status="queued").update(
            status="sent" if accepted else "error",
            provider_handle=receipt.handle,
            error_reason=reason or (receipt.error.error_class if receipt.error else ""),
            updated_at=timezone.now(),
        )
        # Texts of an agent wait for the opener of a connection that was moved here.
        moved = Conversation.objects.filter(human=self.human, connection__line_id=self.line_id)
        for conversation_id in moved.exclude(connection__moved_at=None).values_list("id", flat=True):
            wake_queue(conversation_id)

    def come_back(self, at: datetime) -> None:
        with transaction.atomic():
            wake_router(self.line_id, self.human, at=at)
