"""A phone in the browser, in development only: whoever tries the product is the human, on the simulated network."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from console import handset
from console.entry import PageRequest, draw, page, toast
from console.rail import has_phones
from core.actor import Actor
from core.errors import DomainError, NotFound
from core.phones import e164
from lines import simulation

# Fictional numbers, so that nobody types their own for want of another.
SUGGESTED = ["+15555550141", "+15555550142", "+15555550143"]
LARGEST_FILE = 10 * 1024 * 1024
PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}


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
@require_safe
def show_file(request: PageRequest, actor: Actor, number: str, file: str) -> HttpResponse:
    """A picture that the network keeps, as the phone shows it."""
    content, kind = simulation.file(file)
    if kind not in PICTURES:
        raise NotFound()
    return HttpResponse(content, content_type=kind, headers={"Cache-Control": "private, max-age=3600"})


@of_the_simulator
@require_POST
def write_text(request: PageRequest, actor: Actor, number: str) -> HttpResponse:
    """The human sends a text, files, or both to a line or a group; one text however many files."""
    words = request.POST.get("text", "").strip()
    if words or request.FILES:
        simulation.text(
            number,
            to=request.POST.get("with", ""),
            text=words,
            media=[_uploaded(file) for file in request.FILES.getlist("file")],
            reply_to=request.POST.get("reply_to"),
            effect=request.POST.get("effect") or None,
        )
    return _answer(request, actor, number, wrote=True)


@of_the_simulator
@require_POST
def open_group(request: PageRequest, actor: Actor, number: str) -> HttpResponse:
    """The human makes a group with others and an agent's own number."""
    group = simulation.open_group(
        number,
        line=request.POST.get("line", ""),
        members=_numbers(request, "members"),
        name=request.POST.get("name", "").strip(),
    )
    return HttpResponseRedirect(_address(number, group["key"]))


@of_the_simulator
@require_POST
def change_group(request: PageRequest, actor: Actor, number: str) -> HttpResponse:
    """The human names the group, takes somebody in or out, or leaves it."""
    key = request.POST.get("with", "")
    simulation.change_group(
        number, key, add=_numbers(request, "add"), remove=_numbers(request, "remove"), name=request.POST.get("name")
    )
    return HttpResponseRedirect(_address(number, key))


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
    return handset.screen(
        actor,
        number,
        opened=request.POST.get("with") or request.GET.get("with", ""),
        answered=request.GET.get("reply_to", ""),
        typing=request.GET.get("typing", ""),
        cursor=request.GET.get("cursor", ""),
    )


def _numbers(request: PageRequest, field: str) -> list[str]:
    """The numbers in a field, with commas between them."""
    given = re.split(r"[,;\n]", request.POST.get(field, ""))
    return [e164(number.strip()) for number in given if number.strip()]


def _uploaded(file: "UploadedFile[bytes]") -> str:
    if (file.size or 0) > LARGEST_FILE:
        raise simulation.SimulatorRefused("The simulated network takes files of at most 10 MB.")
    return simulation.add_file(file.read(), content_type=file.content_type or "application/octet-stream")


def _answer(request: PageRequest, actor: Actor, number: str, *, wrote: bool = False) -> HttpResponse:
    """The screen as it is now; after a text with an empty field to write the next one."""
    if request.htmx:
        return render(request, "console/phone/_screen.html", _screen(request, actor, number) | {"wrote": wrote})
    return HttpResponseRedirect(_address(number, request.POST.get("with", "")))


def _refuse(request: PageRequest, refused: DomainError, number: str | None) -> HttpResponse:
    if request.htmx:
        return toast(request, refused)
    messages.error(request, refused.message)
    if number and request.method == "POST":
        return HttpResponseRedirect(_address(number, request.POST.get("with", "")))
    return HttpResponseRedirect(reverse("console:phones"))


def _address(number: str, thread: str) -> str:
    return reverse("console:phone", kwargs={"number": number}) + (f"?{urlencode({'with': thread})}" if thread else "")


def _away(request: PageRequest, actor: Actor, away: DomainError) -> HttpResponse:
    if request.htmx:
        return toast(request, away)
    response = draw(request, actor, "console/phone/away.html", {"refusal": away.message})
    response.status_code = away.status
    return response
