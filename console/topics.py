"""In which words a page hears that something changed: topics, never text, and the groups they are sent to."""

from typing import Any
from uuid import UUID

from core.actor import Actor, Role
from events.feed import FeedItem

EVERYONE = "console.everyone"
OPERATORS = "console.operators"

# What each family of events may change on a page; `{conversation}` and `{identity}` are filled in per event.
_TOPICS = {
    "message": ("threads", "thread:{conversation}"),
    "tapback": ("thread:{conversation}",),
    "media": ("thread:{conversation}",),
    "connection": ("threads", "thread:{conversation}", "identity:{identity}"),
    "reach": ("identity:{identity}", "blocked"),
    "release": ("threads", "thread:{conversation}", "blocked"),
    "review": ("blocked",),
    "identity": ("threads", "identity:{identity}"),
}
_BLOCKED = {"message.blocked", "tapback.blocked"}


def organization_group(organization_id: UUID | str) -> str:
    return f"console.organization.{organization_id}"


def user_group(user_id: UUID | str) -> str:
    return f"console.user.{user_id}"


def group_of(actor: Actor) -> str:
    """The group whose news this actor may hear."""
    return OPERATORS if actor.role is Role.OPERATOR else organization_group(str(actor.organization_id))


def topics_of(item: FeedItem) -> list[str]:
    """The topics of an event; regions of a page name those that they show."""
    names = _TOPICS.get(item.type.split(".")[0], ())
    topics = [
        name.format(conversation=item.conversation_id, identity=item.identity_id)
        for name in names
        if not (item.conversation_id is None and "{conversation}" in name)
    ]
    return [*topics, "blocked"] if item.type in _BLOCKED and "blocked" not in topics else topics


def told(item: FeedItem) -> dict[str, Any]:
    """What a socket is told of an event."""
    return {"number": item.number, "type": item.type, "topics": topics_of(item)}
