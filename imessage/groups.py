"""Groups: who is in one, how it comes about, and what the provider calls it. They live on dedicated lines."""

from collections.abc import Collection, Sequence
from typing import Literal
from uuid import UUID

from django.db.models import Count, Q
from django.utils import timezone

from accounts.models import Identity
from core.actor import Actor
from core.errors import Invalid
from core.ids import uuid7
from core.phones import e164, pretty
from core.texts import cleaned
from imessage.errors import GroupsUnsupported
from imessage.models import UNNAMED, Conversation, Message, Participant
from imessage.telling import tell_of_thread
from lines.cards import card_of
from lines.models import Line, ProviderAccount
from lines.providers.base import Group

# How many humans a group that we open may have (contract/agentphone.md, section 7).
LEAST_MEMBERS, MOST_MEMBERS = 2, 32


def group_title(conversation: Conversation) -> str:
    """The group's name, or who is in it; reads the participants of one without a name."""
    if conversation.group_name:
        return conversation.group_name
    present = [one.name or pretty(one.human) for one in conversation.participants.all() if one.left_at is None]
    return ", ".join(present[:3]) + (f" and {len(present) - 3} more" if len(present) > 3 else "") or "Group"


def with_members(identity: Identity, humans: Collection[str], *, line: Line | None = None) -> list[Conversation]:
    """The identity's groups whose present members are exactly these, the latest first."""
    wanted = set(humans)
    present = Q(participants__left_at=None)
    groups = Conversation.objects.filter(identity=identity, is_group=True).annotate(
        present=Count("participants", filter=present),
        wanted=Count("participants", filter=present & Q(participants__human__in=wanted)),
    )
    if line:
        groups = groups.filter(owned_line=line)
    return list(groups.filter(present=len(wanted), wanted=len(wanted)).order_by("-last_at", "-id"))


def checked_members(line: Line, recipients: Sequence[str]) -> list[str]:
    """Whom a new group is to have, each once, in E.164. Raises `NotE164`, `Invalid`, `GroupsUnsupported`."""
    humans = list(dict.fromkeys(e164(number) for number in recipients))
    if not LEAST_MEMBERS <= len(humans) <= MOST_MEMBERS:
        raise Invalid(f"A group has {LEAST_MEMBERS} to {MOST_MEMBERS} recipients, each of them once.")
    if line.address in humans:
        raise Invalid("The sending number is in the group by itself; name the others.")
    if line.service != Line.Service.IMESSAGE or not card_of(line).groups:
        raise GroupsUnsupported(f"{line.address} cannot take part in groups.")
    return humans


def open_group(actor: Actor, identity: Identity, line: Line, humans: Sequence[str]) -> Conversation:
    """A new group on an owned line, in the caller's transaction; it comes about on the phones with its first text."""
    key = uuid7()
    conversation = _store(identity, line, key=f"{UNNAMED}{key}", name="", id=key)
    _take_in(conversation, humans)
    tell_of_thread(actor, "group.opened", conversation, joined=list(humans))
    return conversation


def note_key(conversation_id: UUID, key: str) -> None:
    """Keep what the provider calls a group that we opened, once it tells."""
    unnamed = Conversation.objects.filter(pk=conversation_id, is_group=True, thread_key__startswith=UNNAMED)
    unnamed.update(thread_key=key[:200], updated_at=timezone.now())


def group_of(line: Line, key: str) -> Conversation | None:
    """The newest group of this name on a line; None when nobody has heard of it."""
    groups = Conversation.objects.filter(owned_line=line, is_group=True, thread_key=key)
    return groups.select_related("identity").order_by("-created_at").first()


def line_of(account: ProviderAccount, key: str) -> Line | None:
    """The line whose group the provider calls so; None when it is nobody's or several lines'."""
    groups = Conversation.objects.filter(owned_line__account=account, is_group=True, thread_key=key) if key else []
    lines = {group.owned_line for group in groups}
    return lines.pop() if len(lines) == 1 else None


def hear_of(actor: Actor, identity: Identity, line: Line, group: Group, *, sender: str) -> Conversation:
    """The group that a text came in, as it is after it; made when nobody has heard of it. The identity is locked."""
    conversation = Conversation.objects.filter(identity=identity, owned_line=line, thread_key=group.key).first()
    conversation = conversation or _opened_by_us(identity, line, group)
    if conversation is None:
        conversation = _store(identity, line, key=group.key, name=cleaned(group.name))
        members = group.members or (sender,)
        _take_in(conversation, members)
        tell_of_thread(actor, "group.opened", conversation, joined=list(members))
        return conversation
    apply_roster(actor, conversation, group, besides=sender)
    return conversation


def apply_roster(actor: Actor, conversation: Conversation, group: Group, *, besides: str = "") -> None:
    """Bring name and members to what was told; what was not said stays. In the caller's transaction.

    `besides` is somebody who is there whatever the roster says: they have just written.
    """
    name = cleaned(group.name)[:200]
    present = set(conversation.participants.present().values_list("human", flat=True))
    told = set(group.members) | ({besides} if besides else set()) if group.members else present | {besides} - {""}
    joined, left = sorted(told - present), sorted(present - told)
    renamed = bool(name) and name != conversation.group_name
    if not (joined or left or renamed):
        return
    now = timezone.now()
    conversation.participants.present().filter(human__in=left).update(left_at=now)
    _take_in(conversation, joined)
    if renamed:
        conversation.group_name = name
        conversation.save(update_fields=["group_name"])
    tell_of_thread(actor, "group.changed", conversation, joined=joined, left=left, name=conversation.group_name)


def making_of(conversation: Conversation) -> Literal["ready", "creating", "not_created"]:
    """How far a group has come about on the phones: whether the provider has named it, or can no more."""
    if conversation.chat or not conversation.is_group:
        return "ready"
    tried = conversation.messages.exclude(status__in=[Message.Status.ERROR, Message.Status.DECLINED])
    return "creating" if tried.exists() else "not_created"


def members_of(conversation: Conversation) -> list[str]:
    """Whom a text into this thread reaches: the human, or a group's present members."""
    if not conversation.is_group:
        return [conversation.human]
    return list(conversation.participants.present().values_list("human", flat=True))


def _opened_by_us(identity: Identity, line: Line, group: Group) -> Conversation | None:
    """The group that we opened and whose name at the provider we did not know yet: the one with these members."""
    unnamed = [one for one in with_members(identity, group.members, line=line) if not one.chat] if group.members else []
    if len(unnamed) != 1:
        return None
    note_key(unnamed[0].id, group.key)
    unnamed[0].thread_key = group.key
    return unnamed[0]


def _store(identity: Identity, line: Line, *, key: str, name: str, id: UUID | None = None) -> Conversation:
    return Conversation.objects.create(
        id=id or uuid7(),
        organization_id=identity.organization_id,
        identity=identity,
        owned_line=line,
        is_group=True,
        thread_key=key[:200],
        group_name=name[:200],
    )


def _take_in(conversation: Conversation, humans: Collection[str]) -> None:
    Participant.objects.bulk_create(
        [
            Participant(organization_id=conversation.organization_id, conversation=conversation, human=human)
            for human in humans
        ]
    )
