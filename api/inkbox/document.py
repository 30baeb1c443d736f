"""The Inkbox dialect's OpenAPI document: made from the types of its views, and what they cannot say."""

import functools
from typing import Any

from api.inkbox.routes import api

_METHODS = {"get", "post", "patch", "put", "delete"}


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document; the same at every call, not to be changed."""
    made: dict[str, Any] = dict(api.get_openapi_schema(path_prefix="/api/"))
    made["security"] = [{"KeyHeader": []}]
    for operations in made["paths"].values():
        for method in operations.keys() & _METHODS:
            _complete(operations[method])
    return made


def _complete(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path" and parameter["name"].endswith("_id"):
            parameter["schema"] = {"type": "string", "format": "uuid"}
    for status, answer in operation["responses"].items():
        if status in {"429", "503"}:
            answer["headers"] = {"Retry-After": _WHOLE_SECONDS}
        if status == "429":
            answer["headers"] |= dict.fromkeys(_RATE_LIMIT, _COUNT)


_WHOLE_SECONDS = {"description": "Seconds to wait before repeating.", "schema": {"type": "integer"}}
_RATE_LIMIT = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_COUNT = {"schema": {"type": "integer"}}
