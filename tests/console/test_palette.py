"""The palette: what a few letters find, and for whom."""

import pytest
from django.test import Client

from accounts.models import User
from imessage.models import Conversation
from tests.console.conftest import signed_in

pytestmark = pytest.mark.django_db


def found(client: Client, asked: str) -> str:
    return client.get("/console/palette/", {"q": asked}, headers={"HX-Request": "true"}).content.decode()


def test_pages_are_found_by_name_with_their_keys(as_alice: Client) -> None:
    assert "/console/blocked/" in found(as_alice, "")
    assert "g b" in found(as_alice, "block")
    assert "/console/blocked/" not in found(as_alice, "thr")


@pytest.mark.parametrize("asked", ["5550123", "(555) 555-0123", "+1 555 555 0123", "@helper", "helper"])
def test_a_thread_is_found_by_number_in_any_notation_and_by_handle(
    asked: str, as_alice: Client, conversation: Conversation
) -> None:
    conversation.human = "+15555550123"
    conversation.save()
    assert f"/console/threads/{conversation.id}/" in found(as_alice, asked)


@pytest.mark.parametrize("asked", ["stranger", "@stranger", "555"])
def test_what_others_own_is_not_found(
    asked: str, as_alice: Client, charlies_conversation: Conversation, charlie: User
) -> None:
    assert str(charlies_conversation.id) in found(signed_in(charlie), asked)
    assert "stranger</span>" not in found(as_alice, asked)
    assert str(charlies_conversation.id) not in found(as_alice, asked)


def test_a_viewer_finds_whom_they_know_and_guesses_nobody(as_bob: Client, conversation: Conversation) -> None:
    digits = conversation.human.removeprefix("+")
    assert str(conversation.id) not in found(as_bob, digits[:-1])
    assert str(conversation.id) in found(as_bob, digits)
    assert digits[-7:] not in found(as_bob, "helper").replace("-", "")


def test_an_id_is_traced(as_alice: Client) -> None:
    assert "/console/trace/?id=01890000-0000-7000-8000-000000000001" in found(
        as_alice, "01890000-0000-7000-8000-000000000001"
    )
    assert "Trace" not in found(as_alice, "restaurant")


def test_it_is_a_page_without_a_script(as_alice: Client) -> None:
    page = as_alice.get("/console/palette/?q=block").content.decode()
    assert "<h1" in page
    assert "/console/blocked/" in page


@pytest.mark.parametrize("asked", ["\x00", "'", "<script>", "x" * 5000, "%", "🙂"])
def test_strange_letters_find_nothing_and_break_nothing(asked: str, as_alice: Client) -> None:
    assert "<script>" not in found(as_alice, asked)
