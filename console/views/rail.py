"""The rail by itself, so that its numbers stay true on an open page."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.entry import PageRequest, frame, page
from core.actor import Actor


@page
@require_safe
def show_rail(request: PageRequest, actor: Actor) -> HttpResponse:
    """The places and their numbers; `at` names the place of the page that asks."""
    context = frame(request, actor, here=request.GET.get("at", "")[:40])
    return render(request, "console/shared/_places.html", context)
