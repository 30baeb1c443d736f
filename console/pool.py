"""Lines as the console's list asks for them: the shown word and the rank in SQL, so that filters and counts agree.

What is shown of each is `lines.health.showing`; the rule of the word is `lines.health.states.shown`, and a test holds
this SQL against it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, CharField, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Greatest
from django.utils import timezone

from console.counters import bounded, counter
from core import phones
from core.actor import Actor, Role
from lines.health.signals import STALE_AFTER
from lines.health.states import BY_RISK, NEEDS_SOMEBODY, Shown
from lines.models import Alert, Line, LineReading


@dataclass(frozen=True, slots=True)
class Look:
    """How a word is told apart without its colour: its label, its sign, and its pattern in the band."""

    label: str
    tone: str
    icon: str
    pattern: str = "plain"


LOOKS: Mapping[Shown, Look] = {
    Shown.QUARANTINED: Look("Quarantined", "is-bad", "blocked", "cross"),
    Shown.DOWN: Look("Down", "is-bad", "close", "stripes"),
    Shown.UNKNOWN: Look("Unknown", "is-held", "info", "stripes"),
    Shown.DEGRADED: Look("Degraded", "is-warning", "warning", "dots"),
    Shown.LIMITED: Look("Limited", "is-warning", "clock", "bars"),
    Shown.PAUSED: Look("Paused", "is-held", "pause", "bars"),
    Shown.DRAINING: Look("Draining", "", "leave", "dots"),
    Shown.PROVISIONING: Look("Provisioning", "", "plus"),
    Shown.ACTIVE: Look("Active", "is-good", "check"),
    Shown.RETIRED: Look("Retired", "", "bin"),
}
_RANK = {word: len(BY_RISK) - place for place, word in enumerate(BY_RISK)}
_ROUTER_FIRST = 1

KINDS = {"pool": "Pool", "router": "Router", "dedicated": "Dedicated"}


def lines_of(actor: Actor) -> QuerySet[Any]:
    """All lines with `word` and `rank`, for operators; tenants see none here, not even those of their own."""
    lines = Line.objects.visible_to(actor)
    return ranked(lines if actor.may(Role.OPERATOR) else lines.none())


def ranked(lines: QuerySet[Any]) -> QuerySet[Any]:
    """The lines with the `word` that is shown of them now, and their `rank` by risk, the router before others."""
    newest = LineReading.objects.filter(line=OuterRef("pk")).order_by("-at").values("at")[:1]
    looked = Greatest(F("proof_of_life_at"), Subquery(newest))
    fresh = Q(looked_at__gte=timezone.now() - STALE_AFTER)
    word = Case(
        When(wanted__in=["provisioning", "retired", "paused"], then=F("wanted")),
        When(seen="flagged", then=Value(Shown.QUARANTINED.value)),
        When(seen="down", then=Value(Shown.DOWN.value)),
        When(wanted="draining", then=Value(Shown.DRAINING.value)),
        When(~fresh | Q(looked_at=None) | Q(seen="unknown"), then=Value(Shown.UNKNOWN.value)),
        When(seen="degraded", then=Value(Shown.DEGRADED.value)),
        When(allowance="open", then=Value(Shown.ACTIVE.value)),
        default=Value(Shown.LIMITED.value),
        output_field=CharField(),
    )
    places = [When(word=each.value, then=Value(2 * rank)) for each, rank in _RANK.items()]
    router = Case(When(kind="router", then=Value(_ROUTER_FIRST)), default=Value(0), output_field=IntegerField())
    named: QuerySet[Any] = lines.annotate(looked_at=looked).annotate(word=word)
    placed: QuerySet[Any] = named.annotate(rank=Case(*places, default=Value(0), output_field=IntegerField()) + router)
    return placed


def needs_somebody() -> Q:
    """Lines that an operator should look at: of `ranked` lines."""
    return Q(word__in=NEEDS_SOMEBODY) | Q(pk__in=Alert.objects.open().exclude(line=None).values("line"))


def sought(text: str) -> Q:
    """Lines by number in any notation, by address, account or machine."""
    found = Q(address__icontains=text) | Q(account__name__icontains=text) | Q(domain__icontains=text)
    digits = phones.digits_of(text)
    return found | Q(address__contains=digits) if len(digits) >= 3 else found


@counter("lines", "at risk", urgent=True)
def at_risk(actor: Actor) -> int:
    """How many lines need somebody."""
    return bounded(lines_of(actor).exclude(word=Shown.RETIRED).filter(needs_somebody()))
