"""Everything that goes wrong in the Inkbox dialect, in its one shape: an object with `detail`."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError, ValidationErrorContext
from ninja.operation import Operation

from api.parsing import respond
from core.errors import DomainError
from dialects import inkbox

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


class InkboxAPI(NinjaAPI):
    """The API in Inkbox's words; its validation errors say where, what and with which input."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """The view's module and name: the words that client generators make methods of."""
        view = operation.view_func
        return f"{view.__module__.rpartition('.')[2]}_{view.__name__}"

    def validation_error_from_error_contexts(
        self, error_contexts: list[ValidationErrorContext[Any]]
    ) -> ValidationError:
        return ValidationError(
            [
                _explained(error, source=str(context.model.__ninja_param_source__))
                for context in error_contexts
                for error in context.pydantic_validation_error.errors(include_url=False)
            ]
        )


def answer_errors_of(api: InkboxAPI) -> None:
    """Give every error that ninja or the product raises in this API its answer."""
    handlers: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
        DomainError: refused,
        ValidationError: _invalid,
        HttpError: _http_error,
        RequestDataTooBig: _too_big,
        UnreadablePostError: _cut_off,
    }
    for error, handler in handlers.items():
        api.add_exception_handler(error, handler)


def refused(request: HttpRequest, error: DomainError) -> HttpResponse:
    """What the product refused: the status and words of the error, and the headers that its facts call for."""
    response = respond({"detail": _detail(error)}, status=error.status)
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    if error.status == 429:
        for name, value in inkbox.rate_limit_headers(error.fields).items():
            response[name] = value
    return response


def method_not_allowed(allowed: list[str]) -> HttpResponse:
    """405 with the methods that the path knows."""
    response = respond({"detail": f"This path knows only {' and '.join(allowed)}."}, status=405)
    response["Allow"] = ", ".join(allowed)
    return response


def _detail(error: DomainError) -> Any:
    detail = inkbox.error_detail(error.code, error.message, {**error.fields, "retry_after": error.retry_after})
    if error.status != 422 or isinstance(detail, dict):
        return detail
    loc = error.fields.get("loc", ["body"])
    return inkbox.invalid_detail([{"type": error.code, "loc": loc, "msg": error.message}])


def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    return respond({"detail": inkbox.invalid_detail(error.errors)}, status=422)


def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    # ninja wraps whatever the body parser raises.
    if isinstance(error.__cause__, DomainError):
        return refused(request, error.__cause__)
    return respond({"detail": error.message}, status=error.status_code)


def _too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return respond({"detail": "The request body is too large."}, status=413)


def _cut_off(request: HttpRequest, error: UnreadablePostError) -> HttpResponse:
    return respond({"detail": "The request body ended early."}, status=400)


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
