"""Runs AgentPhone's own Python client as `clients.py` asks, or with `ASYNC` set its asynchronous one; what the package
exports can be called, too."""

import asyncio
import dataclasses
import inspect
import json
import os
import sys
from typing import Any

import agentphone


async def main() -> None:
    """Obey until the end of the input."""
    kind = agentphone.AsyncAgentPhone if os.environ.get("ASYNC") else agentphone.AgentPhone
    client = kind(api_key=os.environ["AGENTPHONE_API_KEY"], base_url=os.environ["ORIGIN"])
    for line in sys.stdin:
        print(json.dumps(await _obey(client, json.loads(line)), default=_plain), flush=True)


async def _obey(client: Any, command: dict[str, Any]) -> dict[str, Any]:
    first, *names = command["call"].split(".")
    deed = getattr(client, first, None) or getattr(agentphone, first)
    for name in names:
        deed = getattr(deed, name)
    if command.get("list"):
        return {"ok": [name for name in dir(type(deed)) if not name.startswith("_")]}
    try:
        done = deed(*command["args"], **command["kwargs"])
        return {"ok": await done if inspect.isawaitable(done) else done}
    except Exception as error:  # noqa: BLE001 - its parser's own errors are looked at, too
        return {
            "refused": {"type": type(error).__name__, "words": str(error), "status": getattr(error, "status", None)}
        }


def _plain(value: Any) -> Any:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


if __name__ == "__main__":
    asyncio.run(main())
