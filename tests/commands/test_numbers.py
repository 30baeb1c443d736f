"""The shell's way to organizations' own numbers."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError

from accounts.models import Identity
from lines.models import Line
from tests import make

pytestmark = pytest.mark.django_db

Run = Callable[..., Any]


@pytest.fixture
def free(db: None) -> Line:
    return make.make_line("+16175550101", kind=Line.Kind.DEDICATED)


def test_a_number_goes_from_the_free_ones_to_an_agent_and_back(free: Line, identity: Identity, run: Run) -> None:
    whose = ["--organization", "Acme", "--identity", "helper"]
    assert free.address in run("numbers", "free", "--area-code", "617")
    assert run("numbers", "claim", *whose).split() == [free.address, "imessage", "Acme", "@helper"]
    assert run("numbers", "detach", free.address).split()[-1] == "Acme"
    assert run("numbers", "attach", free.address, *whose).split()[-1] == "@helper"
    assert run("numbers", "release", free.address).split()[-2:] == ["Acme", "(released)"]
    assert run("numbers", "offer", free.address, "--reason", "It has rested.").split()[-1] == "free"


def test_the_list_is_of_one_organization_or_all(free: Line, identity: Identity, run_json: Run) -> None:
    make.make_owned_line(identity, "+16175550102")
    make.make_owned_line(make.make_identity(), "+16175550103")
    assert [row["number"] for row in run_json("numbers")] == ["+16175550102", "+16175550103"]
    assert [row["number"] for row in run_json("numbers", "--organization", "Acme")] == ["+16175550102"]


@pytest.mark.parametrize(
    "command",
    [
        "claim",
        "claim +16175550199 --organization Acme",
        "attach +16175550101 --organization Acme",
        "detach",
        "release +16175550101",
        "offer +16175550101",
    ],
)
def test_what_cannot_be_done_is_said(command: str, free: Line, identity: Identity, run: Run) -> None:
    with pytest.raises(CommandError):
        run("numbers", *command.split())
