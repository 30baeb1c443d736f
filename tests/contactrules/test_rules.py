"""Rules and modes: the verdict table, numbered revisions, who may change them."""

import pytest

from accounts.models import Identity
from contactrules import rules
from contactrules.models import ContactRule, RuleRevision
from core.actor import Role
from core.errors import Forbidden, Invalid
from core.phones import NotE164
from events.models import Event
from tests import make

pytestmark = pytest.mark.django_db

VERDICTS = [
    # mode, rule on the number, its status, allowed, whether the rule decided
    ("blacklist", None, None, True, False),
    ("blacklist", "block", "active", False, True),
    ("blacklist", "block", "paused", True, False),
    ("blacklist", "allow", "active", True, False),
    ("blacklist", "allow", "paused", True, False),
    ("whitelist", None, None, False, False),
    ("whitelist", "block", "active", False, False),
    ("whitelist", "block", "paused", False, False),
    ("whitelist", "allow", "active", True, True),
    ("whitelist", "allow", "paused", False, False),
]


@pytest.mark.parametrize(("mode", "action", "status", "allowed", "by_rule"), VERDICTS)
def test_the_verdict(
    mode: str, action: str | None, status: str | None, allowed: bool, by_rule: bool, identity: Identity
) -> None:
    identity.imessage_filter_mode = mode
    identity.save()
    rule = make.make_rule(identity, action=action, status=status) if action else None
    make.make_rule(identity, make.OTHER_HUMAN, action="allow" if mode == "whitelist" else "block")
    given = rules.verdict(identity, make.HUMAN)
    assert (given.allowed, given.rule_id) == (allowed, rule.id if by_rule and rule else None)
    assert given.mode == mode


def test_another_identity_s_rule_says_nothing(identity: Identity, charlies_identity: Identity) -> None:
    make.make_rule(charlies_identity)
    assert rules.verdict(identity, make.HUMAN).allowed


def test_each_change_is_one_numbered_revision_and_one_event(identity: Identity) -> None:
    admin = make.admin_of(identity.organization)
    rule = rules.create_rule(admin, identity, action="block", match_target=make.HUMAN, reason="rude")
    rules.set_filter_mode(admin, identity, mode="whitelist")
    rules.set_filter_mode(admin, identity, mode="whitelist")
    rules.delete_rule(admin, rule)
    rules.delete_rule(admin, rule)
    identity.refresh_from_db()
    revisions = RuleRevision.objects.order_by("number")
    assert list(revisions.values_list("number", "change", "mode")) == [
        (1, "rule_created", "blacklist"),
        (2, "mode_changed", "whitelist"),
        (3, "rule_deleted", "whitelist"),
    ]
    assert identity.reach_revision == 3
    assert revisions[0].reason == "rude"
    events = Event.objects.filter(type__startswith="reach.").order_by("number")
    assert list(events.values_list("type", flat=True)) == [
        "reach.rule_created",
        "reach.mode_changed",
        "reach.rule_deleted",
    ]


@pytest.mark.parametrize("status", ["active", "paused"])
def test_a_number_has_one_rule(status: str, identity: Identity) -> None:
    rule = make.make_rule(identity, status=status)
    with pytest.raises(rules.DuplicateRule) as refused:
        rules.create_rule(make.operator(), identity, action="allow", match_target=make.HUMAN)
    assert refused.value.fields == {"existing_rule_id": rule.id}
    assert not RuleRevision.objects.exists()


@pytest.mark.parametrize(("action", "target", "error"), [("block", "5555", NotE164), ("mute", make.HUMAN, Invalid)])
def test_a_malformed_rule_is_refused(action: str, target: str, error: type[Exception], identity: Identity) -> None:
    with pytest.raises(error):
        rules.create_rule(make.operator(), identity, action=action, match_target=target)


def test_an_agent_may_add_rules_to_itself_and_do_no_more(identity: Identity, charlies_identity: Identity) -> None:
    agent = make.agent_of(identity)
    rule = rules.create_rule(agent, identity, action="block", match_target=make.HUMAN)
    with pytest.raises(Forbidden):
        rules.create_rule(agent, charlies_identity, action="block", match_target=make.HUMAN)
    with pytest.raises(Forbidden):
        rules.delete_rule(agent, rule)
    with pytest.raises(Forbidden):
        rules.set_filter_mode(agent, identity, mode="whitelist")


def test_a_viewer_changes_nothing(identity: Identity) -> None:
    viewer = make.admin_of(identity.organization, role=Role.VIEWER)
    rule = make.make_rule(identity)
    for deed in (
        lambda: rules.create_rule(viewer, identity, action="block", match_target=make.OTHER_HUMAN),
        lambda: rules.delete_rule(viewer, rule),
        lambda: rules.set_filter_mode(viewer, identity, mode="whitelist"),
    ):
        with pytest.raises(Forbidden):
            deed()
    assert ContactRule.objects.count() == 1


def test_an_unknown_mode_is_refused(identity: Identity) -> None:
    with pytest.raises(Invalid):
        rules.set_filter_mode(make.operator(), identity, mode="greylist")
