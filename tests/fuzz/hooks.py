"""What schemathesis must know of our API: values of our formats, the ids of what was made, and a key for each call."""

import json
import os
import random
import re
import urllib.request
from typing import Any

import schemathesis
from hypothesis import strategies as st

FACTS: dict[str, Any] = json.loads(os.environ["CORDBOARD_FUZZ"])
KEY: str = FACTS["key"]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati"]
_paths = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", max_size=20)

schemathesis.openapi.format("e164", st.integers(0, 9999).map(lambda number: f"+1555555{number:04d}"))
schemathesis.openapi.format("web-url", _paths.map(lambda path: f"https://files.example.com/{path}"))
schemathesis.openapi.format("endpoint-url", _paths.map(lambda path: f"https://hooks.example.com/{path}"))
schemathesis.openapi.format("time-zone", st.sampled_from(_ZONES))
schemathesis.openapi.format(
    "moment",
    st.datetimes().filter(lambda moment: 1900 <= moment.year < 3000).map(lambda moment: moment.isoformat())
    | st.dates().filter(lambda day: 1900 <= day.year < 3000).map(lambda day: day.isoformat()),
)


@schemathesis.auth(refresh_interval=None)
class Keys:
    """The admin's key; for the call that revokes the calling key, one that is made for it."""

    def get(self, case: Any, context: Any) -> str:
        return _throwaway() if case.operation.path.endswith("/revoke") else KEY

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "X-API-Key": data}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Three in four well-formed ids are those of something that is there; nothing made for all is deleted."""
    if not path_parameters or context.operation.method == "delete":
        return path_parameters
    if context.operation.method == "patch" and context.operation.path.endswith("/identities/{handle}"):
        # Whatever becomes of it, the others stay enabled.
        return {"handle": FACTS["spare"]}
    return {name: _there(name, value) for name, value in path_parameters.items()}


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """The same for ids in bodies."""
    if not isinstance(body, dict):
        return body
    return {name: _there(name, value) for name, value in body.items()}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """What OpenAPI cannot say of several places at once: one owner per list, and who sends when a number is named."""
    query = dict(case.query or {})
    owners = [name for name in ("agent_identity_id", "mailbox_id", "phone_number_id") if name in query]
    for name in owners[1:]:
        del query[name]
    by_number = isinstance(case.body, dict) and case.body.get("to") is not None
    if case.operation.path.endswith("/imessage/messages") and by_number and not owners:
        query["agent_identity_id"] = FACTS["ids"]["agent_identity_id"][0]
    case.query = query


def _there(name: str, value: Any) -> Any:
    known = FACTS["ids"].get(name)
    if not known or not _is_well_formed(name, value) or random.Random(value).random() < 0.25:
        return value
    return random.Random(value).choice(known)


def _is_well_formed(name: str, value: Any) -> bool:
    """Malformed ones are meant to be refused and stay as they are."""
    return isinstance(value, str) and (not name.endswith("_id") or bool(_UUID.fullmatch(value)))


def _throwaway() -> str:
    body = json.dumps({"label": "fuzz", "scoped_identity_id": FACTS["ids"]["scoped_identity_id"][0]}).encode()
    request = urllib.request.Request(
        f"{FACTS['base_url']}/api/v1/api-keys",
        body,
        {"X-API-Key": KEY, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(json.load(response)["api_key"])
