"""Pasted numbers: read in any notation, judged line by line, added batch by batch."""

import pytest

from accounts.models import Identity
from contactrules import pasting, rules
from contactrules.models import ContactRule
from core.errors import TooLarge
from tests import make

LINES = [
    ("+15555550123", "+15555550123"),
    (" +1 (555) 555-0123 , Ann", "+15555550123"),
    ("001 555 555 0123\tAnn", "+15555550123"),
    ("555 0123", ""),
    ("Ann", ""),
    ("+1", ""),
]


@pytest.mark.parametrize(("line", "number"), LINES)
def test_a_number_is_read_in_any_notation(line: str, number: str) -> None:
    assert pasting.number_in(line) == number


@pytest.mark.django_db
def test_each_line_is_judged(identity: Identity) -> None:
    rule = make.make_rule(identity, make.OTHER_HUMAN)
    text = f"\n{make.HUMAN}\n+1 555 555 0123\n{make.OTHER_HUMAN}\nnobody\n"
    judged = pasting.read_lines(make.operator(), identity, text, action="block", direction="both")
    assert [(line.number, str(line.state), line.rule_id) for line in judged] == [
        (2, "valid", None),
        (3, "duplicate", None),
        (4, "duplicate", rule.id),
        (5, "invalid", None),
    ]
    allowed = pasting.read_lines(make.operator(), identity, make.HUMAN, action="allow", direction="both")
    assert [str(line.state) for line in allowed] == ["redundant"]


@pytest.mark.django_db
def test_numbers_are_added_and_those_that_are_taken_are_named(identity: Identity) -> None:
    admin = make.admin_of(identity.organization)
    make.make_rule(identity, make.OTHER_HUMAN)
    numbers = [make.OTHER_HUMAN, *(f"+1555555{number:04d}" for number in range(300, 450))]
    added, taken = pasting.add_rules(admin, identity, targets=numbers, action="block", direction="both", seen=0)
    assert (len(added), taken) == (150, [make.OTHER_HUMAN])
    identity.refresh_from_db()
    assert (identity.reach_revision, ContactRule.objects.count()) == (150, 151)


@pytest.mark.django_db
def test_nothing_is_added_on_a_set_that_changed(identity: Identity) -> None:
    rules.create_rule(make.operator(), identity, action="block", match_target=make.HUMAN)
    admin = make.admin_of(identity.organization)
    with pytest.raises(rules.ReachChanged):
        pasting.add_rules(admin, identity, targets=[make.OTHER_HUMAN], action="block", direction="both", seen=0)


@pytest.mark.django_db
def test_a_paste_has_an_end(identity: Identity) -> None:
    text = "x\n" * (pasting.MOST_LINES + 1)
    with pytest.raises(TooLarge):
        pasting.read_lines(make.operator(), identity, text, action="block", direction="both")
