"""The threads: the list, one thread, and the fragments that keep both live."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Count, Q, QuerySet, Value
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Identity
from console.counters import bounded, counter
from console.entry import PageRequest, draw, draw_live, newest_event, page, seen_by
from console.lists import (
    Choice,
    Column,
    FilterSpec,
    Flag,
    Listing,
    Number,
    Range,
    Sort,
    View,
    identity_choice,
)
from console.masking import sees_numbers
from console.rail import has_phones
from console.thread.about import Budget, about
from console.thread.agent import hidden_from_agent, seen_by_agent
from console.thread.marks import (
    mark_all_seen,
    mark_seen,
    seen_before,
    star,
    star_all,
    unstar,
    unstar_all,
    with_marks,
)
from console.thread.moment import Travel, asked_moment, before, in_address, travel
from console.thread.people import Title, titles_of, with_human, with_name
from console.thread.window import (
    NEWEST,
    Reading,
    Window,
    first_position,
    newest_window,
    open_window,
    tail,
)
from console.times import times_of
from console.work.deeds import Deed
from core.actor import Actor, Role
from core.errors import Invalid
from core.phones import digits_of, pretty
from imessage.connecting import connect_command, router_line
from imessage.errors import NoRouter
from imessage.finding import (
    FAILED,
    is_open,
    waiting_since,
    with_downgraded,
    with_failed_sends,
    with_undecided_sends,
)
from imessage.models import Connection, Conversation, Message
from imessage.sending import used_of_caps
from lines.models import Line

_SERVICES = (("imessage", "iMessage"), ("sms", "SMS"), ("rcs", "RCS"))


def _sought(text: str) -> Q:
    digits = digits_of(text)
    name = text.removeprefix("@")
    found = Q(identity__handle__icontains=name) | Q(identity__display_name__icontains=name) | with_name(text)
    # Numbers are found in any notation: only their digits are compared.
    return found | Q(is_readable=True) & with_human(digits) if digits else found


def _waiting(minutes: int) -> Q:
    return waiting_since(timezone.now() - timedelta(minutes=minutes))


def _lines(actor: Actor) -> list[tuple[str, str]]:
    """Which line carries whom is the operators' business."""
    if actor.role is not Role.OPERATOR:
        return []
    carrying = Line.objects.exclude(kind=Line.Kind.ROUTER).order_by("address")
    return [(line.address, pretty(line.address)) for line in carrying[:200]]


def _numbers(actor: Actor) -> list[tuple[str, str]]:
    """The numbers of the organization's own."""
    own = Line.objects.visible_to(actor).filter(kind=Line.Kind.DEDICATED).exclude(organization=None)
    return [(line.address, pretty(line.address)) for line in own.order_by("address")[:200]]


def _on_line(address: str) -> Q:
    return Q(connection__line__address=address) | Q(owned_line__address=address)


def _in_state(state: str) -> Q:
    return is_open() if state == Connection.Status.ACTIVE else Q(connection__status=state)


def _members(thread: Conversation) -> list[str]:
    return [one.human for one in thread.participants.all() if one.left_at is None]


def _threads(actor: Actor) -> QuerySet[Conversation]:
    # Who reads no number finds nobody by one either.
    rows = Conversation.objects.visible_to(actor).annotate(is_readable=Value(sees_numbers(actor)))
    rows = rows.select_related("identity", "connection", "owned_line", "visible_last", "blocked_last")
    return with_marks(rows.prefetch_related("participants"), actor)


THREADS = FilterSpec(
    name="threads",
    title="Threads",
    route="console:threads",
    nouns=("thread", "threads"),
    rows=_threads,
    search=_sought,
    search_label="Number, name or handle",
    fields=(
        identity_choice(),
        Choice(
            key="kind",
            label="Kind",
            among=(("single", "One human"), ("group", "Group")),
            condition=lambda kind: Q(is_group=kind == "group"),
        ),
        Choice(key="number", label="Number of its own", column="owned_line__address", among=_numbers),
        Choice(
            key="state",
            label="Connection",
            condition=_in_state,
            among=((Connection.Status.ACTIVE, "Active"), (Connection.Status.RELEASED, "Released")),
        ),
        Number(key="waiting", label="Waiting at least", unit="minutes", condition=_waiting, hint="Minutes"),
        Choice(key="service", label="Service of the last message", column="visible_last__service", among=_SERVICES),
        Flag(key="downgraded", label="Fell back", holds=with_downgraded),
        Flag(key="failed", label="Failed sends", holds=with_failed_sends),
        Flag(key="undecided", label="Outcome unknown", holds=with_undecided_sends),
        Flag(key="blocked", label="Has blocked", holds=Q(blocked_total__gt=0)),
        Flag(key="starred", label="Starred", column="is_starred"),
        Choice(key="line", label="Line", condition=_on_line, among=_lines),
    ),
    time=Range(column="last_at", label="Last activity"),
    sorts=(
        Sort("last", "Last activity", "last_at"),
        Sort("waiting", "Waiting", "waiting_since", descending=False, is_nullable=True),
        Sort("begun", "Begun", "created_at"),
    ),
    views=(
        View("live", "Live", "state=active"),
        View("waiting", "Waiting", "waiting=0&sort=waiting"),
        View("failed", "Failed sends", "failed=yes"),
        View("undecided", "Outcome unknown", "undecided=yes"),
        View("released", "Released", "state=released"),
        View("downgraded", "Downgraded", "downgraded=yes"),
        View("starred", "Starred", "starred=yes"),
    ),
    columns=(
        Column("human", "Human", "human", masked=True),
        Column("group", "Group", "group_name"),
        Column("members", "In the group", lambda thread: ", ".join(_members(thread))),
        Column("number", "Number of its own", "owned_line__address"),
        Column("identity", "Identity", "identity__handle"),
        Column("state", "Connection", "connection__status"),
        Column("last_at", "Last activity", "last_at"),
        Column("waiting_since", "Waiting since", "waiting_since"),
        Column("messages", "Messages", "visible_total"),
        Column("unread", "Unread by the agent", "visible_unread"),
        Column("blocked", "Blocked", "blocked_total"),
    ),
)

# Private marks.
_MARKS: dict[str, Any] = {"spec": THREADS, "grade": 1, "role": Role.VIEWER}
Deed(name="see_threads", label="Mark seen", perform=mark_seen, perform_all=mark_all_seen, **_MARKS)
Deed(name="star_threads", label="Star", perform=star, perform_all=star_all, **_MARKS)
Deed(name="unstar_threads", label="Take the star away", perform=unstar, perform_all=unstar_all, **_MARKS)

# Keys of the pages around the list that are not its own.
OWN = ("open", "start", "at", "as")


@counter("threads", "waiting", urgent=True)
def waiting_now(actor: Actor) -> int:
    """Threads that the view Waiting shows."""
    return bounded(Conversation.objects.visible_to(actor).filter(_waiting(0)))


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """One row of the list: the thread, its newest message, blocked or not, and what is worth a mark."""

    thread: Conversation
    title: Title
    last: Message | None
    budget: Budget
    failed: int
    is_starred: bool
    is_new: bool
    hides_text: bool


@page
@require_safe
def show_threads(request: PageRequest, actor: Actor) -> HttpResponse:
    """The list; on wide screens with room for a thread beside it. For a live region the rows alone."""
    whole, part = "console/threads/threads.html", "console/threads/_list.html"
    return draw_live(request, actor, whole, part, lambda: _list(request, actor))


@page
@require_safe
def show_thread(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """One thread beside the list: now, `at` a moment, or `as` its agent sees it; `start` is the first position."""
    number = newest_event()
    reading = _reading(request, actor, pk)
    if request.GET.get("as") == "agent":
        return draw(request, actor, "console/threads/as_agent.html", _as_agent(request, reading, number))
    journey = None
    if at := _moment(request):
        reading, journey = travel(reading, at)
    mark = seen_before(actor, reading.thread)
    first = first_position(reading.thread, _whole(request, "start"))
    window = open_window(reading, first=first, unseen_after=None if journey else mark.seen_position)
    context = _list(request, actor, opened=reading.thread) | about(reading) | _ways(request, reading, journey)
    context |= {"window": window, "travel": journey, "mark": mark, "live_last": number}
    if window.is_live:
        mark_seen(actor, reading.thread)
    return draw(request, actor, "console/threads/thread.html", context | _links(context["listing"], reading, window))


@page
@require_safe
def show_log(request: PageRequest, actor: Actor, pk: UUID, seen: int | None = None) -> HttpResponse:
    """The messages of an open page drawn anew, from position `from` to the newest; `seen` is where it divides."""
    reading = _reading(request, actor, pk)
    first = first_position(reading.thread, _whole(request, "from"))
    window = newest_window(reading, first=first, unseen_after=seen)
    context = {"thread": reading.thread, "window": window} | _links(read_threads(request, actor), reading, window)
    return render(request, "console/threads/_log.html", context)


@page
@require_safe
def show_tail(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Messages after position `after`, and earlier ones that events since number `since` changed."""
    reading = _reading(request, actor, pk)
    items = tail(reading, after=_whole(request, "after") or 0, since=_whole(request, "since"))
    return render(request, "console/threads/_items.html", {"items": items, "thread": reading.thread})


@page
@require_safe
def show_about(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """The side panel and, out of band, the thread's head."""
    return draw_about(request, actor, _thread(actor, pk))


@page
@require_safe
def show_as_agent(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """What the agent sees, drawn anew for an open page."""
    context = _as_agent(request, _reading(request, actor, pk), 0)
    return render(request, "console/threads/_as_agent_log.html", context)


@page
@require_POST
def set_star(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Keep an eye on a thread, or with `off` no more."""
    thread = _thread(actor, pk)
    (unstar if request.POST.get("off") else star)(actor, thread)
    if request.htmx:
        return draw_about(request, actor, thread)
    return HttpResponseRedirect(reverse("console:thread", args=[pk]) + read_threads(request, actor).here())


def draw_about(request: PageRequest, actor: Actor, thread: Conversation) -> HttpResponse:
    """What is known of a thread, as it stands now; also the answer to a change made there."""
    reading = Reading(actor, thread, times=times_of(request))
    context = about(reading) | _ways(request, reading, None)
    context |= {"out_of_band": True, "listing": read_threads(request, actor), "mark": seen_before(actor, thread)}
    return render(request, "console/threads/_about.html", context)


def read_threads(request: PageRequest, actor: Actor) -> Listing:
    """The list that a thread was opened from."""
    return THREADS.read(request, actor, own=(*OWN, "from", "after", "since"))


def _thread(actor: Actor, pk: UUID) -> Conversation:
    thread: Conversation = seen_by(actor, Conversation, pk, "identity__organization", "connection__line", "owned_line")
    return thread


def _reading(request: PageRequest, actor: Actor, pk: UUID) -> Reading:
    return Reading(actor, _thread(actor, pk), times=times_of(request))


def _moment(request: PageRequest) -> datetime | None:
    try:
        return asked_moment(request)
    except Invalid as unreadable:
        messages.error(request, f"{unreadable.message} This is the thread as it is now.")
        return None


def _links(listing: Listing, reading: Reading, window: Window) -> dict[str, str]:
    """Where a window leads to: before it, after it, and to the end of all."""
    here = reverse("console:thread", args=[reading.thread.id])
    at = in_address(reading.at) if reading.at else None
    return {
        "earlier_url": here + listing.here(at=at, start=str(window.earlier)),
        "later_url": here + listing.here(at=at, start=str(window.later)),
        "newest_url": here + listing.here(at=at),
    }


def _ways(request: PageRequest, reading: Reading, journey: Travel | None) -> dict[str, str]:
    """Where the head of a thread leads to: other ways of reading it, and the next human who waits."""
    listing = read_threads(request, reading.actor)
    here = reverse("console:thread", args=[reading.thread.id])
    ways = {"live_url": here + listing.here(), "as_agent_url": here + listing.here(**{"as": "agent"})}
    if journey is None:
        last = before(reading, timezone.now())
        following = next_waiting(reading.actor, reading.thread)
        ways["past_url"] = here + listing.here(at=last.text) if last else ""
        ways["next_waiting_url"] = reverse("console:thread", args=[following]) + listing.here() if following else ""
        return ways
    for name, stop in (("before_url", journey.before), ("after_url", journey.after)):
        ways[name] = here + listing.here(at=stop.text) if stop else ""
    return ways


def next_waiting(actor: Actor, thread: Conversation) -> UUID | None:
    """The thread whose human has waited longest after this one's; after the last the first again."""
    waiting = Conversation.objects.visible_to(actor).filter(is_open(), waiting_since__isnull=False)
    ordered = waiting.exclude(pk=thread.pk).order_by("waiting_since", "id").values_list("id", flat=True)
    following = ordered.filter(waiting_since__gt=thread.waiting_since).first() if thread.waiting_since else None
    found: UUID | None = following or ordered.first()
    return found


def _as_agent(request: PageRequest, reading: Reading, number: int) -> dict[str, Any]:
    thread, actor = reading.thread, reading.actor
    first = first_position(thread, _whole(request, "start"))
    listing = read_threads(request, actor)
    here = reverse("console:thread", args=[thread.id])
    earlier = str(max(1, first - NEWEST))
    return {
        **_list(request, actor, opened=thread),
        "thread": thread,
        "title": reading.people.title(thread),
        "seen": seen_by_agent(thread, first=first),
        "unseen": hidden_from_agent(actor, thread),
        "earlier_url": here + listing.here(**{"as": "agent", "start": earlier}) if first > 1 else "",
        "live_url": here + listing.here(),
        "live_last": number,
    }


def _list(request: PageRequest, actor: Actor, *, opened: Conversation | None = None) -> dict[str, Any]:
    listing = read_threads(request, actor)
    rows = _rows(actor, listing.page.rows)
    opened_id = str(opened.id) if opened else request.GET.get("open", "")
    return {
        "listing": listing,
        "rows": rows,
        "opened": opened_id,
        "query": listing.here(),
        "list_url": THREADS.url + listing.here(open=opened_id),
        "how_to_begin": None if rows or listing.is_narrowed else _how_to_begin(actor),
    }


def _rows(actor: Actor, threads: Sequence[Any]) -> list[ThreadRow]:
    used = used_of_caps({thread.identity_id for thread in threads})
    failed = Message.objects.visible_to(actor).filter(conversation__in=threads, status__in=FAILED)
    failures = dict(failed.order_by().values_list("conversation_id").annotate(Count("id")))
    titles = titles_of(actor, threads)
    return [
        ThreadRow(
            thread=thread,
            title=titles[thread.pk],
            last=(last := _newest(thread)),
            hides_text=bool(last and last.is_blocked and not sees_numbers(actor)),
            budget=Budget(used.get(thread.identity_id, 0)),
            failed=failures.get(thread.id, 0),
            is_starred=thread.is_starred,
            is_new=thread.seen_position is not None and thread.seen_position < thread.next_position - 1,
        )
        for thread in threads
    ]


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
    return {
        "number": number,
        "command": connect_command(identity) if identity else "",
        "make": reverse("console:new_identity") if actor.may(Role.ADMIN) else "",
        "phone": reverse("console:phones") if has_phones(actor) else "",
    }


def _whole(request: PageRequest, name: str) -> int | None:
    """A whole number of the query that fits the database's integers, else nothing."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
