"""Changes of a reach: refused when somebody else was quicker, undone by another change, told with their hits."""

import pytest

from accounts.models import Identity
from contactrules import rules
from contactrules.changes import NothingToRevert, changes_since, hits_of, reasons_of, revert, rulesets_at
from contactrules.models import ContactRule, RuleRevision
from contactrules.reach import Face
from core.actor import Actor
from core.errors import Forbidden
from tests import make
from tests.contactrules.test_rehearsal import decide

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(identity: Identity) -> Actor:
    return make.admin_of(identity.organization)


def last() -> RuleRevision:
    return RuleRevision.objects.select_related("identity").latest("id")


def test_a_change_is_refused_when_another_operator_changed_the_set_meanwhile(identity: Identity, admin: Actor) -> None:
    rules.create_rule(make.operator(), identity, action="block", match_target=make.HUMAN)
    with pytest.raises(rules.ReachChanged) as refused:
        rules.create_rule(admin, identity, action="block", match_target=make.OTHER_HUMAN, seen=0)
    assert refused.value.fields == {"seen": 0, "revision": 1}
    assert [change.after["match_target"] for change in changes_since(admin, identity, 0)] == [make.HUMAN]
    rules.create_rule(admin, identity, action="block", match_target=make.OTHER_HUMAN, seen=1)


def test_one_s_own_changes_do_not_stand_in_the_way(identity: Identity, admin: Actor) -> None:
    rule = rules.create_rule(admin, identity, action="block", match_target=make.HUMAN, seen=0)
    rules.update_rule(admin, rule, changes={"status": "paused"}, seen=0)
    rules.delete_rule(admin, rule, seen=0)


def test_each_kind_of_change_is_reverted_by_another(identity: Identity, admin: Actor) -> None:
    rule = rules.create_rule(admin, identity, action="block", match_target=make.HUMAN)
    rules.update_rule(admin, rule, changes={"status": "paused"})
    revert(admin, last())
    assert ContactRule.objects.get().status == "active"
    rules.delete_rule(admin, rule)
    revert(admin, last())
    assert ContactRule.objects.get().pk == rule.pk
    revert(admin, last())
    assert not ContactRule.objects.exists()
    rules.set_filter_mode(admin, identity, mode="whitelist", direction="outbound")
    revert(admin, last())
    identity.refresh_from_db()
    assert (identity.outbound_filter_mode, identity.reach_revision) == ("blacklist", 8)


def test_what_was_changed_again_is_not_reverted(identity: Identity, admin: Actor) -> None:
    rule = rules.create_rule(admin, identity, action="block", match_target=make.HUMAN)
    created = last()
    rules.update_rule(admin, rule, changes={"status": "paused"})
    with pytest.raises(NothingToRevert):
        revert(admin, created)


def test_an_agent_reverts_nothing(identity: Identity, admin: Actor) -> None:
    rules.create_rule(admin, identity, action="block", match_target=make.HUMAN)
    with pytest.raises(Forbidden):
        revert(make.agent_of(identity), last())


def test_the_whole_set_is_known_at_each_revision(identity: Identity, admin: Actor) -> None:
    rule = rules.create_rule(admin, identity, action="block", match_target=make.HUMAN)
    rules.update_rule(admin, rule, changes={"action": "allow"})
    rules.set_filter_mode(admin, identity, mode="whitelist")
    rules.delete_rule(admin, rule)
    found = rulesets_at(identity, range(5))
    assert {number: (ruleset.inbound_mode, dict(ruleset.rules)) for number, ruleset in found.items()} == {
        0: ("blacklist", {}),
        1: ("blacklist", {rule.id: Face("block", make.HUMAN)}),
        2: ("blacklist", {rule.id: Face("allow", make.HUMAN)}),
        3: ("whitelist", {rule.id: Face("allow", make.HUMAN)}),
        4: ("whitelist", {}),
    }


def test_hits_and_reasons_of_rules(identity: Identity, admin: Actor) -> None:
    rule = rules.create_rule(admin, identity, action="block", match_target=make.HUMAN, reason="rude")
    idle = rules.create_rule(admin, identity, action="block", match_target=make.OTHER_HUMAN)
    rules.update_rule(admin, rule, changes={"direction": "inbound"})
    identity.refresh_from_db()
    hit = [decide(identity, make.HUMAN) for _ in range(2)][-1]
    found = hits_of([rule, idle])
    assert (found[rule.id].count, found[rule.id].last_at) == (2, hit.at)
    assert (found[idle.id].count, found[idle.id].last_at) == (0, None)
    assert reasons_of([rule, idle]) == {rule.id: "rude"}
