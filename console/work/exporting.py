"""Lists as files: CSV or JSON lines, written in batches, kept a week under a random name, fetched by whoever asked."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any
from uuid import UUID

import orjson
from django.core.files import File
from django.core.files.storage import Storage, storages
from django.db.models import QuerySet
from django.utils import timezone

from console.lists import Column, Listing
from console.lists.paging import ordered, value_of
from console.masking import exported_number, masked_within
from core.actor import Actor
from core.secrets import new_token
from core.tables import csv_line

KEPT = timedelta(days=7)
BATCH = 500

FORMATS = {"csv": ("text/csv; charset=utf-8", "csv"), "jsonl": ("application/x-ndjson", "jsonl")}

_SPOOLED = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Exported:
    """A file in the storage."""

    name: str
    size: int
    until: datetime


def write_export(rows: QuerySet[Any], listing: Listing, *, format: str, go_on: Callable[[int], None]) -> Exported:
    """Write all rows; `go_on(count)` is called after each batch and may raise to stop, which leaves no file."""
    name = f"exports/{new_token()}.{FORMATS[format][1]}"
    with tempfile.SpooledTemporaryFile(max_size=_SPOOLED) as content:
        _write(content, rows, listing, format=format, go_on=go_on)
        size = content.tell()
        content.seek(0)
        saved = _storage().save(name, File(content))
    return Exported(saved, size, timezone.now() + KEPT)


def open_export(name: str) -> IO[bytes]:
    """The file's bytes; raises `FileNotFoundError` when it is gone."""
    return _storage().open(name)


def forget_export(name: str) -> None:
    """Take the file away; a missing one is no error."""
    _storage().delete(name)


def cells(row: Any, columns: Iterable[Column], actor: Actor) -> list[Any]:
    """One row's values as this actor may see them."""
    return [_cell(row, column, actor) for column in columns]


def _write(content: Any, rows: QuerySet[Any], listing: Listing, *, format: str, go_on: Callable[[int], None]) -> None:
    columns, actor, written = listing.spec.columns, listing.actor, 0
    if format == "csv":
        content.write(_csv_line([column.label for column in columns]))
    for batch in _batches(ordered(rows, listing.order)):
        for row in batch:
            values = cells(row, columns, actor)
            content.write(_csv_line(values) if format == "csv" else _json_line(columns, values))
        written += len(batch)
        go_on(written)


def _batches(rows: QuerySet[Any]) -> Iterator[list[Any]]:
    """All rows by a cursor of the server's: one snapshot, little memory."""
    batch: list[Any] = []
    for row in rows.iterator(chunk_size=BATCH):
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def _cell(row: Any, column: Column, actor: Actor) -> Any:
    value = value_of(row, column.value) if isinstance(column.value, str) else column.value(row)
    if column.masked and value:
        return exported_number(actor, str(value))
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, UUID) else masked_within(actor, value)


def _csv_line(values: Iterable[object]) -> bytes:
    return csv_line(values).encode()


def _json_line(columns: Iterable[Column], values: Iterable[object]) -> bytes:
    keys = [column.key for column in columns]
    return orjson.dumps(dict(zip(keys, values, strict=True)), default=str, option=orjson.OPT_APPEND_NEWLINE)


def _storage() -> Storage:
    return storages["media"]
