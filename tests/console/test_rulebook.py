"""The rules of all identities and one identity's reach: shown, changed, taken back, refused when outdated."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Identity
from console.models import Job
from console.work.running import run_job
from contactrules import rules
from contactrules.models import ContactRule, RuleRevision
from events.models import Event
from tests import make

pytestmark = pytest.mark.django_db

RULES = "/console/rules/"


def reach(identity: Identity) -> str:
    return reverse("console:reach", args=[identity.handle])


def deed(name: str, rule: ContactRule) -> str:
    return reverse(f"console:{name}_rule", args=[rule.id])


def block(identity: Identity, **more: Any) -> dict[str, Any]:
    return {"identity": identity.handle, "number": "+1 555 555 0123", "action": "block", "direction": "both"} | more


def test_the_list_shows_each_rule_with_its_hits_and_marks(as_alice: Client, identity: Identity) -> None:
    rule = rules.create_rule(make.operator(), identity, action="block", match_target=make.HUMAN, reason="Rude.")
    rules.note_decision(
        identity, make.HUMAN, rules.verdict(identity, make.HUMAN), direction="inbound", subject="message"
    )
    make.make_rule(identity, make.OTHER_HUMAN, action="allow", status="paused")
    page = as_alice.get(RULES).content.decode()
    assert "+1 555-555-0123" in page
    assert "Rude." in page
    assert page.count("redundant</span>") == 1
    assert "paused</span>" in page
    assert str(rule.id) in page


FILTERS = [
    ("?identity=helper", {"block", "allow"}),
    ("?action=allow", {"allow"}),
    ("?redundant=yes", {"allow"}),
    ("?redundant=no", {"block", "stranger"} - {"stranger"}),
    ("?unhit=no", {"block"}),
    ("?unhit=yes", {"allow"}),
    ("?status=paused", {"allow"}),
    ("?direction=inbound", set()),
    ("?q=(555)+555-0124", {"allow"}),
    ("?identity=other", set()),
]


@pytest.mark.parametrize(("query", "shown"), FILTERS)
def test_the_list_is_narrowed(query: str, shown: set[str], as_alice: Client, identity: Identity) -> None:
    blocking = make.make_rule(identity, make.HUMAN)
    allowing = make.make_rule(identity, make.OTHER_HUMAN, action="allow", status="paused")
    rules.note_decision(
        identity, make.HUMAN, rules.verdict(identity, make.HUMAN), direction="inbound", subject="message"
    )
    page = as_alice.get(RULES + query).content.decode()
    named = {"block": blocking, "allow": allowing}
    assert {name for name, rule in named.items() if f"rule-{rule.id}" in page} == shown


def test_a_rule_is_added_from_any_notation_and_taken_back(as_alice: Client, identity: Identity) -> None:
    response = as_alice.post(f"{RULES}add/", block(identity, seen="0", reason="Rude."), follow=True)
    assert "block rule added" in response.content.decode()
    assert ContactRule.objects.get().match_target == make.HUMAN
    change = RuleRevision.objects.get()
    assert change.reason == "Rude."
    as_alice.post(reverse("console:revert_change", args=[change.pk]))
    assert not ContactRule.objects.exists()


@pytest.mark.parametrize(("number", "words"), [("555", "E.164"), (make.OTHER_HUMAN, "already exists")])
def test_a_refused_rule_comes_back_with_what_was_typed(
    number: str, words: str, as_alice: Client, identity: Identity
) -> None:
    existing = make.make_rule(identity, make.OTHER_HUMAN)
    response = as_alice.post(f"{RULES}add/", block(identity, number=number, seen="0", reason="My reason"))
    page = response.content.decode()
    assert response.status_code == 422
    assert words in page
    assert "My reason" in page
    assert (reverse("console:rule", args=[existing.id]) in page) == (words == "already exists")


def test_a_save_is_refused_with_a_diff_when_another_operator_changed_the_set(
    as_alice: Client, identity: Identity
) -> None:
    rules.create_rule(make.operator(), identity, action="block", match_target=make.OTHER_HUMAN)
    response = as_alice.post(f"{RULES}add/", block(identity, seen="0", reason="My reason"))
    page = response.content.decode()
    assert response.status_code == 409
    assert "Nothing was saved" in page
    assert "added a block rule for" in page
    assert "+1 555-555-0124" in page
    assert "My reason" in page
    assert 'name="seen" value="1"' in page
    assert not ContactRule.objects.filter(match_target=make.HUMAN).exists()
    assert as_alice.post(f"{RULES}add/", block(identity, seen="1")).status_code == 302


@pytest.mark.parametrize("htmx", [True, False])
def test_a_deed_on_an_outdated_row_is_refused_with_what_changed(
    htmx: bool, as_alice: Client, identity: Identity
) -> None:
    rule = make.make_rule(identity)
    rules.create_rule(make.operator(), identity, action="block", match_target=make.OTHER_HUMAN)
    headers = {"HX-Request": "true"} if htmx else {}
    response = as_alice.post(deed("pause", rule), {"seen": "0"}, headers=headers)
    assert response.status_code == 409
    assert "added a block rule for" in response.content.decode()
    rule.refresh_from_db()
    assert rule.status == "active"


def test_a_rule_is_paused_resumed_and_deleted_with_undo(as_alice: Client, identity: Identity) -> None:
    rule = make.make_rule(identity)
    as_alice.post(deed("pause", rule), {"seen": "0"})
    rule.refresh_from_db()
    assert rule.status == "paused"
    as_alice.post(deed("resume", rule), {"seen": "1"})
    page = as_alice.post(deed("delete", rule), {"seen": "2"}, headers={"HX-Request": "true"}).content.decode()
    assert not ContactRule.objects.exists()
    change = RuleRevision.objects.latest("id")
    undo = reverse("console:revert_change", args=[change.pk])
    assert undo in page
    as_alice.post(undo, headers={"HX-Request": "true"})
    assert ContactRule.objects.get().pk == rule.pk


def test_the_history_of_one_rule_outlives_it(as_alice: Client, identity: Identity) -> None:
    admin = make.admin_of(identity.organization)
    rule = rules.create_rule(admin, identity, action="block", match_target=make.HUMAN, reason="Rude.")
    rules.update_rule(admin, rule, changes={"action": "allow"})
    rules.delete_rule(admin, rule)
    page = as_alice.get(reverse("console:rule", args=[rule.id])).content.decode()
    for words in ("added a block rule", "turned the block rule into an allow rule", "deleted the allow rule", "Rude."):
        assert words in page
    assert "<del>block</del> <ins>allow</ins>" in page


def test_pasted_lines_are_shown_and_then_added(as_alice: Client, identity: Identity) -> None:
    existing = make.make_rule(identity, make.OTHER_HUMAN)
    form = {
        "identity": identity.handle,
        "action": "block",
        "numbers": f"{make.HUMAN}\n{make.OTHER_HUMAN}\n{make.HUMAN}\nnobody\n",
    }
    page = as_alice.post(f"{RULES}paste/", form).content.decode()
    assert "valid" in page
    assert "duplicate" in page
    assert "invalid" in page
    assert reverse("console:rule", args=[existing.id]) in page
    assert ContactRule.objects.count() == 1
    response = as_alice.post(f"{RULES}paste/", form | {"confirmed": "1", "seen": "0", "reason": "A list."})
    assert response.status_code == 302
    assert set(ContactRule.objects.values_list("match_target", flat=True)) == {make.HUMAN, make.OTHER_HUMAN}


def test_the_reach_is_said_in_a_sentence(as_alice: Client, identity: Identity) -> None:
    make.make_rule(identity)
    assert "Everyone can reach @helper except 1 number." in as_alice.get(reach(identity)).content.decode()
    rules.set_filter_mode(make.operator(), identity, mode="whitelist")
    page = as_alice.get(reach(identity)).content.decode()
    assert "Nobody can reach @helper." in page
    assert "1 rule changes no verdict in the present mode" in page
    rules.set_filter_mode(make.operator(), identity, mode="blacklist", direction="inbound")
    assert "@helper may write to nobody." in as_alice.get(reach(identity)).content.decode()


def test_keys_press_controls_that_can_be_seen(as_alice: Client, identity: Identity) -> None:
    for page in (RULES, reach(identity)):
        drawn = as_alice.get(page).content.decode()
        assert 'data-key="a"' in drawn
        assert 'data-key="w"' in drawn


def test_a_viewer_finds_no_rule_by_digits(as_bob: Client, as_alice: Client, identity: Identity) -> None:
    rule = make.make_rule(identity)
    found = [list(client.get(RULES, {"q": rule.match_target}).context["rows"]) for client in (as_bob, as_alice)]
    assert [len(rows) for rows in found] == [0, 1]


def test_a_viewer_sees_masked_rules_and_changes_none(as_bob: Client, identity: Identity) -> None:
    rule = make.make_rule(identity)
    for address in (RULES, reach(identity), reverse("console:rule", args=[rule.id])):
        page = as_bob.get(address).content.decode()
        assert "555-0123" not in page
        assert "5555550123" not in page
        assert 'data-key="a"' not in page
    assert as_bob.get(f"{RULES}paste/").status_code == 403
    assert as_bob.post(f"{RULES}add/", block(identity, seen="0")).status_code == 403
    for name in ("pause", "delete", "change"):
        assert as_bob.post(deed(name, rule), turned(rule)).status_code == 403
    assert ContactRule.objects.get().status == "active"


def test_a_stranger_finds_nothing(as_charlie: Client, identity: Identity) -> None:
    rule = rules.create_rule(make.operator(), identity, action="block", match_target=make.HUMAN)
    assert f"rule-{rule.id}" not in as_charlie.get(RULES).content.decode()
    change = RuleRevision.objects.get()
    assert as_charlie.get(reach(identity)).status_code == 404
    assert as_charlie.get(reverse("console:rule", args=[rule.id])).status_code == 404
    assert as_charlie.post(f"{RULES}add/", block(identity, seen="0")).status_code == 404
    assert as_charlie.post(reverse("console:revert_change", args=[change.pk])).status_code == 404
    for name in ("pause", "resume", "delete", "change"):
        assert as_charlie.post(deed(name, rule), {"seen": "0"}).status_code == 404
    assert ContactRule.objects.exists()


def test_the_pages_say_that_there_is_nothing(as_alice: Client) -> None:
    assert "No rules yet" in as_alice.get(RULES).content.decode()
    assert "Nothing matches" in as_alice.get(RULES + "?action=allow").content.decode()


def test_the_identity_of_a_new_rule_is_chosen_with_the_revision_it_was_shown_at(
    as_alice: Client, identity: Identity
) -> None:
    rules.create_rule(make.operator(), identity, action="block", match_target=make.OTHER_HUMAN)
    assert 'value="helper:1"' in as_alice.get(RULES).content.decode()
    assert as_alice.post(f"{RULES}add/", block(identity) | {"identity": "helper:0"}).status_code == 409
    assert as_alice.post(f"{RULES}add/", block(identity) | {"identity": "helper:1"}).status_code == 302


def test_the_list_has_a_search_field(as_alice: Client) -> None:
    assert 'id="filter-q"' in as_alice.get(RULES).content.decode()


def test_many_rules_are_paused_and_deleted_by_jobs(as_alice: Client, identity: Identity) -> None:
    made = [make.make_rule(identity, make.HUMAN), make.make_rule(identity, make.OTHER_HUMAN)]
    rules_of_all = {"list": "rules", "query": "", "id": [str(rule.pk) for rule in made]}
    as_alice.post(reverse("console:begin_job"), rules_of_all | {"deed": "pause-rules"})
    run_job(Job.objects.get().pk)
    assert set(ContactRule.objects.values_list("status", flat=True)) == {"paused"}
    revisions = RuleRevision.objects.order_by("number").values_list(
        "number", "rule_id", "before__status", "after__status"
    )
    assert list(revisions) == [(n, rule.pk, "active", "paused") for n, rule in enumerate(made, start=1)]
    assert [event.data["revision"] for event in Event.objects.filter(type="reach.rule_updated")] == [1, 2]
    identity.refresh_from_db()
    assert identity.reach_revision == 2
    asked = as_alice.post(reverse("console:begin_job"), rules_of_all | {"deed": "delete-rules"}).content.decode()
    assert "@helper: 2 rules" in asked
    assert "They decided 0 times in 30 days" in asked
    assert ContactRule.objects.count() == 2


def test_what_is_pasted_can_be_rehearsed_first(as_alice: Client, identity: Identity) -> None:
    form = {"identity": identity.handle, "action": "block", "direction": "inbound", "numbers": make.HUMAN}
    page = as_alice.post(f"{RULES}paste/", form).content.decode()
    assert f'name="block" value="{make.HUMAN}:inbound"' in page


def test_a_rule_s_page_rehearses_what_it_does(as_alice: Client, identity: Identity) -> None:
    rule = make.make_rule(identity)
    page = as_alice.get(reverse("console:rule", args=[rule.id])).content.decode()
    assert f"?scope=@helper&amp;pause={rule.id}" in page
    draft = as_alice.get(f"/console/rehearsals/new/?scope=@helper&change={rule.id}:allow:").content.decode()
    assert "Turn the rule into an allow rule for +1 555-555-0123" in " ".join(draft.split())
    response = as_alice.post(deed("pause", rule), {"seen": "0", "from": "rule"})
    assert response["Location"] == reverse("console:rule", args=[rule.id])


def turned(rule: ContactRule, **more: Any) -> dict[str, Any]:
    return {"action": "allow", "direction": "inbound", "seen": "0", "reason": "A friend."} | more


def test_a_rule_is_turned_round_from_its_page_and_taken_back(as_alice: Client, identity: Identity) -> None:
    rule = make.make_rule(identity)
    page = as_alice.get(reverse("console:rule", args=[rule.id])).content.decode()
    assert f'action="{deed("change", rule)}"' in page
    page = as_alice.post(deed("change", rule), turned(rule), follow=True).content.decode()
    assert "an allow rule, inbound only now. It changes no verdict in the present mode." in page
    rule.refresh_from_db()
    change = RuleRevision.objects.get()
    assert (rule.action, rule.direction, change.reason) == ("allow", "inbound", "A friend.")
    as_alice.post(reverse("console:revert_change", args=[change.pk]))
    rule.refresh_from_db()
    assert (rule.action, rule.direction) == ("block", "both")


def test_a_change_of_a_rule_is_refused_with_a_diff_when_the_set_was_changed_meanwhile(
    as_alice: Client, identity: Identity
) -> None:
    rule = make.make_rule(identity)
    rules.create_rule(make.operator(), identity, action="block", match_target=make.OTHER_HUMAN)
    response = as_alice.post(deed("change", rule), turned(rule))
    page = response.content.decode()
    assert response.status_code == 409
    for words in ("Nothing was saved", "added a block rule for", "A friend.", 'name="seen" value="1"'):
        assert words in page
    assert as_alice.post(deed("change", rule), turned(rule, seen="1")).status_code == 302


def test_a_change_onto_a_side_that_has_its_rule_is_refused_with_that_rule(as_alice: Client, identity: Identity) -> None:
    rule, other = (make.make_rule(identity, direction=side) for side in ("inbound", "outbound"))
    response = as_alice.post(deed("change", rule), turned(rule, direction="both"))
    assert response.status_code == 422
    assert reverse("console:rule", args=[other.id]) in response.content.decode()
    assert as_alice.post(deed("change", rule), turned(rule, action="maybe")).status_code == 422


def test_a_change_that_changes_nothing_offers_no_undo(as_alice: Client, identity: Identity) -> None:
    rule = make.make_rule(identity)
    same = turned(rule, action="block", direction="both")
    assert "is so already" in as_alice.post(deed("change", rule), same, follow=True).content.decode()
    assert not RuleRevision.objects.exists()


def test_a_change_of_a_rule_is_rehearsed_first(as_alice: Client, identity: Identity) -> None:
    rule = make.make_rule(identity)
    draft = as_alice.post(deed("change", rule), turned(rule, rehearse="1"), follow=True).content.decode()
    assert "Turn the rule into an allow rule (inbound only)" in " ".join(draft.split())
    rule.refresh_from_db()
    assert rule.action == "block"
