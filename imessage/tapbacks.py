"""Tapbacks, both ways: one live one per sender and message part; every change of one is kept."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from contactrules.models import Decision
from contactrules.rules import note_decision, verdict
from core.actor import Actor
from core.errors import Forbidden, Invalid
from events.record import record
from imessage.errors import NoSuchPart, NotReactable
from imessage.models import Conversation, Direction, Message, Tapback, TapbackChange, TapbackKind
from imessage.receipts import require_reachable
from imessage.shapes import tapback_shape
from imessage.telling import tell
from lines.direct import direct_call
from lines.threads import chat_of

# What agents may send under its name (contract/inkbox.md 11.1).
SENDABLE = [kind.value for kind in TapbackKind if kind != TapbackKind.CUSTOM]


def send_tapback(actor: Actor, message: Message, *, kind: str, emoji: str = "", part_index: int = 0) -> Tapback:
    """Put the agent's tapback on a message part; it replaces the agent's earlier one there.

    `emoji` goes with the kind `custom` alone. The same one again changes nothing. Raises `Invalid`, `NoSuchPart`,
    `NotReactable`, `NotEnabled`, `ConnectionReleased`, `RecipientBlocked`, `Upstream` (nothing recorded).
    """
    if kind not in SENDABLE and not (kind == TapbackKind.CUSTOM and emoji):
        raise Invalid(f"'reaction' must be one of {', '.join(SENDABLE)}.")
    conversation = _reachable(message)
    if not 0 <= part_index < max(1, message.parts.count()):
        raise NoSuchPart(f"The message has no part {part_index}.")
    if not message.provider_handle:
        raise NotReactable("This message has not left yet; a tapback needs a message that is on the phone.")
    current = _live(message, part_index, Direction.OUTBOUND)
    if current and (current.kind, current.emoji) == (kind, emoji):
        return current
    chat = chat_of(message.line, message.human)
    with direct_call(message.line) as (driver, account):
        driver.tapback(
            account,
            line=message.line.address,
            human=message.human,
            chat=chat,
            handle=message.provider_handle,
            part=part_index,
            kind=kind,
            emoji=emoji,
            remove=False,
        )
    with transaction.atomic():
        Message.objects.select_for_update(no_key=True).get(pk=message.pk)
        action = _action_of(_live(message, part_index, Direction.OUTBOUND), removed=False)
        # Kept before it is told: whoever hears of the event finds it in the history.
        change = _change(message, None, action, Direction.OUTBOUND, kind=kind, emoji=emoji, part_index=part_index)
        tapback = _put(actor, message, conversation, Direction.OUTBOUND, kind=kind, emoji=emoji, part_index=part_index)
        TapbackChange.objects.filter(pk=change.pk).update(tapback_id=tapback.id)
    return tapback


def take_back_tapback(actor: Actor, tapback: Tapback) -> None:
    """Remove the agent's own tapback from the phone; one that is gone already is left alone, without any call.

    Raises `Forbidden` for a human's, and as `send_tapback` does; when the provider fails it stays live.
    """
    if tapback.direction != Direction.OUTBOUND:
        raise Forbidden("Only its sender can take back a tapback.")
    if tapback.ended_at:
        return
    message = Message.objects.select_related("line__account").get(pk=tapback.message_id)
    _reachable(message)
    chat = chat_of(message.line, message.human)
    with direct_call(message.line) as (driver, account):
        driver.tapback(
            account,
            line=message.line.address,
            human=message.human,
            chat=chat,
            handle=message.provider_handle,
            part=tapback.part_index,
            kind=tapback.kind,
            emoji=tapback.emoji,
            remove=True,
        )
    with transaction.atomic():
        Message.objects.select_for_update(no_key=True).get(pk=message.pk)
        current = Tapback.objects.live().filter(pk=tapback.pk).first()
        if current:
            _change(
                message,
                current,
                TapbackChange.Action.REMOVE,
                Direction.OUTBOUND,
                kind=current.kind,
                emoji=current.emoji,
                part_index=current.part_index,
            )
            _end(actor, message, current, current.part_index)


def receive_tapback(
    actor: Actor,
    message: Message,
    *,
    kind: str,
    emoji: str,
    part_index: int,
    removed: bool,
    at: datetime | None = None,
) -> None:
    """Apply a human's tapback or its removal, inside the caller's transaction, which holds the identity's lock.

    Reports may come in any order and more than once: each is kept as a change under the provider's time `at`, and
    the newest add stands unless the same tapback was removed after it. A blocked human's, or one on a blocked
    message, is kept as a change and nothing else: no API shows it (architecture.md, section 5).
    """
    conversation = Conversation.objects.select_related("identity", "connection").get(pk=message.conversation_id)
    # The message's lock makes parallel tapbacks queue up; the last one stays.
    Message.objects.select_for_update(no_key=True).get(pk=message.pk)
    given = verdict(conversation.identity, message.human)
    note_decision(
        conversation.identity,
        message.human,
        given,
        direction=Decision.Direction.INBOUND,
        subject=Decision.Subject.TAPBACK,
        message_id=message.id,
    )
    part_index = part_index if 0 <= part_index < max(1, message.parts.count()) else 0
    emoji, at = emoji[:64], at or timezone.now()
    if not given.allowed or message.is_blocked:
        _keep_blocked(actor, message, conversation, kind=kind, emoji=emoji, part_index=part_index, removed=removed)
        return
    current = _live(message, part_index, Direction.INBOUND)
    action = _action_of(current, removed=removed)
    change = _change(message, None, action, Direction.INBOUND, kind=kind, emoji=emoji, part_index=part_index, at=at)
    standing = _standing(message, part_index)
    if _same(current, standing):
        return
    if standing is None:
        _end(actor, message, current, part_index)
        return
    tapback = _put(
        actor,
        message,
        conversation,
        Direction.INBOUND,
        kind=standing.kind,
        emoji=standing.emoji,
        part_index=part_index,
    )
    TapbackChange.objects.filter(pk=change.pk).update(tapback_id=tapback.id)


def _reachable(message: Message) -> Conversation:
    """The message's conversation, whose human the agent may act on now."""
    conversation = Conversation.objects.select_related("identity", "connection__line__account").get(
        pk=message.conversation_id
    )
    require_reachable(conversation, subject=Decision.Subject.TAPBACK)
    return conversation


def _action_of(current: Tapback | None, *, removed: bool) -> str:
    if removed:
        return TapbackChange.Action.REMOVE
    return TapbackChange.Action.REPLACE if current else TapbackChange.Action.ADD


def _standing(message: Message, part_index: int) -> TapbackChange | None:
    """The human's tapback that the history of reports leaves standing; a removal counts only for its own kind."""
    told = TapbackChange.objects.filter(
        message=message, part_index=part_index, direction=Direction.INBOUND, is_blocked=False
    )
    newest = told.exclude(action=TapbackChange.Action.REMOVE).order_by("-at", "-id").first()
    if newest is None:
        return None
    taken_back = told.filter(
        action=TapbackChange.Action.REMOVE, kind=newest.kind, emoji=newest.emoji, at__gte=newest.at
    )
    return None if taken_back.exists() else newest


def _same(current: Tapback | None, standing: TapbackChange | None) -> bool:
    if current is None or standing is None:
        return current is None and standing is None
    return (current.kind, current.emoji) == (standing.kind, standing.emoji)


def _end(actor: Actor, message: Message, current: Tapback | None, part_index: int) -> None:
    if current:
        current.ended_at = current.updated_at = timezone.now()
        current.save(update_fields=["ended_at", "updated_at"])
        tell(actor, "tapback.removed", message, tapback=tapback_shape(current, message))


def _live(message: Message, part_index: int, direction: str) -> Tapback | None:
    return Tapback.objects.live().filter(message=message, part_index=part_index, direction=direction).first()


def _put(
    actor: Actor,
    message: Message,
    conversation: Conversation,
    direction: str,
    *,
    kind: str,
    emoji: str,
    part_index: int,
) -> Tapback:
    """A new live tapback in place of the sender's earlier one; the caller holds the message's lock."""
    now = timezone.now()
    replaced = (
        Tapback.objects.live()
        .filter(message=message, part_index=part_index, direction=direction)
        .update(ended_at=now, updated_at=now)
    )
    tapback = Tapback.objects.create(
        organization_id=message.organization_id,
        message=message,
        connection=conversation.connection,
        part_index=part_index,
        direction=direction,
        kind=kind,
        emoji=emoji,
        human=message.human,
        created_at=now,
        updated_at=now,
    )
    tell(
        actor,
        "tapback.replaced" if replaced else "tapback.added",
        message,
        tapback=tapback_shape(tapback, message),
    )
    return tapback


def _keep_blocked(
    actor: Actor,
    message: Message,
    conversation: Conversation,
    *,
    kind: str,
    emoji: str,
    part_index: int,
    removed: bool,
) -> None:
    action = TapbackChange.Action.REMOVE if removed else TapbackChange.Action.ADD
    _change(message, None, action, Direction.INBOUND, kind=kind, emoji=emoji, part_index=part_index, is_blocked=True)
    record(
        actor,
        "tapback.blocked",
        organization_id=message.organization_id,
        identity_id=message.identity_id,
        conversation_id=conversation.id,
        subject_id=message.id,
        data={"action": action, "kind": kind, "emoji": emoji},
    )


def _change(
    message: Message,
    tapback: Tapback | None,
    action: str,
    direction: str,
    *,
    kind: str,
    emoji: str,
    part_index: int,
    at: datetime | None = None,
    is_blocked: bool = False,
) -> TapbackChange:
    return TapbackChange.objects.create(
        organization_id=message.organization_id,
        conversation_id=message.conversation_id,
        message=message,
        tapback_id=tapback.id if tapback else None,
        part_index=part_index,
        direction=direction,
        action=action,
        kind=kind,
        emoji=emoji,
        is_blocked=is_blocked,
        at=at or timezone.now(),
    )
