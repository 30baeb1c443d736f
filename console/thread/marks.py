"""What one person has seen of a thread, and which threads they keep an eye on: private, and nobody is told."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Exists, OuterRef, QuerySet, Subquery
from django.utils import timezone

from console.models import ThreadMark
from core.actor import Actor
from imessage.models import Conversation


def with_marks(threads: QuerySet[Conversation], actor: Actor) -> QuerySet[Conversation]:
    """Each thread with this person's `is_starred` and `seen_position`, which is None until they open it."""
    mine = ThreadMark.objects.visible_to(actor).filter(conversation=OuterRef("pk"))
    return threads.annotate(
        is_starred=Exists(mine.filter(is_starred=True), output_field=BooleanField()),
        seen_position=Subquery(mine.values("seen_position")[:1]),
    )


def seen_before(actor: Actor, thread: Conversation) -> ThreadMark:
    """The person's mark on a thread; an unsaved one if they never opened it."""
    kept = ThreadMark.objects.visible_to(actor).filter(conversation=thread).first()
    return kept or ThreadMark(conversation=thread)


def mark_seen(actor: Actor, thread: Conversation, options: Mapping[str, Any] | None = None) -> str:
    """Up to its end the thread has been seen by this person."""
    _keep(actor, thread, seen_position=thread.next_position - 1)
    return "Seen"


def star(actor: Actor, thread: Conversation, options: Mapping[str, Any] | None = None) -> str:
    """Keep an eye on it."""
    _keep(actor, thread, is_starred=True)
    return "Starred"


def unstar(actor: Actor, thread: Conversation, options: Mapping[str, Any] | None = None) -> str:
    """No more."""
    _keep(actor, thread, is_starred=False)
    return "No longer starred"


def mark_all_seen(actor: Actor, threads: Sequence[Conversation], options: Mapping[str, Any]) -> dict[UUID, str]:
    """As `mark_seen`, for many at once."""
    _keep_all(actor, {thread.pk: {"seen_position": thread.next_position - 1} for thread in threads})
    return {thread.pk: "Seen" for thread in threads}


def star_all(actor: Actor, threads: Sequence[Conversation], options: Mapping[str, Any]) -> dict[UUID, str]:
    """As `star`, for many at once."""
    _keep_all(actor, {thread.pk: {"is_starred": True} for thread in threads})
    return {thread.pk: "Starred" for thread in threads}


def unstar_all(actor: Actor, threads: Sequence[Conversation], options: Mapping[str, Any]) -> dict[UUID, str]:
    """As `unstar`, for many at once."""
    _keep_all(actor, {thread.pk: {"is_starred": False} for thread in threads})
    return {thread.pk: "No longer starred" for thread in threads}


def _keep(actor: Actor, thread: Conversation, **values: Any) -> None:
    """Only people have marks; a mark that says the same already is left alone."""
    if actor.kind != "user":
        return
    mine = ThreadMark.objects.visible_to(actor)
    if not mine.filter(conversation=thread, **values).exists():
        mine.update_or_create(user_id=actor.id, conversation=thread, defaults={**values, "updated_at": timezone.now()})


def _keep_all(actor: Actor, values: Mapping[UUID, Mapping[str, Any]]) -> None:
    """The same kind of mark on many threads, by their keys."""
    if actor.kind != "user" or not values:
        return
    now = timezone.now()
    ThreadMark.objects.visible_to(actor).bulk_create(
        [ThreadMark(user_id=actor.id, conversation_id=key, updated_at=now, **mark) for key, mark in values.items()],
        update_conflicts=True,
        unique_fields=["user", "conversation"],
        update_fields=[*next(iter(values.values())), "updated_at"],
    )
