"""What is measured: a private cluster with data, and the product on it, started and stopped here."""

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import django

from bench.load import ROOT
from cordboard import postgres
from cordboard.orphans import end_with_parent


class Stage:
    """A context manager; Django in this process works on the stage's database once it was entered."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="cordboard-bench-"))
        # The account of the private PostgreSQL must be able to enter.
        self.home.chmod(0o755)
        self.data = self.home / "data"
        self.port = free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.data.mkdir()
        os.environ.update(
            DJANGO_SETTINGS_MODULE="cordboard.settings",
            CORDBOARD_DATA=str(self.data),
            CORDBOARD_SECRET_KEY=secrets.token_hex(32),
            CORDBOARD_PORT=str(self.port),
            CORDBOARD_LOG_LEVEL="WARNING",
            CORDBOARD_DEVELOPMENT="1",
        )
        os.environ.pop("CORDBOARD_BASE_URL", None)
        try:
            os.environ["DATABASE_URL"] = postgres.ensure_running(self.data)
            django.setup()
            self.manage("migrate", "-v0")
            self.manage("collectstatic", "--noinput", "-v0")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything and delete what was made."""
        for name in list(self._processes):
            self.stop(name)
        with contextlib.suppress(postgres.PostgresError):
            postgres.remove(self.data)
        shutil.rmtree(self.home, ignore_errors=True)

    @cached_property
    def web(self) -> int:
        """The product's web process; its port."""
        return self.serve("web", "cordboard.serve", "--port", str(self.port), port=self.port)

    @cached_property
    def plain(self) -> int:
        """The plain Django baseline on the same database; its port."""
        port = free_port()
        return self.serve("plain", "bench.baselines.plain_django", str(port), port=port)

    def start_worker(self) -> None:
        """One worker, as `bin/run` starts it."""
        self.start("worker", sys.executable, str(ROOT / "manage.py"), "worker")

    def serve(self, name: str, module: str, *arguments: str, port: int) -> int:
        """Start a web process and wait until it answers."""
        self.start(name, sys.executable, "-m", module, *arguments)
        ends = time.monotonic() + 30
        while not _answers(port):
            if time.monotonic() > ends or self._processes[name].poll() is not None:
                raise RuntimeError(f"{name} did not start; {self.log(name)[-2000:]}")
            time.sleep(0.05)
        return port

    def start(self, name: str, *command: str) -> None:
        """Start a process that ends with this one at the latest."""
        with (self.home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - no threads fork beside it
            )

    def stop(self, name: str) -> None:
        """End a process, by force if it takes more than a few seconds."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        """What a process has written."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def manage(self, *arguments: str) -> None:
        """Run a management command."""
        subprocess.run([sys.executable, ROOT / "manage.py", *arguments], cwd=ROOT, check=True)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
