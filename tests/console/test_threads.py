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


@pytest.mark.parametrize(
    ("query", "humans"),
    [
        ("?view=waiting", ["+15555550001"]),
        ("?waiting=90", []),
        ("?view=failed", ["+15555550002"]),
        ("?view=undecided", ["+15555550002"]),
        ("?undecided=no", ["+15555550001", "+15555550003", "+15555550004"]),
        ("?failed=no", ["+15555550001", "+15555550003", "+15555550004"]),
        ("?view=downgraded", ["+15555550003"]),
        ("?service=sms", ["+15555550003"]),
        ("?view=released", ["+15555550004"]),
        ("?blocked=yes", ["+15555550004"]),
    ],
)
def test_the_views_find_what_they_say(as_alice: Client, identity: Identity, query: str, humans: list[str]) -> None:
    an_hour_ago = timezone.now() - timedelta(hours=1)
    waiting, failed, fell_back = (make.make_conversation(identity, f"+1555555000{each}") for each in (1, 2, 3))
    make.make_message(waiting, created_at=an_hour_ago)
    make.make_message(failed, direction="outbound", status="error", error_reason="outcome_unknown")
    make.make_message(fell_back, direction="outbound", service="sms", was_downgraded=True)
    released = make.make_connection(identity, "+15555550004", status="released")
    make.make_message(make.make_conversation(connection=released), is_blocked=True)
    assert sorted(shown(as_alice, query)) == humans


def test_only_operators_narrow_by_line(as_alice: Client, as_operator: Client, conversation: Conversation) -> None:
    query = f"?line={conversation.connection.line.address.replace('+', '%2B')}"
    assert len(shown(as_operator, query)) == 1
    assert as_alice.get(LIST + query).context["listing"].unknown


def test_a_row_says_who_waits_what_failed_and_how_little_is_left(
    as_alice: Client, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.thread.about.CAP", 3)
    make.make_message(conversation, direction="outbound", status="error")
    make.make_message(conversation)
    page = as_alice.get(LIST).content.decode()
    for expected in ("Waiting", "1 not delivered", "2 of 3 sends left"):
        assert expected in page


def test_the_next_human_who_waits_comes_by_how_long_they_wait(as_alice: Client, identity: Identity) -> None:
    now = timezone.now()
    threads = [make.make_conversation(identity, f"+1555555001{each}") for each in range(3)]
    for minutes, thread in zip((30, 20, 10), threads, strict=True):
        make.make_message(thread, created_at=now - timedelta(minutes=minutes))
    for thread, following in zip(threads, [*threads[1:], threads[0]], strict=True):
        page = as_alice.get(f"/console/threads/{thread.id}/")
        assert str(following.id) in page.context["next_waiting_url"]


def test_viewers_find_nobody_by_number(as_bob: Client, conversation: Conversation) -> None:
    assert shown(as_bob, "?q=0123") == []
    assert shown(as_bob, "?q=helper") == [make.HUMAN]
