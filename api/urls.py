"""Where the APIs are mounted."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from api import reference
from api.errors import method_not_allowed
from api.inkbox.routes import api


def _in_shape(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """ninja answers a wrong method with plain text; clients expect JSON from every path."""

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        return method_not_allowed(sorted(response["Allow"].split(", "))) if response.status_code == 405 else response

    return answer


def _patterns() -> list[URLPattern]:
    patterns = [pattern for pattern in api.urls[0] if isinstance(pattern, URLPattern) and pattern.name != "api-root"]
    for pattern in patterns:
        pattern.callback = _in_shape(pattern.callback)
    return patterns


urlpatterns = [
    path("v1/openapi.json", reference.openapi, name="openapi"),
    path("v1/docs", reference.page, name="reference"),
    *_patterns(),
]
