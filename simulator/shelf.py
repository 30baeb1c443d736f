"""Files: what humans send is kept here for the provider's API, what agents send is fetched and measured."""

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from simulator.handsets import Text
from simulator.network import Network
from simulator.refusals import Refusal, invalid

logger = logging.getLogger(__name__)

LARGEST_FILE = 100 * 1024 * 1024
FETCH_TIMEOUT = 30.0
AT_ONCE = 8
_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+", re.ASCII)


class Shelf:
    """One folder of files, each under its id; its facts stand in the journal."""

    def __init__(self, folder: Path, network: Network) -> None:
        self._folder = folder
        self._network = network
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def start(self) -> None:
        """Ready to fetch."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def stop(self) -> None:
        """Drop what is being fetched."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def put(self, chunks: AsyncIterator[bytes], *, content_type: str) -> dict[str, Any]:
        """Keep a file that a human may send: its id, content_type, size and sha256. Raises `Refusal` (413, 422)."""
        if not _TYPE.fullmatch(content_type):
            raise invalid("Content-Type must name the file's type, like image/jpeg.")
        file_id = f"med_{uuid4().hex}"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / file_id
        try:
            with path.open("wb") as out:
                size, sha256 = await _measured(chunks, out.write)
                out.flush()
                os.fsync(out.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return self._network.keep_file(file_id, content_type=content_type, size=size, sha256=sha256)

    def path(self, file_id: str) -> Path:
        """Where the file lies; raises `Refusal` (404)."""
        return self._folder / str(self._network.memory.file(file_id)["id"])

    def fetch(self, text: Text) -> None:
        """Fetch what an agent sent with a text, as the network would to show it; in the background."""
        for index, medium in enumerate(text.media):
            task = asyncio.create_task(self._fetch(text.id, index, medium["url"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fetch(self, text_id: str, index: int, url: str) -> None:
        try:
            async with self._slots, self._session.get(url) as response:
                response.raise_for_status()
                size, sha256 = await _measured(response.content.iter_any(), lambda chunk: None)
                facts = {"content_type": response.content_type, "size": size, "sha256": sha256}
        except (aiohttp.ClientError, TimeoutError, Refusal) as failed:
            logger.info("Could not fetch %s: %s", url, type(failed).__name__)
            self._network.note_fetched(text_id, index, None, problem=type(failed).__name__)
        else:
            self._network.note_fetched(text_id, index, facts)


async def _measured(chunks: AsyncIterator[bytes], write: Any) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    async for chunk in chunks:
        size += len(chunk)
        if size > LARGEST_FILE:
            raise Refusal(413, "too_large", f"A file may have {LARGEST_FILE // 1024**2} MiB.")
        digest.update(chunk)
        write(chunk)
    if not size:
        raise invalid("The file is empty.")
    return size, digest.hexdigest()
