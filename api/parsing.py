"""Requests from outside, read so that nothing in them can surprise what stands below: JSON, and the types of fields."""

import json
import logging
import math
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from django.http import HttpRequest, HttpResponse
from ninja.parser import Parser
from ninja.renderers import BaseRenderer
from prometheus_client import Counter
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from core.errors import DomainError, Invalid
from core.phones import e164
from core.texts import storable

logger = logging.getLogger(__name__)

# No vendor's body is nested deeper than four; a number of more digits fits no field of ours.
DEEPEST = 32
LONGEST_NUMBER = 40

_URL_LIMIT = 2000

_ignored_fields = Counter("cordboard_ignored_fields", "Request fields that were ignored as unknown", ["body"])


class BadJson(Invalid):
    """The body is not valid JSON."""

    code = "json_invalid"


class JsonParser(Parser):
    """Reads a JSON body, whatever its content type says."""

    def parse_body(self, request: HttpRequest) -> Any:
        """The body's value; raises `BadJson` for what JSON, PostgreSQL or Python cannot hold."""
        return parse_json(request.body)


class OrjsonRenderer(BaseRenderer):
    """Writes JSON bodies."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return orjson.dumps(data)


def respond(data: Any, *, status: int = 200) -> HttpResponse:
    """A JSON answer with a status of its own."""
    return HttpResponse(orjson.dumps(data), status=status, content_type="application/json")


def parse_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8; raises `BadJson`.

    Stricter than Python: duplicate keys, NaN, infinities, endless numbers and deep nesting are refused, since
    two readers of such a text may understand two things.
    """
    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except UnicodeDecodeError as broken:
        raise BadJson("The body is not valid UTF-8.") from broken
    except json.JSONDecodeError as broken:
        raise BadJson(f"The body is not valid JSON: {broken.msg} at character {broken.pos}.") from broken
    except RecursionError as deep:
        raise BadJson(_too_deep()) from deep
    _require_shallow(value)
    return value


class Body(BaseModel):
    """A JSON body. Fields it does not name are ignored and counted: vendors' clients grow fields."""

    @model_validator(mode="before")
    @classmethod
    def _count_ignored(cls, data: Any) -> Any:
        known = {field.alias or name for name, field in cls.model_fields.items()}
        if isinstance(data, dict) and (unknown := data.keys() - known):
            _ignored_fields.labels(cls.__name__).inc(len(unknown))
            logger.debug("Ignored unknown request fields", extra={"body": cls.__name__, "count": len(unknown)})
        return data


class Page(BaseModel):
    """Which part of a list is asked for."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0


class Documented:
    """What the document says of a type beyond what pydantic knows: a validator of ours is stricter."""

    def __init__(self, **words: Any) -> None:
        self.words = words

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), **self.words}


def said_by(check: Callable[[str], str]) -> AfterValidator:
    """A rule of the product as a validator: its refusal becomes the error of the field."""

    def validate(text: str) -> str:
        try:
            return check(text)
        except DomainError as refused:
            raise PydanticCustomError(refused.code, "{sentence}", {"sentence": refused.message}) from refused

    return AfterValidator(validate)


def _true_or_false(value: Any) -> Any:
    """Query booleans are the two words alone: `1` and `yes` are more often mistakes than meant."""
    if value not in {"true", "false"}:
        raise PydanticCustomError("bool_parsing", "Must be true or false.")
    return value == "true"


def _web_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        found = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        found = False
    if not found or not re.fullmatch(r"[\x21-\x7e]+", text):
        raise Invalid("Must be an http or https URL that anyone can fetch.")
    return text


# Text that PostgreSQL can hold, put after a limit: `Annotated[str, Field(max_length=255), *TEXT]`. A limit put after
# it would be told as one "after validation".
TEXT = (said_by(storable), Documented(pattern="^[^\\x00]*$"))
PhoneNumber = Annotated[str, said_by(e164), Documented(format="e164")]
WebUrl = Annotated[str, Field(max_length=_URL_LIMIT), said_by(_web_url), Documented(format="web-url")]
QueryBool = Annotated[bool, BeforeValidator(_true_or_false)]


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise BadJson("The body names the same field twice.")
        result[name] = value
    return result


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise BadJson("The body holds a number with too many digits.")
    return int(digits)


def _float(digits: str) -> float | int:
    number = float(digits)
    if math.isinf(number):
        raise BadJson("The body holds a number that is too large.")
    # To JSON 3.0 and 3 are the same number.
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _constant(name: str) -> float:
    raise BadJson(f"The body is not valid JSON: {name} is not a JSON number.")


def _require_shallow(value: Any) -> None:
    level, depth = [value], 0
    while level := [child for container in level for child in _children(container)]:
        depth += 1
        if depth > DEEPEST:
            raise BadJson(_too_deep())


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep() -> str:
    return f"The body is nested deeper than {DEEPEST} levels."
