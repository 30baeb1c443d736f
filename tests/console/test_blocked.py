"""The audit of what was held back."""

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from console.lists import PAGE_SIZE
from imessage.models import Conversation
from tests import make

LIST = "/console/blocked/"


def test_a_row_says_why_and_leads_to_the_message(as_bob: Client, conversation: Conversation) -> None:
    rule = make.make_rule(conversation.identity)
    for _ in range(20):
        make.make_message(conversation)
    held = make.make_message(conversation, "let me in", is_blocked=True, rule_id=rule.id)
    page = as_bob.get(LIST).content.decode()
    assert "let me in" in page
    assert ">Block rule<" in page
    link = f"/console/threads/{conversation.id}/?start=11#m-{held.id}"
    assert link in page
    assert f'id="m-{held.id}"' in as_bob.get(link).content.decode()


def test_a_rule_that_is_gone_is_told_so(as_alice: Client, conversation: Conversation) -> None:
    rule = make.make_rule(conversation.identity)
    make.make_message(conversation, is_blocked=True, rule_id=rule.id)
    rule.delete()
    assert b"Block rule, removed since" in as_alice.get(LIST).content


def test_visible_messages_and_strangers_are_not_in_it(
    as_alice: Client, as_charlie: Client, conversation: Conversation
) -> None:
    make.make_message(conversation, "plainly visible")
    make.make_message(conversation, "let me in", is_blocked=True)
    assert b"plainly visible" not in as_alice.get(LIST).content
    assert b"let me in" not in as_charlie.get(LIST).content


def test_it_is_narrowed_by_identity(as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation, "let me in", is_blocked=True)
    assert b"let me in" in as_alice.get(LIST + "?identity=helper").content
    assert b"Nothing matches" in as_alice.get(LIST + "?identity=other").content


def test_the_empty_list_says_what_it_is_for(as_alice: Client) -> None:
    assert b"Nothing was blocked" in as_alice.get(LIST).content


def test_older_pages_and_few_questions(
    as_alice: Client, conversation: Conversation, django_assert_max_num_queries: object
) -> None:
    now = timezone.now()
    for number in range(PAGE_SIZE + 2):
        make.make_message(conversation, is_blocked=True, created_at=now - timedelta(seconds=number))
    with django_assert_max_num_queries(7):  # type: ignore[operator]
        first = as_alice.get(LIST)
    assert (
        len(
            as_alice.get(LIST + first.context["listing"].query(cursor=first.context["listing"].page.following)).context[
                "rows"
            ]
        )
        == 2
    )
