"""Contiguity's dialect for schemathesis: its key and its errors' shape."""

import json
from typing import Any

import schemathesis

from tests.fuzz.hooks import AuthorizationKey, name_what_is_there


@schemathesis.auth(refresh_interval=None)
class Keys(AuthorizationKey):
    scheme = "Token"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    name_what_is_there(case)


@schemathesis.check
def error_shape(ctx: Any, response: Any, case: Any) -> None:
    """A refusal is an envelope that says `error`, with the status and a sentence."""
    if response.status_code < 400:
        return
    body = json.loads(response.content)
    assert body["object"] == "error", body
    assert body["data"]["status"] == response.status_code, body
    assert body["data"]["error"], body
