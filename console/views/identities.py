"""Identities: the list, one agent with its connections, keys and activity; made, switched on and off, paused."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts.identities import CHANGEABLE, create_identity, rename_identity, update_identity
from accounts.keys import create_key, dressed, revoke_key
from accounts.models import ApiKey, Identity, Organization
from console.entry import PageRequest, draw, draw_live, page, seen_by, tell, toast
from console.friction import Confirmation, Fact, confirm, leave_for
from console.identities import standings
from console.lists import Choice, Column, FilterSpec, Flag, Sort, View
from console.lists.fields import Unreadable
from console.lists.paging import Order, Page, read_cursor, read_page
from console.numbers import free_numbers, numbers_of
from console.reaching import identity_called
from console.thread.people import Title, titles_of
from core.actor import Actor, Role
from core.dialects import Dialect
from core.errors import DomainError, NotFound
from core.phones import pretty
from events.models import Event
from imessage.connecting import connect_command, release, router_line
from imessage.errors import NoRouter
from imessage.finding import is_open
from imessage.models import Connection, Conversation
from imessage.owning import attach, detach

# Enough to choose from when an operator makes an identity for somebody.
MOST_ORGANIZATIONS = 200
SHOWN_THREADS = 5

_NEWEST_CONNECTION = Order(Sort("begun", "Connected", "created_at"), descending=True)
_NEWEST_EVENT = Order(Sort("number", "Number", "number", kind="number"), descending=True)


def _called(text: str) -> Q:
    name = text.removeprefix("@")
    return Q(handle__icontains=name) | Q(display_name__icontains=name)


IDENTITIES = FilterSpec(
    name="identities",
    title="Identities",
    route="console:identities",
    nouns=("identity", "identities"),
    rows=lambda actor: Identity.objects.visible_to(actor).live().select_related("organization"),
    search=_called,
    search_label="Handle or name",
    fields=(
        Choice(
            key="status",
            label="Status",
            column="status",
            among=((Identity.Status.ACTIVE, "Active"), (Identity.Status.PAUSED, "Paused")),
        ),
        Flag(key="enabled", label="iMessage", column="imessage_enabled", yes="On", no="Off"),
        Choice(key="mode", label="Filter mode", column="imessage_filter_mode", among=Identity.FilterMode.choices),
    ),
    sorts=(
        Sort("handle", "Handle", "handle", descending=False, kind="text"),
        Sort("made", "Made", "created_at"),
    ),
    views=(View("on", "On", "enabled=yes&status=active"), View("off", "Off", "enabled=no")),
    columns=(
        Column("handle", "Handle", "handle"),
        Column("name", "Name", "display_name"),
        Column("status", "Status", "status"),
        Column("enabled", "iMessage", "imessage_enabled"),
        Column("mode", "Filter mode", "imessage_filter_mode"),
        Column("made", "Made", "created_at"),
    ),
)


@page
@require_safe
def show_identities(request: PageRequest, actor: Actor) -> HttpResponse:
    """All identities; for a live region the rows alone."""
    whole, part = "console/identities/identities.html", "console/identities/_list.html"
    return draw_live(request, actor, whole, part, lambda: _list(request, actor))


def _list(request: PageRequest, actor: Actor) -> dict[str, Any]:
    listing = IDENTITIES.read(request, actor)
    rows = standings(actor, list(listing.page.rows))
    return {"listing": listing, "rows": rows, "may_change": actor.may(Role.ADMIN)}


@page
def make_identity(request: PageRequest, actor: Actor) -> HttpResponse:
    """The form for a new identity, and its making."""
    actor.require(Role.ADMIN)
    context: dict[str, Any] = {"organizations": _organizations(actor), "given": request.POST}
    if request.method != "POST":
        return draw(request, actor, "console/identities/new.html", context)
    try:
        identity = create_identity(
            actor,
            organization=_organization(actor, request.POST.get("organization", "")),
            handle=request.POST.get("handle", ""),
            display_name=request.POST.get("display_name", "").strip() or None,
            description=request.POST.get("description", "").strip() or None,
            imessage_enabled="imessage_enabled" in request.POST,
        )
    except DomainError as refused:
        context["errors"] = {"organization" if isinstance(refused, NotFound) else "handle": refused.message}
        return draw(request, actor, "console/identities/new.html", context, status=422)
    tell(request, f"@{identity.handle} is made. Give it a key so that its program can use the API.")
    return HttpResponseRedirect(reverse("console:identity_keys", args=[identity.handle]))


@page
@require_safe
def show_identity(request: PageRequest, actor: Actor, handle: str) -> HttpResponse:
    """One identity: whether and how humans reach it, and what waits."""
    whole, part = "console/identities/overview.html", "console/identities/_overview.html"
    return draw_live(request, actor, whole, part, lambda: _overview(actor, identity_called(actor, handle)))


def _overview(actor: Actor, identity: Identity) -> dict[str, Any]:
    threads = Conversation.objects.visible_to(actor).filter(identity=identity, waiting_since__isnull=False)
    waiting = threads.prefetch_related("participants")
    return framed(actor, identity, "overview") | {
        "standing": standings(actor, [identity])[0],
        "command": connect_command(identity),
        "router": _router(),
        "waiting": _titled(actor, list(waiting.order_by("waiting_since", "id")[:SHOWN_THREADS])),
        "numbers": numbers_of(actor, identity),
        "free_numbers": free_numbers(actor, identity) if actor.may(Role.ADMIN) else [],
    }


def _titled(actor: Actor, threads: list[Conversation]) -> list[tuple[Conversation, Title]]:
    titles = titles_of(actor, threads)
    return [(thread, titles[thread.pk]) for thread in threads]


@page
@require_POST
def attach_number(request: PageRequest, actor: Actor, handle: str) -> HttpResponse:
    """Have one of the organization's numbers speak for the identity; taken back by detaching it, which asks first."""
    actor.require(Role.ADMIN)
    identity = identity_called(actor, handle)
    chosen = request.POST.get("number", "")
    line = next((one for one in free_numbers(actor, identity) if str(one.pk) == chosen), None)
    if line is None:
        raise NotFound("That number is not free any more.")
    try:
        attach(actor, line, identity)
    except DomainError as refused:
        return _refuse(request, refused, identity)
    tell(request, f"{pretty(line.address)} speaks for @{identity.handle} now.")
    return leave_for(request, _address(identity))


@page
def detach_number(request: PageRequest, actor: Actor, handle: str, pk: UUID) -> HttpResponse:
    """Take a number from the identity, once somebody has seen whom that cuts off (grade 3)."""
    actor.require(Role.ADMIN)
    identity = identity_called(actor, handle)
    line = numbers_of(actor, identity).filter(pk=pk).first()
    if line is None:
        raise NotFound()
    threads = Conversation.objects.visible_to(actor).filter(identity=identity, owned_line=line)
    asked = Confirmation(
        title=f"Take {pretty(line.address)} from @{identity.handle}?",
        sentence="What is written to the number reaches nobody until it speaks for an identity again; what is queued"
        " on it is not sent. What was said stays here.",
        action="Detach",
        back=_address(identity),
        facts=[
            Fact("Humans who write to it", threads.filter(connection__status=Connection.Status.ACTIVE).count()),
            Fact("Groups", threads.filter(is_group=True).count()),
        ],
        undoable="You can attach it again; humans who write from then on are connected anew.",
        hold=timedelta(),
    )
    answer = confirm(request, actor, asked)
    if isinstance(answer, HttpResponse):
        return answer
    try:
        detach(actor, line)
    except DomainError as refused:
        return _refuse(request, refused, identity)
    tell(request, f"{pretty(line.address)} speaks for nobody now.")
    return leave_for(request, _address(identity))


@page
@require_POST
def rename(request: PageRequest, actor: Actor, handle: str) -> HttpResponse:
    """Change the handle, the name or the description."""
    actor.require(Role.ADMIN)
    identity = identity_called(actor, handle)
    try:
        changes = {name: request.POST[name].strip() for name in ("display_name", "description") if name in request.POST}
        identity = update_identity(actor, identity, changes={key: changes[key] for key in changes.keys() & CHANGEABLE})
        identity = rename_identity(actor, identity, handle=request.POST.get("handle", identity.handle))
    except DomainError as refused:
        return _refuse(request, refused, identity)
    tell(request, f"@{identity.handle} is saved. Humans who text a former handle still reach it.")
    return leave_for(request, _address(identity))


@page
@require_POST
def switch_on(request: PageRequest, actor: Actor, handle: str) -> HttpResponse:
    """Let humans reach it again; taken back by switching it off, which asks first."""
    identity = identity_called(actor, handle)
    changes = {"imessage_enabled": True, "status": Identity.Status.ACTIVE}
    identity = update_identity(actor, identity, changes=changes)
    tell(request, f"@{identity.handle} is on: humans reach it, and its webhooks fire.")
    return leave_for(request, _address(identity))


@page
def switch_off(request: PageRequest, actor: Actor, handle: str, how: str) -> HttpResponse:
    """Disable or pause an identity, once somebody has seen whom it silences (grade 4)."""
    actor.require(Role.ADMIN)
    identity = identity_called(actor, handle)
    reachable = Conversation.objects.visible_to(actor).filter(is_open(), identity=identity)
    people = reachable.filter(is_group=False).count()
    asked = Confirmation(
        title=f"{_HOW[how]} @{identity.handle}?",
        sentence="Nothing more leaves, its webhooks stay silent, and nobody new connects. What humans write is stored.",
        action=f"{_HOW[how]} @{identity.handle}",
        back=_address(identity),
        grade=4,
        facts=[
            Fact("Connected humans", people),
            Fact("Groups", reachable.filter(is_group=True).count()),
            Fact("Waiting now", reachable.exclude(waiting_since=None).count()),
        ],
        typed=f"@{identity.handle}",
        undoable="You can switch it on again at any time; connections are kept.",
    )
    answer = confirm(request, actor, asked)
    if isinstance(answer, HttpResponse):
        return answer
    changes = {"status": Identity.Status.PAUSED} if how == "pause" else {"imessage_enabled": False}
    update_identity(actor, identity, changes=changes, reason=answer.reason)
    tell(request, f"@{identity.handle} is {'paused' if how == 'pause' else 'off'}.")
    return leave_for(request, _address(identity))


@page
@require_safe
def show_connections(request: PageRequest, actor: Actor, handle: str) -> HttpResponse:
    """Who is or was connected with it, newest first; `state` narrows."""
    identity = identity_called(actor, handle)
    state = request.GET.get("state", "")
    connections = Connection.objects.visible_to(actor).filter(identity=identity).select_related("line")
    if state in Connection.Status.values:
        connections = connections.filter(status=state)
    found = _page(connections, _NEWEST_CONNECTION, request)
    threads = Conversation.objects.visible_to(actor).filter(
        identity=identity, human__in=[connection.human for connection in found.rows]
    )
    ids = {(human, line_id): pk for human, line_id, pk in threads.values_list("human", "owned_line_id", "id")}
    rows = [(connection, ids.get((connection.human, connection.owned_line_id))) for connection in found.rows]
    return _show(request, actor, identity, "connections", {"found": found, "rows": rows, "state": state})


@page
def release_connection(request: PageRequest, actor: Actor, handle: str, pk: Any) -> HttpResponse:
    """End a connection, once somebody has seen what it means (grade 3)."""
    actor.require(Role.ADMIN)
    identity = identity_called(actor, handle)
    connection: Connection = seen_by(actor, Connection, pk, "identity")
    if connection.identity_id != identity.id:
        raise NotFound()
    back = reverse("console:identity_connections", args=[identity.handle])
    asked = Confirmation(
        title="Release this connection?",
        sentence=f"What this human writes no longer reaches @{identity.handle}, and the agent can no longer answer.",
        action="Release",
        back=back,
        warning="The human is not told. Connecting again brings back the same line and thread.",
        needs_reason=False,
    )
    answer = confirm(request, actor, asked)
    if isinstance(answer, HttpResponse):
        return answer
    try:
        release(actor, connection)
    except DomainError as refused:
        return _refuse(request, refused, identity)
    tell(request, "The connection is released.")
    return leave_for(request, back)


@page
@require_safe
def show_keys(request: PageRequest, actor: Actor, handle: str) -> HttpResponse:
    """The identity's own API keys; a new one is shown once, by the answer that makes it."""
    identity = identity_called(actor, handle)
    return _show(request, actor, identity, "keys", {"keys": _keys(actor, identity), "dialects": Dialect.choices})


@page
@require_POST
def make_key(request: PageRequest, actor: Actor, handle: str) -> HttpResponse:
    """A new key bound to the identity, its full text in this answer alone."""
    identity = identity_called(actor, handle)
    label = request.POST.get("label", "").strip() or "Key"
    asked = request.POST.get("dialect", "")
    dialect = Dialect(asked) if asked in Dialect.values else Dialect.INKBOX
    key, text = create_key(actor, organization=identity.organization, identity=identity, label=label[:255])
    context = {"keys": _keys(actor, identity), "made": key, "text": dressed(text, dialect)}
    return _show(request, actor, identity, "keys", context)


@page
def end_key(request: PageRequest, actor: Actor, handle: str, pk: str) -> HttpResponse:
    """Revoke a key (grade 3): programs that use it stop at their next request."""
    actor.require(Role.ADMIN)
    identity = identity_called(actor, handle)
    key = ApiKey.objects.visible_to(actor).filter(pk=pk, identity=identity).first()
    if key is None:
        raise NotFound()
    back = reverse("console:identity_keys", args=[identity.handle])
    asked = Confirmation(
        title=f"Revoke the key {key.label}?",
        sentence="Whatever uses it is refused from its next request on.",
        action="Revoke",
        back=back,
        facts=[Fact("Key", f"{key.display_prefix}…{key.last4}"), Fact("Last used", key.last_used_at or "never")],
    )
    answer = confirm(request, actor, asked)
    if isinstance(answer, HttpResponse):
        return answer
    revoke_key(actor, key)
    tell(request, f"The key {key.label} is revoked.")
    return leave_for(request, back)


@page
@require_safe
def show_activity(request: PageRequest, actor: Actor, handle: str) -> HttpResponse:
    """What was done to the identity, newest first: by whom, why, and what was before and after."""
    identity = identity_called(actor, handle)
    rows = Event.objects.visible_to(actor).filter(identity_id=identity.id).of_deeds()
    return _show(request, actor, identity, "activity", {"found": _page(rows, _NEWEST_EVENT, request)})


def framed(actor: Actor, identity: Identity, tab: str) -> dict[str, Any]:
    """What every page about one identity shows around it: its name and its tabs; for `_head.html`."""
    tabs = [("overview", "Overview", "identity"), ("connections", "Connections", "identity_connections")]
    tabs += [
        ("reach", "Reach", "reach"),
        ("keys", "Keys", "identity_keys"),
        ("activity", "Activity", "identity_activity"),
    ]
    return {
        "identity": identity,
        "identity_tabs": [
            {"words": words, "url": reverse(f"console:{name}", args=[identity.handle]), "current": key == tab}
            for key, words, name in tabs
        ],
        "may_change": actor.may(Role.ADMIN),
    }


_HOW = {"disable": "Disable", "pause": "Pause"}


def _show(request: PageRequest, actor: Actor, identity: Identity, tab: str, context: dict[str, Any]) -> HttpResponse:
    return draw(request, actor, f"console/identities/{tab}.html", framed(actor, identity, tab) | context)


def _router() -> str:
    try:
        return router_line().address
    except NoRouter:
        return ""


def _keys(actor: Actor, identity: Identity) -> QuerySet[ApiKey]:
    return ApiKey.objects.visible_to(actor).filter(identity=identity).order_by("revoked_at", "-created_at")


def _page(rows: QuerySet[Any], order: Order, request: PageRequest) -> Page[Any]:
    try:
        place = read_cursor(request.GET.get("cursor", ""), order, rows.model) if "cursor" in request.GET else None
    except Unreadable:
        place = None
    return read_page(rows, order, place)


def _organizations(actor: Actor) -> list[Organization]:
    if actor.role is Role.OPERATOR:
        return list(Organization.objects.order_by("name")[:MOST_ORGANIZATIONS])
    return list(Organization.objects.filter(pk__in=[actor.organization_id]))


def _organization(actor: Actor, key: str) -> Organization:
    found = _organizations(actor)
    chosen = found[0] if len(found) == 1 else next((one for one in found if str(one.pk) == key), None)
    if chosen is None:
        raise NotFound("Choose the organization that the identity belongs to.")
    return chosen


def _refuse(request: PageRequest, refused: DomainError, identity: Identity) -> HttpResponse:
    if request.htmx:
        return toast(request, refused)
    messages.error(request, refused.message)
    return HttpResponseRedirect(_address(identity))


def _address(identity: Identity) -> str:
    return reverse("console:identity", args=[identity.handle])
