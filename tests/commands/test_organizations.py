from collections.abc import Callable
from typing import Any

import pytest
from django.core.management.base import CommandError

from accounts.keys import authenticate
from accounts.models import Identity, Organization

Run = Callable[..., Any]


def test_create_organization_prints_its_id(db: None, run_json: Run) -> None:
    made = run_json("create_organization", "Acme Ltd")
    assert made == {"organization_id": Organization.objects.get().public_id, "name": "Acme Ltd"}


@pytest.mark.parametrize("name", ["ACME", " acme ", "", "x" * 101, "a\x00"])
def test_create_organization_refuses_taken_and_odd_names(organization: Organization, run: Run, name: str) -> None:
    with pytest.raises(CommandError):
        run("create_organization", name)
    assert Organization.objects.count() == 1


@pytest.mark.parametrize("by", ["name", "public_id"])
def test_a_key_is_made_for_an_organization_by_name_or_id(identity: Identity, run_json: Run, by: str) -> None:
    named = getattr(identity.organization, by)
    made = run_json("create_api_key", "--organization", named, "--identity", "@helper", "--label", "bot")
    assert made["api_key"].startswith(made["id"] + ".")


@pytest.mark.parametrize(("dialect", "start"), [("agentphone", "sk_live_"), ("contiguity", "contiguity_sk_")])
def test_a_key_is_printed_in_the_form_that_a_dialect_demands(
    organization: Organization, run_json: Run, dialect: str, start: str
) -> None:
    made = run_json("create_api_key", "--organization", "Acme", "--label", "bot", "--dialect", dialect)
    assert made["api_key"].startswith(start + made["id"] + ".")
    assert authenticate(made["api_key"]).id == made["id"]


@pytest.mark.parametrize(
    ("organization_name", "handle", "sentence"),
    [
        ("Nobody", "helper", "There is no organization 'Nobody'."),
        ("Acme", "nobody", "Acme has no identity @nobody."),
        ("Acme", "stranger", "Acme has no identity @stranger."),
        ("Acme", "not a handle", "A handle is 1 to 63"),
    ],
)
def test_what_is_not_there_is_said(
    identity: Identity, charlies_identity: Identity, run: Run, organization_name: str, handle: str, sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        run("create_api_key", "--organization", organization_name, "--identity", handle, "--label", "x")
