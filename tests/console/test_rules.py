"""Blocking a number from its thread, and taking that back."""

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from contactrules.models import ContactRule
from imessage.models import Conversation
from tests import make


def test_an_admin_blocks_a_number_and_undoes_it(as_alice: Client, conversation: Conversation) -> None:
    page = as_alice.post(f"/console/threads/{conversation.id}/block/", follow=True).content.decode()
    rule = ContactRule.objects.get()
    assert (rule.action, rule.match_target) == ("block", make.HUMAN)
    undo = f"/console/threads/{conversation.id}/rules/{rule.id}/remove/"
    assert f'action="{undo}"' in page
    assert "can no longer reach @helper" in page
    as_alice.post(undo)
    assert not ContactRule.objects.exists()


def test_htmx_gets_the_panel_and_the_toast(as_alice: Client, conversation: Conversation) -> None:
    answer = as_alice.post(f"/console/threads/{conversation.id}/block/", headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert "<html" not in page
    assert 'id="thread-about"' in page
    assert 'hx-swap-oob="innerHTML"' in page
    assert "Unblock this number" in page


def test_a_viewer_may_not_block(as_bob: Client, conversation: Conversation) -> None:
    assert as_bob.post(f"/console/threads/{conversation.id}/block/").status_code == 403
    assert as_bob.post(f"/console/threads/{conversation.id}/block/", headers={"HX-Request": "true"}).status_code == 403
    assert not ContactRule.objects.exists()
    assert b"block-form" not in as_bob.get(f"/console/threads/{conversation.id}/").content


def test_a_viewer_may_not_unblock(as_bob: Client, conversation: Conversation) -> None:
    rule = make.make_rule(conversation.identity)
    assert as_bob.post(f"/console/threads/{conversation.id}/rules/{rule.id}/remove/").status_code == 403
    assert ContactRule.objects.exists()


def test_a_stranger_finds_nothing_to_block(as_charlie: Client, conversation: Conversation) -> None:
    assert as_charlie.post(f"/console/threads/{conversation.id}/block/").status_code == 404


def test_a_second_rule_is_refused_in_words(as_alice: Client, conversation: Conversation) -> None:
    make.make_rule(conversation.identity)
    answer = as_alice.post(f"/console/threads/{conversation.id}/block/", headers={"HX-Request": "true"})
    assert answer.status_code == 409
    assert answer["HX-Reswap"] == "none"
    assert b"already exists" in answer.content


def test_a_rule_of_another_number_is_not_removed_from_here(as_alice: Client, conversation: Conversation) -> None:
    rule = make.make_rule(conversation.identity, make.OTHER_HUMAN)
    assert as_alice.post(f"/console/threads/{conversation.id}/rules/{rule.id}/remove/").status_code == 404


def test_a_link_alone_changes_nothing(as_alice: Client, conversation: Conversation) -> None:
    assert as_alice.get(f"/console/threads/{conversation.id}/block/").status_code == 405


def test_the_question_says_what_a_block_would_have_done(as_alice: Client, conversation: Conversation) -> None:
    for _ in range(2):
        make.make_message(conversation)
    make.make_message(conversation, direction="outbound")
    make.make_message(conversation, created_at=timezone.now() - timedelta(days=31))
    page = " ".join(as_alice.get(f"/console/threads/{conversation.id}/").content.decode().split())
    assert "would have held back 2 texts of theirs and refused 1 message of @helper" in page
