"""Since when a human waits: from the oldest visible text that no accepted message came after."""

from datetime import timedelta

import pytest

from contactrules.rules import create_rule
from core.actor import Actor
from imessage import waiting
from imessage.models import Conversation, Message
from imessage.sending import send_message
from lines.models import Line
from tests import make
from tests.providers.scripted import text_in

pytestmark = pytest.mark.django_db


def since(conversation: Conversation) -> object:
    conversation.refresh_from_db()
    return conversation.waiting_since


def test_the_oldest_unanswered_text_counts(conversation: Conversation, line: Line) -> None:
    assert since(conversation) is None
    text_in(line, "one")
    text_in(line, "two")
    assert since(conversation) == Message.objects.get(text="one").created_at


def test_an_accepted_message_answers(conversation: Conversation, line: Line) -> None:
    text_in(line, "one")
    send_message(Actor.system("tests"), conversation=conversation, text="hello")
    assert since(conversation) is None
    text_in(line, "two")
    assert since(conversation) == Message.objects.get(text="two").created_at


def test_a_blocked_text_waits_for_nobody(conversation: Conversation, line: Line) -> None:
    create_rule(make.operator(), conversation.identity, action="block", match_target=make.HUMAN)
    text_in(line, "blocked")
    assert since(conversation) is None


def test_counting_anew_comes_to_the_same(conversation: Conversation) -> None:
    for direction, is_blocked in [("inbound", False), ("outbound", False), ("inbound", True), ("inbound", False)]:
        make.make_message(conversation, direction=direction, is_blocked=is_blocked)
        kept = since(conversation)
        waiting.recount(conversation.id)
        assert since(conversation) == kept


def test_a_text_that_comes_into_sight_waits_from_its_own_time(conversation: Conversation) -> None:
    first = make.make_message(conversation, is_blocked=True)
    second = make.make_message(conversation, created_at=first.created_at + timedelta(minutes=1))
    assert since(conversation) == second.created_at
    Message.objects.filter(pk=first.pk).update(is_blocked=False)
    waiting.recount(conversation.id)
    assert since(conversation) == first.created_at
