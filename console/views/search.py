"""Search: people by number in any notation, agents by name, and every kept text by its words."""

import re
from collections.abc import Sequence
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import Q, Value
from django.http import HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe
from psycopg.errors import QueryCanceled

from accounts.models import Identity
from console.entry import PageRequest, draw, page
from console.lists import Choice, Column, FilterSpec, Flag, Listing, Range, Sort, identity_choice
from console.masking import sees_numbers
from console.thread.people import Title, titles_of, with_human, with_name
from console.thread.places import place_of
from core.actor import Actor
from core.phones import digits_of
from imessage.models import Conversation, Direction, Message

# Fewer letters than the index keeps together would read every text there is.
FEWEST = 3
# So many people and agents stand above the texts; the lists of each show all.
MOST_NAMED = 8
# A search that takes longer is stopped rather than letting it slow everybody else.
AT_MOST_SECONDS = 3
AROUND = 60


def _words(text: str) -> list[str]:
    """What every text found must hold: words, and phrases in double quotes."""
    return [phrase or word for phrase, word in re.findall(r'"([^"]+)"|(\S+)', text) if len(phrase or word) >= FEWEST]


def _texts(text: str) -> Q:
    found = Q()
    for words in _words(text):
        found &= Q(text__icontains=words)
    # A search without one word long enough finds nothing, instead of everything.
    return found or Q(pk=None)


def _searchable(actor: Actor) -> Any:
    """Texts the actor may read: a viewer reads no blocked ones."""
    texts = Message.objects.visible_to(actor).select_related("identity", "conversation")
    texts = texts.prefetch_related("conversation__participants")
    return texts if sees_numbers(actor) else texts.filter(is_blocked=False)


SEARCH = FilterSpec(
    name="search",
    title="Search",
    route="console:search",
    nouns=("text", "texts"),
    rows=_searchable,
    search=_texts,
    search_label="Texts, numbers, handles",
    fields=(
        identity_choice(),
        Choice(
            key="direction",
            label="Written by",
            column="direction",
            among=((Direction.INBOUND, "The human"), (Direction.OUTBOUND, "The agent")),
        ),
        Flag(key="blocked", label="Blocked", column="is_blocked"),
    ),
    time=Range(column="created_at", label="Written"),
    sorts=(Sort("at", "Written", "created_at"),),
    columns=(
        Column("at", "Written", "created_at"),
        Column("identity", "Identity", "identity__handle"),
        Column("human", "Human", "human", masked=True),
        Column("direction", "Direction", "direction"),
        Column("text", "Text", "text"),
    ),
)


@page
@require_safe
def show_search(request: PageRequest, actor: Actor) -> HttpResponse:
    """What the query finds: people, agents, texts. An empty one says how to search."""
    listing = SEARCH.read(request, actor)
    context: dict[str, Any] = {"listing": listing, "asked": listing.q, "fewest": FEWEST}
    if listing.q:
        context |= {"people": _people(actor, listing.q), "agents": _agents(actor, listing.q)}
        try:
            with transaction.atomic():
                _stop_in_time()
                context["hits"] = _hits(actor, listing)
        except OperationalError as stopped:
            if not isinstance(stopped.__cause__, QueryCanceled):
                raise
            context["too_broad"] = True
    return draw(request, actor, "console/search/search.html", context)


def _hits(actor: Actor, listing: Listing) -> list[dict[str, Any]]:
    found: Sequence[Message] = listing.page.rows
    titles, words = titles_of(actor, [message.conversation for message in found]), _words(listing.q)
    return [
        {
            "message": message,
            "title": titles[message.conversation_id],
            "text": marked(message.text or "", words),
            "url": place_of(message),
        }
        for message in found
    ]


def marked(text: str, words: list[str]) -> SafeString:
    """The part of a text around the first word found, with all found words marked."""
    if not words:
        return format_html("{}", text[: 3 * AROUND])
    pattern = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))), re.IGNORECASE)
    first = pattern.search(text)
    begins = max(0, (first.start() if first else 0) - AROUND)
    shown = text[begins : begins + 3 * AROUND]
    pieces, place = [], 0
    for found in pattern.finditer(shown):
        pieces += [(shown[place : found.start()], found[0])]
        place = found.end()
    body = format_html_join("", "{}<mark>{}</mark>", pieces)
    ends = "…" if begins + 3 * AROUND < len(text) else ""
    return format_html("{}{}{}{}", "…" if begins else "", body, shown[place:], ends)


def _people(actor: Actor, asked: str) -> list[tuple[Conversation, Title]]:
    """Threads by the numbers and names of who is in them, and groups by their own."""
    if len(asked) < FEWEST:
        return []
    digits = digits_of(asked)
    sought = with_name(asked)
    # Who may not read numbers may not guess them digit by digit either.
    if len(digits) >= FEWEST and sees_numbers(actor):
        sought |= with_human(digits)
    threads = Conversation.objects.visible_to(actor).annotate(is_readable=Value(sees_numbers(actor))).filter(sought)
    threads = threads.select_related("identity", "connection").prefetch_related("participants")
    found = list(threads.order_by("-last_at", "-id")[:MOST_NAMED])
    titles = titles_of(actor, found)
    return [(thread, titles[thread.pk]) for thread in found]


def _agents(actor: Actor, asked: str) -> list[Identity]:
    name = asked.removeprefix("@")
    named = Q(handle__icontains=name) | Q(display_name__icontains=name)
    return list(Identity.objects.visible_to(actor).live().filter(named).order_by("handle")[:MOST_NAMED])


def _stop_in_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{AT_MOST_SECONDS}s"])
