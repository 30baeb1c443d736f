"""`bin/run`: sets up what is missing, starts the whole product on this machine and watches over it until a signal.

Each step is one line with the time it took; a step that cannot be done is one sentence and exit code 1.
"""

import argparse
import contextlib
import errno
import fcntl
import hashlib
import http.client
import json
import logging
import os
import secrets
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cordboard import postgres
from cordboard.supervise import Process, StopAskedError, SuperviseError, Supervisor, Watch, write_privately

CHECKOUT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
ENOUGH_SPACE = 300 * 1024 * 1024
BACKLOG = 2048
READY_WITHIN = 60.0
CLIENT = "inkbox-0.7.20"
EXAMPLE = CHECKOUT / "examples" / "first_agent.py"
# Nobody's number: the phone of whoever tries the product.
HANDSET, FRIEND = "+15555550123", "+15555550142"


class CannotRunError(Exception):
    """The product cannot be started; the message is one sentence for whoever typed the command."""


@dataclass(frozen=True)
class Options:
    """What the command line and the environment ask for."""

    port: int
    data: Path
    demo: bool
    web: int
    workers: int


def main() -> int:
    """Run until SIGTERM or SIGINT; 0 after a clean stop, 1 when the product could not be started."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    options = _options()
    try:
        with _data_folder(options.data), _listening(options.port) as listener:
            _Product(options, listener).run()
    except (CannotRunError, SuperviseError, postgres.PostgresError) as refused:
        print(f"\nCannot run: {refused}", file=sys.stderr, flush=True)
        return 1
    print("stopped", flush=True)
    return 0


class _Product:
    """The processes of one installation, and the steps that start them."""

    def __init__(self, options: Options, listener: socket.socket) -> None:
        self.options = options
        self.data = options.data
        self.listener = listener
        self.port = listener.getsockname()[1]
        self.base_url = (os.environ.get("CORDBOARD_BASE_URL") or f"http://{HOST}:{self.port}").rstrip("/")
        self.simulator = _simulator_facts(self.data)
        self.env = self._environment()
        self.supervisor = Supervisor(
            folder=CHECKOUT,
            logs=self.data / "log",
            state=self.data / "run.json",
            about={"base_url": self.base_url, "port": self.port},
        )

    def run(self) -> None:
        """Start everything in order, then watch; whatever happens, everything is stopped on the way out."""
        self.supervisor.listen_for_signals()
        with contextlib.suppress(StopAskedError), self._postgres(), self._children():
            self._prepare()
            self._start_processes()
            made = self._make_demo()
            echo = self._start_echo()
            print(_summary(self, made, echo=echo), flush=True)
            self.supervisor.watch()

    @contextlib.contextmanager
    def _postgres(self) -> Iterator[None]:
        """The private server, watched, unless the environment names another."""
        if self.env.get("DATABASE_URL") or self.env.get("DATABASE_URL_FILE"):
            yield
            return
        with _step("private PostgreSQL"):
            self.env["DATABASE_URL"] = postgres.ensure_running(self.data)
        watch = Watch(lambda: postgres.ensure_running(self.data), errors=postgres.PostgresError)
        watch.start()
        try:
            yield
        finally:
            watch.stop()
            postgres.stop(self.data)

    @contextlib.contextmanager
    def _children(self) -> Iterator[None]:
        try:
            yield
        finally:
            # The terminal may be gone; the processes must go all the same.
            with contextlib.suppress(OSError):
                print("\nstopping ...", flush=True)
            self.supervisor.stop()

    def _prepare(self) -> None:
        with _step("database tables"):
            self._manage("migrate", "--verbosity=0", "--no-input")
        stamp, wanted = self.data / "static.stamp", static_stamp()
        if not stamp.is_file() or stamp.read_text() != wanted or not (self.data / "static").is_dir():
            with _step("static files"):
                self._manage("collectstatic", "--verbosity=0", "--no-input", "--clear")
                stamp.write_text(wanted)

    def _start_processes(self) -> None:
        with _step("phone network, worker, web"):
            self._start_simulator()
            port = self.listener.fileno()
            for name in _names("web", self.options.web):
                self._start(name, "-m", "cordboard.serve", f"--fd={port}", fds=(port,))
            for name in _names("worker", self.options.workers):
                self._start(name, "manage.py", "worker", f"--slot={name}")
            self.supervisor.wait_until(self._is_ready, within=READY_WITHIN, what=f"{self.base_url}/readyz")

    def _start_simulator(self) -> None:
        arguments = ["-m", "simulator", f"--port={self.simulator['port']}", f"--data={self.data / 'simulator'}"]
        tokens = {
            "SIMULATOR_PROVIDER_TOKEN": self.simulator["provider_token"],
            "SIMULATOR_CONTROL_TOKEN": self.simulator["control_token"],
        }
        self._start("simulator", *arguments, only_env=tokens)

    def _make_demo(self) -> dict[str, Any]:
        if not self.options.demo:
            return {}
        with _step("demo organization"):
            return dict(json.loads(self._manage("quickstart", "--json", "--history")))

    def _start_echo(self) -> bool:
        """The example agent; without its client (no network) everything else still runs."""
        if not self.options.demo:
            return False
        with _step("example agent @echo"):
            client = self._install_client()
            if client is None:
                return False
            key = (self.data / "echo.key").read_text().strip()
            given = {"INKBOX_API_KEY": key, "INKBOX_BASE_URL": self.base_url, "PYTHONPATH": str(client)}
            self._start("echo", str(EXAMPLE), only_env=given)
        return True

    def _install_client(self) -> Path | None:
        folder = CHECKOUT / "var" / "clients" / CLIENT
        if not folder.is_dir():
            side = folder.with_name(f"{CLIENT}.{os.getpid()}")
            locked = CHECKOUT / "requirements" / f"client-{CLIENT}.txt"
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check"]
            try:
                self.supervisor.run(
                    Process("pip", [*pip, "--require-hashes", f"--target={side}", f"--requirement={locked}"], self.env)
                )
                side.rename(folder)
            except SuperviseError as failed:
                print(f"(its client was not installed: {failed}) ", end="")
                return None
            finally:
                shutil.rmtree(side, ignore_errors=True)
        return folder

    def _start(
        self, name: str, *arguments: str, fds: tuple[int, ...] = (), only_env: dict[str, str] | None = None
    ) -> None:
        """With `only_env` the process is a stranger to the installation: it gets none of its secrets."""
        env = self.env if only_env is None else _bare_environment() | only_env
        self.supervisor.start(Process(name, [sys.executable, *arguments], env, fds))

    def _manage(self, command: str, *arguments: str) -> str:
        return self.supervisor.run(Process(command, [sys.executable, "manage.py", command, *arguments], self.env))

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _environment(self) -> dict[str, str]:
        """What the children are given; what the operator has set wins."""
        own = {
            "CORDBOARD_DATA": str(self.data),
            "CORDBOARD_PORT": str(self.port),
            "CORDBOARD_BASE_URL": self.base_url,
            "CORDBOARD_DEVELOPMENT": os.environ.get("CORDBOARD_DEVELOPMENT", "1"),
            "SIMULATOR_URL": self.simulator["url"],
            "SIMULATOR_PROVIDER_TOKEN": self.simulator["provider_token"],
            "SIMULATOR_CONTROL_TOKEN": self.simulator["control_token"],
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": "",
        }
        if not (os.environ.get("CORDBOARD_SECRET_KEY") or os.environ.get("CORDBOARD_SECRET_KEY_FILE")):
            own["CORDBOARD_SECRET_KEY"] = _secret_key(self.data)
        return dict(os.environ) | own


def _bare_environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TZ", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


# --- The data folder


@contextlib.contextmanager
def _data_folder(data: Path) -> Iterator[None]:
    """The folder exists, has room, and is ours alone while we run."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = os.open(data / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as refused:
        raise CannotRunError(f"the data folder {data} cannot be written ({refused.strerror}).") from None
    try:
        _refuse_full_disk(data)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise CannotRunError(f"Cordboard already runs on the data folder {data}; choose another with --data.") from None
    finally:
        os.close(lock)


def _refuse_full_disk(data: Path) -> None:
    free = shutil.disk_usage(data).free
    if free < ENOUGH_SPACE:
        raise CannotRunError(
            f"there is no space left for {data}: {free // 2**20} MB are free, {ENOUGH_SPACE // 2**20} are needed."
        )


def _secret_key(data: Path) -> str:
    path = data / "secret_key"
    if not path.is_file():
        write_privately(path, secrets.token_urlsafe(48) + "\n")
    return path.read_text().strip()


def _simulator_facts(data: Path) -> dict[str, str]:
    """Port and tokens of the simulated phone network; made once, since lines remember where their provider is."""
    path = data / "simulator.json"
    if path.is_file():
        return dict(json.loads(path.read_text()))
    with _listening(0) as probe:
        port = probe.getsockname()[1]
    facts = {
        "url": f"http://{HOST}:{port}",
        "port": str(port),
        "provider_token": secrets.token_urlsafe(32),
        "control_token": secrets.token_urlsafe(32),
    }
    write_privately(path, json.dumps(facts) + "\n")
    return facts


# --- Steps


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """The port is ours for as long as we run: while a web process is down, connections wait in the backlog."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as refused:
            raise CannotRunError(_why_not(port, refused)) from None
        listener.listen(BACKLOG)
        yield listener


def _why_not(port: int, refused: OSError) -> str:
    if refused.errno == errno.EADDRINUSE:
        return f"port {port} is in use; stop what listens there, or choose another with --port."
    return f"port {port} cannot be listened on ({refused.strerror}); choose another with --port."


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    """One line: what is being done, then how long it took."""
    began = time.monotonic()
    print(f"  {name:<28}", end="", flush=True)
    yield
    print(f"{time.monotonic() - began:5.1f} s", flush=True)


def _names(kind: str, count: int) -> list[str]:
    return [kind] if count == 1 else [f"{kind}-{n}" for n in range(1, count + 1)]


def static_stamp() -> str:
    """Changes when a static file of ours or a package that brings some does."""
    facts = [metadata.version("django"), metadata.version("django-allauth")]
    for path in sorted((CHECKOUT / "static").rglob("*")):
        about = path.stat()
        facts.append(f"{path} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


# --- The end of the start


def _summary(product: _Product, made: dict[str, Any], *, echo: bool) -> str:
    data = product.data
    manage = f"{_shown(Path(sys.prefix) / 'bin' / 'python')} {_shown(CHECKOUT / 'manage.py')}"
    where = "" if data == postgres.DEFAULT_DATA else f" --data {_shown(data)}"
    lines = ["", "Cordboard is ready.", "", f"  Console    {product.base_url}/console/"]
    if made:
        lines += [
            f"  Operator   {made['operator']['email']}",
            f"  Password   {(data / 'operator.password').read_text().strip()}",
            f"  Router     {made['router_number']}",
            "",
            "Be a human with a phone, in another terminal:",
            "",
        ]
        who = "echo" if echo else "concierge"
        lines += [
            f'  {manage} phone{where} {HANDSET} text "connect @{who}" --wait 5',
            f'  {manage} phone{where} {HANDSET} text --to @{who} "hello" --wait 5',
            f'  {manage} phone{where} {HANDSET} group --with {FRIEND} --name Trip "Where to?"',
        ]
    else:
        lines += ["", "Make somebody who may sign in:", "", f"  {manage} createsuperuser{where}"]
    return "\n".join([*lines, "", f"Logs are in {_shown(data / 'log')}. Ctrl-C stops everything.", ""])


def _shown(path: Path) -> str:
    """As it can be copied: short where the command was typed in the checkout itself."""
    return shlex.quote(str(path.relative_to(CHECKOUT) if CHECKOUT in path.parents and Path.cwd() == CHECKOUT else path))


# --- The command line


def _options() -> Options:
    env = os.environ.get
    parser = argparse.ArgumentParser(prog="bin/run", description="Set up what is missing, then run Cordboard.")
    parser.add_argument(
        "--port", type=int, default=env("CORDBOARD_PORT", "8000"), help="of the console and the API (default 8000)"
    )
    parser.add_argument(
        "--data", type=Path, default=env("CORDBOARD_DATA") or postgres.DEFAULT_DATA, help="folder (default var)"
    )
    parser.add_argument("--no-demo", action="store_true", help="no demo organization and no example agent")
    parser.add_argument(
        "--web", type=int, default=env("CORDBOARD_WEB_PROCESSES", "1"), metavar="N", help="web processes (default 1)"
    )
    parser.add_argument(
        "--workers", type=int, default=env("CORDBOARD_WORKER_PROCESSES", "1"), metavar="N", help="workers (default 1)"
    )
    given = parser.parse_args()
    if not 0 <= given.port <= 65535:
        parser.error(f"{given.port} is not a port: choose one from 1 to 65535, or 0 for a free one.")
    if given.web < 1 or given.workers < 1:
        parser.error("--web and --workers take a number from 1.")
    return Options(given.port, given.data.resolve(), not given.no_demo, given.web, given.workers)


if __name__ == "__main__":
    sys.exit(main())
