"""Takes due deliveries out, many at a time: one courier per worker process, at work while there is something to do.

All is asynchronous but the database, which one thread serves; requests that hang cost a socket and nothing else.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import UUID

from django.db import close_old_connections, connections

from webhooks.claiming import PER_ENDPOINT, Claim, Outcome, claim, give_back, settle
from webhooks.posting import post

logger = logging.getLogger(__name__)

DEADLINE = 15.0  # seconds in all for one request, unless the endpoint was given others

# Young requests under way at a time; those older than a second hang and must not take the others' places.
MOST_YOUNG = 128
MOST_IN_ALL = 640
YOUNG_FOR = 1.0

# Without anything to do the queue is looked at so often, and after so long the courier goes home.
LOOK_EVERY = 0.25
STAYS_FOR = 0.5

GATHER_FOR = 0.004

Given = TypeVar("Given")

_database = ThreadPoolExecutor(1, thread_name_prefix="courier")
_at_work: "Courier | None" = None


class Courier:
    """Claims, posts and records until nothing is due; `poke` tells it that something new is."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], tuple[Claim, float]] = {}
        self._back: list[Outcome] = []
        self._made = 0

    def poke(self) -> None:
        """Look at the queue again now; from any thread."""
        self._loop.call_soon_threadsafe(self._news.set)

    @property
    def poked(self) -> bool:
        """Whether there is news that was not looked at."""
        return self._news.is_set()

    async def work(self, *, stay: float = STAYS_FOR) -> int:
        """Deliver what is due until nothing was for `stay` seconds; the number of requests made."""
        idle_since, self._made = time.monotonic(), 0
        try:
            while True:
                self._news.clear()
                await self._record()
                taken = await self._take()
                if taken or self._under_way or self._back:
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since >= stay:
                    return self._made
                if not taken and not self._back:
                    await self._wait()
        finally:
            await asyncio.shield(self._go_home())

    async def _take(self) -> int:
        """Claim as much as there is room for and send each on its way."""
        now = time.monotonic()
        young = sum(now - since < YOUNG_FOR for _, since in self._under_way.values())
        room = min(MOST_YOUNG - young, MOST_IN_ALL - len(self._under_way))
        if room <= 0:
            return 0
        busy = self._busy()
        claims = await _in_database(lambda: claim(most=room, busy=busy))
        for given in claims:
            task = self._loop.create_task(self._carry(given))
            self._under_way[task] = (given, time.monotonic())
        return len(claims)

    def _busy(self) -> list[UUID]:
        """Endpoints with so much under way, or recorded not yet, that they get no more; failing ones get less."""
        under_way = Counter(given.subscription_id for given, _ in self._under_way.values())
        failing = {given.subscription_id for given, _ in self._under_way.values() if given.failing}
        return [key for key, count in under_way.items() if count > (0 if key in failing else PER_ENDPOINT)]

    async def _carry(self, given: Claim) -> None:
        try:
            outcome = await post(given, deadline=given.timeout or DEADLINE)
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._under_way.pop(task, None)
        self._back.append(outcome)
        self._news.set()

    async def _record(self) -> None:
        """Whatever has come back, in one transaction."""
        if self._back:
            outcomes, self._back = self._back, []
            await _in_database(lambda: settle(outcomes))
            self._made += len(outcomes)

    async def _wait(self) -> None:
        """Until news, or until it is time to look by oneself."""
        try:
            await asyncio.wait_for(self._news.wait(), LOOK_EVERY)
        except TimeoutError:
            return
        # Answers come in swarms: a few more in the same transaction cost nothing.
        await asyncio.sleep(GATHER_FOR)

    async def _go_home(self) -> None:
        """Told to stop in the middle: what is recorded is recorded, the rest another worker posts again."""
        for task in list(self._under_way):
            task.cancel()
        if unfinished := [given for given, _ in self._under_way.values()]:
            await _in_database(lambda: give_back(unfinished))
        await self._record()


async def deliver_due(*, stay: float = STAYS_FOR) -> int:
    """Deliver until nothing is due; when this process is at it already, tell it to look again."""
    global _at_work
    if _at_work is not None and not _at_work._loop.is_closed():
        _at_work.poke()
        return 0
    made, courier = 0, Courier()
    while True:
        _at_work = courier
        try:
            made += await courier.work(stay=stay)
        finally:
            _at_work = None
        # A poke may have come while the courier was leaving.
        await asyncio.sleep(0)
        if not courier.poked or _at_work is not None:
            return made


def poke() -> bool:
    """Tell this process's courier, if it is at work, that something new is due; False when there is none."""
    courier = _at_work
    if courier is None:
        return False
    try:
        courier.poke()
    except RuntimeError:  # its loop has just closed
        return False
    return True


def close_connection() -> None:
    """Close the courier's database connection: for whoever takes the database away, as tests do."""
    _database.submit(connections.close_all).result()


async def _in_database(deed: Callable[[], Given]) -> Given:
    return await asyncio.get_running_loop().run_in_executor(_database, _fresh, deed)


def _fresh(deed: Callable[[], Any]) -> Any:
    # A connection that broke is not used again.
    close_old_connections()
    return deed()
