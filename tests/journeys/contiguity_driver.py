"""Runs Contiguity's own Python client as `clients.py` asks."""

import json
import os
import sys
from typing import Any

import msgspec
from contiguity import Contiguity


def main() -> None:
    """Obey until the end of the input."""
    client = Contiguity(token=os.environ["CONTIGUITY_TOKEN"], base_url=os.environ["ORIGIN"])
    for line in sys.stdin:
        print(json.dumps(_obey(client, json.loads(line)), default=msgspec.to_builtins), flush=True)


def _obey(client: Any, command: dict[str, Any]) -> dict[str, Any]:
    deed = client
    for name in command["call"].split("."):
        deed = getattr(deed, name)
    if command.get("list"):
        return {"ok": [name for name in dir(type(deed)) if not name.startswith("_")]}
    try:
        return {"ok": deed(*command["args"], **command["kwargs"])}
    except Exception as error:  # noqa: BLE001 - its parser's own errors are looked at, too
        return {"refused": {"type": type(error).__name__, "words": str(error)}}


if __name__ == "__main__":
    main()
