"""How hard it is to do a thing: four grades, by what it may cost somebody else.

Grade 1, private: just do it. Grade 2, can be taken back: do it and `entry.tell(..., undo=...)`. Grade 3, reaches
outward: `confirm` shows count, sample and who is affected, and the deed waits `HOLD` with a way to cancel. Grade 4,
changes who can reach an agent at large: done at once, after a rehearsal to look at, a recent sign-in, the handle typed
and a reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import time
from typing import Any, NamedTuple

from allauth.account import app_settings
from allauth.account.authentication import get_authentication_records
from allauth.account.forms import ReauthenticateForm
from allauth.account.internal.flows.reauthentication import reauthenticate_by_password
from allauth.core import ratelimit
from django.http import HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from console.entry import PageRequest, draw
from core.actor import Actor

# What a deed of grade 3 or 4 waits before anything leaves.
HOLD = timedelta(seconds=10)
LONGEST_REASON = 500
SHOWN_OF_SAMPLE = 5


class Fact(NamedTuple):
    """A line of what will happen: "Messages", 41."""

    term: str
    value: Any


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What somebody is asked before a deed of grade 3 or 4.

    `sentence` says what will happen and to whom; `action` is the verb on the button. `sample` are rows as text, or
    `choices` names a template with fields of the page's own. `fields` travel along as hidden ones; `back` is where
    Cancel leads. `undoable` says how the deed can be taken back, if it can.
    """

    title: str
    sentence: str
    action: str
    back: str
    grade: int = 3
    facts: Sequence[Fact] = ()
    sample: Sequence[str] = ()
    of: int | None = None
    warning: str = ""
    undoable: str = ""
    typed: str = ""
    typed_words: str = "the handle"
    needs_reason: bool = False
    rehearsal_url: str = ""
    rehearsal_words: str = "Rehearse it on the history first"
    choices: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    hold: timedelta | None = None

    @property
    def waits(self) -> timedelta:
        """How long the deed can still be cancelled: `HOLD` at grade 3, not at all at grade 4, unless `hold` says."""
        return self.hold if self.hold is not None else HOLD if self.grade == 3 else timedelta()

    @property
    def needs_sign_in(self) -> bool:
        return self.grade >= 4

    @property
    def asks_reason(self) -> bool:
        return self.needs_reason or self.grade >= 4


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Somebody meant it: why, what the form of the choices held, and when the deed may begin to reach outward."""

    reason: str
    data: QueryDict
    starts_at: datetime


def confirm(
    request: PageRequest, actor: Actor, confirmation: Confirmation, *, errors: Mapping[str, str] | None = None
) -> Confirmed | HttpResponse:
    """`Confirmed`, or the page that asks; for htmx the inside of the dialog, refusals as 422 in place.

    Call it first in a view that answers GET and POST. `errors` (by field of the choices) ask again.
    """
    if request.method != "POST" or "confirmed" not in request.POST:
        return _ask(request, actor, confirmation, {})
    found = _errors(request, confirmation) | dict(errors or {})
    if found:
        return _ask(request, actor, confirmation, found, status=422)
    reason = request.POST.get("reason", "").strip()
    return Confirmed(reason=reason, data=request.POST, starts_at=timezone.now() + confirmation.waits)


def ask_again(
    request: PageRequest, actor: Actor, confirmation: Confirmation, errors: Mapping[str, str]
) -> HttpResponse:
    """The same question with what was wrong, when the deed itself refused; `{"": words}` is about the whole."""
    return _ask(request, actor, confirmation, errors, status=422)


def leave_for(request: PageRequest, address: str) -> HttpResponse:
    """After the deed: on to the page that shows it, out of the dialog too."""
    if not request.htmx:
        return HttpResponseRedirect(address)
    response = HttpResponse()
    response["HX-Redirect"] = address
    return response


def signed_in_recently(request: PageRequest) -> bool:
    """Whether the person signed in, or proved again who they are, within `ACCOUNT_REAUTHENTICATION_TIMEOUT`."""
    records = get_authentication_records(request, request.user)
    return bool(records) and time() - records[-1]["at"] < app_settings.REAUTHENTICATION_TIMEOUT


def _errors(request: PageRequest, asked: Confirmation) -> dict[str, str]:
    errors = {}
    # A handle is typed with its @ or without.
    typed = request.POST.get("typed", "").strip()
    if asked.typed and typed.removeprefix("@") != asked.typed.removeprefix("@"):
        errors["typed"] = f"Type {asked.typed} exactly, so that it is meant."
    if asked.asks_reason and not request.POST.get("reason", "").strip():
        errors["reason"] = "Say why in a few words; it is kept with the change."
    elif len(request.POST.get("reason", "")) > LONGEST_REASON or "\x00" in request.POST.get("reason", ""):
        errors["reason"] = f"Keep the reason within {LONGEST_REASON} characters of plain text."
    # Last: a password is tried only when nothing else stands in the way.
    if not errors and asked.needs_sign_in and not signed_in_recently(request):
        errors |= _sign_in_again(request)
    return errors


def _sign_in_again(request: PageRequest) -> dict[str, str]:
    if not request.user.has_usable_password():
        return {"password": "Confirm who you are first, by the link."}
    if not ratelimit.consume(request, action="reauthenticate", user=request.user):
        return {"password": "Too many tries; wait a little."}
    form = ReauthenticateForm(request.POST, user=request.user)
    if not form.is_valid():
        return {"password": "This password is not the one of your account."}
    reauthenticate_by_password(request)
    return {}


def _ask(
    request: PageRequest, actor: Actor, asked: Confirmation, errors: Mapping[str, str], *, status: int = 200
) -> HttpResponse:
    other_way = f"{reverse('account_reauthenticate')}?{urlencode({'next': request.get_full_path()})}"
    context = {
        **asked.context,
        "asked": asked,
        "errors": errors,
        "error": errors.get("", ""),
        "shown": asked.sample[:SHOWN_OF_SAMPLE],
        "unshown": max(0, (asked.of if asked.of is not None else len(asked.sample)) - SHOWN_OF_SAMPLE),
        "hidden": _hidden(asked),
        "needs_password": asked.needs_sign_in and not signed_in_recently(request),
        "has_password": request.user.has_usable_password(),
        "other_way": other_way,
        "typed": request.POST.get("typed", ""),
        "reason": request.POST.get("reason", ""),
        "hold_seconds": int(asked.waits.total_seconds()),
        "action_url": request.get_full_path(),
    }
    template = "console/kit/_confirm.html" if request.htmx else "console/kit/confirm.html"
    return draw(request, actor, template, context, status=status)


def _hidden(asked: Confirmation) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in asked.fields.items():
        values = [value] if isinstance(value, str) else value
        pairs += [(name, one) for one in values]
    return pairs
