"""The door of every console page: who comes in as whom, and what becomes of a refusal."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails

from accounts.members import actor_of
from accounts.models import User
from core.actor import Actor, Role
from core.errors import DomainError, Forbidden, NotFound
from events import feed

View = Callable[..., HttpResponse]


class PageRequest(HttpRequest):
    """A request as views behind `page` get it: by a person who is signed in, for a page or for htmx."""

    user: User
    htmx: HtmxDetails


def page(view: View) -> View:
    """Decorate `view(request, actor, ...)`: signed in, a member, never stored by a browser or proxy.

    What the actor may not see is a 404, what it may not do a 403, both drawn; a fragment's refusal is a toast.
    """

    @login_required
    @wraps(view)
    def entered(request: PageRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response = view(request, actor_of(request.user), *args, **kwargs)
        except NotFound as refused:
            raise Http404(refused.message) from refused
        except Forbidden as refused:
            response = _forbid(request, refused)
        response["Cache-Control"] = "no-store"
        patch_vary_headers(response, ["HX-Request"])
        return response

    return entered


def draw(request: HttpRequest, actor: Actor, template: str, context: dict[str, Any]) -> HttpResponse:
    """A whole page in the console's frame, or a fragment that needs to know who reads it."""
    place = request.path.split("/")[2]
    frame = {"actor": actor, "is_operator": actor.role is Role.OPERATOR, "place": place}
    return render(request, template, context | frame)


def newest_event() -> int:
    """The number from which a page asks for what it missed; read it before the page's own rows."""
    return feed.last_number()


def seen_by(actor: Actor, model: Any, pk: UUID, *related: str) -> Any:
    """The row with this key, if the actor may see it; raises `NotFound` as for a row that does not exist."""
    row: models.Model | None = model.objects.visible_to(actor).select_related(*related).filter(pk=pk).first()
    if row is None:
        raise NotFound()
    return row


def toast(request: HttpRequest, refused: DomainError) -> HttpResponse:
    """A refusal as a toast that leaves the page as it was."""
    response = render(request, "console/shared/_toasts.html", {"refusal": refused.message}, status=refused.status)
    response["HX-Reswap"] = "none"
    return response


def _forbid(request: PageRequest, refused: Forbidden) -> HttpResponse:
    if request.htmx:
        return toast(request, refused)
    raise PermissionDenied(refused.message) from refused
