"""The database's own limit: the statements of the running server, captured from PostgreSQL's log, run by pgbench.

What was new in a captured request (its ids, its idempotency key) is drawn anew by every run of the script; all else is
left as it was written.
"""

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import psycopg

from bench.stage import Stage
from cordboard import postgres

CLIENTS = 8

# With dashes, as in JSON, or without, as the database driver writes them.
_UUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}(?![0-9a-f])")
_CLAIM = re.compile(r"(INSERT INTO api_idempotencykey[^;]*);")
_LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ UTC \[(?P<pid>\d+)\] (?P<kind>[A-Z]+):  (?P<text>.*)$")


def capture(stage: Stage, ask: Callable[[], None]) -> list[str]:
    """The statements of one request to the running server, in order; nobody else may be asking it."""
    log = stage.data / "log" / "postgres.log"
    with _logging(stage):
        start = log.stat().st_size
        ask()
        time.sleep(0.1)
        with log.open(errors="replace") as lines:
            lines.seek(start)
            told = lines.read()
    return _of_the_request(list(_statements(told)))


def script(statements: Sequence[str], *, known: set[str], key: str | None) -> str:
    """A pgbench script of captured statements; `known` ids existed before."""
    text = ";\n".join(statements) + ";\n"
    # The row of the idempotency key is updated by the id that its insert gave.
    text = _CLAIM.sub(r"\1 \\gset key_\n", text)
    text = re.sub(r'"api_idempotencykey"."id" = \d+', '"api_idempotencykey"."id" = :key_id', text)
    new = sorted({found[0].replace("-", "") for found in _UUID.finditer(text)} - known)
    draws = [f"\\set id{number} random(100000000000, 999999999999)\n" for number in range(len(new))]
    for number, key_of_row in enumerate(new):
        text = text.replace(key_of_row, f"{key_of_row[:20]}:id{number}")
        dashed = str(UUID(key_of_row))
        text = text.replace(dashed, f"{dashed[:24]}:id{number}")
    if key:
        draws.append("\\set key random(100000000000, 999999999999)\n")
        text = text.replace(key, "bench-:key")
    return "".join(draws) + text


def limit(stage: Stage, scripts: Sequence[str], *, seconds: float) -> float:
    """Transactions a second of the scripts, drawn at random, by `CLIENTS` connections."""
    files = []
    for number, content in enumerate(scripts):
        file = stage.home / f"script-{number}.sql"
        file.write_text(content)
        files += ["-f", str(file)]
    command = [
        str(postgres.binaries() / "pgbench"),
        "-n",
        "-c",
        str(CLIENTS),
        "-j",
        "2",
        "-T",
        str(max(1, round(seconds))),
    ]
    told = subprocess.run(
        [*command, *files, "-h", str(_socket(stage)), "-U", "cordboard", "cordboard"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"tps = ([0-9.]+)", told.stdout)
    if not found or "aborted" in told.stderr:
        raise RuntimeError(f"pgbench failed: {told.stderr[-2000:]}")
    return float(found[1])


def all_ids(stage: Stage) -> set[str]:
    """Every id that rows have now, so that a captured statement's new ones can be told from them."""
    columns = (
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type = 'uuid' AND column_name = 'id'"
    )
    with psycopg.connect(postgres.url(stage.data)) as connection:
        found: set[str] = set()
        for table, column in connection.execute(columns).fetchall():
            rows = connection.execute(f"SELECT replace(\"{column}\"::text, '-', '') FROM \"{table}\"").fetchall()  # noqa: S608 - names from the catalogue
            found.update(row[0] for row in rows)
        keys = connection.execute("SELECT replace(substr(id, 8), '-', '') FROM accounts_apikey").fetchall()
        return found | {row[0] for row in keys}


@contextlib.contextmanager
def _logging(stage: Stage) -> Iterator[None]:
    with psycopg.connect(postgres.url(stage.data), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.3)
        try:
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET log_statement")
            connection.execute("SELECT pg_reload_conf()")
            time.sleep(0.3)


def _statements(log: str) -> Iterator[tuple[int, str]]:
    """Process and text of every logged statement; its further lines are indented."""
    pid, text = 0, ""
    for line in log.splitlines():
        found = _LINE.match(line)
        if not found:
            text += "\n" + line.lstrip("\t")
            continue
        if text:
            yield pid, text
        pid, text = int(found["pid"]), ""
        _, separator, statement = found["text"].partition("statement: ")
        if found["kind"] == "LOG" and separator:
            text = statement
    if text:
        yield pid, text


def _of_the_request(statements: Sequence[tuple[int, str]]) -> list[str]:
    """Those of the connection that looked the API key up."""
    pid = next(pid for pid, text in statements if "accounts_apikey" in text)
    return [text.strip().rstrip(";") for other, text in statements if other == pid]


def _socket(stage: Stage) -> Path:
    return Path(re.search(r"host=([^&]+)", postgres.url(stage.data))[1].replace("%2F", "/"))  # type: ignore[index]
