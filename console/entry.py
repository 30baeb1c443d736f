"""The door of every console page: who comes in as whom, and what becomes of a refusal."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails

from accounts.members import actor_of
from accounts.models import User
from console import rail
from console.lists import address_as_asked, wants_rows
from console.models import Preferences
from console.preferences import preferences_of
from core.actor import Actor, Role
from core.errors import DomainError, Forbidden, NotFound
from events import feed

View = Callable[..., HttpResponse]


class PageRequest(HttpRequest):
    """A request as views behind `page` get it: by a person who is signed in, for a page or for htmx."""

    user: User
    htmx: HtmxDetails
    # Read by the tags that write numbers and times.
    actor: Actor
    preferences: Preferences


def page(view: View) -> View:
    """Decorate `view(request, actor, ...)`: signed in, a member, never stored by a browser or proxy.

    What the actor may not see is a 404, what it may not do a 403, both drawn; a fragment's refusal is a toast.
    """

    @wraps(view)
    def entered(request: PageRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            request.actor = actor_of(request.user)
            request.preferences = preferences_of(request.user)
            response = view(request, request.actor, *args, **kwargs)
        except NotFound as refused:
            raise Http404(refused.message) from refused
        except Forbidden as refused:
            response = _forbid(request, refused)
        return _unstored(response)

    guarded = login_required(entered)

    @wraps(view)
    def at_the_door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # A control of an open page must not get the sign-in page in its place. The live script, which asks
        # without naming a source, follows the redirect and says in its pill that the session ended.
        if "HX-Source" in request.headers and not request.user.is_authenticated:
            return _unstored(_send_to_sign_in(request))
        return guarded(cast(PageRequest, request), *args, **kwargs)

    return at_the_door


def draw(
    request: HttpRequest, actor: Actor, template: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """A whole page in the console's frame, or a fragment that needs to know who reads it."""
    response = render(request, template, context | frame(request, actor, here=rail.here_of(request)), status=status)
    listing = context.get("listing")
    if listing is not None and request.path == listing.spec.url:
        address_as_asked(request, response)
    return response


def draw_live(
    request: PageRequest, actor: Actor, whole: str, part: str, context: Callable[[], dict[str, Any]]
) -> HttpResponse:
    """The `whole` page, or for its live region the `part` of it that changes, without the frame around.

    The number from which the page asks for what it missed is read before `context` reads its rows: the other way
    round, what happens between the two would never be asked for.
    """
    if wants_rows(request):
        return render(request, part, context() | _reader(actor))
    number = newest_event()
    return draw(request, actor, whole, context() | {"live_last": number})


def frame(request: HttpRequest, actor: Actor, *, here: str) -> dict[str, Any]:
    """What the frame of a page shows around it: the reader, and the places with their numbers."""
    return {
        **_reader(actor),
        "place": here,
        "places": rail.entries(rail.MAIN, actor, here),
        "more_places": rail.entries(rail.MORE, actor, here),
        "rail_topics": rail.TOPICS,
    }


def _reader(actor: Actor) -> dict[str, Any]:
    return {"actor": actor, "is_operator": actor.role is Role.OPERATOR}


def newest_event() -> int:
    """The number from which a page asks for what it missed; read it before the page's own rows."""
    return feed.last_number()


def seen_by(actor: Actor, model: Any, pk: UUID, *related: str) -> Any:
    """The row with this key, if the actor may see it; raises `NotFound` as for a row that does not exist."""
    row: models.Model | None = model.objects.visible_to(actor).select_related(*related).filter(pk=pk).first()
    if row is None:
        raise NotFound()
    return row


def tell(request: HttpRequest, words: str, *, undo: str = "", label: str = "Undo", target: str = "") -> None:
    """A toast about a deed that is done, on this answer or the next page.

    `undo` is the address that a POST takes it back at; what that answers is morphed into `target` (a selector),
    or, without one, only its toasts are shown and the live regions follow by themselves.
    """
    way_back = json.dumps({"url": undo, "label": label, "target": target}) if undo else ""
    messages.success(request, words, extra_tags=way_back)


def toast(request: HttpRequest, refused: DomainError) -> HttpResponse:
    """A refusal as a toast that leaves the page as it was."""
    return _toast(request, {"refusal": refused.message}, status=refused.status)


def toasts(request: HttpRequest) -> HttpResponse:
    """An answer to htmx that changes nothing on the page but shows what `tell` said."""
    return _toast(request, {}, status=200)


def _toast(request: HttpRequest, context: dict[str, Any], *, status: int) -> HttpResponse:
    response = render(request, "console/shared/_toasts.html", context, status=status)
    response["HX-Reswap"] = "none"
    return response


def _forbid(request: PageRequest, refused: Forbidden) -> HttpResponse:
    if request.htmx:
        return toast(request, refused)
    raise PermissionDenied(refused.message) from refused


def _send_to_sign_in(request: HttpRequest) -> HttpResponse:
    return _toast(request, {"signed_out": True}, status=401)


def _unstored(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["HX-Request"])
    return response
