"""Marks of who has looked at what was blocked, and what today's rules would say of it."""

from itertools import product

import pytest

from accounts.models import Identity
from contactrules.rules import verdict
from core.actor import Role
from core.errors import Forbidden
from events.models import Event
from imessage import reviewing
from imessage.errors import NotBlocked
from imessage.models import Conversation, Message
from imessage.reviewing import (
    blocked_today,
    judged_today,
    mark_reviewed,
    mark_sender_reviewed,
    unmark_reviewed,
    unmark_sender_reviewed,
)
from tests import make

pytestmark = pytest.mark.django_db


def test_a_mark_is_kept_with_its_maker_and_the_first_one_stays(conversation: Conversation) -> None:
    held = make.make_message(conversation, is_blocked=True)
    assert mark_reviewed(make.admin_of(conversation.organization), held)
    assert not mark_reviewed(make.operator(), held)
    held.refresh_from_db()
    assert held.reviewed_at
    assert held.reviewed_by["label"] == "tests"
    assert not Message.objects.to_review().exists()
    assert Event.objects.filter(type="review.marked").count() == 1


def test_a_mark_can_be_taken_back(conversation: Conversation) -> None:
    admin, held = make.admin_of(conversation.organization), make.make_message(conversation, is_blocked=True)
    mark_reviewed(admin, held)
    assert unmark_reviewed(admin, held)
    assert not unmark_reviewed(admin, held)
    assert list(Message.objects.to_review()) == [held]
    assert Message.objects.get().reviewed_by is None


def test_all_of_a_sender_are_marked_at_once_and_taken_back_without_the_others(conversation: Conversation) -> None:
    admin = make.admin_of(conversation.organization)
    earlier, *others = [make.make_message(conversation, is_blocked=True) for _ in range(3)]
    mark_reviewed(admin, earlier)
    marked_at = mark_sender_reviewed(admin, conversation)
    assert marked_at
    assert not Message.objects.to_review().exists()
    assert mark_sender_reviewed(admin, conversation) is None
    assert unmark_sender_reviewed(admin, conversation, marked_at=marked_at) == 2
    assert set(Message.objects.to_review()) == set(others)
    assert Event.objects.get(type="review.unmarked").data == {"count": 2}


def test_only_what_was_blocked_is_reviewed(conversation: Conversation) -> None:
    with pytest.raises(NotBlocked):
        mark_reviewed(make.operator(), make.make_message(conversation))


def test_a_viewer_and_an_agent_do_not_review(conversation: Conversation, identity: Identity) -> None:
    held = make.make_message(conversation, is_blocked=True)
    for actor in (make.admin_of(identity.organization, role=Role.VIEWER), make.agent_of(identity)):
        with pytest.raises(Forbidden):
            mark_reviewed(actor, held)
        with pytest.raises(Forbidden):
            mark_sender_reviewed(actor, conversation)
    assert Message.objects.to_review().exists()


def test_an_agent_hears_of_no_review(conversation: Conversation, identity: Identity) -> None:
    mark_reviewed(make.operator(), make.make_message(conversation, is_blocked=True))
    assert not Event.objects.visible_to(make.agent_of(identity)).exists()


RULES = [None, *product(["allow", "block"], ["active", "paused"], ["inbound", "outbound", "both"])]


@pytest.mark.parametrize(("mode", "rule"), list(product(["blacklist", "whitelist"], RULES)))
def test_todays_verdict_is_that_of_the_rules(
    conversation: Conversation,
    identity: Identity,
    mode: str,
    rule: tuple[str, str, str] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity.imessage_filter_mode = mode
    identity.save()
    if rule:
        make.make_rule(identity, action=rule[0], status=rule[1], direction=rule[2])
    make.make_rule(identity, make.OTHER_HUMAN, action="allow" if mode == "whitelist" else "block")
    held = make.make_message(conversation, is_blocked=True)
    allowed = verdict(identity, make.HUMAN).allowed
    assert Message.objects.annotate(today=blocked_today()).get().today is not allowed
    for few in (1000, 0):
        monkeypatch.setattr(reviewing, "FEW", few)
        for blocked in (True, False):
            found = Message.objects.filter(judged_today(make.operator(), blocked=blocked))
            assert list(found) == ([held] if blocked is not allowed else [])
