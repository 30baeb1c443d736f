"""A whole installation, started by `bin/run` as a stranger would: own data folder, free port, clean environment."""

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import psycopg

from cordboard import postgres
from cordboard.orphans import end_with_parent
from cordboard.run import static_stamp

CHECKOUT = Path(__file__).resolve().parent.parent
PYTHON = CHECKOUT / ".venv" / "bin" / "python"
READY_WITHIN = 150.0
STOPS_WITHIN = 60.0
POLL = 0.05

Found = TypeVar("Found")


class Installation:
    """A running `bin/run`; a context manager. `env` is added to an otherwise empty environment.

    With `prepared` it begins with the empty tables and the static files that were made once for the whole run of tests.
    Everything it leaves behind, the database included, is removed by `stop`.
    """

    def __init__(
        self,
        *,
        web: int = 1,
        workers: int = 1,
        demo: bool = True,
        env: Mapping[str, str] | None = None,
        prepared: bool = False,
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="cordboard-"))
        # The account of the private PostgreSQL must be able to enter.
        self.home.chmod(0o755)
        self.data = self.home / "data"
        self.log = self.home / "run.log"
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        # Lines that had trouble are trusted again within seconds, not minutes; commands, too, may name loopback.
        ours = {"CORDBOARD_LINE_CALM_SECONDS": "2", "CORDBOARD_DEVELOPMENT": "1"}
        self._env = _clean_environment() | ours | dict(env or {})
        self._options = [f"--web={web}", f"--workers={workers}", *([] if demo else ["--no-demo"])]
        self._process: subprocess.Popen[bytes] | None = None
        if prepared:
            _lay_out(self.data)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and wait until it says that it is ready."""
        command = [CHECKOUT / "bin" / "run", f"--port={self.port}", f"--data={self.data}", *self._options]
        with self.log.open("wb") as out:
            self._process = process = subprocess.Popen(
                command,
                env=self._env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - no threads fork beside it
            )
        waited(
            lambda: process.poll() is not None or "is ready." in self.told,
            within=READY_WITHIN,
            what=lambda: f"a ready product; it said: {self.told}",
        )
        assert process.poll() is None, self.told

    def stop(self) -> int | None:
        """Stop it with SIGTERM, wait for its end, and delete what it made; its exit code."""
        code = self._end()
        with contextlib.suppress(postgres.PostgresError):
            postgres.remove(self.data)
        shutil.rmtree(self.home, ignore_errors=True)
        return code

    @property
    def told(self) -> str:
        """What `bin/run` has printed so far."""
        return self.log.read_text(errors="replace")

    @property
    def state(self) -> dict[str, Any]:
        """The content of `run.json`: base_url, port, pid, pids."""
        return dict(json.loads((self.data / "run.json").read_text()))

    @property
    def database_url(self) -> str:
        """For reading counts."""
        return postgres.url(self.data)

    def log_of(self, name: str) -> str:
        """What one of its processes has written."""
        return (self.data / "log" / f"{name}.log").read_text(errors="replace")

    def manage(self, *argv: str) -> str:
        """What a management command prints; a failed one fails the test with what it said."""
        done = self.try_manage(*argv)
        assert done.returncode == 0, f"{argv}: {done.stderr or done.stdout}"
        return done.stdout

    def try_manage(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """A management command's exit code and words, refused or not."""
        command = [PYTHON, CHECKOUT / "manage.py", argv[0], "--data", self.data, *argv[1:]]
        return subprocess.run(command, env=self._env, cwd=self.home, capture_output=True, text=True, timeout=60)

    def phone(self, number: str, *argv: str) -> dict[str, Any]:
        """Be the human with this number: `phone(human, "text", "connect @echo", "--wait", "5")`."""
        return dict(json.loads(self.manage("phone", number, *argv, "--json")))

    def handset(self, method: str, number: str, deed: str, body: Any = None) -> dict[str, Any]:
        """The same over the phone network's control API, without the second that a command takes to start."""
        return self.network(method, f"/control/handsets/{number}/{deed}", body)

    def network(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One call of the phone network's control API (`docs/reference/simulator.md`); must succeed."""
        facts = json.loads((self.data / "simulator.json").read_text())
        headers = {"Authorization": f"Bearer {facts['control_token']}", "Content-Type": "application/json"}
        status, answer = _call(
            int(facts["port"]), method, path, headers, json.dumps(body).encode() if body is not None else b""
        )
        assert 200 <= status < 300, (method, path, status, answer)
        return dict(json.loads(answer))

    def journal(self, type: str) -> list[dict[str, Any]]:
        """The phone network's own record, read from its file: all lines of one type, such as `delivered_to_handset`."""
        # What follows the last line's end is still being written.
        *whole, _ = (self.data / "simulator" / "journal.jsonl").read_text().split("\n")
        return [line for text in whole if (line := json.loads(text))["type"] == type]

    def create_key(self, *, identity: str | None = None, organization: str = "demo", label: str = "test") -> str:
        """A new API key, an admin's unless `identity` names whose it is."""
        bound = ["--identity", identity] if identity else []
        made = self.manage("create_api_key", "--organization", organization, *bound, "--label", label, "--json")
        return str(json.loads(made)["api_key"])

    def kill(self, name: str) -> int:
        """kill -9 a process by its name in `run.json`; the id it had. `wait_for_restart` waits for its successor."""
        pid = int(self.state["pids"][name])
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_postgres(self) -> None:
        """kill -9 every process of the private PostgreSQL at once."""
        folder = self.sql("SHOW data_directory")[0][0]
        postmaster = int((Path(folder) / "postmaster.pid").read_text().split()[0])
        for pid in [postmaster, *_children_of(postmaster)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the database holds; raises `psycopg.Error` while it is away."""
        with psycopg.connect(self.database_url, connect_timeout=3) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def wait_for_restart(self, name: str, *, former: int, within: float = 30.0) -> int:
        """Until the process has another id and the product is ready; the new id."""
        waited(lambda: self.state["pids"][name] != former, within=within, what=f"another {name}")
        waited(self.is_ready, within=within, what="readiness")
        return int(self.state["pids"][name])

    def is_ready(self) -> bool:
        """Whether `/readyz` says so."""
        try:
            return _call(self.port, "GET", "/readyz", {}, b"")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _end(self) -> int | None:
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def waited(
    happened: Callable[[], Found], *, within: float = 15.0, what: str | Callable[[], str] = "what was waited for"
) -> Found:
    """The first true answer of `happened`, asked over and over; fails the test after `within` seconds."""
    deadline = time.monotonic() + within
    while not (found := happened()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Within {within:.0f} s there was not {what if isinstance(what, str) else what()}")
        time.sleep(POLL)
    return found


def forget_prepared() -> None:
    """Delete what prepared installations began with; by the process that ran the tests, at its end."""
    with contextlib.suppress(postgres.PostgresError):
        postgres.remove(_template())
    shutil.rmtree(_template(), ignore_errors=True)


def _template() -> Path:
    """One for a run of tests: the workers of one have the same parent."""
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    return Path(tempfile.gettempdir()) / f"cordboard-prepared-{run}"


def _lay_out(data: Path) -> None:
    """Tables and static files as a first start makes them; where the cluster lies elsewhere it starts from nothing."""
    template = _template()
    template.mkdir(exist_ok=True)
    template.chmod(0o755)
    with (template / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (template / "static.stamp").is_file():
            _prepare(template)
    if (template / "postgres").is_dir():
        data.mkdir()
        made = [template / name for name in ("postgres", "static", "static.stamp")]
        subprocess.run(["cp", "--archive", *made, data], check=True)


def _prepare(template: Path) -> None:
    env = _clean_environment() | {"CORDBOARD_DEVELOPMENT": "1", "CORDBOARD_SECRET_KEY": "only-for-empty-tables"}
    for command in (["migrate"], ["collectstatic", "--clear"]):
        argv = [PYTHON, CHECKOUT / "manage.py", *command, "--verbosity=0", "--no-input", "--data", template]
        subprocess.run(argv, env=env, cwd=template, check=True, timeout=READY_WITHIN)
    postgres.stop(template)
    (template / "static.stamp").write_text(static_stamp())


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _children_of(parent: int) -> list[int]:
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        # One may end between being found and being read.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            stats.append(path.read_text())
    pairs = [(int(stat.split()[0]), int(stat.rpartition(")")[2].split()[1])) for stat in stats]
    return [pid for pid, above in pairs if above == parent]


def _clean_environment() -> dict[str, str]:
    """Nothing of the tests' own settings: what a fresh login shell would have."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def _call(port: int, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
