"""Saved views: kept from a list's menu, renamed, shared and deleted on a page of their own."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from console.entry import PageRequest, draw, page, seen_by
from console.lists import SPECS, FilterSpec
from console.models import SavedView
from console.saving import change_view, delete_view, may_change, save_view
from core.actor import Actor, Role
from core.errors import DomainError, Forbidden, NotFound


@dataclass(frozen=True, slots=True)
class ViewRow:
    """A saved view, the list it is of, its filter in words and whether it may be changed."""

    view: SavedView
    spec: FilterSpec
    words: str
    url: str
    may_change: bool


@page
@require_safe
def show_views(request: PageRequest, actor: Actor) -> HttpResponse:
    """One's own views and the shared ones, list by list."""
    views = SavedView.objects.visible_to(actor).select_related("user").order_by("list_name", "name", "pk")
    rows = [_row(view, actor) for view in views if view.list_name in SPECS]
    return draw(request, actor, "console/views/views.html", {"rows": rows, "may_share": actor.may(Role.ADMIN)})


@page
@require_POST
def keep_view(request: PageRequest, actor: Actor) -> HttpResponse:
    """Keep the list's present filter under a name."""
    spec = SPECS.get(request.POST.get("list", ""))
    if spec is None:
        raise NotFound()
    listing = spec.asked(request.POST.get("query", ""), actor)

    def deed() -> Any:
        return save_view(actor, listing, name=request.POST.get("name", ""), is_shared="shared" in request.POST)

    return _done(request, deed, "The view is saved.", to=listing.spec.url + listing.full_query)


@page
@require_POST
def edit_view(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Rename it, share it or keep it to oneself."""
    view: SavedView = seen_by(actor, SavedView, pk)
    name, is_shared = request.POST.get("name", ""), "shared" in request.POST

    def deed() -> Any:
        return change_view(actor, view, SPECS[view.list_name], name=name, is_shared=is_shared)

    return _done(request, deed, "The view is changed.", to=reverse("console:views"))


@page
@require_POST
def drop_view(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Take it away."""
    view: SavedView = seen_by(actor, SavedView, pk)
    return _done(request, lambda: delete_view(actor, view), "The view is gone.", to=reverse("console:views"))


def _done(request: PageRequest, deed: Any, words: str, *, to: str) -> HttpResponse:
    try:
        deed()
    except Forbidden:
        raise
    except DomainError as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, words)
    return HttpResponseRedirect(to)


def _row(view: SavedView, actor: Actor) -> ViewRow:
    spec = SPECS[view.list_name]
    listing = spec.asked(view.query, actor)
    return ViewRow(view, spec, listing.words or "Everything", listing.url, may_change(actor, view))
