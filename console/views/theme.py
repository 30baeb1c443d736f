"""Light, dark, or as the system says: kept in a cookie, so the first byte of every page knows it."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

THEMES = {"light", "dark"}
A_YEAR = 365 * 24 * 3600


@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Keep the choice and go back; anything else than light or dark means the system's."""
    theme = request.POST.get("theme", "")
    response = HttpResponseRedirect(_came_from(request))
    if theme in THEMES:
        response.set_cookie("theme", theme, max_age=A_YEAR, samesite="Lax", secure=settings.HTTPS)
    else:
        response.delete_cookie("theme", samesite="Lax")
    return response


def _came_from(request: HttpRequest) -> str:
    """The page the form was on, if it is one of ours."""
    address = request.META.get("HTTP_REFERER", "")
    ours = url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
    return address if ours else "/console/threads/"
