"""`bin/run` as a stranger meets it: a clean environment, a new data folder, real processes."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cordboard import postgres
from tests.launch.product import Product, processes_naming, run_in_vain, running, waited

pytestmark = pytest.mark.xdist_group("launch")


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    data = tmp_path_factory.mktemp("launch") / "data"
    with running(data) as started:
        yield started
    postgres.remove(data)


def test_it_ends_with_what_a_stranger_needs(product: Product) -> None:
    password = (product.data / "operator.password").read_text().strip()
    for needed in (
        f"{product.state['base_url']}/console/",
        "operator@example.com",
        password,
        "+15555550100",
        " phone ",
    ):
        assert needed in product.told


def test_it_is_alive_and_ready(product: Product) -> None:
    assert [product.get("/livez"), product.get("/readyz")] == [200, 200]


def test_secrets_are_readable_by_their_owner_only(product: Product) -> None:
    names = ["secret_key", "simulator.json", "operator.password", "echo.key", "run.json"]
    assert {name: (product.data / name).stat().st_mode & 0o077 for name in names} == dict.fromkeys(names, 0)


@pytest.mark.parametrize("name", ["web", "worker", "simulator", "echo"])
def test_a_killed_process_is_back(product: Product, name: str) -> None:
    killed = product.state["pids"][name]
    os.kill(killed, signal.SIGKILL)
    assert waited(lambda: product.state["pids"][name] != killed, 3)
    assert waited(lambda: product.get("/readyz") == 200, 20)


def test_a_request_waits_while_the_web_process_is_down(product: Product) -> None:
    os.kill(product.state["pids"]["web"], signal.SIGKILL)
    assert product.get("/livez") == 200


def test_postgresql_comes_back_and_so_does_readiness(product: Product) -> None:
    cluster = postgres._locate(product.data)
    server = postgres._postmaster(cluster)
    assert server is not None
    os.kill(server, signal.SIGKILL)
    assert waited(lambda: postgres._postmaster(cluster) not in {None, server}, 10)
    assert waited(lambda: product.get("/readyz") == 200, 20)


def test_readyz_says_no_within_a_second_when_postgresql_is_gone(product: Product) -> None:
    server = postgres._postmaster(postgres._locate(product.data))
    assert server is not None
    os.kill(product.process.pid, signal.SIGSTOP)
    try:
        os.kill(server, signal.SIGKILL)
        assert waited(lambda: product.get("/readyz", timeout=1) == 503, 3)
        assert product.get("/livez", timeout=1) == 200
    finally:
        os.kill(product.process.pid, signal.SIGCONT)
    assert waited(lambda: product.get("/readyz") == 200, 20)


def test_a_second_start_on_the_same_data_is_refused(product: Product) -> None:
    code, told = run_in_vain(product.data, "--port=0")
    assert (code, told) == (
        1,
        f"Cannot run: Cordboard already runs on the data folder {product.data}; choose another with --data.",
    )


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, told = run_in_vain(tmp_path / "data", f"--port={port}")
    assert (code, told) == (
        1,
        f"Cannot run: port {port} is in use; stop what listens there, or choose another with --port.",
    )


def test_a_data_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, told = run_in_vain(tmp_path / "file" / "data", "--port=0")
    assert (code, told) == (
        1,
        f"Cannot run: the data folder {tmp_path / 'file' / 'data'} cannot be written (Not a directory).",
    )


def test_sigterm_leaves_no_process_and_a_second_start_keeps_the_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as first:
        made = first.manage("create_api_key", "--organization", "demo", "--label", "kept", "--json")
        assert "api_key" in made
        password = (data / "operator.password").read_text()
        assert first.stop() == 0
        assert first.told.endswith("stopped\n")
        assert waited(lambda: processes_naming(str(data)) == [], 5), processes_naming(str(data))
    with running(data) as second:
        assert (data / "operator.password").read_text() == password
        assert "kept" in second.manage(
            "shell", "-c", "from accounts.models import *; print(ApiKey.objects.values('label'))"
        )
    postgres.remove(data)


def test_nothing_but_postgresql_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "--no-demo") as product:
        product.process.kill()
        product.process.wait()
        assert waited(lambda: all("postgres" in line for line in processes_naming(str(data))), 5)
    postgres.remove(data)
