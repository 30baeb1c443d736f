"""One identity's reach: who can reach it in a sentence, its rules, its shadow, the way to another mode."""

from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts.models import Identity
from console.entry import PageRequest, draw_live, page
from console.reaching import changes, identity_called, idle_words, may_change, rule_rows, sentences
from console.views.identities import framed
from contactrules.models import ContactRule, Rehearsal, RuleRevision, Shadow
from contactrules.reach import redundant
from core.actor import Actor

NEWEST_RULES = 40
NEWEST_CHANGES = 10


@page
@require_safe
def show_reach(request: PageRequest, actor: Actor, handle: str) -> HttpResponse:
    """The identity's reach; for a live region its inside alone."""
    whole, part = "console/reach/reach.html", "console/reach/_reach.html"
    return draw_live(request, actor, whole, part, lambda: _about(actor, identity_called(actor, handle)) | {"form": {}})


def _about(actor: Actor, identity: Identity) -> dict[str, Any]:
    rules = ContactRule.objects.visible_to(actor).filter(identity=identity).select_related("identity")
    newest = list(rules.order_by("-created_at", "-id")[: NEWEST_RULES + 1])
    revisions = RuleRevision.objects.visible_to(actor).filter(identity=identity).order_by("-number")
    rehearsals = Rehearsal.objects.visible_to(actor).filter(identity=identity, organization=identity.organization_id)
    shadows = Shadow.objects.visible_to(actor).filter(identity=identity, organization=identity.organization_id)
    idle = rules.filter(redundant()).count()
    return {
        "identity": identity,
        "seen": identity.reach_revision,
        "sentences": sentences(actor, identity),
        "rows": rule_rows(newest[:NEWEST_RULES]),
        "more": len(newest) > NEWEST_RULES,
        "idle": idle_words(idle) if idle else "",
        "idle_url": f"{reverse('console:rules')}?{urlencode({'identity': identity.handle, 'redundant': 'yes'})}",
        "changes": changes(revisions[:NEWEST_CHANGES]),
        "rehearsals": rehearsals.order_by("-created_at", "-id")[:5],
        "shadow": shadows.filter(state=Shadow.State.RUNNING).first(),
        "ended_shadows": shadows.exclude(state=Shadow.State.RUNNING).order_by("-started_at")[:3],
        "flips": flips(identity),
        "may_change": may_change(actor),
    } | framed(actor, identity, "reach")


def flips(identity: Identity) -> list[dict[str, str]]:
    """The other modes there are, as drafts to rehearse."""
    inbound, outbound = identity.imessage_filter_mode, identity.outbound_filter_mode
    both = Identity.FilterMode.values if inbound != outbound else [_OTHER[inbound]]
    drafts = [
        *((f"{mode.capitalize()}, both directions", mode, mode) for mode in both),
        (f"{_OTHER[inbound].capitalize()} for inbound only", _OTHER[inbound], ""),
        (f"{_OTHER[outbound].capitalize()} for outbound only", "", _OTHER[outbound]),
    ]
    return [{"words": words, "inbound_mode": one, "outbound_mode": other} for words, one, other in drafts]


_OTHER = {"blacklist": "whitelist", "whitelist": "blacklist"}
