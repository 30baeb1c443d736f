"""The last word on a request that nobody answered: in the surface's own shape, never a stack trace."""

import logging
import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

logger = logging.getLogger(__name__)

RETRY_AFTER = 2


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 for a path that nothing is mounted at, or a row that does not exist for this actor."""
    return _answer(request, 404, "Not found.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, "The request is malformed.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, str(exception) or "You may not do that.")


def server_error(request: HttpRequest) -> HttpResponse:
    """503 with `Retry-After` while PostgreSQL is away, else 500."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        response = _answer(request, 503, "The database is restarting; repeat the request in a moment.")
        response["Retry-After"] = str(RETRY_AFTER)
        return response
    return _answer(request, 500, "Something went wrong here; the operator can find it in the log.")


def _answer(request: HttpRequest, status: int, detail: str) -> HttpResponse:
    if request.path.startswith(("/api/", "/callbacks/")) or request.path == "/readyz":
        return JsonResponse({"detail": detail}, status=status)
    return render(request, "error.html", {"status": status, "detail": detail}, status=status)
