"""Telling open pages that deliveries came or changed: without an event each, for there are many."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from events.feed import publish_topics

# A notice may hold 8,000 bytes; a topic takes at most 50.
_MOST_TOPICS = 120


class Told(Protocol):
    """What a page needs of a delivery: a `Delivery`, or a claim on one."""

    @property
    def organization_id(self) -> UUID: ...

    @property
    def subscription_id(self) -> UUID: ...

    @property
    def event_id(self) -> UUID: ...


def tell_pages(deliveries: Iterable[Told]) -> None:
    """Once the current transaction has committed, have pages that show these deliveries fetched anew.

    Topics: `deliveries`, `webhook:<subscription id>` and `delivery:<event id>`.
    """
    topics: dict[UUID, dict[str, None]] = defaultdict(dict)
    for delivery in deliveries:
        of_organization = topics[delivery.organization_id]
        of_organization |= dict.fromkeys(
            ("deliveries", f"webhook:{delivery.subscription_id}", f"delivery:{delivery.event_id}")
        )
    for organization_id, names in topics.items():
        told = list(names)
        for first in range(0, len(told), _MOST_TOPICS):
            publish_topics(organization_id, told[first : first + _MOST_TOPICS])
