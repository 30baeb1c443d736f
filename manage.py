#!/usr/bin/env python
"""The shell's surface of the product. `--data` is understood by every command, before the settings are read."""

import contextlib
import json
import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from cordboard import postgres

# These look at the code only.
WITHOUT_DATABASE = {"help", "version", "--help", "-h", "--version", "collectstatic"}


def main() -> None:
    """Take `--data` out of the arguments, start the private PostgreSQL if it is needed, and hand over to Django."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cordboard.settings")
    arguments = _take_data(sys.argv)
    data = Path(os.environ.get("CORDBOARD_DATA") or postgres.DEFAULT_DATA).resolve()
    _follow_running_product(data)
    if len(arguments) > 1 and arguments[1] not in WITHOUT_DATABASE and not _has_own_database():
        postgres.ensure_running(data)
    execute_from_command_line(arguments)


def _take_data(arguments: list[str]) -> list[str]:
    """The arguments without `--data DIR`, which goes to the environment, where the settings look for it."""
    left = list(arguments)
    for position, argument in enumerate(left):
        if argument == "--":
            break
        if argument == "--data" and position + 1 < len(left):
            os.environ["CORDBOARD_DATA"] = left[position + 1]
            del left[position : position + 2]
            break
        if argument.startswith("--data="):
            os.environ["CORDBOARD_DATA"] = argument.removeprefix("--data=")
            del left[position]
            break
    return left


def _follow_running_product(data: Path) -> None:
    """Links that a command prints lead to where `bin/run` serves this data folder just now."""
    if "CORDBOARD_BASE_URL" not in os.environ:
        # Not there, or not ours to read: then the settings' default holds.
        with contextlib.suppress(OSError):
            os.environ["CORDBOARD_BASE_URL"] = json.loads((data / "run.json").read_text())["base_url"]


def _has_own_database() -> bool:
    return bool(os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"))


if __name__ == "__main__":
    try:
        main()
    except (postgres.PostgresError, ImproperlyConfigured) as refused:
        sys.exit(str(refused))
