"""Letting blocked texts through to the agent after all: held for a moment, then shown and told in their order.

The stored verdict, the decision and the event of the block stay as they are; the human is told nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Prefetch, Q
from django.utils import timezone

from contactrules.admitting import let_through
from contactrules.rules import lock_reach
from core.actor import Actor, Role
from core.errors import DomainError
from core.phones import e164
from core.wake import wake
from events.record import record
from imessage import waiting
from imessage.errors import NotBlocked, NotEnabled, ReleaseSettled, ReleaseUnderWay
from imessage.models import Conversation, Message, MessageQuerySet, Release, Tapback
from imessage.sending import lock_conversation
from imessage.shapes import iso
from imessage.telling import tell

# So long a release can be undone without anybody having noticed it.
HOLD = timedelta(seconds=10)

# So many become visible in one transaction, which holds the identity's lock.
BATCH = 200

_OVERDUE = timedelta(seconds=5)


def release(
    actor: Actor,
    message: Message,
    *,
    all_of_sender: bool = False,
    allow: bool = True,
    reason: str = "",
    hold: timedelta = HOLD,
) -> Release:
    """Have a blocked message, or all blocked ones of its sender in the thread, reach the agent once the hold is over.

    With `allow` the number may reach the agent from then on, so that it can be answered; all of the sender are then
    those blocked until that moment, without it those blocked until now. Work that was held as a whole passes a
    `hold` of nothing. Asking again for the same gives the release that is open.

    Raises `Forbidden` unless an admin, `NotBlocked`, `NotEnabled` (nobody would be told), `NotE164` for a sender that
    no rule can name, `ReleaseUnderWay`.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        conversation = lock_conversation(message.conversation)
        if not conversation.identity.is_reachable:
            raise NotEnabled("The identity is switched off: its program would not be told. Switch it on first.")
        if allow:
            e164(message.human)
        blocked = Message.objects.blocked().filter(conversation=conversation, human=message.human)
        if not (blocked if all_of_sender else blocked.filter(pk=message.pk)).exists():
            raise NotBlocked()
        covering = _covering(message, all_of_sender=all_of_sender)
        if covering is None:
            until = timezone.now() + hold
            return _hold(actor, conversation, message, whole=all_of_sender, allow=allow, reason=reason, until=until)
        if covering.allow != allow or covering.human != message.human:
            raise ReleaseUnderWay()
        return covering


def undo_release(actor: Actor, held: Release) -> Release:
    """Take back a release during its hold: nothing is shown, told or changed. Repeating it changes nothing.

    Raises `Forbidden` unless an admin, `ReleaseSettled` when it has gone out or was refused.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        lock_conversation(held.conversation)
        undone = Release.objects.filter(pk=held.pk, state=Release.State.HELD).update(
            state=Release.State.UNDONE, settled_at=timezone.now(), settled_by=actor.frozen()
        )
        held.refresh_from_db()
        if undone:
            _tell(actor, "release.undone", held)
        elif held.state != Release.State.UNDONE:
            raise ReleaseSettled()
    return held


def settle(conversation_id: UUID) -> int:
    """Let through what a conversation's open releases name, once the hold of the latest is over; how many messages.

    They leave together, by position. All in one transaction: visible, counted, told, and the number allowed with the
    last of them. Of many only a batch: the rest follows by the next job. Repeating it changes nothing.
    """
    conversation = Conversation.objects.select_related("identity").filter(pk=conversation_id).first()
    if conversation is None:
        return 0
    with transaction.atomic():
        conversation.identity = lock_reach(conversation.identity)
        identity, conversation = conversation.identity, lock_conversation(conversation)
        conversation.identity = identity
        ready = _ready(conversation)
        if not ready:
            return 0
        if not identity.is_reachable:
            _refuse(ready, "The identity was switched off meanwhile, so its program would not have been told.")
            return 0
        return _let_go(conversation, ready)


def wake_overdue() -> None:
    """Nudge releases whose job was lost; the net under every lost wake-up, inside the caller's transaction."""
    overdue = Release.objects.open().filter(due_at__lt=timezone.now() - _OVERDUE)
    for conversation_id in overdue.order_by("conversation_id").values_list("conversation_id", flat=True).distinct():
        _wake(conversation_id)


def _covering(message: Message, *, all_of_sender: bool) -> Release | None:
    """The open release that will let through what is asked for; for all of a sender the one of all that there is."""
    whole = Release.objects.open().filter(conversation_id=message.conversation_id, message=None)
    if all_of_sender:
        return whole.first()
    return (
        whole.filter(human=message.human).filter(Q(allow=True) | Q(up_to__gte=message.position)).first()
        or Release.objects.open().filter(message=message).first()
    )


def _hold(
    actor: Actor,
    conversation: Conversation,
    message: Message,
    *,
    whole: bool,
    allow: bool,
    reason: str,
    until: datetime,
) -> Release:
    held = Release.objects.create(
        organization_id=conversation.organization_id,
        identity_id=conversation.identity_id,
        conversation=conversation,
        message=None if whole else message,
        human=message.human,
        allow=allow,
        up_to=conversation.next_position - 1,
        reason=reason[:500],
        requested_by=actor.frozen(),
        due_at=until,
    )
    _tell(actor, "release.requested", held)
    _wake(conversation.id, held)
    return held


def _ready(conversation: Conversation) -> list[Release]:
    """The open releases whose time has come; none while one of them is still held, for they leave in order.

    One that is under way is not stopped by a newer one's hold.
    """
    opened = list(Release.objects.open().filter(conversation=conversation).order_by("created_at", "id"))
    now = timezone.now()
    ready = [one for one in opened if not one.is_held or one.due_at <= now]
    held = [one for one in opened if one not in ready]
    if held:
        _wake(conversation.id, max(held, key=lambda one: one.due_at))
    return ready if not held or any(not one.is_held for one in ready) else []


def _let_go(conversation: Conversation, ready: Sequence[Release]) -> int:
    found = list(_named_by(conversation, ready)[: BATCH + 1])
    batch, is_last = found[:BATCH], len(found) <= BATCH
    if is_last:
        ready = [one for one in ready if _admitted(conversation, one)]
        batch = [message for message in batch if any(_names(one, message) for one in ready)]
    shown = _show(conversation, batch, ready)
    for one in ready:
        one.count += shown.get(one.id, 0)
        one.state = Release.State.DONE if is_last else Release.State.GOING
        one.settled_at = timezone.now() if is_last else None
        one.save(update_fields=["count", "state", "settled_at"])
        if is_last:
            _tell(_requester(one), "release.done", one)
    if not is_last:
        _wake(conversation.id)
    return len(batch)


def _named_by(conversation: Conversation, releases: Sequence[Release]) -> MessageQuerySet:
    """What they let through, in the conversation's order, locked."""
    named = Q(pk__in=[one.message_id for one in releases if one.message_id])
    for one in releases:
        if one.message_id is None:
            named |= Q(human=one.human) & (Q() if one.allow else Q(position__lte=one.up_to))
    return (
        Message.objects.blocked()
        .filter(named, conversation=conversation)
        .select_for_update(no_key=True, of=("self",))
        .prefetch_related("parts", Prefetch("tapbacks", queryset=Tapback.objects.live()))
        .order_by("position")
    )


def _names(one: Release, message: Message) -> bool:
    if one.message_id is None:
        return message.human == one.human and (one.allow or message.position <= one.up_to)
    return one.message_id == message.pk


def _admitted(conversation: Conversation, one: Release) -> bool:
    """Change the rules as the release asks; False when they cannot be, which ends it."""
    if not one.allow:
        return True
    reason = one.reason or "Released from the blocked messages."
    try:
        with transaction.atomic():
            let_through(_requester(one), conversation.identity, one.human, reason=reason)
    except DomainError as refused:
        _refuse([one], refused.message)
        return False
    return True


def _show(conversation: Conversation, batch: Sequence[Message], releases: Sequence[Release]) -> dict[UUID, int]:
    """Make the messages visible, count them there and tell of each; how many under each release."""
    now = timezone.now()
    shown: dict[UUID, int] = {}
    for message in batch:
        # Its own release before that of all, which would take it too.
        one = min((one for one in releases if _names(one, message)), key=lambda one: one.message_id is None)
        message.is_blocked, message.released_at, message.release, message.updated_at = False, now, one, now
        if message.reviewed_at is None:
            message.reviewed_at, message.reviewed_by = now, one.requested_by
        shown[one.id] = shown.get(one.id, 0) + 1
    Message.objects.bulk_update(
        batch, ["is_blocked", "released_at", "release", "reviewed_at", "reviewed_by", "updated_at"]
    )
    _count(conversation, batch)
    waiting.recount(conversation.id)
    for message in batch:
        _tell_agent(message)
    return shown


def _count(conversation: Conversation, batch: Sequence[Message]) -> None:
    """Move what was let through from the blocked side of the counters to the visible one."""
    if not batch:
        return
    unread = sum(not message.is_read for message in batch)
    conversation.blocked_total -= len(batch)
    conversation.blocked_unread -= unread
    conversation.visible_total += len(batch)
    conversation.visible_unread += unread
    left = Message.objects.blocked().filter(conversation=conversation).order_by("position").last()
    conversation.blocked_last, conversation.blocked_last_at = left, left.created_at if left else None
    newest = conversation.visible_last
    if newest is None or newest.position < batch[-1].position:
        conversation.visible_last, conversation.visible_last_at = batch[-1], batch[-1].created_at
    conversation.updated_at = timezone.now()
    sides = [f"{side}_{name}" for side in ("visible", "blocked") for name in ("total", "unread", "last", "last_at")]
    conversation.save(update_fields=[*sides, "updated_at"])


def _tell_agent(message: Message) -> None:
    """The event that the text would have been, marked with when it came and when it was let through."""
    assert message.release is not None  # noqa: S101 - set just before
    tell(
        _requester(message.release),
        "message.received",
        message,
        identity_reachable=True,
        released={"received_at": iso(message.created_at), "released_at": iso(message.released_at)},
    )


def _refuse(releases: Sequence[Release], why: str) -> None:
    for one in releases:
        one.state, one.refusal, one.settled_at = Release.State.REFUSED, why[:300], timezone.now()
        one.save(update_fields=["state", "refusal", "settled_at"])
        _tell(Actor.system("releases"), "release.refused", one)


def _requester(one: Release) -> Actor:
    """Who asked for it, with the right that asking took."""
    return Actor(role=Role.ADMIN, organization_id=one.organization_id, **one.requested_by)


def _wake(conversation_id: UUID, held: Release | None = None) -> None:
    key = f"release:{conversation_id}"
    at = held.due_at if held and held.due_at > timezone.now() else None
    wake("imessage.release", lock=key, once=key, at=at, conversation_id=str(conversation_id))


def _tell(actor: Actor, type: str, one: Release) -> None:
    record(
        actor,
        type,
        organization_id=one.organization_id,
        identity_id=one.identity_id,
        conversation_id=one.conversation_id,
        subject_id=one.message_id or one.conversation_id,
        data={
            "release_id": str(one.id),
            "of": "message" if one.message_id else "sender",
            "allow": one.allow,
            "count": one.count,
            "reason": one.reason,
            "refusal": one.refusal,
        },
    )
