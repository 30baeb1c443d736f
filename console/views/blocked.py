"""The audit of what contact rules held back."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.entry import PageRequest, draw, newest_event, page
from console.flow import rules_of, verdict_in_words
from console.lists import Column, FilterSpec, Range, Sort, identity_choice, wants_rows
from core.actor import Actor
from imessage.models import Message

# A link into a thread shows the message with so many before it.
CONTEXT = 10

BLOCKED = FilterSpec(
    name="blocked",
    title="Blocked",
    route="console:blocked",
    nouns=("blocked message", "blocked messages"),
    rows=lambda actor: Message.objects.visible_to(actor).blocked().select_related("identity"),
    fields=(identity_choice(),),
    time=Range(column="created_at", label="Blocked"),
    sorts=(Sort("when", "Time", "created_at"),),
    columns=(
        Column("when", "Time", "created_at"),
        Column("human", "Sender", "human", masked=True),
        Column("identity", "Identity", "identity__handle"),
        Column("mode", "Mode then", "filter_mode"),
        Column("text", "Text", "text", masked=True),
    ),
)


@dataclass(frozen=True, slots=True)
class BlockedRow:
    """One blocked message, why it was blocked, and where its thread is opened to show it."""

    message: Message
    reason: str
    opens_at: int


@page
@require_safe
def show_blocked(request: PageRequest, actor: Actor) -> HttpResponse:
    """Blocked messages, newest first; for a live region the rows alone."""
    if wants_rows(request):
        return render(request, "console/blocked/_list.html", _list(request, actor))
    number = newest_event()
    return draw(request, actor, "console/blocked/blocked.html", _list(request, actor) | {"live_last": number})


def _list(request: PageRequest, actor: Actor) -> dict[str, Any]:
    listing = BLOCKED.read(request, actor)
    found: list[Message] = list(listing.page.rows)
    rules = rules_of(actor, found)
    rows = [
        BlockedRow(message, verdict_in_words(message, rules), max(1, message.position - CONTEXT)) for message in found
    ]
    return {"listing": listing, "rows": rows}
