"""Inkbox's dialect for schemathesis: its key, which of its ids there are, and what OpenAPI cannot say."""

import json
import random
import re
from typing import Any

import schemathesis

from tests.fuzz.hooks import FACTS
from tests.plain_http import call

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@schemathesis.auth(refresh_interval=None)
class Keys:
    """The admin's key; for the call that revokes the calling key, one that is made for it."""

    def get(self, case: Any, context: Any) -> str:
        return _throwaway() if case.operation.path.endswith("/revoke") else FACTS.key

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "X-API-Key": data}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Three in four well-formed ids are those of something that is there; nothing made for all is deleted."""
    if not path_parameters or context.operation.method == "delete":
        return path_parameters
    if context.operation.method == "patch" and context.operation.path.endswith("/identities/{handle}"):
        # Whatever becomes of it, the others stay enabled.
        return {"handle": FACTS.spare["handle"][0]}
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
        query["agent_identity_id"] = FACTS.ids["agent_identity_id"][0]
    case.query = query


@schemathesis.check
def error_shape(ctx: Any, response: Any, case: Any) -> None:
    """A refusal says why in `detail`."""
    if response.status_code >= 400:
        assert json.loads(response.content)["detail"], response.content


def _there(name: str, value: Any) -> Any:
    known = FACTS.ids.get(name)
    if not known or not _is_well_formed(name, value) or random.Random(value).random() < 0.25:
        return value
    return random.Random(value).choice(known)


def _is_well_formed(name: str, value: Any) -> bool:
    """Malformed ones are meant to be refused and stay as they are."""
    return isinstance(value, str) and (not name.endswith("_id") or bool(_UUID.fullmatch(value)))


def _throwaway() -> str:
    body = {"label": "fuzz", "scoped_identity_id": FACTS.ids["scoped_identity_id"][0]}
    return str(call(FACTS.base_url, FACTS.key, "POST", "/api/v1/api-keys", body)["api_key"])
