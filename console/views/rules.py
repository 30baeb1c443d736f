"""Contact rules for one number, made and taken away from its thread; done at once, with Undo in the toast."""

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from console.entry import PageRequest, page, seen_by, toast
from console.views.threads import draw_about, read_threads
from contactrules.models import ContactRule
from contactrules.rules import DuplicateRule, create_rule, delete_rule
from core.actor import Actor
from core.errors import DomainError, NotFound
from core.phones import NotE164, pretty
from imessage.models import Conversation

REASON = "From the thread, in the console."


@page
@require_POST
def block_number(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Block the thread's number for its identity."""
    return _add(request, actor, pk, ContactRule.Action.BLOCK)


@page
@require_POST
def allow_number(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Allow the thread's number for its identity; what lets it through on a whitelist."""
    return _add(request, actor, pk, ContactRule.Action.ALLOW)


@page
@require_POST
def remove_rule(request: PageRequest, actor: Actor, pk: UUID, rule_pk: UUID) -> HttpResponse:
    """Take away a rule that names the thread's number."""
    thread = _thread(actor, pk)
    rule: ContactRule = seen_by(actor, ContactRule, rule_pk, "identity")
    members = {str(one.pk): one.human for one in thread.participants.all()}
    if rule.identity_id != thread.identity_id or rule.match_target not in {thread.human, *members.values()}:
        raise NotFound()
    delete_rule(actor, rule, reason=REASON)
    undo = reverse(f"console:{rule.action}", args=[thread.id])
    member = next((key for key, human in members.items() if human == rule.match_target), "")
    undo += f"?{urlencode({'member': member})}" if member else ""
    messages.success(request, f"The {rule.action} rule for {pretty(rule.match_target)} is gone.", extra_tags=undo)
    return _answer(request, actor, pk)


def _add(request: PageRequest, actor: Actor, pk: UUID, action: str) -> HttpResponse:
    thread = _thread(actor, pk)
    human = _human(request, thread)
    try:
        rule = create_rule(actor, thread.identity, action=action, match_target=human, reason=REASON)
    except (DuplicateRule, NotE164) as refused:
        return _refuse(request, actor, refused, pk)
    undo = reverse("console:remove_rule", args=[thread.id, rule.id])
    messages.success(request, f"{pretty(human)} {_DONE[action]} @{thread.identity.handle}.", extra_tags=undo)
    return _answer(request, actor, pk)


_DONE = {"block": "can no longer reach", "allow": "is on the allow list of"}


def _thread(actor: Actor, pk: UUID) -> Conversation:
    thread: Conversation = seen_by(actor, Conversation, pk, "identity__organization", "connection__line", "owned_line")
    return thread


def _human(request: PageRequest, thread: Conversation) -> str:
    """The thread's human; in a group the `member` that is named by its row."""
    if not thread.is_group:
        return thread.human
    wanted = request.POST.get("member") or request.GET.get("member", "")
    for one in thread.participants.all():
        if str(one.pk) == wanted:
            return one.human
    raise NotFound()


def _answer(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """The panel as it stands now; without htmx, back to the thread."""
    return draw_about(request, actor, _thread(actor, pk)) if request.htmx else _back(request, actor, pk)


def _refuse(request: PageRequest, actor: Actor, refused: DomainError, pk: UUID) -> HttpResponse:
    if request.htmx:
        return toast(request, refused)
    messages.error(request, refused.message)
    return _back(request, actor, pk)


def _back(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    return HttpResponseRedirect(reverse("console:thread", args=[pk]) + read_threads(request, actor).query())
