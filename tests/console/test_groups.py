"""A group's thread: what it is called, who is in it, who wrote what, and whom a rule is for."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.members import actor_of
from accounts.models import Identity, User
from console.views.threads import THREADS
from console.work.exporting import cells
from contactrules.models import ContactRule
from core.actor import Actor
from core.phones import pretty
from events.record import record
from imessage.again import OUTCOME_UNKNOWN
from imessage.keeping import keep_metadata
from imessage.models import Conversation
from imessage.telling import tell
from tests import make
from tests.console.test_thread import read
from tests.console.test_thread_agent import api, as_agent

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


def raw(client: Client, thread: Conversation) -> str:
    return b"".join(client.get(f"/console/threads/{thread.id}/raw/")).decode()


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


def test_an_export_names_the_members_as_its_reader_may_know_them(alice: User, bob: User, group: Conversation) -> None:
    for user, members in ((alice, f"{DANA}, {EVE}"), (bob, "•••••23, •••••24")):
        actor = actor_of(user)
        (row,) = THREADS.asked("kind=group", actor).rows
        told = dict(zip((column.key for column in THREADS.columns), cells(row, THREADS.columns, actor), strict=True))
        assert (told["human"], told["members"], told["state"]) == ("", members, None)


def test_a_group_stood_otherwise_at_an_earlier_moment(as_alice: Client, group: Conversation) -> None:
    now = timezone.now()
    group.participants.filter(human=EVE).update(joined_at=now - timedelta(hours=1), left_at=now)
    group.participants.filter(human=DANA).update(joined_at=now - timedelta(hours=1))
    page = read(as_alice, group, at=(now - timedelta(minutes=5)).isoformat()).decode()
    assert "2 in the group" in page
    assert "left" not in page.split('id="thread-log"')[1].split("</ol>")[0]


def test_search_and_palette_find_a_group_by_its_name_and_by_a_members(
    as_alice: Client, as_bob: Client, group: Conversation
) -> None:
    Conversation.objects.filter(pk=group.pk).update(group_name="Roof party")
    for address in ("/console/search/", "/console/palette/"):
        for asked in ("roof", "dana", "0124"):
            assert str(group.id) in as_alice.get(address, {"q": asked}).content.decode(), (address, asked)
        assert str(group.id) in as_bob.get(address, {"q": "roof"}).content.decode()
        for asked in ("dana", "0124"):
            assert str(group.id) not in as_bob.get(address, {"q": asked}).content.decode(), (address, asked)


def test_another_organizations_names_find_nobody(as_charlie: Client, as_alice: Client, group: Conversation) -> None:
    make.make_contact(make.make_organization(), EVE, "Zelda")
    assert str(group.id) not in as_alice.get("/console/search/", {"q": "Zelda"}).content.decode()
    assert str(group.id) not in as_charlie.get("/console/search/", {"q": "Dana"}).content.decode()


def test_all_of_a_sender_are_those_of_one_member(as_alice: Client, group: Conversation) -> None:
    held = [make.make_message(group, human=human, is_blocked=True) for human in (EVE, EVE, DANA)]
    asked = as_alice.get(f"/console/blocked/{held[0].id}/release/").content.decode()
    assert "All 2 blocked from this sender" in asked
    assert "1 message of this sender blocked now" in as_alice.get(f"/console/blocked/{held[2].id}/").content.decode()


def test_a_group_among_the_senders_is_looked_through_as_a_whole(as_alice: Client, group: Conversation) -> None:
    make.make_message(group, human=EVE, is_blocked=True)
    page = as_alice.get("/console/blocked/?group=sender").content.decode()
    assert "Dana</span>, +1 555-555-0124" in page
    assert "Mark all reviewed" in page
    assert "Release all" not in page


def test_a_blocked_sender_is_named_by_the_contact_book(as_alice: Client, as_bob: Client, group: Conversation) -> None:
    held = make.make_message(group, human=DANA, is_blocked=True)
    for address in ("/console/blocked/", f"/console/blocked/{held.id}/"):
        assert "Dana" in as_alice.get(address).content.decode()
        assert "Dana" not in as_bob.get(address).content.decode()


def test_todays_rules_judge_each_member_alone(as_alice: Client, group: Conversation) -> None:
    eve, dana = (make.make_message(group, human=human, is_blocked=True) for human in (EVE, DANA))
    make.make_rule(group.identity, EVE)
    shown = {answer: as_alice.get(f"/console/blocked/?view=all&today={answer}") for answer in ("through", "blocked")}
    found = {answer: [row.message.id for row in page.context["rows"]] for answer, page in shown.items()}
    assert found == {"through": [dana.id], "blocked": [eve.id]}


def test_a_trace_of_what_the_agent_wrote_names_the_group(as_alice: Client, group: Conversation) -> None:
    message = make.make_message(group, human="", direction="outbound")
    assert "to <span" in as_alice.get(f"/console/trace/{message.id}/").content.decode()


def test_a_raw_event_tells_viewers_no_name_and_tenants_no_line_of_the_pool(
    as_alice: Client, as_bob: Client, group: Conversation, conversation: Conversation
) -> None:
    group.participants.update(name="Dana")
    for thread in (group, conversation):
        with transaction.atomic():
            tell(Actor.system("tests"), "message.received", make.make_message(thread, human=DANA))
    assert "Dana" in raw(as_alice, group)
    assert "Dana" not in raw(as_bob, group)
    assert "+15555550199" in raw(as_alice, group)
    assert conversation.line.address not in raw(as_alice, conversation)


def test_11_see_as_agent_is_what_its_key_gets_of_a_group(as_alice: Client, agent_key: str, group: Conversation) -> None:
    make.make_message(group, "hello", human=EVE)
    make.make_message(group, "the secret", human=DANA, is_blocked=True)
    seen, page = as_agent(as_alice, group)
    assert api(agent_key, "/messages", conversation_id=group.id) == (200, list(reversed(seen.messages)))
    assert api(agent_key, f"/conversations/{group.id}") == (200, seen.conversation)
    assert "the secret" not in page[page.index('id="thread-log"') :]
    assert 'bubble-who">+1 555-555-0124' in page


def test_a_reply_shows_what_it_answers_and_whether_it_was_threaded(
    as_alice: Client, as_bob: Client, group: Conversation
) -> None:
    asked = make.make_message(group, "Who brings the ladder?", human=EVE)
    held = make.make_message(group, "the secret", human=DANA, is_blocked=True)
    answer = make.make_message(group, "Me", human="", direction="outbound", reply_to=asked, reply_unresolved=True)
    make.make_message(group, "What?", human=EVE, reply_to=held, reply_unresolved=False)
    page = read(as_alice, group, "log/").decode()
    quote = page.split(f'id="quote-{answer.id}"')[1].split("</a>")[0]
    assert f"#m-{asked.id}" in quote
    assert "Who brings the ladder?" in quote
    assert page.count("Sent without threading") == 1
    assert page.count("the secret") == 2
    assert "the secret" not in read(as_bob, group, "log/").decode()


def test_pictures_of_a_carousel_stand_in_order_each_with_its_tapbacks(as_alice: Client, group: Conversation) -> None:
    carousel = make.make_message(group, None, human=EVE, message_type="carousel")
    for name in ("a", "b"):
        make.make_media(carousel, f"https://files.example.com/{name}.png")
    make.make_tapback(carousel, "like", human=DANA, part_index=1)
    page = read(as_alice, group, "log/").decode()
    first, second = page.split("Open picture 1 of 2")[1].split("Open picture 2 of 2")
    assert "like from Dana" not in first
    assert "like from Dana" in second.split("</ol>")[0]


def test_a_message_tells_its_number_the_fast_lane_and_its_fallback(
    as_alice: Client, as_operator: Client, identity: Identity, conversation: Conversation
) -> None:
    own, sms = make.make_owned_line(identity, "+15555550199"), make.make_owned_line(identity, "+15555550198")
    over_own = make.make_owned_conversation(own)
    fields = {"fallback": "if_failed", "fallback_line": sms, "is_fast": True}
    make.make_message(over_own, direction="outbound", **fields)
    make.make_message(conversation, direction="outbound", fallback="never")
    page = read(as_alice, over_own, "log/").decode()
    assert "From +1 555-555-0199, the agent&#x27;s own number" in page
    assert "fast lane" in page
    assert "As SMS if iMessage fails after all, from +1 555-555-0198" in page
    pooled = read(as_alice, conversation, "log/").decode()
    assert "From a line of the pool" in pooled
    assert "Never as SMS" in pooled
    assert f"From {pretty(conversation.line.address)}, a pool line" in read(as_operator, conversation, "log/").decode()


def test_what_is_kept_with_a_thread_is_shown_now_and_as_it_was(as_alice: Client, group: Conversation) -> None:
    before = timezone.now()
    keep_metadata(make.agent_of(group.identity), group, {"step": "planning"})
    between = timezone.now()
    changes = {"version": 1, "file_id": str(group.id), "url": "https://files.example.com/a.png"}
    for type, data in (
        ("conversation.background_changed", changes),
        ("group.changed", {"joined": [], "left": [], "name": "Roof party"}),
    ):
        happen(group, type, data)
    fields = {"background_id": group.id, "background_version": 1, "group_name": "Roof party"}
    Conversation.objects.filter(pk=group.pk).update(**fields)
    now = read(as_alice, group).decode()
    for expected in ("planning", "Version 1", "Background changed, version 1", "Group named Roof party"):
        assert expected in now
    panel = read(as_alice, group, at=between.isoformat()).decode()
    assert "planning" in panel
    assert "Version 1" not in panel
    assert "planning" not in read(as_alice, group, at=before.isoformat()).decode()


def test_a_number_that_stood_in_is_a_line_of_the_thread(as_alice: Client, group: Conversation) -> None:
    used, original = ({"address": address} for address in ("+15555550199", "+15555550198"))
    happen(group, "line.substituted", {"used": used, "original": original, "reason": "not_in_service"})
    told = "+1 555-555-0199 stood in for +1 555-555-0198, which could not send: not in service"
    assert told in read(as_alice, group, "log/").decode()


def test_a_group_is_named_where_its_message_is_sent_again(as_alice: Client, group: Conversation) -> None:
    lost = {"status": "error", "error_reason": OUTCOME_UNKNOWN}
    message = make.make_message(group, human="", direction="outbound", **lost)
    assert "Dana, +1 555-555-0124" in as_alice.get(f"/console/messages/{message.id}/again/").content.decode()


def happen(group: Conversation, type: str, data: dict[str, Any]) -> None:
    with transaction.atomic():
        record(
            make.agent_of(group.identity),
            type,
            organization_id=group.organization_id,
            identity_id=group.identity_id,
            conversation_id=group.id,
            subject_id=group.id,
            data=data,
        )
