"""The list of threads: what a row says, what the address narrows, how far one page reaches."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Identity, Organization
from console.lists import PAGE_SIZE
from imessage.models import Conversation
from lines.models import Line
from tests import make

LIST = "/console/threads/"


def shown(client: Client, query: str = "") -> list[str]:
    """The humans in the list, top first, by the ids of their rows."""
    rows = client.get(LIST + query, headers={"HX-Request": "true"}).context["rows"]
    return [row.thread.human for row in rows]


def test_a_row_says_who_what_and_where_it_stands(as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation, "see you at ten")
    make.make_message(conversation, "are you there", is_blocked=True)
    page = as_alice.get(LIST).content.decode()
    for expected in ("+1 555-555-0123", "@helper", "are you there", "1 blocked", "unread by the agent"):
        assert expected in page


def test_the_newest_thread_comes_first(as_alice: Client, identity: Identity) -> None:
    now = timezone.now()
    make.make_conversation(identity, make.HUMAN, last_at=now - timedelta(hours=1))
    make.make_conversation(identity, make.OTHER_HUMAN, last_at=now)
    assert shown(as_alice) == [make.OTHER_HUMAN, make.HUMAN]


def test_other_organizations_are_not_in_the_list(
    as_alice: Client, conversation: Conversation, charlies_conversation: Conversation
) -> None:
    assert len(shown(as_alice)) == 1


def test_an_operator_sees_every_organization(
    as_operator: Client, conversation: Conversation, charlies_conversation: Conversation
) -> None:
    assert len(shown(as_operator)) == 2


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?q=0123", True),
        ("?q=(555) 555-0123", True),
        ("?q=@HELPER", True),
        ("?q=0199", False),
        ("?identity=helper", True),
        ("?identity=other", False),
        ("?state=active", True),
        ("?state=released", False),
        ("?state=nonsense", True),
        ("?cursor=nonsense", True),
        ("?q=%00", True),
    ],
)
def test_the_address_narrows_the_list(as_alice: Client, conversation: Conversation, query: str, found: bool) -> None:
    assert bool(shown(as_alice, query)) is found


def test_older_pages_go_on_where_the_last_one_ended(as_alice: Client, identity: Identity) -> None:
    same = timezone.now()
    for number in range(PAGE_SIZE + 5):
        make.make_conversation(identity, f"+1555555{1000 + number}", last_at=same)
    first = as_alice.get(LIST, headers={"HX-Request": "true"})
    second = shown(as_alice, first.context["listing"].following_url.removeprefix(LIST))
    assert len(second) == 5
    assert not set(second) & {row.thread.human for row in first.context["rows"]}


def test_the_empty_list_says_what_to_text_where(as_alice: Client, identity: Identity, router: Line) -> None:
    page = as_alice.get(LIST).content.decode()
    assert "connect @helper" in page
    assert "+1 555-555-0100" in page


def test_a_list_that_nothing_matches_says_so(as_alice: Client, conversation: Conversation) -> None:
    assert b"Nothing matches" in as_alice.get(LIST + "?q=nobody").content


def test_htmx_gets_the_rows_alone(as_alice: Client, conversation: Conversation) -> None:
    fragment = as_alice.get(LIST, headers={"HX-Request": "true"}).content
    assert b"<html" not in fragment
    assert str(conversation.id).encode() in fragment


def test_the_list_asks_the_database_the_same_few_questions(
    as_alice: Client, organization: Organization, django_assert_max_num_queries: Any
) -> None:
    asked = []
    for number in (2, 20):
        for each in range(number):
            identity = make.make_identity(organization)
            thread = make.make_conversation(identity, f"+1555555{number}{each:02d}")
            make.make_message(thread, direction="outbound", status="error")
        as_alice.get(LIST)  # the rail keeps its numbers for a while
        with django_assert_max_num_queries(24) as queries:
            as_alice.get(LIST)
        asked.append(len(queries))
    assert asked[0] == asked[1]
