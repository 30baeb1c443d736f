"""Runs one of Inkbox's own clients, unchanged, in a process of its own: a JSON command a line in, a result a line out.

Bytes travel as `{"base64": "..."}`. With `list` a command names a resource, and the result is its methods' names.
A command is `{"of": null or a handle, "call": "imessages.send", "args": [], "kwargs": {}}`: a method of the client, or
of the identity with that handle. The result is `{"ok": value}`, or `{"refused": {...}}` for the client's own errors.
"""

import base64
import dataclasses
import json
import os
import sys
from typing import Any

import inkbox
from inkbox.exceptions import InkboxError

_OF_AN_IDENTITY = ("id", "agent_handle", "display_name", "imessage_enabled", "imessage_filter_mode")
_OF_AN_ERROR = ("status_code", "detail", "matched_rule_id", "address", "existing_rule_id", "retry_after_seconds")


def main() -> None:
    """Obey until the end of the input."""
    client = inkbox.Inkbox(api_key=os.environ["INKBOX_API_KEY"], base_url=os.environ["INKBOX_BASE_URL"])
    identities: dict[str, Any] = {}
    for line in sys.stdin:
        print(json.dumps(_obey(client, identities, json.loads(line)), default=_plain), flush=True)


def _obey(client: Any, identities: dict[str, Any], command: dict[str, Any]) -> dict[str, Any]:
    try:
        handle = command["of"]
        if handle and handle not in identities:
            identities[handle] = client.get_identity(handle)
        deed = identities[handle] if handle else client
        for name in command["call"].split("."):
            deed = getattr(deed, name)
        if command.get("list"):
            return {"ok": [name for name in dir(type(deed)) if not name.startswith("_")]}
        return {"ok": deed(*command["args"], **{name: _given(value) for name, value in command["kwargs"].items()})}
    except InkboxError as error:
        facts = {name: getattr(error, name) for name in _OF_AN_ERROR if hasattr(error, name)}
        return {"refused": {"type": type(error).__name__, "words": str(error), **facts}}


def _given(value: Any) -> Any:
    """Bytes come as `{"base64": text}`."""
    return base64.b64decode(value["base64"]) if isinstance(value, dict) and value.keys() == {"base64"} else value


def _plain(value: Any) -> Any:
    if isinstance(value, inkbox.AgentIdentity):
        return {name: getattr(value, name) for name in _OF_AN_IDENTITY}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return str(value)


if __name__ == "__main__":
    main()
