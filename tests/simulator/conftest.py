"""A running network with two lines, and a receiver registered for its callbacks."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.running import LINE, OTHER_LINE, SECRET, Network, Receiver


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path / "network")
    for line in (LINE, OTHER_LINE):
        assert network.control("PUT", f"/lines/{line}", {"kind": "pool"}).status_code == 200
    yield network
    network.process.send_signal(signal.SIGKILL)
    network.http.close()
    _, complaints = network.process.communicate(timeout=10)
    assert "Traceback" not in complaints, complaints


@pytest.fixture
def receiver(network: Network) -> Iterator[Receiver]:
    receiver = Receiver()
    registered = network.v1("PUT", "/callback", {"url": receiver.url, "secret": SECRET})
    assert registered.status_code == 200
    yield receiver
    receiver.close()
