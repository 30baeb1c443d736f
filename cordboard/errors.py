"""The last word on a request that nobody answered: in the surface's own shape, never a stack trace."""

import logging
import re
import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from api.doors import door_at
from api.errors import failure

logger = logging.getLogger(__name__)

RETRY_AFTER = 2


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 for a path that nothing is mounted at, or a row that does not exist for this actor."""
    return _answer(request, 404, "Not found.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, "The request is malformed.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, str(exception) or "You may not do that.")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form without the proof that it is ours: most often a page from before signing in again."""
    logger.warning("A form was refused: %s", reason, extra={"path": request.path})
    return _answer(
        request, 403, "The form was too old, or cookies are off. Open the page anew and try again.", stale=True
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """503 with `Retry-After` while PostgreSQL is away, else 500."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        response = _answer(request, 503, "The database is restarting; repeat the request in a moment.")
        response["Retry-After"] = str(RETRY_AFTER)
        return response
    return _answer(request, 500, "Something went wrong here; the operator can find it in the log.")


def _answer(request: HttpRequest, status: int, detail: str, *, stale: bool = False) -> HttpResponse:
    if door := door_at(request.path):
        return failure(door.api.words, status, detail)
    if request.path.startswith("/callbacks/") or request.path == "/readyz":
        return JsonResponse({"detail": detail}, status=status)
    if "HX-Request" in request.headers:
        # A fragment's place keeps what it shows; the refusal is a toast over it.
        response = render(request, "console/shared/_toasts.html", {"refusal": detail}, status=status)
        response["HX-Reswap"] = "none"
        return response
    context = {"status": status, "detail": detail, "stale": stale, "back": _place(request)}
    return render(request, "error.html", context, status=status)


def _place(request: HttpRequest) -> str:
    """The list that a path in the console belongs to, to go back to; empty elsewhere and for the list itself."""
    place = re.match(r"/console/[a-z]+/", request.path)
    return place[0] if place and place[0] != request.path else ""
