"""The review queue: what contact rules held back, who has looked at it, and its release."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from django.contrib import messages
from django.core import signing
from django.http import HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.entry import PageRequest, draw, draw_live, page, seen_by, tell, toast
from console.friction import Confirmation, Confirmed, Fact, ask_again, confirm, leave_for
from console.held import BLOCKED, DAYS, SENDERS, blocked_of_sender, case_of, held_rows, sender_rows
from console.lists import Listing
from console.masking import shown_number
from contactrules.admitting import Former, let_through, put_back, shut_out
from core.actor import Actor, Role
from core.errors import DomainError, Forbidden, Invalid, NotFound
from imessage.models import Conversation, Message, Release
from imessage.releasing import release, undo_release
from imessage.reviewing import mark_reviewed, mark_sender_reviewed, unmark_reviewed, unmark_sender_reviewed

REASON = "From the blocked messages, in the console."
# What a bare address shows.
DEFAULT = "view=to-review"
# An Undo that carries what was is good for so long.
UNDO_FOR = 3600
_SALT = "console.blocked"

# What an answer to a deed replaces: the rows of the list, or the body of one message's page.
LIST_TARGET, CASE_TARGET = "#blocked-rows", "#held-body"

_THREAD = ("conversation__identity", "conversation__connection")


@page
@require_safe
def show_blocked(request: PageRequest, actor: Actor) -> HttpResponse:
    """Blocked messages, what nobody has looked at unless asked otherwise; with `group=sender` their senders."""
    whole, part = "console/blocked/blocked.html", "console/blocked/_list.html"
    return draw_live(request, actor, whole, part, lambda: _board(actor, request.GET))


@page
@require_safe
def show_held(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """One blocked message: the verdict of then and of today, its sender, and what can be done about it."""
    whole, part = "console/blocked/held.html", "console/blocked/_case.html"
    return draw_live(request, actor, whole, part, lambda: _case(actor, pk))


# --- Reviewing (grade 1)


@page
@require_POST
def review(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Note that this person has looked at it."""
    message = _message(actor, pk)
    return _do(
        request, actor, lambda: mark_reviewed(actor, message), "Reviewed.", undo=_address("unreview_blocked", pk)
    )


@page
@require_POST
def unreview(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Put it back among those to look at."""
    message = _message(actor, pk)
    return _do(request, actor, lambda: unmark_reviewed(actor, message), "Back among those to review.")


@page
@require_POST
def review_sender(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Note that this person has looked at all of a sender."""
    thread: Conversation = seen_by(actor, Conversation, pk)
    try:
        marked_at = mark_sender_reviewed(actor, thread)
    except DomainError as refused:
        return _refuse(request, refused)
    if marked_at:
        undo = _address("unreview_sender", pk, marked=signing.dumps(marked_at.isoformat(), salt=_SALT))
        _tell(request, "All of this sender are reviewed.", undo=undo)
    return _back(request, actor)


@page
@require_POST
def unreview_sender(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Take back what `review_sender` marked."""
    thread: Conversation = seen_by(actor, Conversation, pk)

    def deed() -> None:
        marked_at = datetime.fromisoformat(_signed(request, "marked"))
        unmark_sender_reviewed(actor, thread, marked_at=marked_at)

    return _do(request, actor, deed, "Back among those to review.")


# --- The number's rules (grade 2)


@page
@require_POST
def allow_sender(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Let the sender reach the identity from now on; what was blocked stays so."""
    return _change_rules(request, actor, pk, let_through, "may reach")


@page
@require_POST
def block_sender(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """One block rule for the sender, both ways and in either mode, in place of all others."""
    return _change_rules(request, actor, pk, shut_out, "is blocked both ways, in either mode, from")


@page
@require_POST
def restore_rules(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """The rules for the sender as they were before."""
    message = _message(actor, pk)

    def deed() -> None:
        put_back(actor, message.identity, message.human, former=_signed(request, "was"), reason=REASON)

    return _do(request, actor, deed, "The rules are as they were.")


# --- Releasing (grade 3)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def release_held(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Ask how, then hold the release; the toast and the page undo it until it goes out."""
    actor.require(Role.ADMIN)
    message = _message(actor, pk)
    asked = _question(actor, message, whole=request.GET.get("of") == "sender")
    answer = confirm(request, actor, asked)
    if not isinstance(answer, Confirmed):
        return answer
    of_sender, allow = answer.data.get("of") == "sender", answer.data.get("rule") != "keep"
    try:
        held = release(actor, message, all_of_sender=of_sender, allow=allow, reason=answer.reason)
    except DomainError as refused:
        return ask_again(request, actor, asked, {"": refused.message})
    seconds = max(0, round((held.due_at - timezone.now()).total_seconds()))
    _tell(request, f"Goes to @{message.identity.handle} in {seconds} s.", undo=_address("undo_release", held.pk))
    return leave_for(request, _ground(request).address)


@page
@require_POST
def undo_held(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Take back a release during its hold."""
    held: Release = seen_by(actor, Release, pk, "conversation")
    undone = "Undone: nothing was released, and no rule was changed."
    return _do(request, actor, lambda: undo_release(actor, held), undone)


# --- What pages show


def _board(actor: Actor, query: QueryDict) -> dict[str, Any]:
    """The list as an address asks for it: messages, or their senders."""
    listed = _senders(actor, query) if query.get("group") == "sender" else _messages(actor, query)
    return listed | {"may_act": _may_act(actor), "target": LIST_TARGET}


def _messages(actor: Actor, query: QueryDict) -> dict[str, Any]:
    listing = Listing(BLOCKED, actor, query or QueryDict(DEFAULT))
    return {
        "listing": listing,
        "rows": held_rows(actor, listing.page.rows),
        "is_queue": listing.full_pairs == [("state", "to-review")],
        "tabs": _tabs(actor, listing),
        **_elsewhere(actor, listing),
    }


def _senders(actor: Actor, query: QueryDict) -> dict[str, Any]:
    listing = Listing(SENDERS, actor, query)
    return {
        "listing": listing,
        "senders": sender_rows(actor, listing.page.rows),
        "grouped": True,
        "days": DAYS,
        "tabs": _tabs(actor, None),
        **_elsewhere(actor, listing),
    }


def _elsewhere(actor: Actor, listing: Listing) -> dict[str, Any]:
    """What an empty list says and where it leads."""
    return {
        "ever": bool(listing.page.rows) or Message.objects.visible_to(actor).held_back().exists(),
        "last_week": f"{BLOCKED.url}?view=all&range=7d",
        "everything": f"{BLOCKED.url}?view=all",
    }


def _tabs(actor: Actor, listing: Listing | None) -> list[dict[str, Any]]:
    """The views of the page; grouping by sender is one of them."""
    own = (listing or BLOCKED.asked("", actor)).tabs[1:]
    shown = [{"url": tab.url, "words": tab.label, "current": bool(listing) and tab.is_current} for tab in own]
    by_sender = {"url": f"{BLOCKED.url}?group=sender", "words": "By sender", "current": listing is None}
    return [*shown[:2], by_sender, *shown[2:]]


def _case(actor: Actor, pk: UUID) -> dict[str, Any]:
    message = _message(actor, pk)
    case = case_of(actor, message)
    facts = {"case": case, "row": case.row, "message": message}
    return facts | {"may_act": _may_act(actor), "target": CASE_TARGET}


def _message(actor: Actor, pk: UUID) -> Message:
    """A message that was ever blocked; any other does not exist here."""
    message: Message = seen_by(actor, Message, pk, "identity", "release", *_THREAD)
    if not message.is_blocked and message.released_at is None:
        raise NotFound()
    return message


def _may_act(actor: Actor) -> bool:
    """Who acts on blocked messages is who reads them."""
    return actor.may(Role.ADMIN)


def _question(actor: Actor, message: Message, *, whole: bool) -> Confirmation:
    number, handle = shown_number(actor, message.human), f"@{message.identity.handle}"
    count = blocked_of_sender(actor, message)
    return Confirmation(
        title="Release to the agent",
        sentence=f"{number} wrote to {handle} and was blocked. What you release is shown to the agent at its old place"
        " and told to its endpoints in order, with the original time. The human is told nothing; what the router"
        " answered them stands.",
        action="Release",
        back=reverse("console:held", args=[message.pk]),
        facts=[Fact("From", number), Fact("To", handle), Fact("Blocked of this sender", count)],
        warning=""
        if message.conversation.is_open
        else "They have disconnected since: the agent can read it, and can answer only once they connect again.",
        undoable="Undone within that time, nothing is shown or changed.",
        choices="console/blocked/_choices.html",
        context={"message": message, "count": count, "whole": whole, "handle": handle},
    )


# --- Answers


def _do(request: PageRequest, actor: Actor, deed: Callable[[], object], words: str, *, undo: str = "") -> HttpResponse:
    """Do it and say so, or say why not."""
    try:
        deed()
    except DomainError as refused:
        return _refuse(request, refused)
    _tell(request, words, undo=undo)
    return _back(request, actor)


def _change_rules(
    request: PageRequest, actor: Actor, pk: UUID, deed: Callable[..., Former], words: str
) -> HttpResponse:
    message = _message(actor, pk)
    try:
        former = deed(actor, message.identity, message.human, reason=REASON)
    except DomainError as refused:
        return _refuse(request, refused)
    undo = _address("restore_rules", pk, was=signing.dumps(former, salt=_SALT))
    _tell(request, f"{shown_number(actor, message.human)} {words} @{message.identity.handle}.", undo=undo)
    return _back(request, actor)


def _tell(request: PageRequest, words: str, *, undo: str) -> None:
    tell(request, words, undo=undo, target=CASE_TARGET if _ground(request).held else LIST_TARGET)


def _back(request: PageRequest, actor: Actor) -> HttpResponse:
    """What the page shows as it is after the deed; without a script, the page again."""
    ground = _ground(request)
    if not request.htmx:
        return HttpResponseRedirect(ground.address)
    context = _case(actor, ground.held) if ground.held else _board(actor, QueryDict(ground.query))
    template = "console/blocked/_case.html" if ground.held else "console/blocked/_list.html"
    return draw(request, actor, template, context | {"out_of_band": True})


@dataclass(frozen=True, slots=True)
class _Ground:
    """The page that a deed was done on: the list with its query, or the page of one message."""

    query: str = ""
    held: UUID | None = None

    @property
    def address(self) -> str:
        page = _address("held", self.held) if self.held else BLOCKED.url
        return f"{page}?{self.query}" if self.query else page


def _ground(request: PageRequest) -> _Ground:
    """Where the browser says that it stands; the queue for an address that is none of ours."""
    told = request.htmx.current_url if request.htmx else request.headers.get("Referer")
    try:
        address = urlsplit(told or "")
        found = resolve(address.path)
    except (Resolver404, ValueError):
        return _Ground()
    if found.view_name == "console:blocked":
        return _Ground(query=address.query)
    # Without a script the question of a release is a page of its own.
    return _Ground(held=found.kwargs["pk"]) if found.view_name in {"console:held", "console:release"} else _Ground()


def _refuse(request: PageRequest, refused: DomainError) -> HttpResponse:
    if isinstance(refused, Forbidden | NotFound):
        raise refused
    if request.htmx:
        return toast(request, refused)
    messages.error(request, refused.message)
    return HttpResponseRedirect(_ground(request).address)


def _signed(request: PageRequest, name: str) -> Any:
    """What an Undo of ours carries; raises `Invalid` when it is old or not ours."""
    try:
        return signing.loads(request.GET.get(name, ""), salt=_SALT, max_age=UNDO_FOR)
    except signing.BadSignature as odd:
        raise Invalid("It is too late for this Undo.") from odd


def _address(name: str, pk: UUID, **query: str) -> str:
    return reverse(f"console:{name}", args=[pk]) + (f"?{urlencode(query)}" if query else "")
