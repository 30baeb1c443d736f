"""Contact rules and filter modes from the shell."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management.base import CommandError

from accounts.models import Identity
from contactrules.models import ContactRule, RuleRevision
from tests import make

Run = Callable[..., Any]
OF_HELPER = ("--organization", "Acme", "--identity", "@helper")


def test_rules_are_added_listed_changed_and_removed(identity: Identity, run_json: Run) -> None:
    added = run_json("contact_rules", *OF_HELPER, "add", "block", make.HUMAN, "--reason", "spam")
    assert [(rule["action"], rule["number"], rule["direction"]) for rule in added] == [("block", make.HUMAN, "both")]
    assert RuleRevision.objects.get().reason == "spam"
    assert run_json("contact_rules", *OF_HELPER, "list") == added
    changed = run_json("contact_rules", *OF_HELPER, "change", make.HUMAN, "--action", "allow", "--status", "paused")
    assert [(rule["id"], rule["action"], rule["status"]) for rule in changed] == [(added[0]["id"], "allow", "paused")]
    removed = run_json("contact_rules", *OF_HELPER, "remove", make.HUMAN)
    assert [rule["id"] for rule in removed] == [added[0]["id"]]
    assert not ContactRule.objects.exists()


def test_a_rule_of_one_direction_is_named_by_it(identity: Identity, run_json: Run) -> None:
    for action, direction in (("allow", "inbound"), ("block", "outbound")):
        run_json("contact_rules", *OF_HELPER, "add", action, make.HUMAN, "--direction", direction)
    run_json("contact_rules", *OF_HELPER, "remove", make.HUMAN, "--direction", "outbound")
    assert ContactRule.objects.get().direction == "inbound"


@pytest.mark.parametrize(
    "deed",
    [
        ("add", "block", "5550123"),
        ("add", "block", make.OTHER_HUMAN),
        ("change", make.HUMAN, "--action", "allow"),
        ("change", make.OTHER_HUMAN),
        ("remove", make.HUMAN),
    ],
)
def test_what_cannot_be_done_is_said(identity: Identity, run: Run, deed: tuple[str, ...]) -> None:
    make.make_rule(identity, make.OTHER_HUMAN)
    with pytest.raises(CommandError):
        run("contact_rules", *OF_HELPER, *deed)
    assert ContactRule.objects.get().status == "active"


def test_the_mode_is_shown_and_set(identity: Identity, run_json: Run) -> None:
    before = {"handle": "helper", "inbound": "blacklist", "outbound": "blacklist", "revision": 0}
    assert run_json("filter_mode", *OF_HELPER) == before
    both = run_json("filter_mode", "whitelist", *OF_HELPER)
    assert both == {**before, "inbound": "whitelist", "outbound": "whitelist", "revision": 1}
    outbound = run_json("filter_mode", "blacklist", *OF_HELPER, "--direction", "outbound")
    assert (outbound["inbound"], outbound["outbound"]) == ("whitelist", "blacklist")
