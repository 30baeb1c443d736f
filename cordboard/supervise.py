"""Starts child processes, restarts those that die, and stops them all; knows nothing of what they do.

Each child writes to `<logs>/<name>.log`. A state file names every process id, for people and for tests.
"""

import json
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cordboard.orphans import end_with_parent

logger = logging.getLogger(__name__)

TICK = 0.1
# A child that lived so long died of bad luck and is restarted at once; one that did not waits ever longer.
LIVED_WELL = 10.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
GRACE = 15.0


@dataclass(frozen=True)
class Process:
    """What to run under which name; `fds` are inherited open, such as a listening socket."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    fds: tuple[int, ...] = ()


class StopAskedError(Exception):
    """Somebody asked us to stop while we were waiting for something."""


class SuperviseError(Exception):
    """What was waited for did not come in time, or a one-off command failed; the message is one sentence."""


@dataclass
class _Child:
    process: Process
    popen: subprocess.Popen[bytes]
    started: float
    pause: float = 0.0
    restart_at: float | None = None


class Supervisor:
    """Holds the children. Not for threads: start and stop from the main thread, whose end ends the children.

    `state` is the file that is rewritten on each change; `about` is written into it beside the process ids.
    """

    def __init__(self, *, folder: Path, logs: Path, state: Path, about: Mapping[str, Any]) -> None:
        self._folder = folder
        self._logs = logs
        self._state = state
        self._about = about
        self._children: list[_Child] = []
        self._asked = 0

    def listen_for_signals(self) -> None:
        """SIGTERM and SIGINT raise `StopAskedError` in `wait_until` and `run` and end `watch`; a second one kills."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        # The terminal was closed; under nohup that is to be ignored.
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._ask_to_stop)

    def start(self, process: Process) -> None:
        """Start a child and keep it alive from now on."""
        rotate(self._log_of(process))
        self._children.append(_Child(process, self._spawn(process), time.monotonic()))
        self._write_state()

    def run(self, process: Process) -> str:
        """Run a command to its end while watching the children, and return what it printed.

        Raises `SuperviseError` when it fails, `StopAskedError` when we were asked to stop.
        """
        rotate(self._log_of(process))
        popen = self._spawn(process, stdout=subprocess.PIPE)
        reader = _Reader(popen)
        try:
            self.wait_until(lambda: popen.poll() is not None)
        finally:
            _end(popen)
        if popen.returncode != 0:
            raise SuperviseError(f"{process.name} failed: {self._last_line(process)} ({self._log_of(process)}).")
        return reader.text()

    def wait_until(self, happened: Callable[[], bool], *, within: float = 600.0, what: str = "") -> None:
        """Watch the children until `happened`. Raises `SuperviseError` after `within` seconds, or `StopAskedError`."""
        deadline = time.monotonic() + within
        while not happened():
            if time.monotonic() > deadline:
                raise SuperviseError(f"{what or 'What was waited for'} did not come within {within:.0f} s.")
            self._tick()

    def watch(self) -> None:
        """Keep the children alive until we are asked to stop."""
        while not self._asked:
            self._tick(quiet=True)

    def stop(self) -> None:
        """Stop the children in reverse order: SIGTERM, then SIGKILL after 15 s, or at once if asked twice."""
        asked = self._asked
        for child in reversed(self._children):
            child.popen.terminate()
            deadline = time.monotonic() + GRACE
            while child.popen.poll() is None and time.monotonic() < deadline and self._asked <= max(asked, 1):
                time.sleep(0.02)
            _end(child.popen)
        self._children.clear()
        self._state.unlink(missing_ok=True)

    def _ask_to_stop(self, number: int, frame: object) -> None:
        self._asked += 1

    def _tick(self, *, quiet: bool = False) -> None:
        if self._asked and not quiet:
            raise StopAskedError
        for child in self._children:
            self._look_after(child)
        time.sleep(TICK)

    def _look_after(self, child: _Child) -> None:
        if child.popen.poll() is None:
            return
        now = time.monotonic()
        if child.restart_at is None:
            child.pause = _next_pause(child.pause, lived=now - child.started)
            child.restart_at = now + child.pause
            logger.warning(
                "%s ended (%s), starting it again in %.1f s", child.process.name, _cause(child.popen), child.pause
            )
        if now >= child.restart_at:
            child.popen = self._spawn(child.process)
            child.started, child.restart_at = now, None
            self._write_state()

    def _spawn(self, process: Process, stdout: int | None = None) -> subprocess.Popen[bytes]:
        with self._log_of(process).open("ab") as log:
            return subprocess.Popen(
                process.argv,
                env=process.env,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout or log,
                stderr=log,
                pass_fds=process.fds,
                # Ctrl-C in the terminal is for us; the children are stopped in their order.
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGKILL),  # noqa: PLW1509 - no threads fork beside it
            )

    def _log_of(self, process: Process) -> Path:
        return self._logs / f"{process.name}.log"

    def _last_line(self, process: Process) -> str:
        lines = self._log_of(process).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _write_state(self) -> None:
        pids = {child.process.name: child.popen.pid for child in self._children}
        write_privately(self._state, json.dumps({**self._about, "pid": os.getpid(), "pids": pids}, indent=1) + "\n")


class Watch:
    """Repeats a deed every second in a thread of its own, since it may take long; errors are told once each."""

    def __init__(self, deed: Callable[[], object], *, errors: type[Exception], every: float = 1.0) -> None:
        self._deed = deed
        self._errors = errors
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)

    def start(self) -> None:
        """Begin; the first time is one interval from now."""
        self._thread.start()

    def stop(self) -> None:
        """End, once a deed that is under way is done, or has had its time."""
        self._over.set()
        self._thread.join(GRACE)

    def _repeat(self) -> None:
        told = ""
        while not self._over.wait(self._every):
            try:
                self._deed()
                told = ""
            except self._errors as error:
                if str(error) != told:
                    logger.error("%s", error)
                told = str(error)


class _Reader:
    """Reads a child's output in a thread, so that a full pipe never holds it up."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self._told = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        self._thread.join()
        return self._told.decode(errors="replace")

    def _read(self) -> None:
        if self._popen.stdout:
            with self._popen.stdout as stream:
                self._told = stream.read()


def rotate(log: Path) -> None:
    """Keep the last run's log beside the new one."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))


def write_privately(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    side = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(side, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    side.replace(path)


def _next_pause(pause: float, *, lived: float) -> float:
    if lived >= LIVED_WELL:
        return 0.0
    return min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)


def _cause(popen: subprocess.Popen[bytes]) -> str:
    code = popen.returncode
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _end(popen: subprocess.Popen[bytes]) -> None:
    """Kill the child with all it started, if it is still there."""
    if popen.poll() is None:
        os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()
