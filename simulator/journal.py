"""The network's memory: an append-only file of JSON lines, written and fsynced in batches before anyone is answered."""

import asyncio
import fcntl
import json
import os
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class JournalError(Exception):
    """The journal cannot be read, is held by another process, or can no longer be written."""


class Journal:
    """One file, one line per deed. A line's cursor is its number, counted from 1, and never changes.

    Single event loop, single process (the file is locked). `append` only queues; what must not be told before
    it is safe awaits `settle`. Lines that wait together share one fsync.
    """

    def __init__(self, path: Path) -> None:
        self._file = _open_locked(path)
        self._starts = array("Q")
        self._size = 0
        self._by_type: dict[str, list[int]] = {}
        self._unwritten: list[bytes] = []
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._safe = 0
        self._work = asyncio.Event()
        self._closing = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")

    @property
    def cursor(self) -> int:
        """The newest line's number, safe or not; 0 in an empty journal."""
        return len(self._starts)

    def replay(self) -> Iterator[tuple[int, Record]]:
        """Every line kept by earlier runs, oldest first, with its cursor. To be read to its end before `append`.

        A last line that was torn by a crash is cut off: nobody was ever answered on its strength.
        Raises `JournalError` when any other line is damaged.
        """
        end = os.fstat(self._file).st_size
        with os.fdopen(os.dup(self._file), "rb") as lines:
            lines.seek(0)
            for line in lines:
                record = _parsed(line)
                if record is None:
                    if self._size + len(line) < end:
                        raise JournalError(f"Line {self.cursor + 1} of the journal is damaged.")
                    os.ftruncate(self._file, self._size)
                    break
                yield self._index(line, record), record
        self._safe = self.cursor

    def append(self, record: Record) -> int:
        """Queue one line for writing and return its cursor."""
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        cursor = self._index(line, record)
        self._unwritten.append(line)
        self._work.set()
        return cursor

    async def settle(self, cursor: int | None = None) -> None:
        """Return once the line `cursor`, or all that was appended so far, is on disk."""
        cursor = self.cursor if cursor is None else cursor
        if cursor <= self._safe:
            return
        safe = asyncio.get_running_loop().create_future()
        self._waiting.append((cursor, safe))
        await safe

    async def write(self) -> None:
        """Write batches until `close`; raises `JournalError` when the disk refuses.

        The process must then end: what it remembers and what is kept no longer agree.
        """
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._unwritten):
            await self._work.wait()
            self._work.clear()
            batch, self._unwritten = b"".join(self._unwritten), []
            upto = self.cursor
            try:
                await loop.run_in_executor(self._writer, self._write, batch)
            except OSError as refused:
                raise JournalError(f"The journal cannot be written: {refused}") from refused
            self._mark_safe(upto)

    def close(self) -> None:
        """Let `write` finish what is queued and return."""
        self._closing = True
        self._work.set()

    def lines(self, *, kind: str | None, after: int, limit: int) -> list[tuple[int, Record]]:
        """Up to `limit` safe lines after the cursor `after`, oldest first, of one type if `kind` names it."""
        cursors: range | list[int]
        if kind is None:
            cursors = range(after + 1, min(after + limit, self._safe) + 1)
        else:
            of_kind = self._by_type.get(kind, [])
            first = bisect_right(of_kind, after)
            cursors = [cursor for cursor in of_kind[first : first + limit] if cursor <= self._safe]
        return [(cursor, self._read(cursor)) for cursor in cursors]

    def count(self, kind: str) -> int:
        """How many lines of one type there are."""
        return len(self._by_type.get(kind, []))

    def _index(self, line: bytes, record: Record) -> int:
        self._starts.append(self._size)
        self._size += len(line)
        self._by_type.setdefault(record["type"], []).append(self.cursor)
        return self.cursor

    def _write(self, batch: bytes) -> None:
        left = memoryview(batch)
        while left:
            left = left[os.write(self._file, left) :]
        os.fsync(self._file)

    def _mark_safe(self, upto: int) -> None:
        self._safe = upto
        # Waiters queue in the order of their cursors only roughly: one may wait for an older line.
        still = deque(waiter for waiter in self._waiting if waiter[0] > upto)
        for cursor, waiter in self._waiting:
            if cursor <= upto and not waiter.done():
                waiter.set_result(None)
        self._waiting = still

    def _read(self, cursor: int) -> Record:
        start = self._starts[cursor - 1]
        end = self._starts[cursor] if cursor < self.cursor else self._size
        record: Record = json.loads(os.pread(self._file, end - start, start))
        return record


def _open_locked(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # 0600: the callback secret lies in it.
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sync_folder(path.parent)
    except BlockingIOError as held:
        raise JournalError(f"{path} is in use by another simulator.") from held
    except OSError as refused:
        raise JournalError(f"{path} cannot be opened: {refused}") from refused
    return file


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _parsed(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("type"), str) else None
