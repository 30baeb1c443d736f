"""The phone command on a running network: groups, replies and effects as a shell sees them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from tests import make
from tests.simulator.running import HUMAN, OTHER_HUMAN, Network

pytestmark = pytest.mark.django_db

LINE = "+15555550190"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(Path(tmp_path_factory.mktemp("network")))
    network.control("PUT", f"/lines/{LINE}", {"kind": "dedicated"})
    yield network
    network.kill()


@pytest.fixture
def phone(network: Network, settings: Any, run: Callable[..., str]) -> Callable[..., str]:
    settings.SIMULATOR_URL, settings.SIMULATOR_CONTROL_TOKEN = network.url, "control-token"
    make.make_owned_line(make.make_identity(handle="concierge"), LINE)
    return lambda *argv, number=HUMAN: run("phone", number, *argv)


def test_a_group_is_made_and_read_on_another_phone(phone: Callable[..., str]) -> None:
    made = phone("group", "--with", OTHER_HUMAN, "--name", "Trip", "Where to?")
    assert f"Trip: {HUMAN}, {OTHER_HUMAN} and {LINE}" in made
    phone("text", "The sea!", "--to", "Trip", "--reply-to", "last", "--effect", "slam", number=OTHER_HUMAN)
    phone("tapback", "last", "love", "--to", "Trip")
    lines = phone("inbox", "--to", "Trip", number=OTHER_HUMAN).splitlines()
    assert lines[0].endswith(f"{HUMAN} → Trip  Where to?")
    assert lines[1].endswith(f"↩ {HUMAN}: Where to? |  The sea! (slam) [{HUMAN} love]")


def test_a_group_is_changed_and_left(phone: Callable[..., str]) -> None:
    phone("group", "--with", f"{OTHER_HUMAN},+15555550144", "--name", "Team")
    assert "Crew" in phone("group", "--to", "Team", "--remove", OTHER_HUMAN, "--name", "Crew")
    phone("group", "--to", "Crew", "--leave")
    with pytest.raises(CommandError, match="not connected to @crew"):
        phone("text", "bye", "--to", "Crew")


def test_an_agents_own_number_needs_no_connection(phone: Callable[..., str]) -> None:
    phone("text", "hello", "--to", "@concierge")
    assert f"{HUMAN} → {LINE}  hello" in phone("inbox", "--to", "@concierge")
