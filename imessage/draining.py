"""The way out: one job empties one queue, in order, one text in flight, each text once.

A queue is a conversation's queued messages, or what the router owes one human. The rows are the order; the job
is only the nudge. Each round decides under a lock, calls the provider outside any transaction, and records.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
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
from imessage import receipts
from imessage.models import Conversation, Direction, Message, Part, RouterMessage
from lines import dispatching, health
from lines.dispatching import ClaimLost, Step
from lines.models import Dispatch, Line
from lines.providers.base import (
    ErrorClass,
    Outcome,
    ProviderCallFailed,
    ProviderError,
    SendOrder,
    SendReceipt,
)

logger = logging.getLogger(__name__)

_DRAIN = Actor.system("drain")

# States a provider may answer a send with; any other word means that it has the text, no more.
_TOLD_AT_ONCE = {Message.Status.SENT, Message.Status.DELIVERED, Message.Status.DECLINED, Message.Status.ERROR}

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


@dataclass(frozen=True, slots=True)
class Head:
    kind: Dispatch.Kind
    id: UUID
    line: Line
    human: str
    text: str
    media: tuple[str, ...] = ()
    effect: str = ""
    identity_id: UUID | None = None

    @property
    def order(self) -> SendOrder:
        return SendOrder(
            key=str(self.id),
            line=self.line.address,
            human=self.human,
            text=self.text,
            media=self.media,
            effect=self.effect,
        )


def wake_queue(conversation_id: UUID, *, at: datetime | None = None) -> None:
    """Have a conversation's queue looked at; a writer into it holds its lock, against a lost wake-up."""
    job = drain_job(conversation_id)
    wake(job.task, lock=job.lock, once=job.once, at=at, **job.args)


def drain_job(conversation_id: UUID) -> Job:
    """The job that looks at a conversation's queue."""
    queue = f"conversation:{conversation_id}"
    return Job("imessage.drain", {"conversation_id": str(conversation_id)}, lock=queue, once=queue)


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


def _claim(head: Head, step: dispatching.Next) -> Dispatch | None:
    if step.step is Step.CALL:
        return dispatching.claim(kind=head.kind, order_id=head.id, line=head.line, human=head.human, text=head.text)
    if step.step is Step.REPEAT and step.dispatch:
        return dispatching.take_over(step.dispatch)
    return None


def _ask(dispatch: Dispatch, head: Head, *, lost: bool) -> SendReceipt | Unclear | None:
    """The call itself; None for an honest "no" of a lookup."""
    try:
        return dispatching.find_out(dispatch, head.order) if lost else dispatching.call(dispatch, head.order)
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
        return still_ours  # a report settled it meanwhile; the next round reads what it says
    if receipt.outcome is Outcome.ACCEPTED:
        queue.conclude(head, receipt)
        return still_ours
    if receipt.outcome is Outcome.UNKNOWN:
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
        health.see(head.line, seen=Line.Seen.DOWN, reasons=[error.code])
        return False  # the line's return wakes its queues
    first = Dispatch.objects.filter(order_id=head.id).order_by("attempt").values_list("claimed_at", flat=True)[0]
    may_wait = error and error.error_class in {ErrorClass.RETRYABLE, ErrorClass.HELD}
    if error and may_wait and timezone.now() - first < _GIVE_UP_AFTER:
        wait = error.retry_after or _BACKOFF[min(dispatch.attempt - 1, len(_BACKOFF) - 1)]
        queue.come_back(timezone.now() + timedelta(seconds=wait))
        return False
    queue.conclude(head, receipt)
    return True


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
                return None
            if self._waits(conversation, message):
                # A new text woke the queue early: the wake-up that was planned must not be spent on it.
                wake_queue(self.conversation_id, at=conversation.next_attempt_at)
                return None
            refusal = self._refusal(conversation, message)
            if refusal is None:
                return self._head(message)
            receipts.advance(_DRAIN, message, Message.Status.DECLINED, reason=refusal)
        return None

    def conclude(self, head: Head, receipt: SendReceipt, *, reason: str = "") -> None:
        message = Message.objects.get(pk=head.id)
        if receipt.outcome is Outcome.ACCEPTED:
            Message.objects.filter(pk=message.pk).update(provider_handle=receipt.handle)
            message.provider_handle = receipt.handle
            # What a provider calls queued has left us: ours is at least accepted.
            state = receipt.state if receipt.state in _TOLD_AT_ONCE else Message.Status.ACCEPTED
            receipts.advance(_DRAIN, message, state, service=receipt.service)
            return
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
        if not message.connection.is_active:
            return "connection_released"
        given = verdict(conversation.identity, message.human, direction=Decision.Direction.OUTBOUND)
        if given.allowed:
            return None
        note_decision(
            conversation.identity,
            message.human,
            given,
            direction=Decision.Direction.OUTBOUND,
            subject=Decision.Subject.MESSAGE,
            message_id=message.id,
        )
        return "recipient_blocked"

    def _head(self, message: Message) -> Head:
        media = tuple(part.link for part in message.parts.all() if part.kind == Part.Kind.MEDIA)
        return Head(
            kind=Dispatch.Kind.MESSAGE,
            id=message.id,
            line=message.line,
            human=message.human,
            text=message.text or "",
            media=media,
            effect=message.send_style,
            identity_id=message.identity_id,
        )


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
            RouterMessage.objects.filter(
                line_id=self.line_id, human=self.human, direction=Direction.OUTBOUND, status="queued"
            )
            .select_related("line__account")
            .order_by("created_at", "id")
            .first()
        )
        if answer is None or answer.line.holds_queue:
            return None
        return Head(kind=Dispatch.Kind.ROUTER, id=answer.id, line=answer.line, human=answer.human, text=answer.text)

    def conclude(self, head: Head, receipt: SendReceipt, *, reason: str = "") -> None:
        accepted = receipt.outcome is Outcome.ACCEPTED
        RouterMessage.objects.filter(pk=head.id, status="queued").update(
            status="sent" if accepted else "error",
            provider_handle=receipt.handle,
            error_reason=reason or (receipt.error.error_class if receipt.error else ""),
            updated_at=timezone.now(),
        )

    def come_back(self, at: datetime) -> None:
        with transaction.atomic():
            wake_router(self.line_id, self.human, at=at)
