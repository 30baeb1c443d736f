"""A group's thread: what it is called, who is in it, who wrote what, and whom a rule is for."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Identity
from contactrules.models import ContactRule
from imessage.models import Conversation
from tests import make
from tests.console.test_thread import read

DANA, EVE, FRED = "+15555550123", "+15555550124", "+15555550125"


@pytest.fixture
def group(identity: Identity) -> Conversation:
    """Dana, whom the contact book knows, and Eve, whom it does not."""
    make.make_contact(identity.organization, DANA, "Dana")
    return make.make_group(make.make_owned_line(identity, "+15555550199"), (DANA, EVE))


def the_list(client: Client, **query: Any) -> str:
    answer = client.get("/console/threads/", query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_group_is_called_by_its_name_else_by_its_members(as_alice: Client, group: Conversation) -> None:
    assert "Dana</span>, +1 555-555-0124" in the_list(as_alice)
    Conversation.objects.filter(pk=group.pk).update(group_name="Roof party")
    assert "Roof party" in the_list(as_alice)
    assert "Roof party with @" in read(as_alice, group).decode()


def test_each_bubble_names_its_sender_in_a_colour_of_theirs(as_alice: Client, group: Conversation) -> None:
    make.make_message(group, "one", human=EVE)
    make.make_message(group, "two", human=DANA)
    make.make_message(group, "three", human="", direction="outbound")
    page = read(as_alice, group, "log/").decode()
    assert page.count("bubble-who") == 2
    assert 'bubble-who hue-2">+1 555-555-0124' in page
    assert 'bubble-who hue-1"><span title="+1 555-555-0123">Dana' in page


def test_viewers_read_neither_numbers_nor_names_of_members(as_bob: Client, group: Conversation) -> None:
    make.make_message(group, "one", human=DANA)
    make.make_tapback(make.make_message(group, "two", human="", direction="outbound"), human=EVE)
    for page in (the_list(as_bob), read(as_bob, group).decode(), read(as_bob, group, "tail/").decode()):
        assert "Dana" not in page
        assert "555-555-012" not in page
        assert "+1555555012" not in page


def test_a_blocked_members_text_stands_in_place_and_hidden_from_viewers(
    as_alice: Client, as_bob: Client, group: Conversation
) -> None:
    make.make_message(group, "the secret", human=EVE, is_blocked=True)
    assert "the secret" in read(as_alice, group, "log/").decode()
    assert "the secret" not in read(as_bob, group, "log/").decode()


def test_the_roster_says_who_is_in_it_and_who_has_left(as_alice: Client, group: Conversation) -> None:
    later = timezone.now() + timedelta(minutes=1)
    group.participants.filter(human=EVE).update(left_at=later)
    group.participants.create(organization_id=group.organization_id, human=FRED, joined_at=later)
    page = read(as_alice, group).decode()
    assert "+1 555-555-0124 left" in page
    assert "+1 555-555-0125 joined" in page
    assert "Group of Dana, +1 555-555-0124" in page
    assert "2 in the group" in page


def test_a_member_is_blocked_and_unblocked_by_their_row(as_alice: Client, group: Conversation) -> None:
    member = group.participants.get(human=EVE)
    make.make_message(group, "spam", human=EVE)
    assert "held back 1 text of theirs" in read(as_alice, group).decode()
    as_alice.post(f"/console/threads/{group.id}/block/", {"member": str(member.id)})
    rule = ContactRule.objects.get()
    assert (rule.match_target, rule.action) == (EVE, "block")
    page = read(as_alice, group).decode()
    assert "1 blocked now" in page
    assert "Block rule for +1 555-555-0124 added" in page
    as_alice.post(f"/console/threads/{group.id}/rules/{rule.id}/remove/")
    assert not ContactRule.objects.exists()


def test_nobody_is_blocked_in_a_group_without_being_named(as_alice: Client, group: Conversation) -> None:
    assert as_alice.post(f"/console/threads/{group.id}/block/").status_code == 404


def test_lists_tell_groups_and_own_numbers_apart(
    as_alice: Client, group: Conversation, conversation: Conversation
) -> None:
    shown = {
        "kind=group": (True, False),
        "kind=single": (False, True),
        "number=%2B15555550199": (True, False),
        "state=active": (True, True),
        "state=released": (False, False),
        "q=Dana": (True, True),
        "q=5550124": (True, False),
    }
    for query, wanted in shown.items():
        page = as_alice.get(f"/console/threads/?{query}").content.decode()
        assert tuple(f't-{thread.id}"' in page for thread in (group, conversation)) == wanted, query


def test_a_group_stood_otherwise_at_an_earlier_moment(as_alice: Client, group: Conversation) -> None:
    now = timezone.now()
    group.participants.filter(human=EVE).update(joined_at=now - timedelta(hours=1), left_at=now)
    group.participants.filter(human=DANA).update(joined_at=now - timedelta(hours=1))
    page = read(as_alice, group, at=(now - timedelta(minutes=5)).isoformat()).decode()
    assert "2 in the group" in page
    assert "left" not in page.split('id="thread-log"')[1].split("</ol>")[0]
