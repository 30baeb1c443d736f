import csv
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management.base import CommandError

from core.tables import csv_of
from imessage.models import Conversation, Message
from tests import make

Run = Callable[..., Any]
JUNE = datetime(2026, 6, 9, 12, tzinfo=UTC)


@pytest.fixture
def blocked(conversation: Conversation, charlies_conversation: Conversation) -> list[Message]:
    make.make_message(conversation, "welcome")
    make.make_message(charlies_conversation, "not ours", is_blocked=True)
    return [
        make.make_message(conversation, text, is_blocked=True, created_at=JUNE.replace(day=day), rule_revision=3)
        for day, text in ((9, "=1+1"), (10, "hello"))
    ]


def found(run_json: Run, *options: str) -> list[str]:
    return [row["text"] for row in run_json("blocked", "--organization", "Acme", *options)]


def test_all_are_listed_newest_first_with_their_verdict(blocked: list[Message], run_json: Run) -> None:
    rows = run_json("blocked", "--organization", "Acme")
    assert rows[1] == {
        "id": str(blocked[0].id),
        "at": "2026-06-09T12:00:00Z",
        "handle": "helper",
        "number": make.HUMAN,
        "text": "=1+1",
        "media": 0,
        "filter_mode": "blacklist",
        "rule_id": None,
        "rule_revision": 3,
        "service": "imessage",
    }
    assert [row["text"] for row in rows] == ["hello", "=1+1"]


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (("--identity", "helper"), ["hello", "=1+1"]),
        (("--number", make.OTHER_HUMAN), []),
        (("--since", "2026-06-10"), ["hello"]),
        (("--until", "2026-06-10"), ["=1+1"]),
        (("--since", "2026-06-09T14:00:01+02:00"), ["hello"]),
        (("--limit", "1"), ["hello"]),
    ],
)
def test_filters(blocked: list[Message], run_json: Run, options: tuple[str, ...], texts: list[str]) -> None:
    assert found(run_json, *options) == texts


def test_csv_holds_no_formula(blocked: list[Message], run: Run) -> None:
    rows = list(csv.DictReader(StringIO(run("blocked", "--organization", "Acme", "--csv"))))
    assert [(row["text"], row["number"]) for row in rows] == [("hello", f"'{make.HUMAN}"), ("'=1+1", f"'{make.HUMAN}")]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\tx", "\rx", " =1", "\uff1d1"])
def test_a_cell_that_could_be_a_formula_is_a_text(text: str) -> None:
    assert csv_of(["a"], [[text]]).partition("\n")[2].startswith("\"'")


@pytest.mark.parametrize("options", [("--since", "yesterday"), ("--limit", "0"), ("--identity", "nobody")])
def test_nonsense_is_refused(blocked: list[Message], run: Run, options: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run("blocked", "--organization", "Acme", *options)
