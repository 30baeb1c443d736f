"""What became of a message: delivery states that only rise, and who has read what; and the typing bubble."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import Identity
from contactrules.models import Decision
from contactrules.rules import Verdict, note_decision, verdict
from core.actor import Actor
from events.feed import publish_signal
from events.record import record
from imessage.errors import ConnectionReleased, NotEnabled, RecipientBlocked
from imessage.groups import members_of
from imessage.models import Conversation, DeliveryStep, Direction, Message, Service
from imessage.telling import tell
from lines.direct import direct_call
from lines.models import Line
from lines.pool import owner_of
from lines.providers.base import ProviderError
from lines.threads import chat_of

# Shorter waits are everyday pace, not news.
_WORTH_TELLING = timedelta(seconds=30)

_HOLDS = {
    "pace_human": "Enough texts went to this human for now.",
    "pace_line": "The line has sent enough for now.",
    "pace_account": "The provider account has sent enough for now.",
    "provider_pace": "The provider asked to wait.",
    "new_contacts": "The line has written to enough new humans for now.",
    "ramp": "The line writes to no new humans on the first day after trouble.",
    "awaiting_reply": "Enough texts went out unanswered; the human must write first.",
}

_LEFT_OUT = {
    "effect_dropped": "Sent without its effect: the line has none like it.",
    "reply_dropped": "Sent as an ordinary text: the line could not answer inline.",
}

_FAILED = {Message.Status.ERROR, Message.Status.DECLINED}


def advance(
    actor: Actor,
    message: Message,
    status: str,
    *,
    at: datetime | None = None,
    service: str = "",
    downgraded: bool | None = None,
    error: ProviderError | None = None,
    reason: str = "",
) -> Message:
    """Move an outbound message on, inside the caller's transaction, with its step and events.

    A report never lowers the rank and `delivered` beats an error (contract/lines.md 2.5). `sent` and
    `delivered` (or `delivery_failed`) are told once each; a message that jumps to delivered tells both.
    """
    rows = Message.objects.select_for_update(no_key=True, of=("self",)).select_related("line", "conversation")
    message = rows.get(pk=message.pk)
    above = Message.RANK[status] - Message.RANK[message.status]
    filled = above >= 0 and _fill(message, service=service, downgraded=downgraded)
    if above == 0 and filled:
        tell(actor, "message.changed", message)
    if above > 0:
        now = timezone.now()
        if status in {Message.Status.SENT, Message.Status.DELIVERED} and message.sent_at is None:
            _step(actor, message, Message.Status.SENT, at or now)
        if status == Message.Status.DELIVERED:
            _forget_failure(message)
            # Sent is told by our clock, delivered by the provider's: a text never arrives before it left.
            _step(actor, message, Message.Status.DELIVERED, max(at or now, message.sent_at or now))
        elif status in _FAILED:
            _fail(actor, message, status, error, reason, now)
        elif status == Message.Status.ACCEPTED:
            message.status = status
            _keep(message, "accepted", at or now)
            tell(actor, "message.accepted", message)
    return message


def apply_read_report(actor: Actor, message: Message, *, at: datetime | None) -> None:
    """The human has read our texts up to this one; a read text was delivered, whatever was said before.

    An earlier text that failed or still waits is not on the phone, so it was not read with the others.
    """
    moment = at or timezone.now()
    unread = list(
        Message.objects.select_for_update(no_key=True)
        .filter(
            conversation_id=message.conversation_id,
            direction=Direction.OUTBOUND,
            position__lte=message.position,
            peer_read_at=None,
        )
        .filter(Q(pk=message.pk) | ~Q(status__in=[*_FAILED, Message.Status.QUEUED]))
        .order_by("position")
    )
    for read in unread:
        arrived = advance(actor, read, Message.Status.DELIVERED, at=moment).delivered_at
        # As a text never arrives before it left, it is never read before it arrived.
        read_at = max(moment, arrived or moment)
        Message.objects.filter(pk=read.pk).update(peer_read_at=read_at, updated_at=timezone.now())
        DeliveryStep.objects.create(message=read, state="read", at=read_at)
    if unread:
        message.refresh_from_db()
        tell(actor, "message.peer_read", message)


def note_unknown(actor: Actor, message: Message) -> None:
    """The provider's answer was lost: a step of its own, inside the caller's transaction; the status stays."""
    DeliveryStep.objects.create(message=message, state="unknown", detail="The provider's answer was lost.")
    tell(actor, "message.unknown", message)


def note_hold(actor: Actor, message: Message, *, reason: str, until: datetime | None) -> None:
    """Why a text waits for more than a moment, and until when: a step of its own, once per reason and end.

    Inside the caller's transaction; the status stays.
    """
    now = timezone.now()
    if until and until - now < _WORTH_TELLING:
        return
    ends = f" Until {until:%Y-%m-%d %H:%M} UTC at the latest." if until else " Until the human writes."
    detail = _HOLDS.get(reason, "The line's pace holds the text.") + ends
    if not DeliveryStep.objects.filter(message=message, state="held", detail=detail).exists():
        DeliveryStep.objects.create(message=message, state="held", detail=detail)
        tell(actor, "message.held", message, reason=reason, until=until.isoformat() if until else None)


def note_left_out(message: Message, notes: Sequence[str]) -> None:
    """What the provider or the driver left out of a text on its way, each a step of its own."""
    for note in notes:
        DeliveryStep.objects.create(message=message, state="note", detail=_LEFT_OUT.get(note, note)[:500])


def mark_read(actor: Actor, conversation: Conversation) -> int:
    """Send a read receipt and mark the visible inbound messages read; the number of messages marked.

    Raises `NotEnabled`, `ConnectionReleased`, `RecipientBlocked`, `Upstream` (nothing marked). Blocked messages
    are never touched or counted (architecture.md, section 5).
    """
    conversation = _reachable(conversation)
    unread = Message.objects.filter(
        conversation=conversation, direction=Direction.INBOUND, is_read=False, is_blocked=False
    )
    newest = unread.order_by("-position").first()
    if newest is None:
        return 0
    # Where the human wrote it: after a move that may be the former line. SMS knows no receipts.
    on_imessage = unread.filter(service=Service.IMESSAGE).exclude(line__service=Line.Service.SMS)
    seen = on_imessage.select_related("line__account").order_by("-position").first()
    if seen:
        chat = conversation.chat or chat_of(seen.line, conversation.human)
        with direct_call(seen.line) as (driver, account):
            driver.mark_read(account, line=seen.line.address, human=conversation.human, chat=chat)
    return _mark(actor, conversation, up_to=newest.position)


def send_typing(actor: Actor, conversation: Conversation, *, on: bool = True) -> bool:
    """Show the typing bubble on the human's phone, or take it away; it ends by itself, too.

    False when the thread's service knows none: nothing was called. Raises as `mark_read` does.
    """
    conversation = _reachable(conversation)
    # A group begins with its first text; before that it is on no phone.
    if not speaks_imessage(conversation) or (conversation.is_group and not conversation.chat):
        return False
    line = conversation.line
    chat = conversation.chat or chat_of(line, conversation.human)
    with direct_call(line) as (driver, account):
        # Where it cannot be taken away it lapses in a moment.
        if on or driver.card.typing_end:
            driver.typing(account, line=line.address, human=conversation.human, on=on, chat=chat)
    signal_typing(conversation, on=on, by="agent")
    return True


def speaks_imessage(conversation: Conversation) -> bool:
    """Whether the thread is iMessage now: its line is, and the newest text that the agent sees went so."""
    if conversation.line.service == Line.Service.SMS:
        return False
    newest = Message.objects.filter(conversation=conversation, is_blocked=False).order_by("-position")
    return newest.values_list("service", flat=True).first() in {None, Service.IMESSAGE}


def signal_typing(conversation: Conversation, *, on: bool, by: str) -> None:
    """Tell open pages that the human or the agent is typing; never stored."""
    publish_signal(
        {
            "kind": "typing",
            "organization_id": str(conversation.organization_id),
            "identity_id": str(conversation.identity_id),
            "conversation_id": str(conversation.id),
            "on": on,
            "by": by,
        }
    )


def require_reachable(conversation: Conversation, *, subject: str) -> None:
    """Raise `NotEnabled`, `ConnectionReleased` or `RecipientBlocked` unless the agent may act on this human now."""
    with refusals_kept(conversation.identity, subject=subject):
        check_reachable(conversation)


def check_reachable(conversation: Conversation) -> Verdict:
    """The same for a caller in a transaction that the refusal undoes; it wraps that in `refusals_kept`.

    Returns the verdict that allows it.
    """
    if not conversation.identity.is_reachable:
        raise NotEnabled()
    if not conversation.is_open:
        raise ConnectionReleased()
    if not conversation.is_group:
        return check_recipient(conversation.identity, conversation.human)
    if conversation.identity != owner_of(conversation.line):
        raise ConnectionReleased("This number is not the agent's any more.")
    # One who may not be written to stops the whole group: it cannot be written to without them.
    return [check_recipient(conversation.identity, human) for human in members_of(conversation) or [""]][-1]


def check_recipient(identity: Identity, human: str) -> Verdict:
    """The verdict that allows writing to this human, else raises `RecipientBlocked`."""
    given = verdict(identity, human, direction=Decision.Direction.OUTBOUND)
    if not given.allowed:
        raise RecipientBlocked(
            "A contact rule blocks this recipient; nothing was sent.",
            matched_rule_id=given.rule_id,
            address=human,
            reason=given.reason,
        ).because(given)
    return given


@contextlib.contextmanager
def refusals_kept(identity: Identity, *, subject: str) -> Iterator[None]:
    """Keep a refusal by the rules as a decision; outside the transaction that the refusal undoes."""
    try:
        yield
    except RecipientBlocked as refused:
        if refused.given:
            note_decision(
                identity,
                refused.fields["address"],
                refused.given,
                direction=Decision.Direction.OUTBOUND,
                subject=subject,
            )
        raise


def _reachable(conversation: Conversation) -> Conversation:
    conversation = Conversation.objects.select_related("identity", "connection__line__account").get(pk=conversation.pk)
    require_reachable(conversation, subject=Decision.Subject.RECEIPT)
    return conversation


def _mark(actor: Actor, conversation: Conversation, *, up_to: int) -> int:
    now = timezone.now()
    with transaction.atomic():
        Conversation.objects.select_for_update(no_key=True).get(pk=conversation.pk)
        marked = Message.objects.filter(
            conversation=conversation,
            direction=Direction.INBOUND,
            is_read=False,
            is_blocked=False,
            position__lte=up_to,
        ).update(is_read=True, read_at=now, updated_at=now)
        if marked:
            Conversation.objects.filter(pk=conversation.pk).update(visible_unread=F("visible_unread") - marked)
            record(
                actor,
                "message.read",
                organization_id=conversation.organization_id,
                identity_id=conversation.identity_id,
                conversation_id=conversation.id,
                subject_id=conversation.id,
                data={"count": marked, "up_to": up_to},
            )
    return marked


def _fill(message: Message, *, service: str, downgraded: bool | None) -> bool:
    """Whether anything was new."""
    changed: dict[str, object] = {}
    if service and service != message.service and service in {"imessage", "sms", "rcs"}:
        changed["service"] = service
    if downgraded is not None and downgraded != message.was_downgraded:
        changed["was_downgraded"] = downgraded
    for name, value in changed.items():
        setattr(message, name, value)
    if changed:
        message.updated_at = timezone.now()
        message.save(update_fields=[*changed, "updated_at"])
    return bool(changed)


def _forget_failure(message: Message) -> None:
    """The failure was an error of whoever told it; the delivery steps keep it."""
    message.failed_at = None
    message.error_code = message.error_reason = message.error_message = message.error_detail = ""


def _step(actor: Actor, message: Message, status: str, at: datetime) -> None:
    message.status = status
    setattr(message, f"{status}_at", at)
    # After a fallback the second call leaves too; that the message left has been told.
    left_before = bool(message.was_downgraded) and message.delivery_steps.filter(state=status).exists()
    _keep(message, status, at)
    tell(actor, "message.changed" if left_before else f"message.{status}", message)


def _fail(actor: Actor, message: Message, status: str, error: ProviderError | None, reason: str, now: datetime) -> None:
    message.status = status
    message.failed_at = now
    message.error_reason = reason or (error.error_class if error else "")
    message.error_code = (error.code if error else reason)[:60]
    message.error_message = _SENTENCES.get(message.error_reason, "The message could not be delivered.")
    message.error_detail = (error.text if error else "").replace(message.line.address, "the line")[:500]
    _keep(message, status, now, detail=message.error_message)
    tell(actor, "message.delivery_failed", message)


_SENTENCES = {
    "recipient-unreachable": "The recipient cannot be reached over this service.",
    "permanent": "The provider refused the message.",
    "retryable": "The provider kept failing; the message was given up.",
    "line-down": "The line was down for too long.",
    "line_unavailable": "The line did not come back in time.",
    "pace_human": "The pace of the line would have held the message for too long.",
    "pace_line": "The pace of the line would have held the message for too long.",
    "pace_account": "The pace of the provider account would have held the message for too long.",
    "provider_pace": "The provider would have held the message for too long.",
    "new_contacts": "The line may not write to another new human in time.",
    "ramp": "The line may not write to new humans yet.",
    "awaiting_reply": "The human has not answered; they must write first.",
    "outcome_unknown": "The provider's answer was lost and nothing shows that the message left.",
    "recipient_blocked": "A contact rule blocked the recipient before the message left.",
    "connection_released": "The human disconnected before the message left.",
    "identity_not_enabled": "The identity was disabled before the message left.",
}


def _keep(message: Message, state: str, at: datetime, *, detail: str = "") -> None:
    message.updated_at = timezone.now()
    message.save(
        update_fields=[
            "status",
            "sent_at",
            "delivered_at",
            "failed_at",
            "error_reason",
            "error_code",
            "error_message",
            "error_detail",
            "updated_at",
        ]
    )
    DeliveryStep.objects.create(message=message, state=state, at=at, detail=detail)
