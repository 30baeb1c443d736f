"""Rehearsals and shadows on pages: a draft in an address, its result, and the ways it is put in force."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Identity
from console.rehearsing import live_pairs, rehearse
from contactrules import rehearsal, rules, shadow
from contactrules.models import ContactRule, Rehearsal, RuleRevision, Shadow
from contactrules.reach import Draft
from tests import make
from tests.contactrules.test_rehearsal import decide

pytestmark = pytest.mark.django_db

NEW = "/console/rehearsals/new/"
FLIP = {"inbound_mode": "whitelist", "outbound_mode": "whitelist"}


def page_of(one: Rehearsal | Shadow, deed: str = "") -> str:
    name = type(one).__name__.lower()
    return reverse(f"console:{deed}_{name}" if deed else f"console:{name}", args=[one.id])


@pytest.fixture
def flip(identity: Identity) -> Rehearsal:
    """A rehearsed flip of Alice's agent, with two messages of one connected human in its history."""
    make.make_connection(identity)
    decide(identity, make.HUMAN)
    decide(identity, make.HUMAN)
    made = rehearsal.prepare(
        make.operator(),
        organization=identity.organization,
        identity=identity,
        draft=Draft.of_mode("whitelist"),
        since=timezone.now() - timedelta(days=30),
    )
    return rehearsal.run(made, live=live_pairs)


def confirmed(**more: str) -> dict[str, str]:
    return {"confirmed": "1", "typed": "@helper", "reason": "Only friends.", "password": make.PASSWORD} | more


def test_the_draft_is_kept_in_the_address(as_alice: Client, identity: Identity) -> None:
    typed = {"scope": "@helper", "days": "7", "allow_lines": "+1 555 555 0123", "keep": "1"} | FLIP
    response = as_alice.post(NEW, typed)
    assert response.status_code == 302
    page = as_alice.get(response["Location"]).content.decode()
    assert "Set the mode to whitelist, in both directions" in page
    assert 'name="allow" value="+15555550123"' in page
    assert not Rehearsal.objects.exists()


def test_a_draft_is_rehearsed_and_kept(as_alice: Client, identity: Identity) -> None:
    make.make_connection(identity)
    decide(identity, make.HUMAN)
    response = as_alice.post(NEW, {"scope": "@helper", "days": "30"} | FLIP, follow=True)
    page = " ".join(response.content.decode().split())
    assert "<b>1 message</b> from <b>1 person</b> would change from delivered to blocked" in page
    assert "<b>1 live thread</b> would fall silent" in page
    assert "The history is shorter than the period" in page
    assert "+1 555-555-0123" in page
    assert Rehearsal.objects.get().created_by["label"]


def test_the_form_of_one_rule_is_rehearsed_before_it_is_saved(as_alice: Client, identity: Identity) -> None:
    decide(identity, make.HUMAN)
    rule = {"identity": "helper", "seen": "0", "number": "+1 555 555 0123", "action": "block", "direction": "inbound"}
    response = as_alice.post(NEW, rule, follow=True)
    assert "would change from delivered to blocked" in response.content.decode()
    assert rehearsal.counts_of(Rehearsal.objects.get()).messages_to_blocked == 1
    assert not ContactRule.objects.exists()


@pytest.mark.parametrize("draft", [{}, {"inbound_mode": "grey"}, {"allow_lines": "nobody"}, {"days": "0"}])
def test_what_cannot_be_rehearsed_is_said_in_place(draft: dict[str, str], as_alice: Client, identity: Identity) -> None:
    response = as_alice.post(NEW, {"scope": "@helper", "days": "30"} | (FLIP if "days" in draft else {}) | draft)
    assert response.status_code == 422
    assert 'id="draft-error"' in response.content.decode()


def test_a_long_one_is_judged_by_a_job_with_progress(
    as_alice: Client, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "LONG", 0)
    decide(identity, make.HUMAN)
    page = as_alice.post(NEW, {"scope": "@helper", "days": "30"} | FLIP, follow=True).content.decode()
    assert "Judging 1 decisions" in page
    assert 'role="progressbar"' in page
    made = Rehearsal.objects.get()
    rehearse(made.id)
    assert "What would change" in as_alice.get(page_of(made)).content.decode()


def test_the_flip_needs_the_handle_a_reason_and_who_one_is(
    as_alice: Client, flip: Rehearsal, identity: Identity
) -> None:
    asked = as_alice.get(page_of(flip, "apply")).content.decode()
    assert "People who would be cut off" in asked
    assert "Type @helper to confirm" in asked
    for missing in ({"typed": "@other"}, {"reason": ""}, {"password": "wrong"}):
        assert as_alice.post(page_of(flip, "apply"), confirmed(**missing)).status_code == 422
    identity.refresh_from_db()
    assert identity.imessage_filter_mode == "blacklist"


def test_after_the_flip_the_page_says_what_became_redundant(
    as_alice: Client, flip: Rehearsal, identity: Identity
) -> None:
    make.make_rule(identity, make.OTHER_HUMAN)
    page = as_alice.post(page_of(flip, "apply"), confirmed(), follow=True).content.decode()
    assert "The change is in force. 1 rule changes no verdict in the present mode." in page
    assert "applied" in page
    identity.refresh_from_db()
    assert identity.imessage_filter_mode == "whitelist"
    assert RuleRevision.objects.get().rehearsal_id == flip.id


def test_a_flip_that_was_rehearsed_on_other_rules_is_refused(
    as_alice: Client, flip: Rehearsal, identity: Identity
) -> None:
    rules.create_rule(make.operator(), identity, action="allow", match_target=make.HUMAN)
    response = as_alice.post(page_of(flip, "apply"), confirmed())
    assert response.status_code == 422
    assert "rehearse it again" in response.content.decode()
    assert "The rules were changed after this was rehearsed" in as_alice.get(page_of(flip)).content.decode()


def test_chosen_people_are_allowed_now_or_in_the_draft(as_alice: Client, flip: Rehearsal) -> None:
    address = reverse("console:allow_people", args=[flip.id])
    assert as_alice.post(address, {"how": "now"}).status_code == 422
    again = as_alice.post(address, {"how": "draft", "person": "1"})
    assert "allow=%2B15555550123" in again["Location"]
    as_alice.post(address, {"how": "now", "person": "1"})
    assert list(ContactRule.objects.values_list("action", "match_target")) == [("allow", make.HUMAN)]


def test_a_rehearsal_is_discarded_and_stays_readable(as_alice: Client, flip: Rehearsal) -> None:
    as_alice.post(page_of(flip, "discard"))
    page = as_alice.get(page_of(flip)).content.decode()
    assert "discarded" in page
    assert 'id="apply"' not in page
    assert as_alice.get(page_of(flip, "apply")).status_code == 409


def test_a_rehearsal_becomes_a_shadow_that_is_promoted(as_alice: Client, flip: Rehearsal, identity: Identity) -> None:
    as_alice.post(page_of(flip, "shadow"), {"days": "7"})
    running = Shadow.objects.get()
    decide(identity, make.HUMAN)
    shadow.judge_new(running)
    page = as_alice.get(page_of(running)).content.decode()
    assert "days left" in page
    assert "cut off" in page
    assert "No new person for" in page
    as_alice.post(reverse("console:allow_in_shadow", args=[running.id]), {"person": make.HUMAN})
    assert "settled by the rules of now" in as_alice.get(page_of(running)).content.decode()
    identity.refresh_from_db()
    assert identity.imessage_filter_mode == "blacklist"
    seen = str(identity.reach_revision)
    assert as_alice.post(page_of(running, "promote"), confirmed(seen=seen, password="wrong")).status_code == 422
    assert as_alice.post(page_of(running, "promote"), confirmed(seen=seen)).status_code == 302
    identity.refresh_from_db()
    assert identity.imessage_filter_mode == "whitelist"
    assert rules.verdict(identity, make.HUMAN).allowed


def test_a_shadow_is_stopped(as_alice: Client, flip: Rehearsal, identity: Identity) -> None:
    as_alice.post(page_of(flip, "shadow"), {"days": "7"})
    running = Shadow.objects.get()
    as_alice.post(page_of(running, "stop"))
    assert "No verdict was changed by it." in as_alice.get(page_of(running)).content.decode()
    assert as_alice.get(page_of(running, "promote")).status_code == 409


@pytest.fixture
def running(identity: Identity) -> Shadow:
    lasting = timedelta(days=7)
    return shadow.start_shadow(make.operator(), identity, draft=Draft.of_mode("whitelist"), lasting=lasting)


def deeds(flip: Rehearsal, running: Shadow) -> list[tuple[str, dict[str, Any]]]:
    return [
        (NEW, {"scope": "@helper", "days": "30"} | FLIP),
        (page_of(flip, "apply"), confirmed()),
        (page_of(flip, "discard"), {}),
        (page_of(flip, "shadow"), {"days": "7"}),
        (reverse("console:allow_people", args=[flip.id]), {"how": "now", "person": "1"}),
        (page_of(running, "stop"), {}),
        (page_of(running, "promote"), confirmed()),
        (reverse("console:allow_in_shadow", args=[running.id]), {"person": make.HUMAN}),
    ]


def test_a_viewer_reads_masked_results_and_does_nothing(as_bob: Client, flip: Rehearsal, running: Shadow) -> None:
    for address in (page_of(flip), page_of(running), "/console/rehearsals/", "/console/shadows/"):
        page = as_bob.get(address).content.decode()
        assert "555-0123" not in page
        assert "5555550123" not in page
    assert [as_bob.post(address, form).status_code for address, form in deeds(flip, running)] == [403] * 8
    assert not ContactRule.objects.exists()


def test_a_stranger_finds_no_rehearsal_and_no_shadow(as_charlie: Client, flip: Rehearsal, running: Shadow) -> None:
    assert as_charlie.get(page_of(flip)).status_code == as_charlie.get(page_of(running)).status_code == 404
    assert [as_charlie.post(address, form).status_code for address, form in deeds(flip, running)] == [404] * 8
    for address in ("/console/rehearsals/", "/console/shadows/"):
        assert "@helper" not in as_charlie.get(address).content.decode()
