"""Endpoints: how each one does, and everything its owners do with it."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Identity, Organization
from console.endpoints import NO_HOLD, endpoint_of, endpoints_of, organizations_of, url_of
from console.entry import PageRequest, draw, draw_live, newest_event, page, tell, toast, toasts
from console.friction import Confirmation, Confirmed, Fact, ask_again, confirm, leave_for
from console.lists import Choice, Column, FilterSpec, Listing, Range, Sort, View, identity_choice
from console.outcomes import endpoint_row, host_of, row_of, state_of, try_of, type_in_words, types_of
from console.views.deliveries import DELIVERIES
from console.views.signing import show_secret, still_old
from core.actor import Actor, Role
from core.errors import Busy, Conflict, DomainError, Invalid, NotFound
from webhooks.catalog import EVENT_TYPES
from webhooks.delivering import try_endpoint
from webhooks.models import Delivery, Subscription
from webhooks.schedule import DISABLED_AFTER
from webhooks.signing import endpoint_keys
from webhooks.statistics import figures_of
from webhooks.subscribing import (
    CONTEXT_LIMIT,
    CONTEXT_LIMITS,
    TIMEOUT,
    TIMEOUTS,
    create_subscription,
    delete_subscription,
    disable_subscription,
    enable_subscription,
    take_back_disabling,
    update_subscription,
)
from webhooks.vendors import VENDORS, Vendor

Status = Subscription.Status

# An endpoint's page shows so many of its newest deliveries, failed ones first in the list behind it.
MOST_NEWEST = 8
MOST_IDENTITIES = 200

_STATES: Mapping[str, tuple[str, Q]] = {
    "working": ("Working", Q(status=Status.ACTIVE, failing_since=None)),
    "failing": ("Failing", Q(status=Status.ACTIVE) & ~Q(failing_since=None)),
    "disabled": ("Disabled", Q(status=Status.DISABLED) & ~Q(disabled_reason="gone")),
    "gone": ("Gone", Q(status=Status.DISABLED, disabled_reason="gone")),
}


WEBHOOKS = FilterSpec(
    name="webhooks",
    title="Webhooks",
    route="console:webhooks",
    nouns=("endpoint", "endpoints"),
    rows=endpoints_of,
    fields=(
        Choice(
            key="state",
            label="State",
            condition=lambda state: _STATES[state][1],
            among=tuple((key, words) for key, (words, _) in _STATES.items()),
        ),
        identity_choice(),
        Choice(
            key="dialect",
            label="Dialect",
            column="dialect",
            among=tuple((key, vendor.label) for key, vendor in VENDORS.items()),
        ),
        Choice(
            key="type",
            label="Hears of",
            condition=lambda name: Q(event_types__contains=[name]),
            among=tuple((name, type_in_words(name)) for name in EVENT_TYPES),
        ),
    ),
    search=lambda text: Q(url__icontains=text) | Q(identity__handle__icontains=text.removeprefix("@")),
    search_label="Address or agent",
    time=Range(column="created_at", label="Made"),
    sorts=(Sort("made", "Made", "created_at"),),
    views=(View("failing", "Failing", "state=failing"), View("disabled", "Disabled", "state=disabled&state=gone")),
    columns=(
        Column("identity", "Identity", "identity__handle"),
        Column("dialect", "Dialect", "dialect"),
        Column("url", "Address", "url"),
        Column("types", "Hears of", lambda row: ", ".join(types_of(row))),
        Column("status", "Status", "status"),
        Column("failing", "Failing since", "failing_since"),
        Column("succeeded", "Succeeded", "succeeded_count"),
        Column("failed", "Failed", "failed_count"),
        Column("last_success", "Last success", "last_success_at"),
    ),
)


# --- Reading


@page
@require_safe
def show_webhooks(request: PageRequest, actor: Actor) -> HttpResponse:
    """All endpoints with how they do; for a live region the rows alone."""
    whole, part = "console/webhooks/webhooks.html", "console/webhooks/_list.html"
    return draw_live(request, actor, whole, part, lambda: _list(actor, WEBHOOKS.read(request, actor)))


def _list(actor: Actor, listing: Listing) -> dict[str, Any]:
    figures = figures_of([row.pk for row in listing.page.rows])
    return {
        "listing": listing,
        "rows": [endpoint_row(row, figures.get(row.pk)) for row in listing.page.rows],
        "disabled": list(endpoints_of(actor).disabled_by_failures().order_by("-disabled_at")[:3]),
        "may_change": actor.may(Role.ADMIN),
    }


@page
@require_safe
def show_webhook(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """One endpoint: how it does, what was sent lately, its keys; for a live region that part alone."""
    whole, part = "console/webhooks/endpoint.html", "console/webhooks/_endpoint.html"
    return draw_live(request, actor, whole, part, lambda: _about(actor, endpoint_of(actor, pk)))


def _about(actor: Actor, subscription: Subscription) -> dict[str, Any]:
    newest = Delivery.objects.visible_to(actor).filter(subscription=subscription).select_related("subscription")
    keys = endpoint_keys(subscription)
    vendor = VENDORS[subscription.dialect]
    return {
        "subscription": subscription,
        "row": endpoint_row(subscription, figures_of([subscription.pk]).get(subscription.pk)),
        "newest": [row_of(actor, each) for each in newest.defer("body").order_by("-created_at", "-id")[:MOST_NEWEST]],
        "deliveries_url": f"{DELIVERIES.url}?endpoint={subscription.pk}",
        "failed_url": f"{DELIVERIES.url}?endpoint={subscription.pk}&outcome=failed&outcome=dropped&outcome=gone",
        "keys": keys,
        "former": [key for key in keys if key.signs_until],
        "still_old": still_old(actor, subscription.identity, keys) if subscription.identity else [],
        "vendor": vendor,
        "may_change": actor.may(Role.ADMIN),
        "disabled_after": DISABLED_AFTER.days,
        "context_words": _context_words(subscription),
        "types": list(zip(subscription.event_types, types_of(subscription), strict=True)),
    }


def _context_words(subscription: Subscription) -> str:
    if subscription.context_limit:
        return f"The last {subscription.context_limit} texts"
    wanted = (subscription.context_config or {}).get("texts")
    if not wanted:
        return "None"
    return f"The last {wanted['count']} texts" if wanted["mode"] == "count" else f"Texts of {wanted['hours']} hours"


# --- Making and changing


class EndpointForm(forms.Form):
    """Where an endpoint is, what it hears of, and what it gets with it, as far as its dialect leaves a choice."""

    url = forms.CharField(
        label="Address", max_length=2083, help_text="https://, at an address that can be reached from here."
    )
    event_types = forms.MultipleChoiceField(
        label="Hears of",
        initial=["message.received"],
        widget=forms.CheckboxSelectMultiple,
    )
    history = forms.ChoiceField(
        label="With an inbound text come",
        choices=(("", "No earlier texts"), ("count", "So many texts before it"), ("window", "Texts of so many hours")),
        required=False,
    )
    amount = forms.IntegerField(
        label="How many", min_value=1, max_value=168, required=False, help_text="Texts, up to 50, or hours, up to 168."
    )
    context_limit = forms.IntegerField(
        label="Earlier messages with each event",
        min_value=CONTEXT_LIMITS[0],
        max_value=CONTEXT_LIMITS[-1],
        initial=CONTEXT_LIMIT,
        help_text="Up to 50; 0 for none.",
    )
    timeout = forms.IntegerField(
        label="Seconds for an answer",
        min_value=TIMEOUTS[0],
        max_value=TIMEOUTS[-1],
        initial=TIMEOUT,
        help_text="From 5 to 120.",
    )
    auth_token = forms.CharField(
        label="Bearer token",
        max_length=2000,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Sent as Authorization: Bearer. Kept encrypted and never shown again.",
    )

    def __init__(self, *args: Any, vendor: Vendor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(name, type_in_words(name)) for name in vendor.events]
        cast(forms.MultipleChoiceField, self.fields["event_types"]).choices = choices
        unknown = [] if vendor.chooses_events else ["event_types", "history", "amount"]
        unknown += [] if vendor.has_limits else ["context_limit", "timeout"]
        for name in unknown:
            del self.fields[name]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if given.get("history") == "count" and (given.get("amount") or 0) > 50:
            self.add_error("amount", "At most 50 texts.")
        return given

    def asked(self) -> dict[str, Any]:
        """What is given, as the operations want it; what its dialect does not know is left out."""
        given = self.cleaned_data
        named = ("url", "event_types", "context_limit", "timeout")
        asked = {name: given[name] for name in named if name in given}
        return asked | ({"context_config": self._context()} if "history" in given else {})

    def _context(self) -> dict[str, Any] | None:
        history, amount = self.cleaned_data["history"], self.cleaned_data["amount"]
        if not history:
            return None
        unit = "count" if history == "count" else "hours"
        return {"texts": {"mode": history, unit: amount or 10}}


class NewEndpointForm(EndpointForm):
    """An endpoint that is not there yet, and whose events it hears of."""

    identity = forms.ChoiceField(label="Agent", help_text="Whose events it hears of.")
    field_order = ("identity", "url")

    def __init__(self, *args: Any, owners: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["identity"]).choices = owners
        self.order_fields(self.field_order)


class ChangedEndpointForm(EndpointForm):
    """An endpoint's settings; an empty token leaves the one there is."""

    drop_token = forms.BooleanField(label="Send no bearer token any more", required=False)


# Before the id of an organization whose agents are all meant.
_ALL_OF = "all:"


def _owners(actor: Actor) -> list[tuple[str, str]]:
    """Whose events an endpoint may hear of: each agent, or all of an organization."""
    handles = Identity.objects.visible_to(actor).live().order_by("handle").values_list("handle", flat=True)
    agents = [(handle, f"@{handle}") for handle in handles[:MOST_IDENTITIES]]
    found = organizations_of(actor)
    names = {row.pk: f"All agents of {row.name}" if len(found) > 1 else "All agents" for row in found}
    return [*agents, *((f"{_ALL_OF}{key}", words) for key, words in names.items())]


def _hears(vendor: Vendor) -> str:
    """What comes of choosing a dialect."""
    if vendor.chooses_events:
        return f"It is told in {vendor.label}'s words, of what is chosen below."
    one = " There is one for all agents, and one for each in its place." if vendor.at_most_one else ""
    return f"It is told in {vendor.label}'s words: {', '.join(vendor.events.values())}.{one}"


def _owner(actor: Actor, chosen: str) -> Identity | Organization:
    owner: Identity | Organization | None
    if chosen.startswith(_ALL_OF):
        owner = next((row for row in organizations_of(actor) if f"{_ALL_OF}{row.pk}" == chosen), None)
    else:
        owner = Identity.objects.visible_to(actor).live().filter(handle=chosen).first()
    if owner is None:
        raise NotFound()
    return owner


@page
@require_http_methods(["GET", "POST"])
def make_webhook(request: PageRequest, actor: Actor) -> HttpResponse:
    """Subscribe an endpoint in one of the dialects; a secret that was made for it is shown on the answer, once."""
    actor.require(Role.ADMIN)
    dialect = request.POST.get("dialect") or request.GET.get("dialect") or Subscription.Dialect.INKBOX
    if dialect not in VENDORS:
        raise NotFound()
    chosen, owners = request.GET.get("identity", "").removeprefix("@"), _owners(actor)
    form = NewEndpointForm(request.POST or None, owners=owners, vendor=VENDORS[dialect], initial={"identity": chosen})
    if request.method == "POST" and form.is_valid():
        owner, token = _owner(actor, form.cleaned_data["identity"]), form.cleaned_data["auth_token"] or None
        try:
            subscription, secret = create_subscription(actor, owner, dialect=dialect, auth_token=token, **form.asked())
        except (Conflict, Invalid) as refused:
            form.add_error(_field_of(refused), refused.message)
        else:
            tell(request, f"{host_of(subscription.url)} hears of {subscription.scope} from now on.")
            return _made(request, actor, subscription, secret)
    context = {
        "form": form,
        "owners": owners,
        "dialects": [(key, vendor.label) for key, vendor in VENDORS.items()],
        "dialect": dialect,
        "hears": _hears(VENDORS[dialect]),
        "chosen": chosen,
        "title": "New endpoint",
        "back": WEBHOOKS.url,
        "action": "Subscribe",
    }
    return draw(request, actor, "console/webhooks/form.html", context, status=422 if form.errors else 200)


@page
@require_http_methods(["GET", "POST"])
def change_webhook(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Change an endpoint's address, events, history or token; a new address enables a disabled one."""
    actor.require(Role.ADMIN)
    subscription = endpoint_of(actor, pk)
    vendor = VENDORS[subscription.dialect]
    form = ChangedEndpointForm(request.POST or None, vendor=vendor, initial=_initial(subscription))
    if request.method == "POST" and form.is_valid():
        try:
            update_subscription(actor, subscription, changes=_changes(form, subscription))
        except (Conflict, Invalid) as refused:
            form.add_error(_field_of(refused), refused.message)
        else:
            tell(request, "The endpoint is changed.")
            return HttpResponseRedirect(url_of(pk))
    context = {
        "form": form,
        "subscription": subscription,
        "title": f"Change {host_of(subscription.url)}",
        "back": url_of(pk),
        "action": "Save",
        "owners": [subscription.scope],
    }
    return draw(request, actor, "console/webhooks/form.html", context, status=422 if form.errors else 200)


def _initial(subscription: Subscription) -> dict[str, Any]:
    wanted = (subscription.context_config or {}).get("texts") or {}
    return {
        "url": subscription.url,
        "event_types": subscription.event_types,
        "history": wanted.get("mode", ""),
        "amount": wanted.get("count") or wanted.get("hours"),
        "context_limit": subscription.context_limit,
        "timeout": subscription.timeout,
    }


def _changes(form: ChangedEndpointForm, subscription: Subscription) -> dict[str, Any]:
    """Only what differs, so that the record names what was changed."""
    given = form.cleaned_data
    changes = {name: value for name, value in form.asked().items() if value != getattr(subscription, name)}
    if given["drop_token"]:
        changes["auth_token"] = None
    elif given["auth_token"]:
        changes["auth_token"] = given["auth_token"]
    return changes


def _field_of(refused: DomainError) -> str | None:
    named = {"outbound_refused": "url", "duplicate_subscription": "url"}
    if refused.code in named:
        return named[refused.code]
    return next((name for name in ("auth_token", "event_types") if f"'{name}'" in refused.message), None)


def _made(request: PageRequest, actor: Actor, subscription: Subscription, secret: str | None) -> HttpResponse:
    if secret is None:
        return HttpResponseRedirect(url_of(subscription.pk))
    return show_secret(request, actor, subscription, secret, "Its first signing secret")


# --- Trying, disabling, enabling, deleting


@page
@require_POST
def test_webhook(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Send an example of an event now; what the endpoint answered, in place."""
    subscription = endpoint_of(actor, pk)
    actor.require(Role.ADMIN)
    try:
        attempt = try_endpoint(actor, subscription, event_type=request.POST.get("event_type") or None)
    except (Conflict, Invalid, Busy) as refused:
        return _refuse(request, refused, pk)
    context = {"tried": try_of(actor, attempt), "subscription": subscription, "event_id": attempt.delivery.event_id}
    if request.htmx:
        return draw(request, actor, "console/webhooks/_tried.html", context)
    about = _about(actor, subscription) | context | {"live_last": newest_event()}
    return draw(request, actor, "console/webhooks/endpoint.html", about)


@page
@require_POST
def disable_webhook(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Nothing goes there any more, at once; Undo lets what waited wait again."""
    subscription = endpoint_of(actor, pk)
    disable_subscription(actor, subscription, reason=request.POST.get("reason", "").replace("\x00", "")[:500])
    tell(
        request,
        f"{host_of(subscription.url)} is disabled.",
        undo=reverse("console:undo_disable_webhook", args=[pk]),
    )
    return toasts(request) if request.htmx else HttpResponseRedirect(url_of(pk))


@page
@require_POST
def undo_disable_webhook(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Take a disabling back: what waited then waits again."""
    subscription = endpoint_of(actor, pk)
    try:
        take_back_disabling(actor, subscription)
    except Conflict as refused:
        return _refuse(request, refused, pk)
    tell(request, f"{host_of(subscription.url)} is enabled, as before.")
    return toasts(request) if request.htmx else HttpResponseRedirect(url_of(pk))


@page
@require_http_methods(["GET", "POST"])
def enable_webhook(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Enable a disabled endpoint once a test got through to it, or all the same when it is meant."""
    subscription = endpoint_of(actor, pk)
    actor.require(Role.ADMIN)
    asked = _asked_to_enable(actor, subscription)
    confirmed = confirm(request, actor, asked)
    if not isinstance(confirmed, Confirmed):
        return confirmed
    if not confirmed.data.get("anyway"):
        try:
            attempt = try_endpoint(actor, subscription)
        except (Conflict, Busy, Invalid) as refused:
            return ask_again(request, actor, asked, {"": refused.message})
        if not attempt.succeeded:
            words = f"The test did not get through: {try_of(actor, attempt).words}. It stays disabled."
            return ask_again(request, actor, asked, {"": words, "anyway": "offered"})
    enable_subscription(actor, subscription)
    tell(request, f"{host_of(subscription.url)} is enabled. What failed meanwhile can be sent again from its list.")
    return leave_for(request, url_of(pk))


def _asked_to_enable(actor: Actor, subscription: Subscription) -> Confirmation:
    missed = Delivery.objects.visible_to(actor).failed().filter(subscription=subscription)[:1001].count()
    return Confirmation(
        title=f"Enable {host_of(subscription.url)}",
        sentence=f"A test is sent first. Answered with 2xx, events of {subscription.scope} go there again.",
        action="Test and enable",
        back=url_of(subscription.pk),
        facts=[
            Fact("Failed meanwhile", f"{missed:,}" if missed <= 1000 else "over 1,000"),
            Fact("Now", state_of(subscription).word),
        ],
        undoable="It can be disabled again at any time. Nothing that failed is sent by this.",
        choices="console/webhooks/_enable.html",
        hold=NO_HOLD,
    )


@page
@require_http_methods(["GET", "POST"])
def delete_webhook(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """End an endpoint for good."""
    subscription = endpoint_of(actor, pk)
    actor.require(Role.ADMIN)
    waiting = Delivery.objects.visible_to(actor).pending().filter(subscription=subscription)[:1001].count()
    confirmed = confirm(
        request,
        actor,
        Confirmation(
            title=f"Delete {host_of(subscription.url)}",
            sentence=f"Nothing of {subscription.scope} goes there any more, and what waits is cancelled.",
            action="Delete",
            back=url_of(pk),
            facts=[
                Fact("Address", subscription.url),
                Fact("Waiting now", waiting if waiting <= 1000 else "over 1,000"),
            ],
            undoable="It cannot come back; the same address can be subscribed anew. Its log is kept 30 days.",
            hold=NO_HOLD,
        ),
    )
    if not isinstance(confirmed, Confirmed):
        return confirmed
    delete_subscription(actor, subscription)
    tell(request, f"{host_of(subscription.url)} is deleted.")
    return leave_for(request, WEBHOOKS.url)


# --- Shared


def _refuse(request: PageRequest, refused: DomainError, pk: UUID) -> HttpResponse:
    if request.htmx:
        return toast(request, refused)
    messages.error(request, refused.message)
    return HttpResponseRedirect(url_of(pk))
