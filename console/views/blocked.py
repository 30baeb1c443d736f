"""The audit of what contact rules held back."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.models import Identity
from console.entry import PageRequest, draw, newest_event, page
from console.filters import BlockedFilter
from console.flow import rules_of, verdict_in_words
from console.paging import Page, keyset_page
from console.views.threads import MOST_IDENTITIES
from core.actor import Actor
from imessage.models import Message

# A link into a thread shows the message with so many before it.
CONTEXT = 10


@dataclass(frozen=True, slots=True)
class BlockedRow:
    """One blocked message, why it was blocked, and where its thread is opened to show it."""

    message: Message
    reason: str
    opens_at: int


@page
@require_safe
def show_blocked(request: PageRequest, actor: Actor) -> HttpResponse:
    """Blocked messages, newest first; for htmx the rows alone."""
    if request.htmx:
        return render(request, "console/blocked/_list.html", _list(request, actor))
    number = newest_event()
    return draw(request, actor, "console/blocked/blocked.html", _list(request, actor) | {"live_last": number})


def _list(request: PageRequest, actor: Actor) -> dict[str, Any]:
    chosen = BlockedFilter.read(request)
    before = request.GET.get("before", "")
    messages = Message.objects.visible_to(actor).blocked().select_related("identity")
    found: Page[Message] = keyset_page(chosen.narrow(messages), time_field="created_at", before=before)
    rules = rules_of(actor, found.rows)
    return {
        "rows": [
            BlockedRow(message, verdict_in_words(message, rules), max(1, message.position - CONTEXT))
            for message in found.rows
        ],
        "filter": chosen,
        "identities": Identity.objects.visible_to(actor).live().order_by("handle").only("handle")[:MOST_IDENTITIES],
        "list_url": reverse("console:blocked") + chosen.query(before=before),
        "older_query": chosen.query(before=found.older) if found.older else "",
        "is_first": found.is_first,
    }
