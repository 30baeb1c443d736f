"""One identity's reach: who can reach it in a sentence, its rules, its shadow, the way to another mode."""

from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts.models import Identity
from console.entry import PageRequest, draw, newest_event, page
from console.lists import wants_rows
from console.reaching import changes, identity_called, may_change, numbers, rule_rows, sentences
from contactrules.models import ContactRule, Rehearsal, RuleRevision, Shadow
from contactrules.reach import redundant
from core.actor import Actor

NEWEST_RULES = 40
NEWEST_CHANGES = 10


@page
@require_safe
def show_reach(request: PageRequest, actor: Actor, handle: str) -> HttpResponse:
    """The identity's reach; for a live region its inside alone."""
    number = newest_event()
    identity = identity_called(actor, handle)
    context = _about(actor, identity) | {"live_last": number, "form": {}}
    template = "console/reach/_reach.html" if wants_rows(request) else "console/reach/reach.html"
    return draw(request, actor, template, context)


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
        "idle": f"{numbers(idle)} change{'s' if idle == 1 else ''} no verdict in the present mode" if idle else "",
        "idle_url": f"{reverse('console:rules')}?{urlencode({'identity': identity.handle, 'redundant': 'yes'})}",
        "changes": changes(revisions[:NEWEST_CHANGES]),
        "rehearsals": rehearsals.order_by("-created_at", "-id")[:5],
        "shadow": shadows.filter(state=Shadow.State.RUNNING).first(),
        "ended_shadows": shadows.exclude(state=Shadow.State.RUNNING).order_by("-started_at")[:3],
        "flips": flips(identity),
        "may_change": may_change(actor),
    }


def flips(identity: Identity) -> list[dict[str, str]]:
    """The other modes there are, as drafts to rehearse: both directions, and each by itself where that differs."""
    inbound, outbound = identity.imessage_filter_mode, identity.outbound_filter_mode
    found = []
    if inbound == outbound:
        other = _OTHER[inbound]
        found.append({"words": f"Rehearse {other}, both directions", "inbound_mode": other, "outbound_mode": other})
    else:
        for mode in Identity.FilterMode.values:
            words = f"Rehearse {mode} in both directions"
            found.append({"words": words, "inbound_mode": mode, "outbound_mode": mode})
    found.append(
        {"words": f"Inbound to {_OTHER[inbound]} only", "inbound_mode": _OTHER[inbound], "outbound_mode": outbound}
    )
    found.append(
        {"words": f"Outbound to {_OTHER[outbound]} only", "inbound_mode": inbound, "outbound_mode": _OTHER[outbound]}
    )
    return found


_OTHER = {"blacklist": "whitelist", "whitelist": "blacklist"}
