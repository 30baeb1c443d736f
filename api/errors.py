"""Everything that goes wrong in an API, in the one shape of the dialect that its clients speak."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError, ValidationErrorContext
from ninja.operation import Operation

from api.parsing import JsonParser, OrjsonRenderer, respond
from core.errors import DomainError

# How much of a refused value is shown back.
_ECHO = 100

# Said instead of pydantic's sentences, which name our classes or Python's types.
_SENTENCES = {
    "model_type": "The body must be a JSON object.",
    "model_attributes_type": "The body must be a JSON object.",
    "bool_type": "Must be true or false.",
    "uuid_type": "Must be a UUID.",
    "uuid_parsing": "Must be a UUID.",
    "string_unicode": "Text must not contain lone surrogates; send real Unicode characters.",
}

# The parameters of views that hold a whole body or query: no part of a place that a client knows.
_CONTAINERS = {"body", "query"}

# Our codes for what no rule of the product refuses, by status.
_CODES = {
    400: "malformed",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    503: "unavailable",
}


class Words(Protocol):
    """How a dialect says what went wrong: the modules of `dialects` and whatever looks like them."""

    def status_of(self, code: str, status: int) -> int:
        """The dialect's status for one of our error codes, which has `status` in our own words."""

    def error_body(self, *, status: int, code: str, message: str, facts: Mapping[str, Any]) -> Any:
        """The body for one of our error codes, with the facts that a client needs under our names."""

    def invalid_body(self, errors: list[dict[str, Any]]) -> Any:
        """The body of a 422: each error has `type`, `loc`, `msg` and `input`."""

    def rate_limit_headers(self, facts: Mapping[str, Any]) -> dict[str, str]:
        """The headers of a 429 beside `Retry-After`."""


class DialectAPI(NinjaAPI):
    """An API in one vendor's words: JSON in and out, and every error rendered by `words`."""

    def __init__(self, *, words: Words, title: str, about: str, namespace: str, auth: Any) -> None:
        super().__init__(
            title=title,
            description=about,
            version="1",
            urls_namespace=namespace,
            auth=auth,
            parser=JsonParser(),
            renderer=OrjsonRenderer(),
            openapi_url=None,
            docs_url=None,
        )
        self.words = words
        handlers: dict[type[Exception], Callable[[Words, HttpRequest, Any], HttpResponse]] = {
            DomainError: _refused,
            ValidationError: _invalid,
            HttpError: _http_error,
            RequestDataTooBig: _too_big,
            UnreadablePostError: _cut_off,
        }
        for error, handler in handlers.items():
            self.add_exception_handler(error, functools.partial(handler, words))

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """The view's module and name: the words that client generators make methods of."""
        view = operation.view_func
        return f"{view.__module__.rpartition('.')[2]}_{view.__name__}"

    def validation_error_from_error_contexts(
        self, error_contexts: list[ValidationErrorContext[Any]]
    ) -> ValidationError:
        """Where, what and with which input."""
        return ValidationError(
            [
                _explained(error, source=str(context.model.__ninja_param_source__))
                for context in error_contexts
                for error in context.pydantic_validation_error.errors(include_url=False)
            ]
        )


def failure(words: Words, status: int, message: str) -> HttpResponse:
    """What no rule of the product refuses: an unknown path, a wrong method, a bug of ours."""
    code = _CODES.get(status, "internal_error")
    return respond(words.error_body(status=status, code=code, message=message, facts={}), status=status)


def method_not_allowed(words: Words, allowed: list[str]) -> HttpResponse:
    """405 with the methods that the path knows."""
    response = failure(words, 405, f"This path knows only {' and '.join(allowed)}.")
    response["Allow"] = ", ".join(allowed)
    return response


def _refused(words: Words, request: HttpRequest, error: DomainError) -> HttpResponse:
    """What the product refused: the status and words of the error, and the headers that its facts call for."""
    facts = {**error.fields, "retry_after": error.retry_after}
    status = words.status_of(error.code, error.status)
    body = words.error_body(status=status, code=error.code, message=error.message, facts=facts)
    response = respond(body, status=status)
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    if status == 429:
        for name, value in words.rate_limit_headers(error.fields).items():
            response[name] = value
    return response


def _invalid(words: Words, request: HttpRequest, error: ValidationError) -> HttpResponse:
    return respond(words.invalid_body(error.errors), status=words.status_of("invalid", 422))


def _http_error(words: Words, request: HttpRequest, error: HttpError) -> HttpResponse:
    # ninja wraps whatever the body parser raises.
    if isinstance(error.__cause__, DomainError):
        return _refused(words, request, error.__cause__)
    return failure(words, error.status_code, error.message)


def _too_big(words: Words, request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return failure(words, 413, "The request body is too large.")


def _cut_off(words: Words, request: HttpRequest, error: UnreadablePostError) -> HttpResponse:
    return failure(words, 400, "The request body ended early.")


def _explained(error: Any, *, source: str) -> dict[str, Any]:
    place = list(error["loc"])
    if place and place[0] in _CONTAINERS:
        place = place[1:]
    return {
        "type": error["type"],
        "loc": [source, *(_echo(part) for part in place)],
        "msg": _SENTENCES.get(error["type"], error["msg"]),
        "input": _echo(error["input"]),
    }


def _echo(value: Any) -> Any:
    """What may be shown back of a refused value: scalars, cut short, without what JSON cannot carry."""
    if isinstance(value, str):
        return value[:_ECHO].encode(errors="replace").decode()
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    return str(value) if isinstance(value, int) else None
