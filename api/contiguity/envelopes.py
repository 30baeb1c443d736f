"""What every answer and every refusal of the dialect stands in, each with an id and a time of its own."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.utils import timezone

from api.parsing import respond
from core.ids import uuid7
from dialects import contiguity

status_of = contiguity.status_of


def told(data: Mapping[str, Any]) -> HttpResponse:
    """200 with `data`."""
    return respond(contiguity.answer(data, key=uuid7(), at=timezone.now()))


def error_body(*, status: int, code: str, message: str, facts: Mapping[str, Any]) -> Any:
    """The body for one of our error codes."""
    data = contiguity.error_data(status=status, message=message, facts=facts)
    return contiguity.refusal(data, key=uuid7(), at=timezone.now())


def invalid_body(errors: list[dict[str, Any]]) -> Any:
    """The body for a request that is not what its types say."""
    status = status_of("invalid", 422)
    return error_body(status=status, code="invalid", message=contiguity.invalid_sentence(errors), facts={})


def rate_limit_headers(facts: Mapping[str, Any]) -> dict[str, str]:
    """None beside `Retry-After`."""
    return {}
