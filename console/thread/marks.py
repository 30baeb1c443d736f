"""What one person has seen of a thread, and which threads they keep an eye on: private, and nobody is told."""

from collections.abc import Mapping
from typing import Any

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


def _keep(actor: Actor, thread: Conversation, **values: Any) -> None:
    """Only people have marks; a mark that says the same already is left alone."""
    if actor.kind != "user":
        return
    mine = ThreadMark.objects.visible_to(actor)
    if not mine.filter(conversation=thread, **values).exists():
        mine.update_or_create(user_id=actor.id, conversation=thread, defaults={**values, "updated_at": timezone.now()})
