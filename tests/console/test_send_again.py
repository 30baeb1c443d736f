"""Sending a lost message again from its thread."""

import pytest
from django.test import Client

from accounts.models import Identity
from imessage.models import Message
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def lost(identity: Identity) -> Message:
    conversation = make.make_conversation(identity)
    make.make_message(conversation, "hello")
    failed = {"status": "error", "error_reason": "outcome_unknown", "error_message": "Nobody knows."}
    return make.make_message(conversation, "lost", direction="outbound", **failed)


def test_a_lost_message_is_sent_again_after_a_question(as_alice: Client, lost: Message) -> None:
    address = f"/console/messages/{lost.id}/again/"
    assert address in as_alice.get(f"/console/threads/{lost.conversation_id}/").content.decode()
    asked = as_alice.get(address)
    assert "the human gets it twice" in asked.content.decode()
    done = as_alice.post(address, {"confirmed": "1"})
    assert (done.status_code, done["Location"]) == (302, f"/console/threads/{lost.conversation_id}/#m-{lost.id}")
    lost.refresh_from_db()
    assert lost.status == "queued"
    assert as_alice.get(address).status_code == 302  # it is on its way: nothing to ask any more


def test_a_viewer_is_not_offered_it_and_may_not(as_bob: Client, lost: Message) -> None:
    assert "/again/" not in as_bob.get(f"/console/threads/{lost.conversation_id}/").content.decode()
    assert as_bob.post(f"/console/messages/{lost.id}/again/", {"confirmed": "1"}).status_code == 403


def test_a_stranger_finds_nothing(as_charlie: Client, lost: Message) -> None:
    assert as_charlie.get(f"/console/messages/{lost.id}/again/").status_code == 404
