"""`bin/run` as a stranger meets it: a clean environment, a new data folder, real processes."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cordboard import postgres
from tests.installation import CHECKOUT, Installation, waited


@pytest.fixture(scope="module")
def product() -> Iterator[Installation]:
    with Installation() as started:
        yield started


def get(product: Installation, path: str, timeout: float = 10) -> int:
    """The status of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def run_in_vain(data: Path, port: int = 0) -> tuple[int, str]:
    """Exit code and last words of a start that is refused."""
    command = [CHECKOUT / "bin" / "run", f"--data={data}", f"--port={port}"]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr.strip()


def server_of(product: Installation) -> int:
    """Process id of the private PostgreSQL; 0 while there is none."""
    return postgres._postmaster(postgres._locate(product.data)) or 0


def processes_of(product: Installation) -> list[str]:
    """Command lines of living processes that were started for its data folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            line = file.with_name("cmdline").read_bytes()
            if str(product.data).encode() in file.read_bytes() + line and int(file.parent.name) != os.getpid():
                found.append(line.decode().replace("\0", " "))
    return found


def test_it_ends_with_what_a_stranger_needs(product: Installation) -> None:
    password = (product.data / "operator.password").read_text().strip()
    for needed in (
        f"{product.state['base_url']}/console/",
        "operator@example.com",
        password,
        "+15555550100",
        " phone ",
    ):
        assert needed in product.told


def test_it_is_alive_and_ready(product: Installation) -> None:
    assert [get(product, "/livez"), get(product, "/readyz")] == [200, 200]


def test_secrets_are_readable_by_their_owner_only(product: Installation) -> None:
    names = ["secret_key", "simulator.json", "operator.password", "echo.key", "run.json"]
    assert {name: (product.data / name).stat().st_mode & 0o077 for name in names} == dict.fromkeys(names, 0)


@pytest.mark.parametrize("name", ["web", "worker", "simulator", "echo"])
def test_a_killed_process_is_back(product: Installation, name: str) -> None:
    product.wait_for_restart(name, former=product.kill(name), within=10)


def test_a_request_waits_while_the_web_process_is_down(product: Installation) -> None:
    product.kill("web")
    assert get(product, "/livez") == 200


def test_postgresql_comes_back_and_so_does_readiness(product: Installation) -> None:
    killed = server_of(product)
    product.kill_postgres()
    waited(lambda: server_of(product) not in {0, killed}, within=10)
    waited(product.is_ready, within=20)


def test_readyz_says_no_within_a_second_when_postgresql_is_gone(product: Installation) -> None:
    os.kill(product.state["pid"], signal.SIGSTOP)
    try:
        product.kill_postgres()
        assert get(product, "/readyz", timeout=1) == 503
        assert get(product, "/livez", timeout=1) == 200
    finally:
        os.kill(product.state["pid"], signal.SIGCONT)
    waited(product.is_ready, within=20)


def test_a_second_start_on_the_same_data_is_refused(product: Installation) -> None:
    code, told = run_in_vain(product.data)
    assert (code, told) == (
        1,
        f"Cannot run: Cordboard already runs on the data folder {product.data}; choose another with --data.",
    )


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, told = run_in_vain(tmp_path / "data", port)
    assert (code, told) == (
        1,
        f"Cannot run: port {port} is in use; stop what listens there, or choose another with --port.",
    )


def test_a_data_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, told = run_in_vain(tmp_path / "file" / "data")
    assert (code, told) == (
        1,
        f"Cannot run: the data folder {tmp_path / 'file' / 'data'} cannot be written (Not a directory).",
    )


# --- These end it, so they stand last


def test_sigterm_leaves_no_process_and_a_second_start_keeps_the_data(product: Installation) -> None:
    password = (product.data / "operator.password").read_text()
    product.create_key(label="kept")
    os.kill(product.state["pid"], signal.SIGTERM)
    waited(lambda: product.told.endswith("stopped\n"), within=30)
    waited(lambda: processes_of(product) == [], within=5)
    product.start()
    assert (product.data / "operator.password").read_text() == password
    assert product.sql("SELECT count(*) FROM accounts_apikey WHERE label = 'kept'") == [(1,)]


def test_nothing_but_postgresql_outlives_a_killed_supervisor(product: Installation) -> None:
    os.kill(product.state["pid"], signal.SIGKILL)
    waited(lambda: all("postgres" in line for line in processes_of(product)), within=5)
