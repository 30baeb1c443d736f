"""Looking through what was blocked: who has seen it, and what today's rules would say of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import Case, Exists, OuterRef, Q, Value, When
from django.utils import timezone

from accounts.models import Identity
from contactrules.models import ContactRule
from core.actor import Actor, Role
from events.record import record, record_all
from imessage.errors import NotBlocked
from imessage.models import Conversation, Message
from imessage.sending import lock_conversation
from imessage.telling import tell_of_thread

# So many senders are named in a question.
FEW = 200


def mark_reviewed(actor: Actor, message: Message) -> bool:
    """Note that the actor has looked at a blocked message; False when somebody had before, whose mark stays.

    Raises `Forbidden` unless an admin, `NotBlocked`.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        marked = _mark(message, reviewed_at=timezone.now(), reviewed_by=actor.frozen())
        if marked:
            _tell(actor, "review.marked", message)
    return marked


def mark_all_reviewed(actor: Actor, messages: Sequence[Message]) -> set[UUID]:
    """As `mark_reviewed`, for many messages at once; the ids of those that nobody had looked at. Raises as above."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        locked = Message.objects.select_for_update(no_key=True).order_by("pk")
        found = list(locked.filter(pk__in=[message.pk for message in messages]))
        if any(not message.is_blocked and message.released_at is None for message in found):
            raise NotBlocked()
        unseen = [message for message in found if message.reviewed_at is None]
        ids = {message.pk for message in unseen}
        Message.objects.filter(pk__in=ids).update(reviewed_at=timezone.now(), reviewed_by=actor.frozen())
        record_all(actor, "review.marked", [_facts(message) for message in unseen])
    return ids


def unmark_reviewed(actor: Actor, message: Message) -> bool:
    """Put a message back among those that nobody has looked at; False when it is there. Raises as above."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        unmarked = _mark(message, reviewed_at=None, reviewed_by=None)
        if unmarked:
            _tell(actor, "review.unmarked", message)
    return unmarked


def mark_sender_reviewed(actor: Actor, conversation: Conversation) -> datetime | None:
    """Note that the actor has looked at all that is blocked in a conversation; the mark's time, None without any.

    One event for all of them. Raises `Forbidden` unless an admin.
    """
    actor.require(Role.ADMIN)
    now = timezone.now()
    with transaction.atomic():
        conversation = lock_conversation(conversation)
        unseen = Message.objects.to_review().filter(conversation=conversation)
        count = unseen.update(reviewed_at=now, reviewed_by=actor.frozen())
        if count:
            tell_of_thread(actor, "review.marked", conversation, count=count)
    return now if count else None


def unmark_sender_reviewed(actor: Actor, conversation: Conversation, *, marked_at: datetime) -> int:
    """Take back what `mark_sender_reviewed` marked at that time; how many of them are still blocked."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        conversation = lock_conversation(conversation)
        marked = Message.objects.blocked().filter(conversation=conversation, reviewed_at=marked_at)
        count = marked.update(reviewed_at=None, reviewed_by=None)
        if count:
            tell_of_thread(actor, "review.unmarked", conversation, count=count)
    return count


def blocked_today() -> Case:
    """Whether today's rules would block what a row's human writes; for rows of messages or conversations.

    The SQL of `contactrules.rules.verdict` for many rows at once; a test holds the two together.
    """
    is_blacklist = Q(identity__imessage_filter_mode=Identity.FilterMode.BLACKLIST)
    return Case(
        When(is_blacklist, then=_named(ContactRule.Action.BLOCK)),
        default=~_named(ContactRule.Action.ALLOW),
        output_field=models.BooleanField(),
    )


def judged_today(actor: Actor, *, blocked: bool) -> Q:
    """Messages, of those the actor may see, that are blocked and whose human today's rules would block, or let through.

    Few such senders are looked up first and named. Otherwise messages are read, the newest first, and each is looked
    up among the senders: whoever wants a page soon has it. Each way alone would read everything in the other's case.
    """
    threads = Conversation.objects.visible_to(actor).filter(blocked_total__gt=0)
    senders = threads.exclude(is_group=True)
    senders = senders.filter(blocked_today()) if blocked else senders.exclude(blocked_today())
    few = list(senders.values_list("pk", flat=True)[: FEW + 1])
    # In a group each message has a sender of its own.
    groups = list(threads.filter(is_group=True).values_list("pk", flat=True)[: FEW + 1])
    in_groups = Q(is_blocked=True, conversation__in=groups) & (Q(blocked_today()) if blocked else ~Q(blocked_today()))
    if len(few) <= FEW:
        return (
            Q(is_blocked=True, conversation__in=few) | in_groups if groups else Q(is_blocked=True, conversation__in=few)
        )
    # In a CASE they are judged once and kept; PostgreSQL would else judge the sender of every message.
    among = When(is_blocked=True, conversation__in=senders.values("pk"), then=Value(True))
    found = Q(Case(among, default=Value(False), output_field=models.BooleanField()))
    return found | in_groups if groups else found


def has_to_review() -> Exists:
    """Whether a conversation holds something that is blocked and that nobody has looked at."""
    return Exists(Message.objects.to_review().filter(conversation=OuterRef("pk")))


def _named(action: str) -> Exists:
    """Whether an active rule with this action judges what the row's human sends."""
    rules = ContactRule.objects.active().covering(ContactRule.Direction.INBOUND)
    return Exists(rules.filter(identity_id=OuterRef("identity_id"), match_target=OuterRef("human"), action=action))


def _mark(message: Message, **mark: object) -> bool:
    current = Message.objects.select_for_update(no_key=True).get(pk=message.pk)
    if not current.is_blocked and current.released_at is None:
        raise NotBlocked()
    if (current.reviewed_at is None) == (mark["reviewed_at"] is None):
        return False
    Message.objects.filter(pk=message.pk).update(**mark)
    return True


def _tell(actor: Actor, type: str, message: Message) -> None:
    record(actor, type, **_facts(message))


def _facts(message: Message) -> dict[str, Any]:
    return {
        "organization_id": message.organization_id,
        "identity_id": message.identity_id,
        "conversation_id": message.conversation_id,
        "subject_id": message.id,
    }
