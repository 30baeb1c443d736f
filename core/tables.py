"""Tables for spreadsheets, in which no cell can be taken for a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

# What a cell begins with that a spreadsheet computes.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_of(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The rows as CSV; a cell that could be a formula begins with an apostrophe."""
    out = io.StringIO()
    writer = _writer(out)
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def csv_line(row: Iterable[object]) -> str:
    """One line of such a table, for those written bit by bit."""
    out = io.StringIO()
    _writer(out).writerow([_cell(value) for value in row])
    return out.getvalue()


def _writer(out: io.StringIO) -> Any:
    return csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
