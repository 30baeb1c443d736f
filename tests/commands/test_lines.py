"""The shell's way to lines: how they are, and what is done with them."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from lines import health
from lines.models import Line, LineReading, Move
from tests import make

pytestmark = pytest.mark.django_db

Run = Callable[..., Any]


def looked_at(line: Line) -> Line:
    LineReading.objects.create(line=line, state="healthy", at=timezone.now())
    return line


@pytest.mark.parametrize(
    ("seen", "code"), [("healthy", 0), ("degraded", 1), ("unknown", 1), ("down", 2), ("flagged", 2)]
)
def test_health_is_an_exit_code_for_monitoring(seen: str, code: int, line: Line, run: Run) -> None:
    health.see(looked_at(line), seen=seen, reasons=[])
    if code:
        with pytest.raises(SystemExit) as ended:
            run("line_health")
        assert ended.value.code == code
    else:
        assert line.address in run("line_health")


def test_health_says_why_in_words_and_in_json(line: Line) -> None:
    health.see(looked_at(line), seen="down", reasons=["signed_out"])
    out = StringIO()
    for options in ([], ["--json"]):
        with pytest.raises(SystemExit):
            call_command("line_health", "--line", line.address, *options, stdout=out)
    words, shown = out.getvalue().split("\n", 1)
    assert "The account is signed out" in words
    (row,) = json.loads(shown)["lines"]
    assert (row["state"], row["reasons"][0]["code"], bool(row["incident_id"])) == ("down", "signed_out", True)


def test_an_unknown_line_is_refused(run: Run) -> None:
    for argv in (["line_health", "--line", "+15555550199"], ["lines", "pause", "+15555550199"], ["lines", "pause"]):
        with pytest.raises(CommandError):
            run(*argv)


def test_lines_are_listed(line: Line, router: Line, run: Run, run_json: Run) -> None:
    assert [row["address"] for row in run_json("lines")] == [line.address, router.address]
    assert line.address in run("lines", "list")


def test_what_stops_texts_shows_its_forecast_first(line: Line, run: Run, run_json: Run) -> None:
    make.make_connection(line=line)
    assert "1 humans are connected" in run("lines", "pause", line.address)
    line.refresh_from_db()
    assert line.wanted == "in_service"
    with pytest.raises(CommandError, match="Say why"):
        run("lines", "pause", line.address, "--yes")
    assert run_json("lines", "pause", line.address, "--yes", "--reason", "a look")["connected"] == 1
    assert "in service" in run("lines", "resume", line.address)


def test_a_drained_line_moves_its_humans_once_the_count_is_typed(line: Line, run: Run, run_json: Run) -> None:
    make.make_connection(line=line)
    other = make.make_line()
    forecast = run("lines", "drain", line.address, "--move")
    assert f"1 to {other.address}" in forecast
    with pytest.raises(CommandError, match="--confirm 1"):
        run("lines", "drain", line.address, "--move", "--yes", "--reason", "old")
    line.refresh_from_db()
    assert line.wanted == "in_service"
    done = run_json("lines", "drain", line.address, "--move", "--yes", "--confirm", "1", "--reason", "old")
    assert str(Move.objects.get().id) == done["move_id"]


def test_the_router_rotates_to_a_standby_alone(router: Line, run: Run, run_json: Run) -> None:
    assert run_json("lines", "rotate-router")["done"] is False
    with pytest.raises(CommandError):
        run("lines", "rotate-router", "--yes")
    standby = make.make_router("+15555550109")
    run("lines", "rotate-router", "--yes", "--anyway", "--reason", "tired")
    standby.refresh_from_db()
    assert standby.advertised_at


def test_a_quarantined_line_is_cleared_with_a_second_word(line: Line, run: Run) -> None:
    run("lines", "quarantine", line.address, "--yes", "--reason", "junk")
    with pytest.raises(CommandError, match="24 hours"):
        run("lines", "clear", line.address, "--reason", "fine")
    assert "cleared" in run("lines", "clear", line.address, "--reason", "fine", "--anyway")
