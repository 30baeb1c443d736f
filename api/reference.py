"""Each dialect's document, as JSON for programs and as a page for people; both are open to everybody."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from api.document import document
from api.doors import DOORS, Door

_REFERENCE = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a field of a body or an answer."""

    name: str
    kind: str
    required: bool
    about: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path, in the words of the page."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Field]
    body: list[Field]
    answers: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Shape:
    """A type that bodies and answers are made of."""

    name: str
    about: str
    fields: list[Field]


@require_safe
def openapi(request: HttpRequest, name: str) -> HttpResponse:
    """The OpenAPI document of the dialect with this name."""
    return HttpResponse(_json(_named(name)), content_type="application/json")


@require_safe
def page(request: HttpRequest, name: str) -> HttpResponse:
    """Every operation with its parameters, body and answers, and every type."""
    door = _named(name)
    shown = {
        "title": document(door)["info"]["title"],
        "about": document(door)["info"]["description"].partition("\n")[0],
        "families": families(door),
        "shapes": shapes(door),
        "document": f"/{door.reference}openapi.json",
        "others": [(other.label, f"/{other.reference}docs") for other in DOORS if other is not door],
    }
    return render(request, "api/reference.html", shown)


@functools.cache
def families(door: Door) -> dict[str, list[Operation]]:
    """The operations by their subject, in the document's order."""
    found: dict[str, list[Operation]] = {}
    for path, operations in document(door)["paths"].items():
        for method, operation in operations.items():
            found.setdefault(operation["tags"][0], []).append(_operation(door, method, path, operation))
    return found


@functools.cache
def shapes(door: Door) -> list[Shape]:
    """The types that are objects, by name; those that only hold query parameters are left out."""
    schemas = document(door)["components"]["schemas"]
    return [
        Shape(name, schema.get("description", ""), list(_fields(schema)))
        for name, schema in sorted(schemas.items())
        if name in _used(door) and "properties" in schema
    ]


def _named(name: str) -> Door:
    return next(door for door in DOORS if door.name == name)


@functools.cache
def _json(door: Door) -> bytes:
    return orjson.dumps(document(door))


def _operation(door: Door, method: str, path: str, operation: dict[str, Any]) -> Operation:
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=operation.get("description", ""),
        parameters=[_parameter(parameter) for parameter in operation.get("parameters", [])],
        body=_body(door, operation),
        answers=[(status, _answer(answer)) for status, answer in operation["responses"].items()],
    )


def _parameter(parameter: dict[str, Any]) -> Field:
    about = parameter.get("description") or parameter["schema"].get("description", "")
    return Field(parameter["name"], _kind(parameter["schema"]), parameter["required"], about)


def _body(door: Door, operation: dict[str, Any]) -> list[Field]:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        return list(_fields(_resolved(door, content["schema"])))
    return []


def _answer(answer: dict[str, Any]) -> str:
    for content in answer.get("content", {}).values():
        return _kind(content["schema"])
    return "empty"


def _fields(schema: dict[str, Any]) -> Iterator[Field]:
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        yield Field(name, _kind(field), name in required, field.get("description", ""))


def _kind(schema: dict[str, Any]) -> str:
    """A type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REFERENCE)
    if "const" in schema or "enum" in schema:
        return " | ".join(orjson.dumps(word).decode() for word in schema.get("enum", [schema.get("const")]))
    for several in ("anyOf", "allOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(_kind(kind) for kind in schema[several]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "anything")


def _resolved(door: Door, schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").removeprefix(_REFERENCE)
    return dict(document(door)["components"]["schemas"][name]) if name else schema


@functools.cache
def _used(door: Door) -> set[str]:
    """The types that bodies and answers name, directly or through each other."""
    schemas = document(door)["components"]["schemas"]
    found: set[str] = set()
    waiting = list(_named_in(document(door)["paths"]))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _named_in(schemas[name])
    return found


def _named_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(named := value.get("$ref"), str):
            yield named.removeprefix(_REFERENCE)
        for child in value.values():
            yield from _named_in(child)
    elif isinstance(value, list):
        for child in value:
            yield from _named_in(child)
