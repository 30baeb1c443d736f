"""The trace page: any id, one text, every step of its way."""

from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from console import tracing
from console.entry import PageRequest, draw, newest_event, page
from console.thread.people import people_of
from console.thread.places import place_of
from core.actor import Actor
from core.errors import NotFound


@page
@require_safe
def open_trace(request: PageRequest, actor: Actor) -> HttpResponse:
    """Where an id is asked for; an id in the query leads to its trace."""
    asked = request.GET.get("id", "").replace("\x00", "").strip()
    unknown = ""
    if asked:
        try:
            return redirect("console:trace", tracing.find(actor, asked).id)
        except NotFound as refused:
            unknown = refused.message
    response = draw(request, actor, "console/trace/ask.html", {"asked": asked, "unknown": unknown})
    response.status_code = 404 if unknown else 200
    return response


@page
@require_safe
def show_trace(request: PageRequest, actor: Actor, any_id: str) -> HttpResponse:
    """One text's way; other ids than the message's own lead to it. `as=text` is for a note about an incident."""
    number = newest_event()
    message = tracing.find(actor, any_id)
    if str(message.id) != any_id:
        return HttpResponseRedirect(tracing.address_of(message))
    steps = tracing.trace(actor, message)
    text = tracing.as_text(message, steps)
    if request.GET.get("as") == "text":
        return HttpResponse(text, content_type="text/plain; charset=utf-8")
    title = people_of(actor, message.conversation).title(message.conversation)
    context = {"message": message, "title": title, "steps": steps, "text": text, "live_last": number}
    context["thread_url"] = place_of(message)
    return draw(request, actor, "console/trace/_steps.html" if request.htmx else "console/trace/trace.html", context)
