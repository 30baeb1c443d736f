"""Drafts: what an address holds, and what they make of a set of rules."""

from uuid import UUID

import pytest
from django.http import QueryDict

from contactrules.reach import Draft, Face, RuleSet, is_redundant
from core.errors import Invalid

RULE, OTHER = UUID(int=1), UUID(int=2)
ADDRESSES = [
    "inbound_mode=whitelist&outbound_mode=blacklist",
    "allow=%2B15555550123&block=%2B15555550124%3Ainbound",
    f"pause={RULE}&resume={OTHER}&delete={RULE}&change={OTHER}%3Aallow%3Aoutbound&change={RULE}%3A%3Aboth",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_draft_lives_in_an_address(address: str) -> None:
    draft = Draft.read(QueryDict(address))
    assert draft.query() == address
    assert Draft.thawed(draft.frozen()) == draft


@pytest.mark.parametrize(
    "address", ["inbound_mode=grey", "allow=5550123", "allow=%2B15555550123:up", "pause=x", f"change={RULE}:mute"]
)
def test_what_is_no_draft_is_refused(address: str) -> None:
    with pytest.raises(Invalid):
        Draft.read(QueryDict(address))


STEPS = [
    # the address, the rules it leaves for the number, whether it did anything
    ("allow=%2B15555550123", [Face("block", "+15555550123", direction="inbound")], False),
    ("allow=%2B15555550123:outbound", [Face("block", "+15555550123", direction="inbound")], True),
    (f"pause={RULE}", [Face("block", "+15555550123", "paused", "inbound")], True),
    (f"resume={RULE}", [Face("block", "+15555550123", direction="inbound")], False),
    (f"change={RULE}:allow", [Face("allow", "+15555550123", direction="inbound")], True),
    (f"change={RULE}::both", [Face("block", "+15555550123")], True),
    (f"delete={RULE}", [], True),
    (f"delete={OTHER}", [Face("block", "+15555550123", direction="inbound")], False),
]


@pytest.mark.parametrize(("address", "left", "did"), STEPS)
def test_the_steps_of_a_draft(address: str, left: list[Face], did: bool) -> None:
    before = RuleSet("blacklist", "blacklist", {RULE: Face("block", "+15555550123", direction="inbound")})
    draft = Draft.read(QueryDict(address))
    inbound = [face for face in draft.applied(before).rules.values() if face.direction != "outbound"]
    assert inbound == left
    assert bool(draft.fitting(before)) is did


REDUNDANT = [
    ("allow", "both", "blacklist", "blacklist", True),
    ("allow", "both", "blacklist", "whitelist", False),
    ("allow", "inbound", "blacklist", "whitelist", True),
    ("block", "both", "whitelist", "whitelist", True),
    ("block", "outbound", "whitelist", "blacklist", False),
]


@pytest.mark.parametrize(("action", "direction", "inbound", "outbound", "redundant"), REDUNDANT)
def test_which_rules_are_redundant(action: str, direction: str, inbound: str, outbound: str, redundant: bool) -> None:
    assert is_redundant(action, direction, inbound_mode=inbound, outbound_mode=outbound) is redundant
