"""The OpenAPI document of a dialect: made from the types of its views, and what they cannot say."""

import functools
import json
from typing import Any

from api.doors import INKBOX, Door

_METHODS = {"get", "post", "patch", "put", "delete"}
_WHOLE_SECONDS = {"description": "Seconds to wait before repeating.", "schema": {"type": "integer"}}
_CAP_FACTS = {"limit": 1, "remaining": 1, "reset": 1}


@functools.cache
def document(door: Door = INKBOX) -> dict[str, Any]:
    """The OpenAPI 3.1 document; the same at every call, not to be changed."""
    # Through JSON and back: in JSON statuses are texts.
    made: dict[str, Any] = json.loads(json.dumps(door.api.get_openapi_schema(path_prefix=f"/{door.mount}")))
    made["info"]["license"] = {"name": "MIT", "identifier": "MIT"}
    del made["servers"]
    for name, schema in made["components"]["schemas"].items():
        if name.endswith("Changes"):
            _forget_defaults(schema)
    for operations in made["paths"].values():
        for method in operations.keys() & _METHODS:
            _complete(operations[method], door)
    return made


def _complete(operation: dict[str, Any], door: Door) -> None:
    operation["summary"], _, rest = operation.pop("description").partition("\n\n")
    if rest:
        operation["description"] = rest
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _of_a_text(parameter["schema"])
        # Other dialects' ids are texts that nobody takes apart.
        if door is INKBOX and parameter["in"] == "path" and parameter["name"].endswith("_id"):
            parameter["schema"] = {"type": "string", "format": "uuid"}
    for status, answer in operation["responses"].items():
        if status in {"429", "503"}:
            answer["headers"] = {"Retry-After": _WHOLE_SECONDS}
        if status == "429":
            names = door.api.words.rate_limit_headers(_CAP_FACTS)
            answer["headers"] |= {name: {"schema": {"type": "integer"}} for name in names}


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
