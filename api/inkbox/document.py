"""The Inkbox dialect's OpenAPI document: made from the types of its views, and what they cannot say."""

import functools
import json
from typing import Any

from api.inkbox.routes import api

_METHODS = {"get", "post", "patch", "put", "delete"}
_WHOLE_SECONDS = {"description": "Seconds to wait before repeating.", "schema": {"type": "integer"}}
_RATE_LIMIT = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_ABOUT = """Inkbox's clients work with their base URL changed. Every request carries `X-API-Key`.

Formats of our own: `e164` is a possible telephone number like +15555550123; `web-url` an http or https URL;
`endpoint-url` one that webhooks may be sent to; `moment` an ISO 8601 date or time in the years 1900 to 2999;
`time-zone` a name like Europe/Berlin.
"""


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document; the same at every call, not to be changed."""
    # Through JSON and back: in JSON statuses are texts.
    made: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema(path_prefix="/api/")))
    made["info"] = {**made["info"], "description": _ABOUT, "license": {"name": "MIT", "identifier": "MIT"}}
    del made["servers"]
    for name, schema in made["components"]["schemas"].items():
        if name.endswith("Changes"):
            _forget_defaults(schema)
    for operations in made["paths"].values():
        for method in operations.keys() & _METHODS:
            _complete(operations[method])
    return made


def _complete(operation: dict[str, Any]) -> None:
    operation["summary"], _, rest = operation.pop("description").partition("\n\n")
    if rest:
        operation["description"] = rest
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _of_a_text(parameter["schema"])
        if parameter["in"] == "path" and parameter["name"].endswith("_id"):
            parameter["schema"] = {"type": "string", "format": "uuid"}
    for status, answer in operation["responses"].items():
        if status in {"429", "503"}:
            answer["headers"] = {"Retry-After": _WHOLE_SECONDS}
        if status == "429":
            answer["headers"] |= {name: {"schema": {"type": "integer"}} for name in _RATE_LIMIT}


def _forget_defaults(schema: dict[str, Any]) -> None:
    """What a change leaves out stays as it is."""
    for field in schema["properties"].values():
        field.pop("default", None)


def _of_a_text(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out or has a value: there is no null in a URL."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**{name: word for name, word in schema.items() if name != "anyOf"}, **kinds[0]}
