"""The private PostgreSQL: started by many at once, killed, moved about; its rows are always there."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cordboard import postgres
from cordboard.supervise import Watch

STARTED_APART = """
import sys, pathlib
from cordboard import postgres
print(postgres.ensure_running(pathlib.Path(sys.argv[1]), fsync=False, die_with_parent=len(sys.argv) > 2), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    postgres.remove(folder)


def started_apart(data: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", STARTED_APART, str(data), *more]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def server_process(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    assert row is not None
    return int(row[0].split()[0])


def family(process: int) -> list[int]:
    """The process and its children."""
    found = [process]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
        if parent == process:
            found.append(int(stat.parent.name))
    return found


def wait_until_gone(process: int) -> bool:
    deadline = time.monotonic() + 5
    while postgres._is_postgres(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not postgres._is_postgres(process)


def test_it_starts_with_a_database_in_utf8_and_without_a_network_port(data: Path) -> None:
    with psycopg.connect(postgres.ensure_running(data, fsync=False)) as connection:
        row = connection.execute(
            "SELECT current_database(), current_setting('server_encoding'), current_setting('listen_addresses'),"
            " upper('é'), current_setting('max_connections')"
        ).fetchone()
    assert row == ("cordboard", "UTF8", "", "É", "200")


def test_only_the_owner_and_root_can_enter_the_folder_of_its_socket(data: Path) -> None:
    postgres.ensure_running(data, fsync=False)
    assert postgres._locate(data).socket_folder.stat().st_mode & 0o777 == 0o700


def test_the_url_is_known_before_the_server_runs(data: Path) -> None:
    assert postgres.url(data) == postgres.ensure_running(data, fsync=False)


def test_a_second_start_is_instant_and_starts_nothing(data: Path) -> None:
    first = server_process(postgres.ensure_running(data, fsync=False))
    began = time.monotonic()
    second = postgres.ensure_running(data, fsync=False)
    assert time.monotonic() - began < 0.2
    assert server_process(second) == first


def test_six_processes_that_start_it_at_once_share_one_server(data: Path) -> None:
    starters = [started_apart(data) for _ in range(6)]
    urls = {starter.stdout.readline().strip() for starter in starters if starter.stdout}
    for starter in starters:
        starter.communicate()
    assert urls == {postgres.url(data)}
    assert postgres.status(data) == "running"


def test_a_killed_server_is_back_with_its_rows(data: Path) -> None:
    url = postgres.ensure_running(data)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    for process in family(server_process(url)):
        with contextlib.suppress(ProcessLookupError):  # one of its processes may have ended by itself just now
            os.kill(process, signal.SIGKILL)
    with psycopg.connect(postgres.ensure_running(data)) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


def test_a_server_whose_postmaster_alone_was_killed_is_back(data: Path) -> None:
    url = postgres.ensure_running(data, fsync=False)
    with psycopg.connect(url) as open_all_the_time:
        os.kill(server_process(url), signal.SIGKILL)
        server_process(postgres.ensure_running(data, fsync=False))
        with pytest.raises(psycopg.OperationalError):
            open_all_the_time.execute("SELECT 1")


def test_a_watch_brings_it_back_by_itself(data: Path) -> None:
    url = postgres.ensure_running(data, fsync=False)
    watch = Watch(lambda: postgres.ensure_running(data, fsync=False), errors=postgres.PostgresError, every=0.1)
    watch.start()
    os.kill(server_process(url), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while postgres.status(data) != "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    watch.stop()
    assert postgres.status(data) == "running"


def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 30) / "with space, comma and 'quote'"
    try:
        with psycopg.connect(postgres.ensure_running(data, fsync=False)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        postgres.remove(data)


def test_it_ends_with_its_parent_when_asked_to(data: Path) -> None:
    parent = started_apart(data, "die with parent")
    assert parent.stdout
    server = server_process(parent.stdout.readline().strip())
    parent.kill()
    parent.communicate()
    assert wait_until_gone(server)


def test_it_outlives_its_parent_otherwise(data: Path) -> None:
    parent = started_apart(data)
    assert parent.stdout
    parent.stdout.readline()
    parent.kill()
    parent.communicate()
    assert postgres.status(data) == "running"


def test_stopping_twice_says_so(data: Path) -> None:
    postgres.ensure_running(data, fsync=False)
    assert [postgres.stop(data), postgres.stop(data), postgres.status(data)] == [True, False, "stopped"]


def test_a_pid_file_that_names_another_program_is_not_believed(data: Path) -> None:
    postgres.ensure_running(data, fsync=False)
    postgres.stop(data)
    (postgres._locate(data).folder / "postmaster.pid").write_text(f"{os.getppid()}\n")
    postgres.ensure_running(data, fsync=False)
    assert postgres.status(data) == "running"


def test_data_of_another_version_is_refused_in_a_sentence(data: Path) -> None:
    postgres.ensure_running(data, fsync=False)
    postgres.stop(data)
    (postgres._locate(data).folder / "PG_VERSION").write_text("9\n")
    with pytest.raises(postgres.PostgresError, match="was written by PostgreSQL 9, but the programs"):
        postgres.ensure_running(data, fsync=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root borrows an account and may keep the cluster elsewhere")
def test_a_data_folder_made_anew_does_not_meet_the_rows_of_its_forerunner(data: Path) -> None:
    with psycopg.connect(postgres.ensure_running(data, fsync=False)) as connection:
        connection.execute("CREATE TABLE old ()")
    for file in data.rglob("*"):
        if file.is_file():
            file.unlink()
    with psycopg.connect(postgres.ensure_running(data, fsync=False)) as connection:
        assert connection.execute("SELECT to_regclass('old')").fetchone() == (None,)
    for leftover in postgres.SYSTEM_FOLDER.glob(f"{postgres._digest(data)}.*"):
        subprocess.run(["rm", "-rf", leftover], check=True)
