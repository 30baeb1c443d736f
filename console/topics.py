"""In which words a page hears that something changed: topics, never text, and the groups they are sent to.

One table says which topics an event has; a new family of events is one line. What changes too often to be an event is
told by its topics alone (`events.feed.publish_topics`).
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from core.actor import Actor, Role
from events.feed import FeedItem

EVERYONE = "console.everyone"
OPERATORS = "console.operators"

# By the first word of an event's type; `{subject}` is the row it is about.
_TOPICS = {
    "message": ("threads", "thread:{conversation}"),
    "tapback": ("thread:{conversation}",),
    "media": ("thread:{conversation}",),
    "conversation": ("threads", "thread:{conversation}"),
    "group": ("threads", "thread:{conversation}"),
    "connection": ("threads", "thread:{conversation}", "identity:{identity}", "identities"),
    "reach": ("identity:{identity}", "reach:{identity}", "identities", "blocked", "rules", "rule:{subject}"),
    # Its handle stands in the rows of all these lists.
    "identity": (
        *("threads", "identity:{identity}", "identities", "blocked", "rules", "deliveries", "webhooks"),
        *("rehearsals", "shadows"),
    ),
    "review": ("blocked", "thread:{conversation}"),
    "release": ("blocked", "threads", "thread:{conversation}", "release:{subject}"),
    "rehearsal": ("rehearsals", "rehearsal:{subject}", "identity:{identity}"),
    "shadow": ("shadows", "shadow:{subject}", "identity:{identity}"),
    "webhook": ("webhooks", "webhook:{subject}", "identity:{identity}", "deliveries"),
    "job": ("jobs", "job:{subject}"),
    "api_key": ("keys", "identity:{identity}"),
    "member": ("members",),
    "line": ("lines", "line:{subject}", "identity:{identity}", "thread:{conversation}"),
    "contact": ("contacts", "threads"),
}
_BLOCKED = {"message.blocked", "tapback.blocked"}

# Beyond so many topics at once a page hears of the family (`webhook:*`) instead of each of its members.
MOST_TOPICS = 100


def organization_group(organization_id: UUID | str) -> str:
    return f"console.organization.{organization_id}"


def group_of(actor: Actor) -> str:
    """The group whose news this actor may hear."""
    return OPERATORS if actor.role is Role.OPERATOR else organization_group(str(actor.organization_id))


def topics_of(item: FeedItem) -> list[str]:
    """The topics of an event; regions of a page name those that they show."""
    names = {"conversation": item.conversation_id, "identity": item.identity_id, "subject": item.subject_id or None}
    topics = [
        name.format_map(names)
        for name in _TOPICS.get(item.type.split(".")[0], ())
        if not any(value is None and f"{{{key}}}" in name for key, value in names.items())
    ]
    return [*topics, "blocked"] if item.type in _BLOCKED and "blocked" not in topics else topics


def gathered(topics: Iterable[str]) -> list[str]:
    """Topics without repetition; of a crowd the families in place of their members."""
    each = dict.fromkeys(topics)
    if len(each) > MOST_TOPICS:
        each = dict.fromkeys(f"{topic.split(':')[0]}:*" if ":" in topic else topic for topic in each)
    return list(each)


def told(item: FeedItem) -> dict[str, Any]:
    """What a socket is told of an event."""
    return {"number": item.number, "type": item.type, "topics": topics_of(item)}
