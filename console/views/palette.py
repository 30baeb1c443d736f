"""The palette: from a few letters to a page, an identity, a thread, a line or an id, within the rights of who asks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Q, Value
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.models import Identity
from console.entry import PageRequest, draw, page
from console.masking import sees_numbers
from console.pool import LOOKS, lines_of, sought
from console.rail import MAIN, MORE, shown
from console.thread.people import in_words, titles_of, with_human, with_name
from core.actor import Actor
from core.phones import digits_of, pretty
from imessage.models import Conversation

# So many of each kind: a palette is for going somewhere, lists are for reading.
MOST = 6
# Fewer digits are in every other number.
FEWEST_DIGITS = 3
_AN_ID = re.compile(r"[a-z]{2,8}_[a-z0-9]{16,}|[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """Somewhere to go: what it is called, what tells it from others, and the key that leads there too."""

    label: str
    url: str
    note: str = ""
    key: str = ""


@page
@require_safe
def show_palette(request: PageRequest, actor: Actor) -> HttpResponse:
    """What the letters find, in groups; a page of its own for who has no script."""
    asked = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    context = {"asked": asked, "groups": [group for group in _groups(actor, asked) if group[1]]}
    if request.htmx:
        return render(request, "console/palette/_found.html", context)
    return draw(request, actor, "console/palette/palette.html", context)


def _groups(actor: Actor, asked: str) -> Iterator[tuple[str, list[Found]]]:
    yield "Pages", [place for place in _places(actor) if asked.lower() in place.label.lower()]
    if asked:
        yield "Identities", list(_identities(actor, asked))
        yield "Threads", list(_threads(actor, asked))
        yield "Lines", list(_lines(actor, asked))
        yield "Search", list(_searches(asked))


def _places(actor: Actor) -> Iterator[Found]:
    for place, url in shown(MAIN + MORE, actor):
        yield Found(place.label, url, key=f"g {place.letter}")


def _identities(actor: Actor, asked: str) -> Iterator[Found]:
    name = asked.removeprefix("@")
    named = Q(handle__icontains=name) | Q(display_name__icontains=name)
    for identity in Identity.objects.visible_to(actor).live().filter(named).order_by("handle")[:MOST]:
        url = f"{reverse('console:threads')}?{urlencode({'identity': identity.handle})}"
        yield Found(f"@{identity.handle}", url, note=identity.display_name)


def _threads(actor: Actor, asked: str) -> Iterator[Found]:
    sought = Q(identity__handle=asked.removeprefix("@").lower()) | with_name(asked)
    digits = digits_of(asked)
    if sees_numbers(actor):
        sought |= with_human(digits) if len(digits) >= FEWEST_DIGITS else Q(pk=None)
    else:
        # Who may not read numbers may not guess them digit by digit either.
        sought |= Q(human=f"+{digits}")
    threads = Conversation.objects.visible_to(actor).annotate(is_readable=Value(sees_numbers(actor))).filter(sought)
    threads = threads.select_related("identity").prefetch_related("participants")
    found = list(threads.order_by("-last_at", "-id")[:MOST])
    titles = titles_of(actor, found)
    for thread in found:
        url = reverse("console:thread", args=[thread.id])
        yield Found(in_words(actor, titles[thread.pk]), url, note=f"@{thread.identity.handle}")


def _lines(actor: Actor, asked: str) -> Iterator[Found]:
    for line in lines_of(actor).filter(sought(asked)).select_related("account").order_by("-rank", "address")[:MOST]:
        url = reverse("console:line", args=[line.pk])
        yield Found(pretty(line.address), url, note=f"{LOOKS[line.word].label}, {line.account.name}")


def _searches(asked: str) -> Iterator[Found]:
    if _AN_ID.fullmatch(asked):
        yield Found("Trace this id", f"{reverse('console:open_trace')}?{urlencode({'id': asked})}")
    yield Found(f"Search all texts for “{asked}”", f"{reverse('console:search')}?{urlencode({'q': asked})}")
