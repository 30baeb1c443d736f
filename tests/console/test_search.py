"""Search: what is found by words, numbers and handles, and by whom."""

import pytest
from django.test import Client

from accounts.models import Identity
from console.views.search import marked
from imessage.models import Conversation
from tests import make

SEARCH = "/console/search/"


def hits(client: Client, q: str, **more: str) -> list[str]:
    found = client.get(SEARCH, {"q": q} | more).context.get("hits", [])
    return [hit["message"].text for hit in found]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("dinner", True),
        ("DINNER", True),
        ("inne", True),
        ("dinner seven", True),
        ("seven dinner", True),
        ('"dinner at"', True),
        ('"at dinner"', False),
        ("dinner eight", False),
        ("晚餐在七点", True),
        ("50% off_", True),
        ("5x% off_", False),
        ("di", False),
        ("\x00dinner", True),
        ('"', False),
    ],
)
def test_texts_are_found_by_all_their_words(as_alice: Client, conversation: Conversation, q: str, found: bool) -> None:
    make.make_message(conversation, "Dinner at seven? 我们的晚餐在七点 and 50% off_peak")
    assert bool(hits(as_alice, q)) is found


@pytest.mark.parametrize("q", ["(555) 555-0123", "+15555550123", "0123", "555.555.0123"])
def test_people_are_found_by_their_number_in_any_notation(as_alice: Client, conversation: Conversation, q: str) -> None:
    assert as_alice.get(SEARCH, {"q": q}).context["people"][0][0] == conversation


def test_agents_are_found_by_name(as_alice: Client, identity: Identity) -> None:
    assert as_alice.get(SEARCH, {"q": "@help"}).context["agents"] == [identity]


def test_strangers_find_nothing(as_charlie: Client, conversation: Conversation) -> None:
    make.make_message(conversation, "dinner at seven")
    page = as_charlie.get(SEARCH, {"q": "dinner"})
    assert (page.context["hits"], page.context["people"], page.context["agents"]) == ([], [], [])


def test_a_viewer_finds_no_blocked_texts(as_bob: Client, as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation, "dinner at seven", is_blocked=True)
    assert (hits(as_bob, "dinner"), len(hits(as_alice, "dinner"))) == ([], 1)


def test_a_viewer_finds_nobody_by_digits(as_bob: Client, conversation: Conversation) -> None:
    assert as_bob.get(SEARCH, {"q": conversation.human}).context["people"] == []


def test_a_hit_opens_in_its_context(as_alice: Client, conversation: Conversation) -> None:
    for number in range(15):
        sought = make.make_message(conversation, f"text {number}")
    page = as_alice.get(SEARCH, {"q": '"text 14"'}).content.decode()
    assert f"/console/threads/{conversation.id}/?start=5#m-{sought.id}" in page


def test_what_was_found_is_marked_and_nothing_in_a_text_is_markup() -> None:
    assert marked("<b>Dinner</b> at seven", ["dinner"]) == "&lt;b&gt;<mark>Dinner</mark>&lt;/b&gt; at seven"


def test_a_long_text_is_shown_around_the_word() -> None:
    shown = marked("a " * 200 + "dinner" + " b" * 200, ["dinner"])
    assert (shown[0], shown[-1], "<mark>dinner</mark>" in shown) == ("…", "…", True)
