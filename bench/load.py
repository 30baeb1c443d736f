"""The load client: keep-alive connections that send ready-made requests, from a process of its own.

`python -m bench.load FILE` reads a pickled `Plan` and prints a JSON `Load`. It is lean on purpose: it shares the
machine with what it measures.
"""

import asyncio
import contextlib
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Plan:
    """Requests to send, each once, in order, until they or the seconds run out.

    Closed loop: each of `clients` sends its next request as soon as it has its answer. Open loop: with `rate`,
    requests start at that many a second, whatever became of those before.
    """

    port: int
    requests: list[bytes]
    clients: int
    seconds: float
    rate: float = 0.0


@dataclass(frozen=True)
class Load:
    """What came of a plan: answers with a 2xx status, others, and latencies in milliseconds."""

    good: int
    bad: int
    seconds: float
    p50: float
    p99: float
    first_bad: str = ""

    @property
    def per_second(self) -> float:
        return self.good / self.seconds


def drive(plan: Plan) -> Load:
    """Carry out a plan in a process of its own."""
    with tempfile.NamedTemporaryFile(suffix=".plan") as file:
        pickle.dump(plan, file)
        file.flush()
        done = subprocess.run(
            [sys.executable, "-m", "bench.load", file.name], cwd=ROOT, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(f"The load client failed: {done.stderr[-2000:]}")
    return Load(**json.loads(done.stdout))


class _Connection(asyncio.Protocol):
    """One keep-alive connection; answers must carry a Content-Length or have no body."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed"))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        if self._transport is None:
            self._buffer = b""
            await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        self._answer = loop.create_future()
        self._transport.write(request)  # type: ignore[union-attr]
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        body, self._buffer = self._buffer[end + 4 : end + 4 + length], b""
        if self._answer and not self._answer.done():
            self._answer.set_result((int(head[9:12]), body))


async def _carry_out(plan: Plan) -> Load:
    waiting = deque(plan.requests)
    times: list[float] = []
    bad: list[str] = []
    free = deque(_Connection(plan.port) for _ in range(plan.clients))
    began = time.perf_counter()
    ends = began + plan.seconds

    async def one(connection: _Connection, request: bytes, since: float) -> None:
        try:
            status, body = await connection.ask(request)
        except OSError as failed:
            bad.append(str(failed))
            return
        if 200 <= status < 300:
            times.append(time.perf_counter() - since)
        else:
            bad.append(f"{status} {body[:200].decode(errors='replace')}")

    async def client(connection: _Connection) -> None:
        while waiting and time.perf_counter() < ends:
            await one(connection, waiting.popleft(), time.perf_counter())

    async def planned(number: int) -> None:
        due = began + number / plan.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        connection = free.popleft() if free else _Connection(plan.port)
        # From when it was due: a client that is held up must not look fast.
        await one(connection, waiting.popleft(), due)
        free.append(connection)

    if plan.rate:
        await asyncio.gather(*[planned(number) for number in range(min(len(waiting), int(plan.rate * plan.seconds)))])
    else:
        await asyncio.gather(*[client(connection) for connection in free])
    took = time.perf_counter() - began
    times.sort()
    at = lambda share: round(times[min(len(times) - 1, int(len(times) * share))] * 1000, 2) if times else 0.0  # noqa: E731
    return Load(len(times), len(bad), took, at(0.5), at(0.99), bad[0] if bad else "")


def main() -> None:
    """The process of the load client."""
    plan = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301 - written by `drive` a moment ago
    with contextlib.closing(uvloop.new_event_loop()) as loop:
        print(json.dumps(asdict(loop.run_until_complete(_carry_out(plan)))))


if __name__ == "__main__":
    main()
