"""The threads: the list, one thread, and the fragments that keep both live."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import Identity
from console.entry import PageRequest, draw, newest_event, page, seen_by
from console.flow import first_position, newest_window, open_window, tail
from console.lists import (
    Choice,
    Column,
    FilterSpec,
    Flag,
    Listing,
    Range,
    Sort,
    View,
    identity_choice,
    wants_rows,
)
from contactrules.models import ContactRule
from contactrules.rules import verdict
from core.actor import Actor, Role
from imessage.connecting import connect_command, router_line
from imessage.errors import NoRouter
from imessage.models import Connection, Conversation, Message
from imessage.sending import CAP, used_of_cap


def _sought(text: str) -> Q:
    digits = "".join(char for char in text if char.isascii() and char.isdigit())
    name = text.removeprefix("@")
    found = Q(identity__handle__icontains=name) | Q(identity__display_name__icontains=name)
    # Numbers are found in any notation: only their digits are compared.
    return found | Q(human__contains=digits) if digits else found


THREADS = FilterSpec(
    name="threads",
    title="Threads",
    route="console:threads",
    nouns=("thread", "threads"),
    rows=lambda actor: Conversation.objects.visible_to(actor).select_related(
        "identity", "connection", "visible_last", "blocked_last"
    ),
    search=_sought,
    search_label="Number or handle",
    fields=(
        identity_choice(),
        Choice(
            key="state",
            label="Connection",
            column="connection__status",
            among=((Connection.Status.ACTIVE, "Active"), (Connection.Status.RELEASED, "Released")),
        ),
        Flag(key="blocked", label="Has blocked", holds=Q(blocked_total__gt=0)),
    ),
    time=Range(column="last_at", label="Last activity"),
    sorts=(Sort("last", "Last activity", "last_at"), Sort("begun", "Begun", "created_at")),
    views=(View("live", "Live", "state=active"), View("released", "Released", "state=released")),
    columns=(
        Column("human", "Human", "human", masked=True),
        Column("identity", "Identity", "identity__handle"),
        Column("state", "Connection", "connection__status"),
        Column("last_at", "Last activity", "last_at"),
        Column("messages", "Messages", "visible_total"),
        Column("blocked", "Blocked", "blocked_total"),
    ),
)

# Keys of the pages around the list that are not its own.
OWN = ("open", "start")


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """One row of the list: the thread and its newest message, blocked or not."""

    thread: Conversation
    last: Message | None


@page
@require_safe
def show_threads(request: PageRequest, actor: Actor) -> HttpResponse:
    """The list; on wide screens with room for a thread beside it. For a live region the rows alone."""
    if wants_rows(request):
        return render(request, "console/threads/_list.html", _list(request, actor))
    number = newest_event()
    return draw(request, actor, "console/threads/threads.html", _list(request, actor) | {"live_last": number})


@page
@require_safe
def show_thread(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """One thread beside the list; `start` names the position it begins at."""
    number = newest_event()
    thread = _thread(actor, pk)
    window = open_window(actor, thread, first=first_position(thread, _whole(request, "start")))
    context = _list(request, actor, opened=thread) | _about(actor, thread) | {"window": window, "live_last": number}
    return draw(request, actor, "console/threads/thread.html", context)


@page
@require_safe
def show_log(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """The messages of an open page drawn anew, from position `from` to the newest."""
    thread = _thread(actor, pk)
    window = newest_window(actor, thread, first=first_position(thread, _whole(request, "from")))
    context = {"thread": thread, "window": window, "listing": THREADS.read(request, actor, own=("from",))}
    return render(request, "console/threads/_log.html", context)


@page
@require_safe
def show_tail(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Messages after position `after`, and earlier ones that events since number `since` changed."""
    items = tail(actor, _thread(actor, pk), after=_whole(request, "after") or 0, since=_whole(request, "since"))
    return render(request, "console/threads/_items.html", {"items": items})


@page
@require_safe
def show_about(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """The side panel and, out of band, the thread's head."""
    return draw_about(request, actor, _thread(actor, pk))


def draw_about(request: PageRequest, actor: Actor, thread: Conversation) -> HttpResponse:
    """What is known of a thread, as it stands now; also the answer to a change made there."""
    context = _about(actor, thread) | {"out_of_band": True, "listing": read_threads(request, actor)}
    return draw(request, actor, "console/threads/_about.html", context)


def _thread(actor: Actor, pk: UUID) -> Conversation:
    thread: Conversation = seen_by(actor, Conversation, pk, "identity__organization", "connection__line")
    return thread


def read_threads(request: PageRequest, actor: Actor) -> Listing:
    """The list that a thread was opened from."""
    return THREADS.read(request, actor, own=OWN)


def _list(request: PageRequest, actor: Actor, *, opened: Conversation | None = None) -> dict[str, Any]:
    listing = read_threads(request, actor)
    rows = [ThreadRow(thread=thread, last=_newest(thread)) for thread in listing.page.rows]
    opened_id = str(opened.id) if opened else request.GET.get("open", "")
    return {
        "listing": listing,
        "rows": rows,
        "opened": opened_id,
        "query": listing.here(),
        "list_url": THREADS.url + listing.here(open=opened_id),
        "how_to_begin": None if rows or listing.is_narrowed else _how_to_begin(actor),
    }


def _newest(thread: Conversation) -> Message | None:
    """The later of the newest visible and the newest blocked message."""
    both = [message for message in (thread.visible_last, thread.blocked_last) if message]
    return max(both, key=lambda message: message.position, default=None)


def _how_to_begin(actor: Actor) -> dict[str, str]:
    """What to text where for a first thread; without a router or an identity the missing one is named."""
    identity = Identity.objects.visible_to(actor).live().order_by("created_at").first()
    try:
        number = router_line().address
    except NoRouter:
        number = ""
    return {"number": number, "command": connect_command(identity) if identity else ""}


def _about(actor: Actor, thread: Conversation) -> dict[str, Any]:
    rules = ContactRule.objects.visible_to(actor).filter(identity=thread.identity, match_target=thread.human)
    used = used_of_cap(thread.identity)
    return {
        "thread": thread,
        "rules": list(rules),
        "verdict": verdict(thread.identity, thread.human),
        "may_change_rules": actor.role in {Role.ADMIN, Role.OPERATOR},
        "is_operator": actor.role is Role.OPERATOR,
        "budget": {"used": used, "cap": CAP, "low": used >= CAP * 0.8},
    }


def _whole(request: PageRequest, name: str) -> int | None:
    """A whole number of the query that fits the database's integers, else nothing."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
