"""Light, dark, or as the system says: kept in a cookie, so the first byte of every page knows it."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

THEMES = {"light", "dark", "system"}
A_YEAR = 365 * 24 * 3600


@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Keep the choice for this browser and go back; anything else than light or dark means the system's."""
    return keep_theme(HttpResponseRedirect(came_from(request)), request.POST.get("theme", ""))


def keep_theme(response: HttpResponse, theme: str) -> HttpResponse:
    """Remember a theme in this browser."""
    return keep_cookie(response, "theme", theme if theme in THEMES else "system", seconds=A_YEAR)


def keep_cookie(response: HttpResponse, name: str, value: str, *, seconds: int) -> HttpResponse:
    """A cookie about looks, which scripts may read and set."""
    response.set_cookie(name, value, max_age=seconds, samesite="Lax", secure=settings.HTTPS)
    return response


def came_from(request: HttpRequest) -> str:
    """The page the form was on, if it is one of ours."""
    address = request.META.get("HTTP_REFERER", "")
    ours = url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
    return address if ours else "/console/threads/"
