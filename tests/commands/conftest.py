"""Management commands as a shell sees them: what they print, or why they refuse."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command


@pytest.fixture
def run() -> Callable[..., str]:
    """What a command prints."""

    def printed(*argv: str) -> str:
        out = StringIO()
        call_command(*argv, stdout=out)
        return out.getvalue()

    return printed


@pytest.fixture
def run_json(run: Callable[..., str]) -> Callable[..., Any]:
    """What a command prints as JSON."""
    return lambda *argv: json.loads(run(*argv, "--json"))
