"""AgentPhone's dialect for schemathesis: its key and its errors' shape."""

import json
from typing import Any

import schemathesis

from tests.fuzz.hooks import AuthorizationKey, name_what_is_there


@schemathesis.auth(refresh_interval=None)
class Keys(AuthorizationKey):
    scheme = "Bearer"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Ids of what is there."""
    name_what_is_there(case)


@schemathesis.check
def error_shape(ctx: Any, response: Any, case: Any) -> None:
    """A refusal has both shapes: `detail`, and `error` with message, code and type."""
    if response.status_code < 400:
        return
    body = json.loads(response.content)
    assert body.keys() == {"detail", "error"}, body
    assert {"message", "code", "type"} <= body["error"].keys(), body
    assert body["detail"], body
