"""A phone in the browser, in development only: whoever tries the product is the human, on the simulated network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Identity
from console.entry import PageRequest, draw, page, toast
from console.rail import has_phones
from console.thread.words import GLYPHS
from core.actor import Actor
from core.errors import DomainError, NotFound
from core.phones import e164
from imessage.connecting import connect_command
from imessage.models import Conversation
from lines import simulation
from lines.models import Line, Route

# Fictional numbers, so that nobody types their own for want of another.
SUGGESTED = ["+15555550141", "+15555550142", "+15555550143"]
# As many bubbles as a screen scrolls through, and as many agents as a newcomer chooses from.
BUBBLES = 60
AGENTS = 8
LARGEST_FILE = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread of the phone: the line at the other end, and who stands behind it for this human."""

    line: str
    name: str
    about: str
    last: dict[str, Any] | None
    unread: int


def of_the_simulator(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Decorate a console view: operators alone, in development alone; what the network refuses is a toast."""

    @page
    @wraps(view)
    def entered(request: PageRequest, actor: Actor, *args: Any, **kwargs: Any) -> HttpResponse:
        if not has_phones(actor):
            raise NotFound()
        try:
            return view(request, actor, *args, **kwargs)
        except simulation.SimulatorAway as away:
            return _away(request, actor, away)
        except NotFound:
            raise
        except DomainError as refused:
            return _refuse(request, refused, kwargs.get("number"))

    return entered


@of_the_simulator
@require_safe
def show_phones(request: PageRequest, actor: Actor) -> HttpResponse:
    """Choose a phone: one that was used before, or any number."""
    if number := request.GET.get("number", "").strip():
        return HttpResponseRedirect(reverse("console:phone", kwargs={"number": e164(number)}))
    used = simulation.handsets()
    fresh = [number for number in SUGGESTED if number not in {phone["number"] for phone in used}]
    return draw(request, actor, "console/phone/phones.html", {"phones": used, "fresh": fresh})


@of_the_simulator
@require_safe
def show_phone(request: PageRequest, actor: Actor, number: str) -> HttpResponse:
    """One phone: its threads, and the thread `with` a line opened."""
    return draw(request, actor, "console/phone/phone.html", _screen(request, actor, e164(number)))


@of_the_simulator
@require_safe
def show_screen(request: PageRequest, actor: Actor, number: str) -> HttpResponse:
    """The screen alone, as it is now; the page asks for it every second."""
    return render(request, "console/phone/_screen.html", _screen(request, actor, e164(number)))


@of_the_simulator
@require_POST
def write_text(request: PageRequest, actor: Actor, number: str) -> HttpResponse:
    """The human sends a text, a file, or both to a line."""
    line, words = request.POST.get("with", ""), request.POST.get("text", "").strip()
    if words or request.FILES:
        simulation.text(number, to=line, text=words, media=_uploaded(request))
    return _answer(request, actor, number, wrote=True)


@of_the_simulator
@require_POST
def react(request: PageRequest, actor: Actor, number: str) -> HttpResponse:
    """The human puts a tapback on a bubble; with a minus before its kind, takes theirs away."""
    kind = request.POST.get("kind", "")
    simulation.tapback(
        number,
        bubble=request.POST.get("bubble", ""),
        kind=kind.removeprefix("-"),
        remove=kind.startswith("-"),
        with_=request.POST.get("with"),
    )
    return _answer(request, actor, number)


@of_the_simulator
@require_POST
def read_thread(request: PageRequest, actor: Actor, number: str) -> HttpResponse:
    """The human sees what the thread holds, as opening it does."""
    simulation.read(number, with_=request.POST.get("with"))
    return _answer(request, actor, number)


@of_the_simulator
@require_POST
def say_typing(request: PageRequest, actor: Actor, number: str) -> HttpResponse:
    """The human types; nothing on the phone changes by it."""
    simulation.typing(number, with_=request.POST.get("with", ""), on=bool(request.POST.get("text")))
    return HttpResponse(status=204)


@of_the_simulator
@require_POST
def choose_service(request: PageRequest, actor: Actor, number: str) -> HttpResponse:
    """The phone has iMessage, SMS alone, or is off."""
    simulation.set_service(number, service=request.POST.get("service", ""))
    return _answer(request, actor, number)


def _screen(request: PageRequest, actor: Actor, number: str) -> dict[str, Any]:
    asked = request.POST.get("with") or request.GET.get("with", "")
    phone = next((phone for phone in simulation.handsets() if phone["number"] == number), None)
    threads = _threads(number, phone["threads"] if phone else [])
    opened = next((thread for thread in threads if thread.line == asked), threads[0] if threads else None)
    typing, cursor = _typing(request, number, opened.line if opened else "")
    inbox = simulation.inbox(number, with_=opened.line)[-BUBBLES:] if opened else []
    route = _route(number, opened.line) if opened else None
    return {
        "number": number,
        "service": phone["service"] if phone else "imessage",
        "threads": threads,
        "opened": opened,
        "bubbles": [_drawn(bubble, number) for bubble in inbox],
        "has_unread": any(bubble["direction"] == "received" and not bubble["read_at"] for bubble in inbox),
        "typing": typing,
        "cursor": cursor,
        "glyphs": list(GLYPHS.items()),
        "commands": _commands(actor) if opened and route is None else [],
        "thread_in_console": _conversation(actor, route),
    }


def _drawn(bubble: dict[str, Any], number: str) -> dict[str, Any]:
    """The bubble with each tapback's sign, and which one is this human's own."""
    signs = [{**tap, "glyph": tap["emoji"] or GLYPHS.get(tap["kind"], "•")} for tap in bubble["tapbacks"]]
    mine = next((tap["kind"] for tap in signs if tap["from"] == number), "")
    return {**bubble, "tapbacks": signs, "mine": mine}


def _threads(number: str, used: list[str]) -> list[Thread]:
    """The routers first, then every line the phone has written with or is connected over."""
    routes = Route.objects.live().filter(human=number).select_related("line", "identity")
    names = {route.line.address: (f"@{route.identity.handle}", route.identity.display_name) for route in routes}
    routers = [line.address for line in Line.objects.routers().order_by("created_at")]
    lines = dict.fromkeys([*routers, *names, *used])
    bubbles = simulation.inbox(number)
    threads = []
    for line in lines:
        mine = [bubble for bubble in bubbles if line in {bubble["from"], bubble["to"]}]
        name, about = names.get(line, ("Router", "Where agents are asked for") if line in routers else (line, "Nobody"))
        unread = sum(1 for bubble in mine if bubble["direction"] == "received" and not bubble["read_at"])
        threads.append(Thread(line=line, name=name, about=about, last=mine[-1] if mine else None, unread=unread))
    return threads


def _typing(request: PageRequest, number: str, line: str) -> tuple[str, int]:
    """Whether the other end types, and the network's cursor; both travel in the address of the next look."""
    cursor = request.GET.get("cursor", "")
    news = simulation.wait(number, after=int(cursor) if cursor.isdecimal() else None, seconds=0)
    typing = request.GET.get("typing", "")
    for event in news["events"]:
        if event.get("with") == line or event["type"] == "bubble":
            typing = "1" if event["type"] == "typing" and event["on"] else ""
    return typing, news["next"]


def _route(number: str, line: str) -> Route | None:
    return Route.objects.live().filter(human=number, line__address=line).first()


def _conversation(actor: Actor, route: Route | None) -> Conversation | None:
    if route is None:
        return None
    theirs = Conversation.objects.visible_to(actor).filter(identity_id=route.identity_id, human=route.human)
    return theirs.order_by("-last_at").first()


def _commands(actor: Actor) -> list[str]:
    """What a newcomer may text to the router."""
    agents = Identity.objects.visible_to(actor).live().filter(imessage_enabled=True).order_by("created_at")[:AGENTS]
    return [connect_command(agent) for agent in agents]


def _uploaded(request: PageRequest) -> list[str]:
    file = request.FILES.get("file")
    if file is None:
        return []
    if (file.size or 0) > LARGEST_FILE:
        raise simulation.SimulatorRefused("The simulated network takes files of at most 10 MB.")
    kind = file.content_type or "application/octet-stream"
    return [simulation.add_file(file.read(), content_type=kind)]


def _answer(request: PageRequest, actor: Actor, number: str, *, wrote: bool = False) -> HttpResponse:
    """The screen as it is now; after a text with an empty field to write the next one."""
    if request.htmx:
        return render(request, "console/phone/_screen.html", _screen(request, actor, number) | {"wrote": wrote})
    return HttpResponseRedirect(_address(number, request.POST.get("with", "")))


def _refuse(request: PageRequest, refused: DomainError, number: str | None) -> HttpResponse:
    if request.htmx:
        return toast(request, refused)
    messages.error(request, refused.message)
    return HttpResponseRedirect(
        _address(number, "") if number and request.method == "POST" else reverse("console:phones")
    )


def _address(number: str, line: str) -> str:
    return reverse("console:phone", kwargs={"number": number}) + (f"?{urlencode({'with': line})}" if line else "")


def _away(request: PageRequest, actor: Actor, away: DomainError) -> HttpResponse:
    if request.htmx:
        return toast(request, away)
    response = draw(request, actor, "console/phone/away.html", {"refusal": away.message})
    response.status_code = away.status
    return response
