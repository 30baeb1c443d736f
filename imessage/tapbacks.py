"""Tapbacks, both ways: one live one per sender and message part; every change of one is kept."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from contactrules.models import Decision
from contactrules.rules import note_decision, verdict
from core.actor import Actor
from core.errors import Forbidden, Invalid
from events.record import record
from imessage.errors import NoSuchPart, NotReactable, TapbackUnsupported
from imessage.models import Conversation, Direction, Message, Service, Tapback, TapbackChange, TapbackKind
from imessage.receipts import require_reachable
from imessage.shapes import tapback_shape
from imessage.telling import tell
from lines.cards import card_of
from lines.direct import direct_call
from lines.threads import chat_of

# What agents may send under its name (contract/inkbox.md 11.1).
SENDABLE = [kind.value for kind in TapbackKind if kind != TapbackKind.CUSTOM]


@dataclass(frozen=True, slots=True)
class _Mark:
    """A tapback as it stands on a part; `human` is as on the row: the one it is with, in a group whose it is."""

    human: str
    kind: str
    emoji: str
    part_index: int


def send_tapback(actor: Actor, message: Message, *, kind: str, emoji: str = "", part_index: int = 0) -> Tapback:
    """Put the agent's tapback on a message part; it replaces the agent's earlier one there.

    `emoji` goes with the kind `custom` alone, where the line can. The same one again changes nothing. Raises `Invalid`,
    `NoSuchPart`, `NotReactable`, `TapbackUnsupported`, `NotEnabled`, `ConnectionReleased`, `RecipientBlocked`,
    `Upstream` (nothing recorded).
    """
    if kind not in SENDABLE and not (kind == TapbackKind.CUSTOM and emoji):
        raise Invalid(f"'reaction' must be one of {', '.join(SENDABLE)}.")
    conversation = _reachable(message)
    _check_supported(message, kind)
    if not 0 <= part_index < max(1, message.parts.count()):
        raise NoSuchPart(f"The message has no part {part_index}.")
    if not message.provider_handle:
        raise NotReactable("This message has not left yet; a tapback needs a message that is on the phone.")
    ours = _whose(message)
    current = _live(message, part_index, Direction.OUTBOUND, ours)
    if current and (current.kind, current.emoji) == (kind, emoji):
        return current
    _call(message, conversation, part_index=part_index, kind=kind, emoji=emoji, remove=False)
    with transaction.atomic():
        Message.objects.select_for_update(no_key=True).get(pk=message.pk)
        action = _action_of(_live(message, part_index, Direction.OUTBOUND, ours), removed=False)
        mark = _Mark(ours, kind, emoji, part_index)
        # Kept before it is told: whoever hears of the event finds it in the history.
        change = _change(message, None, action, Direction.OUTBOUND, mark)
        tapback = _put(actor, message, conversation, Direction.OUTBOUND, mark)
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
    conversation = _reachable(message)
    _call(
        message,
        conversation,
        part_index=tapback.part_index,
        kind=tapback.kind,
        emoji=tapback.emoji,
        remove=True,
    )
    with transaction.atomic():
        Message.objects.select_for_update(no_key=True).get(pk=message.pk)
        current = Tapback.objects.live().filter(pk=tapback.pk).first()
        if current:
            mark = _Mark(current.human, current.kind, current.emoji, current.part_index)
            _change(message, current, TapbackChange.Action.REMOVE, Direction.OUTBOUND, mark)
            _end(actor, message, current, current.part_index)


def take_back_own(actor: Actor, message: Message, *, part_index: int = 0, kind: str | None = None) -> Tapback | None:
    """Remove the agent's tapback from a message part; the one that was there. None, without any call, when there is
    none, or another one than `kind` (a name, or an emoji). Raises as `take_back_tapback` does."""
    current = _live(message, part_index, Direction.OUTBOUND, _whose(message))
    if current is None or kind not in {None, current.kind, current.emoji or current.kind}:
        return None
    take_back_tapback(actor, current)
    current.refresh_from_db()
    return current


def newest_with_text(conversation: Conversation, text: str) -> Message | None:
    """The newest message of the conversation that says exactly this and that the agent may see; a tapback's target
    where a client names it by its text."""
    said = Message.objects.filter(conversation=conversation, is_blocked=False, text=text)
    return said.exclude(provider_handle="").select_related("line__account").order_by("-position").first()


def receive_tapback(
    actor: Actor,
    message: Message,
    *,
    kind: str,
    emoji: str,
    part_index: int,
    removed: bool,
    human: str = "",
    at: datetime | None = None,
) -> None:
    """Apply a human's tapback or its removal, inside the caller's transaction, which holds the identity's lock.

    `human` is whose it is; needed in groups alone.

    Reports may come in any order and more than once: each is kept as a change under the provider's time `at`, and
    the newest add stands unless the same tapback was removed after it. A blocked human's, or one on a blocked
    message, is kept as a change and nothing else: no API shows it (architecture.md, section 5).
    """
    conversation = Conversation.objects.select_related("identity", "connection").get(pk=message.conversation_id)
    # The message's lock makes parallel tapbacks queue up; the last one stays.
    Message.objects.select_for_update(no_key=True).get(pk=message.pk)
    human = human if message.is_group else message.human
    given = verdict(conversation.identity, human)
    note_decision(
        conversation.identity,
        human,
        given,
        direction=Decision.Direction.INBOUND,
        subject=Decision.Subject.TAPBACK,
        message_id=message.id,
    )
    part_index = part_index if 0 <= part_index < max(1, message.parts.count()) else 0
    mark, at = _Mark(human, kind, emoji[:64], part_index), at or timezone.now()
    if not given.allowed or message.is_blocked:
        _keep_blocked(actor, message, conversation, mark, removed=removed)
        return
    current = _live(message, part_index, Direction.INBOUND, human)
    action = _action_of(current, removed=removed)
    change = _change(message, None, action, Direction.INBOUND, mark, at=at)
    standing = _standing(message, part_index, human)
    if _same(current, standing):
        return
    if standing is None:
        _end(actor, message, current, part_index)
        return
    mark = _Mark(human, standing.kind, standing.emoji, part_index)
    tapback = _put(actor, message, conversation, Direction.INBOUND, mark)
    TapbackChange.objects.filter(pk=change.pk).update(tapback_id=tapback.id)


def _reachable(message: Message) -> Conversation:
    """The message's conversation, whose human or group the agent may act on now."""
    conversation = Conversation.objects.select_related("identity", "connection__line__account").get(
        pk=message.conversation_id
    )
    require_reachable(conversation, subject=Decision.Subject.TAPBACK)
    return conversation


def _check_supported(message: Message, kind: str) -> None:
    if message.service != Service.IMESSAGE:
        raise TapbackUnsupported("Only iMessage knows tapbacks; this message went over another service.")
    if kind == TapbackKind.CUSTOM and not card_of(message.line).tapback_emoji:
        raise TapbackUnsupported(f"This number takes {', '.join(SENDABLE)} alone, no other emoji.")


def _whose(message: Message) -> str:
    """The column `human` of the agent's own tapback: the one it is with; nobody in a group."""
    return "" if message.is_group else message.human


def _call(
    message: Message, conversation: Conversation, *, part_index: int, kind: str, emoji: str, remove: bool
) -> None:
    human = _whose(message)
    chat = conversation.chat if message.is_group else chat_of(message.line, human)
    with direct_call(message.line) as (driver, account):
        driver.tapback(
            account,
            line=message.line.address,
            human=human,
            chat=chat,
            handle=message.provider_handle,
            part=part_index,
            kind=kind,
            emoji=emoji,
            remove=remove,
        )


def _action_of(current: Tapback | None, *, removed: bool) -> str:
    if removed:
        return TapbackChange.Action.REMOVE
    return TapbackChange.Action.REPLACE if current else TapbackChange.Action.ADD


def _standing(message: Message, part_index: int, human: str) -> TapbackChange | None:
    """The human's tapback that the history of reports leaves standing; a removal counts only for its own kind."""
    told = TapbackChange.objects.filter(
        message=message, part_index=part_index, direction=Direction.INBOUND, is_blocked=False
    )
    if message.is_group:
        told = told.filter(human=human)
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


def _live(message: Message, part_index: int, direction: str, human: str) -> Tapback | None:
    own = Tapback.objects.live().filter(message=message, part_index=part_index, direction=direction)
    return own.filter(human=human).first()


def _put(actor: Actor, message: Message, conversation: Conversation, direction: str, mark: _Mark) -> Tapback:
    """A new live tapback in place of the sender's earlier one; the caller holds the message's lock."""
    now = timezone.now()
    replaced = (
        Tapback.objects.live()
        .filter(message=message, part_index=mark.part_index, direction=direction, human=mark.human)
        .update(ended_at=now, updated_at=now)
    )
    tapback = Tapback.objects.create(
        organization_id=message.organization_id,
        message=message,
        connection=conversation.connection,
        part_index=mark.part_index,
        direction=direction,
        kind=mark.kind,
        emoji=mark.emoji,
        human=mark.human,
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


def _keep_blocked(actor: Actor, message: Message, conversation: Conversation, mark: _Mark, *, removed: bool) -> None:
    action = TapbackChange.Action.REMOVE if removed else TapbackChange.Action.ADD
    _change(message, None, action, Direction.INBOUND, mark, is_blocked=True)
    record(
        actor,
        "tapback.blocked",
        organization_id=message.organization_id,
        identity_id=message.identity_id,
        conversation_id=conversation.id,
        subject_id=message.id,
        data={"action": action, "kind": mark.kind, "emoji": mark.emoji},
    )


def _change(
    message: Message,
    tapback: Tapback | None,
    action: str,
    direction: str,
    mark: _Mark,
    *,
    at: datetime | None = None,
    is_blocked: bool = False,
) -> TapbackChange:
    return TapbackChange.objects.create(
        organization_id=message.organization_id,
        conversation_id=message.conversation_id,
        message=message,
        tapback_id=tapback.id if tapback else None,
        part_index=mark.part_index,
        direction=direction,
        action=action,
        human=mark.human,
        kind=mark.kind,
        emoji=mark.emoji,
        is_blocked=is_blocked,
        at=at or timezone.now(),
    )
