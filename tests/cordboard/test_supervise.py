"""The supervisor: what dies comes back, what is stopped stops in order, nothing outlives it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cordboard import supervise
from cordboard.supervise import Process, SuperviseError, Supervisor

SLEEPER = "import time; time.sleep(60)"
TELLS_ITS_END = """
import pathlib, signal, sys, time
def end(*_):
    with open(sys.argv[1], "a") as file: file.write(sys.argv[2] + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""
SUPERVISES = """
import os, pathlib, sys
from cordboard.supervise import Process, Supervisor
folder = pathlib.Path(sys.argv[1])
supervisor = Supervisor(folder=folder, logs=folder, state=folder / "run.json", about={})
supervisor.listen_for_signals()
supervisor.start(Process("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], dict(os.environ)))
supervisor.watch()
supervisor.stop()
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(folder=tmp_path, logs=tmp_path / "log", state=tmp_path / "run.json", about={"base_url": "here"})
    yield made
    made.stop()


def python(name: str, code: str, *arguments: str) -> Process:
    return Process(name, [sys.executable, "-c", code, *arguments], dict(os.environ))


def state(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def waited(happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happened()


def test_a_killed_child_is_back_within_a_second(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(python("sleeper", SLEEPER))
    first = state(tmp_path)["pids"]["sleeper"]
    os.kill(first, signal.SIGKILL)
    supervisor.wait_until(lambda: state(tmp_path)["pids"]["sleeper"] != first, within=1)


def test_the_state_file_is_private_and_names_the_processes(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(python("sleeper", SLEEPER))
    told = state(tmp_path)
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    assert told == {"base_url": "here", "pid": os.getpid(), "pids": {"sleeper": told["pids"]["sleeper"]}}


@pytest.mark.parametrize(
    ("pause", "lived", "next_pause"),
    [(0.0, 1, 0.5), (0.5, 1, 1.0), (4.0, 1, 8.0), (8.0, 1, 10.0), (10.0, 1, 10.0), (10.0, 11, 0.0)],
)
def test_the_pause_before_a_restart(pause: float, lived: float, next_pause: float) -> None:
    assert supervise._next_pause(pause, lived=lived) == next_pause


def test_children_stop_in_reverse_order(supervisor: Supervisor, tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        supervisor.start(python(name, TELLS_ITS_END, str(tmp_path / "ends"), name))
        supervisor.wait_until(lambda log=tmp_path / "log" / f"{name}.log": "ready" in log.read_text(), within=5)
    supervisor.stop()
    assert (tmp_path / "ends").read_text().split() == ["third", "second", "first"]


def test_a_child_that_will_not_stop_is_killed(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "GRACE", 0.2)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    supervisor.start(python("deaf", deaf))
    supervisor.wait_until(lambda: "deaf" in (tmp_path / "log" / "deaf.log").read_text(), within=5)
    process = state(tmp_path)["pids"]["deaf"]
    supervisor.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    above = subprocess.Popen([sys.executable, "-c", SUPERVISES, str(tmp_path)])
    assert waited((tmp_path / "run.json").exists)
    child = state(tmp_path)["pids"]["sleeper"]
    above.kill()
    above.wait()
    assert waited(lambda: not is_alive(child))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_watch_and_the_children(tmp_path: Path, number: signal.Signals) -> None:
    above = subprocess.Popen([sys.executable, "-c", SUPERVISES, str(tmp_path)])
    assert waited((tmp_path / "run.json").exists)
    child = state(tmp_path)["pids"]["sleeper"]
    above.send_signal(number)
    assert above.wait(timeout=5) == 0
    assert not is_alive(child)
    assert not (tmp_path / "run.json").exists()


def test_a_command_gives_back_what_it_printed(supervisor: Supervisor) -> None:
    assert supervisor.run(python("hello", "print('hello' * 20_000)")) == "hello" * 20_000 + "\n"


def test_a_command_that_fails_is_told_in_a_sentence(supervisor: Supervisor) -> None:
    with pytest.raises(SuperviseError, match=r"migrate failed: no such table \(.*migrate.log\)\."):
        supervisor.run(python("migrate", "import sys; sys.exit('no such table')"))


def test_the_last_runs_log_is_kept_beside_the_new_one(supervisor: Supervisor, tmp_path: Path) -> None:
    for word in ("one", "two"):
        supervisor.run(python("told", f"import sys; sys.stderr.write('{word}')"))
    assert [(tmp_path / "log" / name).read_text() for name in ("told.log.1", "told.log")] == ["one", "two"]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
