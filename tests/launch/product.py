"""Starts the product as a stranger would, with `bin/run`, on a free port and a data folder of its own."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cordboard import postgres

CHECKOUT = Path(__file__).resolve().parents[2]
RUN = CHECKOUT / "bin" / "run"
READY_WITHIN = 90


@dataclass
class Product:
    """A running `bin/run`."""

    process: subprocess.Popen[bytes]
    data: Path
    log: Path

    @property
    def told(self) -> str:
        return self.log.read_text()

    @property
    def state(self) -> dict[str, Any]:
        return json.loads((self.data / "run.json").read_text())

    def get(self, path: str, timeout: float = 10) -> int:
        """The status of a page, asked of this machine's port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.state["port"], timeout=timeout)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def manage(self, *arguments: str) -> str:
        command = [CHECKOUT / ".venv" / "bin" / "python", CHECKOUT / "manage.py", *arguments, "--data", self.data]
        return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=True).stdout

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def clean_environment() -> dict[str, str]:
    """Nothing of the tests' own settings: what a fresh login shell would have."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


@contextlib.contextmanager
def running(data: Path, *options: str) -> Iterator[Product]:
    """The product, ready; stopped at the end if it still runs."""
    log = data.with_name(f"{data.name}.out")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [RUN, "--port=0", f"--data={data}", *options], env=clean_environment(), cwd="/", stdout=out, stderr=out
        )
    product = Product(process, data, log)
    try:
        assert waited(lambda: "is ready" in product.told or process.poll() is not None, READY_WITHIN), product.told
        assert process.poll() is None, product.told
        yield product
    finally:
        if process.poll() is None:
            product.stop()
        # Where a killed supervisor would have left it.
        postgres.stop(data)


def run_in_vain(data: Path, *options: str) -> tuple[int, str]:
    """Exit code and last words of a start that is refused."""
    command = [RUN, f"--data={data}", *options]
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, cwd="/", timeout=READY_WITHIN
    )
    return done.returncode, done.stderr.strip()


def waited(happened: Callable[[], bool], within: float) -> bool:
    """Whether it happened in time."""
    deadline = time.monotonic() + within
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.05)
    return happened()


def processes_naming(text: str) -> list[str]:
    """Command lines of living processes that were started for this folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            about = file.read_bytes() + file.with_name("cmdline").read_bytes()
            if text.encode() in about and int(file.parent.name) != os.getpid():
                found.append(file.with_name("cmdline").read_text().replace("\0", " "))
    return found
