"""What one person has seen, and which threads they keep an eye on."""

from django.test import Client

from console.models import ThreadMark
from imessage.models import Conversation
from tests import make


def test_what_came_since_the_last_visit_is_divided_off(as_alice: Client, conversation: Conversation) -> None:
    address = f"/console/threads/{conversation.id}/"
    make.make_message(conversation, "seen")
    assert b"New since your last visit" not in as_alice.get(address).content
    make.make_message(conversation, "unseen")
    page = as_alice.get(address).content.decode()
    log = page[page.index('id="thread-log"') :]
    assert log.index("seen") < log.index("New since your last visit") < log.index("unseen</p>")
    # The line stays while the page is open.
    assert b"New since your last visit" in as_alice.get(f"{address}log/1/").content
    assert b"New since your last visit" not in as_alice.get(address).content


def test_looking_back_in_time_marks_nothing_seen(as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation)
    as_alice.get(f"/console/threads/{conversation.id}/", {"at": "2020-01-01"})
    assert not ThreadMark.objects.exists()


def test_marks_are_ones_own(as_alice: Client, as_bob: Client, conversation: Conversation) -> None:
    address = f"/console/threads/{conversation.id}/"
    as_alice.post(f"{address}star/")
    assert [row.is_starred for row in as_alice.get("/console/threads/").context["rows"]] == [True]
    assert [row.is_starred for row in as_bob.get("/console/threads/").context["rows"]] == [False]
    assert len(as_alice.get("/console/threads/?starred=yes").context["rows"]) == 1
    as_alice.post(f"{address}star/", {"off": "1"})
    assert len(as_alice.get("/console/threads/?starred=yes").context["rows"]) == 0


def test_the_list_shows_what_is_new(as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation)
    as_alice.get(f"/console/threads/{conversation.id}/")
    assert not as_alice.get("/console/threads/").context["rows"][0].is_new
    make.make_message(conversation)
    assert as_alice.get("/console/threads/").context["rows"][0].is_new


def test_a_stranger_stars_nothing(as_charlie: Client, conversation: Conversation) -> None:
    assert as_charlie.post(f"/console/threads/{conversation.id}/star/").status_code == 404
