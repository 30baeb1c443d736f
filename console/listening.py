"""One LISTEN connection per web process: hears of committed events and tells the groups of open pages.

Notifications can be lost and PostgreSQL can die; the events table is the truth, and is read again every two seconds
and after every reconnection.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import OrderedDict, defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import close_old_connections, connection, connections

from console.topics import EVERYONE, OPERATORS, gathered, organization_group, told
from events import feed
from events.feed import MARGIN, FeedItem

logger = logging.getLogger(__name__)

# Seconds between two looks at the table without being told to.
POLL_EVERY = 2.0
# The pause after reading, in which further notifications gather.
BREATH = 0.02
# Signals of one organization within this time (seconds) are told as one.
SIGNALS_EVERY = 0.25
FIRST_WAIT = 0.2
LONGEST_WAIT = 5.0
# More missed events than this are not told one by one: every region re-fetches once.
REPLAY_LIMIT = 500
# A page that was just drawn may have missed a lower number that committed meanwhile; so long are those kept.
RECENT_FOR = 15.0


class Listener:
    """Hears, reads and tells; one per web process, started and stopped by the lifespan."""

    def __init__(self) -> None:
        self.listening = False
        self.last = 0
        self._feed = feed.Reader()
        self._has_begun = False
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._recent: deque[tuple[float, FeedItem]] = deque(maxlen=2 * REPLAY_LIMIT)
        self._signalled: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._task: asyncio.Task[None] | None = None
        self._teller: asyncio.Task[None] | None = None
        self._reader: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Begin to listen in a task of the running loop."""
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="live-reader")
        self._task = asyncio.create_task(self._listen_for_ever())

    async def stop(self) -> None:
        """End the task and close its connections."""
        for task in (self._task, self._teller):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._reader:
            await self._read(connections.close_all)
            self._reader.shutdown()
        self._task = self._teller = self._reader = None
        self.listening = False

    def recent(self) -> list[FeedItem]:
        """Events told of within the last seconds, oldest first."""
        since = time.monotonic() - RECENT_FOR
        return [item for at, item in self._recent if at >= since]

    async def _listen_for_ever(self) -> None:
        wait = FIRST_WAIT
        while True:
            try:
                await self._listen(await self._connect())
            except asyncio.CancelledError:
                raise
            except Exception as lost:  # noqa: BLE001 - the top of this task's loop: nothing may end it
                logger.warning("Lost the live feed, trying again in %.1f s: %s", wait, type(lost).__name__)
            wait = FIRST_WAIT if self.listening else min(wait * 2, LONGEST_WAIT)
            await self._say_whether_listening(False)
            await asyncio.sleep(wait)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(autocommit=True, **_connection_parameters())

    async def _listen(self, listening: psycopg.AsyncConnection[Any]) -> None:
        async with listening:
            await listening.execute(f"LISTEN {feed.CHANNEL}")
            self._feed = feed.Reader()
            if self._has_begun:
                await self._tell_what_is_new()
            else:
                await self._begin_at_the_end()
            await self._say_whether_listening(True)
            while True:
                heard = [
                    json.loads(notify.payload) async for notify in listening.notifies(timeout=POLL_EVERY, stop_after=1)
                ]
                for payload in heard:
                    if "signal" in payload:
                        await self._pass_on(payload["signal"])
                if not heard or any("number" in payload for payload in heard):
                    await self._tell_what_is_new()
                    # The first is told at once; of a crowd the rest is read together.
                    await asyncio.sleep(BREATH)

    async def _begin_at_the_end(self) -> None:
        """Nobody is owed what happened before this process started; pages ask for what they missed."""
        self.last = await self._read(feed.last_number)
        self._note(await self._read(feed.items_since, self.last))
        self._has_begun = True

    async def _tell_what_is_new(self) -> None:
        items = await self._read(self._feed.items_since, self.last)
        if len(items) >= REPLAY_LIMIT + MARGIN:
            await self._begin_at_the_end()
            await _send(EVERYONE, {"type": "feed.reset", "last": self.last})
            return
        new = [item for item in items if item.number not in self._seen]
        # Noted only once told: a channel layer that fails here is told again; sockets drop what they have heard.
        await self._tell(new, last=max([self.last, *(item.number for item in new)]))
        self._note(new)
        self._recent.extend((time.monotonic(), item) for item in new)

    def _note(self, items: list[FeedItem]) -> None:
        for item in items:
            self._seen[item.number] = None
            self.last = max(self.last, item.number)
        while len(self._seen) > 2 * (REPLAY_LIMIT + MARGIN):
            self._seen.popitem(last=False)

    async def _tell(self, items: list[FeedItem], *, last: int) -> None:
        by_group: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for item in items:
            by_group[OPERATORS].append(told(item))
            if item.organization_id:
                by_group[organization_group(item.organization_id)].append(told(item))
        for group, events in by_group.items():
            await _send(group, {"type": "feed.events", "events": events, "last": last})

    async def _pass_on(self, signal: dict[str, Any]) -> None:
        """Hand a signal, which is stored nowhere, to whom it concerns."""
        if signal.get("kind") == "typing":
            told_of = {
                "type": "feed.typing",
                "topics": [f"thread:{signal.get('conversation_id')}"],
                "on": bool(signal.get("on")),
                "by": signal.get("by", "human"),
            }
            await _send(OPERATORS, told_of)
            await _send(organization_group(str(signal.get("organization_id"))), told_of)
        elif signal.get("kind") == "topics":
            # What changes too often to be an event; told by its topics alone.
            self._signalled[str(signal.get("organization_id") or "")].update(dict.fromkeys(signal.get("topics", [])))
            if self._teller is None or self._teller.done():
                self._teller = asyncio.create_task(self._tell_signals_soon())

    async def _tell_signals_soon(self) -> None:
        """Thousands of deliveries in a second are a few words to a page."""
        while self._signalled:
            await asyncio.sleep(SIGNALS_EVERY)
            signalled, self._signalled = self._signalled, defaultdict(dict)
            everything = [topic for topics in signalled.values() for topic in topics]
            try:
                await _send(OPERATORS, {"type": "feed.topics", "topics": gathered(everything)})
                for organization_id, topics in signalled.items():
                    if organization_id:
                        told_of = {"type": "feed.topics", "topics": gathered(topics)}
                        await _send(organization_group(organization_id), told_of)
            except Exception as lost:  # noqa: BLE001 - whatever a channel layer raises; pages ask anew on reconnecting
                logger.warning("Could not tell the sockets of signals: %s", type(lost).__name__)

    async def _say_whether_listening(self, listening: bool) -> None:
        if self.listening == listening:
            return
        self.listening = listening
        try:
            await _send(EVERYONE, {"type": "feed.state", "listening": listening})
        except Exception as lost:  # noqa: BLE001 - whatever a channel layer raises; sockets also hear it with each pong
            logger.warning("Could not tell the sockets whether this process listens: %s", type(lost).__name__)

    async def _read(self, question: Any, *arguments: Any) -> Any:
        """Ask the database in the thread that is kept for it, on a connection that is checked before use."""

        def ask() -> Any:
            close_old_connections()
            return question(*arguments)

        return await sync_to_async(ask, thread_sensitive=False, executor=self._reader)()


async def _send(group: str, message: dict[str, Any]) -> None:
    await get_channel_layer().group_send(group, message)


def _connection_parameters() -> dict[str, Any]:
    """Django's own parameters, without those that only its cursors understand."""
    ours = {"cursor_factory", "context", "prepare_threshold"}
    parameters = {name: value for name, value in connection.get_connection_params().items() if name not in ours}
    return {**parameters, "application_name": "cordboard live"}


listener = Listener()
