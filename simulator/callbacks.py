"""Telling the receiver: every event is signed and posted until it is taken, one after the other in a thread."""

import asyncio
import json
import logging
import random
from collections import deque
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime

import aiohttp
from standardwebhooks import Webhook

from simulator.faults import LineFaults
from simulator.journal import Record
from simulator.memory import Event
from simulator.network import Network

logger = logging.getLogger(__name__)

BACKOFF = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
GIVE_UP_AFTER = 30 * 60.0
POST_TIMEOUT = 10.0
AT_ONCE = 32

ThreadKey = tuple[str, str]


class Callbacks:
    """Posts the network's events. At least once: what was not seen to be taken is posted again after a restart."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._queues: dict[ThreadKey, deque[tuple[int, Event]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._target_set = asyncio.Event()
        self._nudge = asyncio.Event()
        self.attempts = 0

    async def start(self) -> None:
        """Take up what earlier runs left, and everything from now on."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=POST_TIMEOUT),
            connector=aiohttp.TCPConnector(limit=AT_ONCE),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        self._network.tell = self.enqueue
        if self._network.memory.callback is not None:
            self._target_set.set()
        for cursor, event in list(self._network.memory.pending.values()):
            self.enqueue(cursor, event)

    async def stop(self) -> None:
        """Drop all work under way; the journal knows what is still owed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    def target_registered(self) -> None:
        """The receiver says it is there: post now instead of at the end of a pause."""
        self._target_set.set()
        self._nudge.set()
        self._nudge = asyncio.Event()

    def enqueue(self, cursor: int, event: Event) -> None:
        """Post the event, journaled at `cursor`, after those of the same thread, or at once on a reordering line."""
        data = event["data"]
        key = (data["line"], data["group"]["key"] if data.get("group") else data["human"])
        if self._faults(event).value("reorder"):
            self._run(self._deliver(cursor, event))
        elif key in self._queues:
            self._queues[key].append((cursor, event))
        else:
            self._queues[key] = deque([(cursor, event)])
            self._run(self._drain(key))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, key: ThreadKey) -> None:
        queue = self._queues[key]
        while queue:
            await self._deliver(*queue.popleft())
        del self._queues[key]

    async def _deliver(self, cursor: int, event: Event) -> None:
        # What is not on disk did not happen, so nobody may hear of it yet.
        await self._network.journal.settle(cursor)
        faults = self._faults(event)
        if self._network.strikes(event["data"]["line"], "dropped_callback"):
            # Never posted; a poll still finds it.
            self._network.settle_callback(event["id"], taken=False, attempts=0)
            return
        if delay := faults.value("callback_delay"):
            # Not for secrets: the same event waits the same time in every run.
            await asyncio.sleep(random.Random(event["cursor"]).uniform(*delay))  # noqa: S311
        copies = faults.value("callback_copies")
        attempts = await asyncio.gather(*[self._post_until_taken(event) for _ in range(copies)])
        self._network.settle_callback(event["id"], taken=None not in attempts, attempts=sum(a or 0 for a in attempts))

    async def _post_until_taken(self, event: Event) -> int | None:
        """How many posts it took; None when it was given up."""
        loop, first_post = asyncio.get_running_loop(), None
        for attempt, pause in enumerate(pauses(), 1):
            await self._target_set.wait()
            first_post = first_post or loop.time()
            async with self._slots:
                if await self._post(event):
                    return attempt
            if loop.time() - first_post > GIVE_UP_AFTER:
                logger.warning("A callback was given up.", extra={"event": event["id"], "attempts": attempt})
                return None
            await self._pause(pause)
        return None

    async def _post(self, event: Event) -> bool:
        target = self._network.memory.callback
        if target is None:
            return False
        self.attempts += 1
        body = _body(event)
        headers = _signed(event["id"], body, secret=target["secret"])
        try:
            async with self._session.post(
                target["url"], data=body.encode(), headers=headers, allow_redirects=False
            ) as answer:
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return False

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._nudge.wait()
        except TimeoutError:
            return

    def _faults(self, event: Event) -> LineFaults:
        return self._network.memory.line(event["data"]["line"]).faults


def pauses() -> Iterator[float]:
    """Seconds between the posts of one event, without end."""
    yield from BACKOFF
    while True:
        yield BACKOFF[-1]


def _body(event: Event) -> str:
    posted: Record = {name: event[name] for name in ("id", "type", "created_at", "data")}
    return json.dumps(posted, ensure_ascii=False, separators=(",", ":"))


def _signed(event_id: str, body: str, *, secret: str) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(event_id, now, body),
    }
