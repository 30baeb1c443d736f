"""Which pages hear of which change."""

from uuid import UUID

import pytest

from console.topics import gathered, topics_of
from events.feed import FeedItem

ORGANIZATION, IDENTITY, CONVERSATION = (UUID(int=number) for number in (1, 2, 3))

HEARD = {
    "message.received": ["threads", f"thread:{CONVERSATION}"],
    "message.blocked": ["threads", f"thread:{CONVERSATION}", "blocked"],
    "tapback.blocked": [f"thread:{CONVERSATION}", "blocked"],
    "reach.rule_created": [f"identity:{IDENTITY}", f"reach:{IDENTITY}", "identities", "blocked", "rules", "rule:s"],
    "webhook.disabled": ["webhooks", "webhook:s", f"identity:{IDENTITY}", "deliveries"],
    "job.finished": ["jobs", "job:s"],
    "nobody.knows": [],
}


@pytest.mark.parametrize("type", HEARD)
def test_an_event_is_heard_by(type: str) -> None:
    assert topics_of(FeedItem(1, type, ORGANIZATION, IDENTITY, CONVERSATION, "s")) == HEARD[type]


def test_a_topic_whose_name_is_missing_is_left_out() -> None:
    assert topics_of(FeedItem(1, "connection.created", ORGANIZATION, None, None)) == ["threads", "identities"]


def test_a_crowd_is_told_by_its_family() -> None:
    assert gathered(["jobs", "job:1", "job:1"]) == ["jobs", "job:1"]
    assert gathered(["jobs", *(f"job:{number}" for number in range(200))]) == ["jobs", "job:*"]
