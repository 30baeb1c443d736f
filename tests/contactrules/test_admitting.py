"""One number let through or shut out, whatever rules name it; and back again."""

from itertools import product

import pytest

from accounts.models import Identity
from contactrules.admitting import let_through, put_back, shut_out
from contactrules.models import ContactRule, RuleRevision
from contactrules.rules import verdict
from core.actor import Role
from core.errors import Forbidden
from tests import make

pytestmark = pytest.mark.django_db

BEFORE = [
    [],
    [("block", "active", "both")],
    [("block", "paused", "both")],
    [("allow", "active", "both")],
    [("allow", "paused", "inbound")],
    [("block", "active", "inbound"), ("allow", "active", "outbound")],
    [("block", "active", "inbound"), ("block", "active", "outbound")],
]
MODES = [("blacklist", ""), ("whitelist", ""), ("blacklist", "whitelist"), ("whitelist", "blacklist")]


def with_rules(identity: Identity, modes: tuple[str, str], rules: list[tuple[str, str, str]]) -> Identity:
    identity.imessage_filter_mode, identity.imessage_outbound_filter_mode = modes
    identity.save()
    for action, status, direction in rules:
        make.make_rule(identity, action=action, status=status, direction=direction)
    return identity


def rules_of(identity: Identity) -> set[tuple[str, str, str]]:
    return set(ContactRule.objects.filter(identity=identity).values_list("action", "status", "direction"))


def reaches(identity: Identity) -> tuple[bool, bool]:
    identity.refresh_from_db()
    return tuple(verdict(identity, make.HUMAN, direction=side).allowed for side in ("inbound", "outbound"))


@pytest.mark.parametrize(("modes", "rules"), list(product(MODES, BEFORE)))
def test_who_is_let_through_is_reachable_both_ways_and_it_can_be_undone(
    identity: Identity, modes: tuple[str, str], rules: list[tuple[str, str, str]]
) -> None:
    admin = make.admin_of(with_rules(identity, modes, rules).organization)
    former = let_through(admin, identity, make.HUMAN)
    assert reaches(identity) == (True, True)
    put_back(admin, identity, make.HUMAN, former=former)
    assert rules_of(identity) == set(rules)


@pytest.mark.parametrize(("modes", "rules"), list(product(MODES, BEFORE)))
def test_who_is_shut_out_has_one_rule_in_any_mode_and_it_can_be_undone(
    identity: Identity, modes: tuple[str, str], rules: list[tuple[str, str, str]]
) -> None:
    admin = make.admin_of(with_rules(identity, modes, rules).organization)
    former = shut_out(admin, identity, make.HUMAN)
    assert rules_of(identity) == {("block", "active", "both")}
    assert reaches(identity) == (False, False) or "whitelist" in modes
    put_back(admin, identity, make.HUMAN, former=former)
    assert rules_of(identity) == set(rules)


def test_nothing_to_change_makes_no_revision(identity: Identity) -> None:
    let_through(make.admin_of(identity.organization), identity, make.HUMAN)
    assert not RuleRevision.objects.exists()


@pytest.mark.parametrize("deed", [let_through, shut_out])
def test_only_an_admin_may(identity: Identity, deed: object) -> None:
    with pytest.raises(Forbidden):
        deed(make.admin_of(identity.organization, role=Role.VIEWER), identity, make.HUMAN)
    assert not ContactRule.objects.exists()
