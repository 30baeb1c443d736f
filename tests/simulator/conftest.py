"""A running network with two lines, and a receiver registered for its callbacks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.running import LINE, OTHER_LINE, SECRET, Network, Receiver


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    yield from running(tmp_path / "network")


@pytest.fixture(scope="module")
def network_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One network for all tests of a module that leave nothing behind: refusals."""
    yield from running(tmp_path_factory.mktemp("network"))


def running(data: Path) -> Iterator[Network]:
    network = Network(data)
    for line in (LINE, OTHER_LINE):
        assert network.control("PUT", f"/lines/{line}", {"kind": "pool"}).status_code == 200
    yield network
    network.kill()
    assert network.process.stderr is not None
    complaints = network.process.stderr.read()
    assert "Traceback" not in complaints, complaints


@pytest.fixture
def receiver(network: Network) -> Iterator[Receiver]:
    receiver = Receiver()
    registered = network.v1("PUT", "/callback", {"url": receiver.url, "secret": SECRET})
    assert registered.status_code == 200
    yield receiver
    receiver.close()
