"""Surfaces read tenant rows by one door only."""

import re
from pathlib import Path

import api

# Keys of requests belong to no reader.
OWN = {"IdempotencyKey"}


def test_the_api_reads_only_what_the_actor_may_see() -> None:
    found = [
        (path.name, use)
        for path in Path(api.__file__).parent.rglob("*.py")
        for use in re.findall(r"(\w+)\.objects\.(\w+)", path.read_text())
        if use[0] not in OWN and use[1] != "visible_to"
    ]
    assert found == []
