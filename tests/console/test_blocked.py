"""The review queue: what it lists and says, who may see and do what, and the release."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Identity
from console.held import BLOCKED, SENDERS
from console.lists import PAGE_SIZE
from console.work import DEEDS
from contactrules import rules
from contactrules.models import ContactRule
from core.ids import uuid7
from imessage.models import Conversation, Message, Release, TapbackChange
from imessage.releasing import settle
from tests import make

LIST = "/console/blocked/"
ALL = LIST + "?view=all"


@pytest.fixture
def held(conversation: Conversation, identity: Identity) -> Message:
    """A message that a rule blocked and that nobody has looked at."""
    rule = rules.create_rule(
        make.admin_of(identity.organization), identity, action="block", match_target=make.HUMAN, reason="Spam."
    )
    identity.refresh_from_db()
    verdict = {"rule_id": rule.id, "rule_revision": identity.reach_revision}
    return make.make_message(conversation, "let me in", is_blocked=True, **verdict)


def texts(client: Client, query: str = "") -> list[str]:
    return [row.message.text for row in client.get(LIST + query).context["rows"]]


def page_of(held: Message) -> str:
    return f"{LIST}{held.id}/"


# --- The list


def test_a_row_says_why_and_leads_to_the_message(as_alice: Client, held: Message) -> None:
    page = as_alice.get(LIST).content.decode()
    for words in ("let me in", "+1 555-555-0123", "@helper", ">Block rule<", "blacklist, revision 1", page_of(held)):
        assert words in page
    detail = as_alice.get(page_of(held)).content.decode()
    link = re.search(r'href="(/console/threads/[^"]+)"', detail)[1]  # type: ignore[index]
    assert f'id="m-{held.id}"' in as_alice.get(link).content.decode()


def test_a_rule_that_is_gone_is_told_so(as_alice: Client, held: Message) -> None:
    ContactRule.objects.all().delete()
    assert b"Block rule, removed since" in as_alice.get(LIST).content


def test_visible_messages_and_strangers_are_not_in_it(as_alice: Client, as_charlie: Client, held: Message) -> None:
    visible = make.make_message(held.conversation, "plainly visible")
    assert texts(as_alice, "?view=all") == ["let me in"]
    assert texts(as_charlie, "?view=all") == []
    assert as_alice.get(page_of(visible)).status_code == 404


VIEWS = [
    ("", ["to review"]),
    ("?view=to-review", ["to review"]),
    ("?view=changed", ["changed since"]),
    ("?view=released", ["released"]),
    ("?view=all", ["released", "changed since", "reviewed", "to review"]),
    ("?state=reviewed", ["changed since", "reviewed"]),
    ("?today=blocked&view=all", ["reviewed", "to review"]),
    ("?why=whitelist&view=all", ["changed since", "reviewed"]),
    ("?mode=whitelist&view=all", ["reviewed"]),
    ("?sender=%2B15555550124&view=all", ["changed since"]),
    ("?reviewer=alice@example.com&view=all", ["changed since", "reviewed"]),
    ("?q=SINCE&view=all", ["changed since"]),
    ("?q=0124&view=all", ["changed since"]),
    ("?identity=other&view=all", []),
    ("?-identity=helper&view=all", []),
]


@pytest.mark.parametrize(("query", "shown"), VIEWS)
def test_each_view_and_filter_shows_its_rows(as_alice: Client, held: Message, query: str, shown: list[str]) -> None:
    now, by = timezone.now(), {"label": "alice@example.com"}
    Message.objects.filter(pk=held.pk).update(text="to review")
    reviewed = {"is_blocked": True, "reviewed_at": now, "reviewed_by": by}
    make.make_message(held.conversation, "reviewed", filter_mode="whitelist", **reviewed)
    other = make.make_conversation(held.identity, make.OTHER_HUMAN)
    make.make_message(other, "changed since", **reviewed)
    make.make_message(held.conversation, "released", released_at=now, rule_id=held.rule_id)
    assert sorted(texts(as_alice, query)) == sorted(shown)
    assert as_alice.get(LIST + query).context["listing"].unknown == []


def test_today_is_said_in_the_row_and_follows_the_rules(as_alice: Client, held: Message) -> None:
    assert b"Today let through" not in as_alice.get(LIST).content
    rules.update_rule(make.operator(), ContactRule.objects.get(), changes={"status": "paused"})
    page = as_alice.get(LIST).content
    assert b"Today let through" in page
    assert b"Block rule, paused now" in page


def test_by_sender_counts_each_human_of_each_agent(as_alice: Client, held: Message) -> None:
    make.make_message(held.conversation, "again", is_blocked=True, reviewed_at=timezone.now())
    make.make_message(make.make_conversation(held.identity, make.OTHER_HUMAN), "other", is_blocked=True)
    change = {"direction": "inbound", "action": "add", "kind": "like", "is_blocked": True}
    TapbackChange.objects.create(
        organization_id=held.organization_id, conversation=held.conversation, message=held, **change
    )
    response = as_alice.get(LIST + "?group=sender")
    found = {
        row.thread.human: (row.thread.blocked_total, row.to_review, row.tapbacks) for row in response.context["senders"]
    }
    assert found == {make.HUMAN: (2, 1, 1), make.OTHER_HUMAN: (1, 1, 0)}
    assert sum(response.context["senders"][0].days) == 1
    page = response.content.decode()
    assert "2 messages" in page
    assert "1 tapback" in page
    narrowed = as_alice.get(LIST + "?group=sender&today=through").context["senders"]
    assert [row.thread.human for row in narrowed] == [make.OTHER_HUMAN]


def test_a_text_from_tomorrow_is_on_no_day_yet(as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation, is_blocked=True, created_at=timezone.now() + timedelta(days=1))
    assert as_alice.get(LIST + "?group=sender").status_code == 200


@pytest.mark.parametrize("query", ["", "?group=sender", "?view=changed", "?view=all&q=let"])
def test_the_number_of_questions_does_not_grow_with_the_rows(
    as_alice: Client, held: Message, query: str, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    def fill(numbers: range) -> None:
        for number in numbers:
            thread = make.make_conversation(held.identity, f"+1555555{number}")
            make.make_message(thread, "let me in too", is_blocked=True)

    fill(range(7000, 7002))
    as_alice.get(LIST + query)  # the rail's counts are shared for a moment
    with django_assert_max_num_queries(18) as few:
        as_alice.get(LIST + query)
    fill(range(7002, 7022))
    with django_assert_num_queries(len(few)):
        as_alice.get(LIST + query)


def test_older_rows_are_on_the_next_page(as_alice: Client, held: Message) -> None:
    now = timezone.now()
    for number in range(PAGE_SIZE + 1):
        make.make_message(held.conversation, is_blocked=True, created_at=now - timedelta(seconds=number + 1))
    first = as_alice.get(LIST).context["listing"]
    assert len(texts(as_alice, first.query(cursor=first.page.following))) == 2


# --- Nothing to show


def test_nothing_yet_says_what_the_list_is_for(as_alice: Client) -> None:
    assert b"Nothing was blocked" in as_alice.get(LIST).content


def test_an_empty_queue_says_that_it_is_done_and_leads_to_last_week(as_alice: Client, held: Message) -> None:
    Message.objects.update(reviewed_at=timezone.now())
    page = as_alice.get(LIST).content.decode()
    assert "Nothing left to review" in page
    assert "?view=all&amp;range=7d" in page
    assert texts(as_alice, "?view=all&range=7d") == ["let me in"]


def test_a_filter_that_nothing_fits_can_be_cleared(as_alice: Client, held: Message) -> None:
    page = as_alice.get(LIST + "?mode=whitelist").content
    assert b"Nothing matches" in page
    assert b'id="clear-filter"' in page


# --- One message


def test_its_page_tells_the_verdict_of_then_and_of_today(as_alice: Client, held: Message) -> None:
    rules.delete_rule(make.operator(), ContactRule.objects.get(), reason="A friend.")
    make.make_rule(held.identity, make.OTHER_HUMAN)
    page = " ".join(as_alice.get(page_of(held)).content.decode().split())
    for words in (
        "Block rule, removed since",
        "For this number: rule added (no rule → block, both ways)",
        "For this number: rule removed (block, both ways → no rule)",
        "A friend.",
        "Would let it through",
        "No rule names this number.",
    ):
        assert words in page


def test_what_changed_for_other_numbers_stays_unsaid(as_alice: Client, held: Message) -> None:
    rules.create_rule(make.operator(), held.identity, action="block", match_target=make.OTHER_HUMAN, reason="Private.")
    page = as_alice.get(page_of(held)).content.decode()
    assert "0124" not in page
    assert "Private." not in page


@pytest.mark.parametrize("path", ["", "review/", "unreview/", "allow/", "block/", "restore/", "release/"])
def test_a_strangers_message_and_one_that_never_was_are_the_same(as_charlie: Client, held: Message, path: str) -> None:
    ask = as_charlie.get if path == "" else as_charlie.post
    answers = [ask(f"{LIST}{pk}/{path}") for pk in (held.pk, uuid7())]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert ContactRule.objects.count() == 1
    assert not Release.objects.exists()


# --- Viewers


def test_a_viewer_reads_no_text_and_no_number(as_bob: Client, held: Message) -> None:
    for address in (LIST, LIST + "?group=sender", page_of(held)):
        page = as_bob.get(address).content.decode()
        assert "let me in" not in page
        assert "555-0123" not in page
        assert make.HUMAN not in page
        assert "ending in 23" in page


@pytest.mark.parametrize("query", ["q=let", "q=0123", "sender=%2B15555550123"])
def test_a_viewer_cannot_guess_what_is_hidden(as_bob: Client, held: Message, query: str) -> None:
    assert texts(as_bob, f"?view=all&{query}") == []
    assert [row.message.pk for row in as_bob.get(ALL).context["rows"]] == [held.pk]


def test_a_viewer_is_offered_nothing_and_may_do_nothing(as_bob: Client, held: Message) -> None:
    for address in (LIST, LIST + "?group=sender", page_of(held)):
        assert held.text not in as_bob.get(address).content.decode()
        assert "Mark reviewed" not in as_bob.get(address).content.decode()
    for path in ("review/", "unreview/", "allow/", "block/", "release/"):
        assert as_bob.post(f"{page_of(held)}{path}").status_code == 403, path
    assert as_bob.post(f"{LIST}senders/{held.conversation_id}/review/").status_code == 403
    held.refresh_from_db()
    assert (held.reviewed_at, Release.objects.count(), ContactRule.objects.count()) == (None, 0, 1)


# --- Deeds


def undo(client: Client, address: str) -> None:
    """Press the Undo of the newest toast."""
    page = client.get(address).content.decode()
    toast = page.split('id="toasts"')[1]
    way_back = re.search(r'action="([^"]+)"', toast)
    assert way_back
    assert client.post(way_back[1].replace("&amp;", "&")).status_code == 302


def test_reviewed_leaves_the_queue_and_undo_brings_it_back(as_alice: Client, held: Message) -> None:
    response = as_alice.post(page_of(held) + "review/", HTTP_REFERER="http://testserver" + ALL)
    assert response.url == ALL
    assert texts(as_alice) == []
    assert b"Reviewed by alice@example.com" in as_alice.get(ALL).content
    as_alice.post(page_of(held) + "unreview/")
    assert texts(as_alice) == ["let me in"]
    as_alice.post(page_of(held) + "review/")
    undo(as_alice, ALL)
    assert texts(as_alice) == ["let me in"]


def test_a_deed_answers_with_the_page_it_was_done_on(as_alice: Client, held: Message) -> None:
    def answer(path: str, standing_on: str) -> str:
        headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{standing_on}"}
        return as_alice.post(page_of(held) + path, headers=headers).content.decode()

    in_queue = answer("review/", LIST)
    assert 'id="blocked-rows"' in in_queue
    assert "Nothing left to review" in in_queue
    assert 'hx-target="#blocked-rows"' in in_queue.split('id="toasts"')[1]
    assert f'id="b-{held.id}"' in answer("unreview/", LIST)
    assert f'id="b-{held.id}"' in answer("review/", LIST + "?state=reviewed")
    alone = answer("unreview/", page_of(held))
    assert 'id="held-body"' in alone
    assert "Nobody has looked at it yet" in alone
    assert 'id="blocked-rows"' in answer("review/", "/elsewhere/")


def test_all_of_a_sender_are_reviewed_and_brought_back_together(as_alice: Client, held: Message) -> None:
    make.make_message(held.conversation, "again", is_blocked=True)
    as_alice.post(f"{LIST}senders/{held.conversation_id}/review/")
    assert not Message.objects.to_review().exists()
    undo(as_alice, LIST)
    assert sorted(texts(as_alice)) == ["again", "let me in"]


@pytest.mark.parametrize("path", ["allow/", "block/"])
def test_a_change_of_the_rules_can_be_undone(as_alice: Client, held: Message, path: str) -> None:
    before = list(ContactRule.objects.values_list("action", "status", "direction"))
    rules.update_rule(make.operator(), ContactRule.objects.get(), changes={"direction": "inbound"})
    as_alice.post(page_of(held) + path)
    after = list(ContactRule.objects.values_list("action", "status", "direction"))
    assert after == ([] if path == "allow/" else before)
    undo(as_alice, LIST)
    assert ContactRule.objects.get().direction == "inbound"
    held.refresh_from_db()
    assert held.is_blocked


def test_an_undo_that_was_tampered_with_changes_nothing(as_alice: Client, held: Message) -> None:
    response = as_alice.post(page_of(held) + "restore/?was=forged", HTTP_HX_REQUEST="true")
    assert response.status_code == 422
    assert ContactRule.objects.count() == 1


# --- Release


def test_the_question_offers_both_scopes_and_says_what_follows(as_alice: Client, held: Message) -> None:
    make.make_message(held.conversation, "again", is_blocked=True)
    page = " ".join(as_alice.get(page_of(held) + "release/").content.decode().split())
    for words in ("All 2 blocked from this sender", "refused with 403", "The human is told nothing", "10 seconds"):
        assert words in page
    assert re.search(r'name="rule" id="rule-allow" value="allow" checked', page)
    assert not Release.objects.exists()


def test_a_release_is_held_and_undone_by_its_toast(as_alice: Client, held: Message) -> None:
    """Acceptance 9."""
    question = page_of(held) + "release/"
    response = as_alice.post(question, {"confirmed": "1", "of": "message", "rule": "allow"}, HTTP_REFERER=question)
    assert response.url == page_of(held)
    one = Release.objects.get()
    assert (one.state, one.message_id, one.allow, one.requested_by["label"]) == (
        "held",
        held.id,
        True,
        "alice@example.com",
    )
    assert b"Being released" in as_alice.get(LIST).content
    as_alice.post(f"{LIST}releases/{one.id}/undo/")
    one.refresh_from_db()
    assert one.state == "undone"
    Release.objects.update(due_at=timezone.now())
    assert settle(held.conversation_id) == 0


def test_a_release_that_goes_out_shows_on_the_pages(as_alice: Client, held: Message) -> None:
    as_alice.post(page_of(held) + "release/", {"confirmed": "1", "of": "sender", "rule": "keep"})
    Release.objects.update(due_at=timezone.now())
    settle(held.conversation_id)
    assert texts(as_alice) == []
    assert texts(as_alice, "?view=released") == ["let me in"]
    page = as_alice.get(page_of(held)).content.decode()
    assert "Done, 1 message" in page
    assert 'id="release-' not in page
    late = as_alice.post(f"{LIST}releases/{Release.objects.get().id}/undo/", HTTP_HX_REQUEST="true")
    assert late.status_code == 409


def test_what_the_operation_refuses_is_said_in_the_dialog(as_alice: Client, held: Message) -> None:
    Identity.objects.update(imessage_enabled=False)
    form = {"confirmed": "1", "of": "message", "rule": "allow"}
    response = as_alice.post(page_of(held) + "release/", form, HTTP_HX_REQUEST="true")
    assert response.status_code == 422
    assert b"Switch it on first" in response.content


def test_a_stranger_undoes_nothing(as_alice: Client, as_charlie: Client, held: Message) -> None:
    as_alice.post(page_of(held) + "release/", {"confirmed": "1"})
    assert as_charlie.post(f"{LIST}releases/{Release.objects.get().id}/undo/").status_code == 404
    assert Release.objects.get().state == "held"


# --- Many at once


def test_a_row_of_bulk_work_is_reviewed_or_released_without_a_second_hold(held: Message) -> None:
    admin = make.admin_of(held.organization)
    assert DEEDS["review-blocked"].perform(admin, held, {}) == "reviewed"
    assert DEEDS["release-blocked"].perform(admin, held, {"rule": "allow"}) == "released, sender allowed"
    assert settle(held.conversation_id) == 1
    assert not ContactRule.objects.exists()


def test_bulk_work_says_whom_it_touches_without_numbers(held: Message) -> None:
    deed = DEEDS["release-blocked"]
    told = deed.preview(make.operator(), Message.objects.blocked(), {})  # type: ignore[misc]
    assert told[0] == "They go to the agents of 1 thread, in each thread's order."


def test_the_two_lists_share_an_address() -> None:
    assert BLOCKED.url == SENDERS.url == LIST
