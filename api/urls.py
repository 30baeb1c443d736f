"""Where the APIs are mounted."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, include, path

from api import reference
from api.doors import DOORS, Door
from api.errors import Words, method_not_allowed


def _in_shape(words: Words, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """ninja answers a wrong method with plain text; clients expect JSON from every path."""

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if response.status_code != 405:
            return response
        return method_not_allowed(words, sorted(response["Allow"].split(", ")))

    return answer


def _patterns(door: Door) -> Iterator[URLPattern]:
    for pattern in door.api.urls[0]:
        if isinstance(pattern, URLPattern) and pattern.name != "api-root":
            pattern.callback = _in_shape(door.api.words, pattern.callback)
            yield pattern


def _about(door: Door) -> list[URLPattern]:
    named = {"name": door.name}
    return [
        path(f"{door.reference}openapi.json", reference.openapi, named, name=f"openapi-{door.name}"),
        path(f"{door.reference}docs", reference.page, named, name=f"reference-{door.name}"),
    ]


urlpatterns = [
    *[pattern for door in DOORS for pattern in _about(door)],
    *[path(door.mount, include(list(_patterns(door)))) for door in DOORS],
]
