"""What stands behind the open sockets of a process, asked anew every second for all of them in two questions.

Asked, not told: a session or a right that ends by whatever hand, also by one that tells nobody, is found out.
"""

import asyncio
import logging
from typing import Protocol

from channels.db import database_sync_to_async

from accounts.members import Standing, standings

logger = logging.getLogger(__name__)

# Seconds between two looks; a socket must be closed within two of what ends it.
LOOK_EVERY = 1.0


class Watched(Protocol):
    """An open socket, as the watch needs it."""

    session_key: str
    user_id: str
    standing: Standing | None

    async def judge(self) -> None:
        """Look at one's rights and close if they are not what they were."""


class Watch:
    """Looks while there are sockets; one per web process."""

    def __init__(self) -> None:
        self._sockets: set[Watched] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, socket: Watched) -> None:
        """From now on the socket is judged whenever its standing is another than the one it has."""
        self._sockets.add(socket)
        if self._task is None or self._task.done() or self._task.get_loop() is not asyncio.get_running_loop():
            self._task = asyncio.create_task(self._look_for_ever())

    def discard(self, socket: Watched) -> None:
        self._sockets.discard(socket)

    async def _look_for_ever(self) -> None:
        while self._sockets:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._look()
            except Exception as lost:  # noqa: BLE001 - the top of this task's loop; a database that is away closes nothing
                logger.warning("Could not look at the rights of open sockets: %s", type(lost).__name__)

    async def _look(self) -> None:
        sockets = list(self._sockets)
        sessions = {socket.session_key: socket.user_id for socket in sockets}
        standing = await database_sync_to_async(standings)(sessions)
        for socket in sockets:
            if socket in self._sockets and standing.get(socket.session_key) != socket.standing:
                await socket.judge()


watch = Watch()
