"""Another number of the organization where the chosen one cannot send just now, if its owner wants that.

It decides before a text is accepted: what waits on a line already stays there, for its thread on the phone is there.
"""

from dataclasses import dataclass
from uuid import UUID

from core.actor import Actor
from events.models import Event
from events.record import record
from lines.models import ANY_HUMAN, Line, Route
from lines.pool import owner_of


@dataclass(frozen=True, slots=True)
class Substitution:
    """A number that was chosen, the one that is used instead, and why: paused, not_in_service, down or flagged."""

    original: Line
    used: Line
    reason: str


def substitute_for(actor: Actor, line: Line) -> Substitution | None:
    """Who stands in for an owned line that cannot send now; None when it can, or when nobody may stand in.

    Asked by whoever chooses a sender, before a conversation is looked for: the substitute's thread with the human is
    one of its own, and its identity (`pool.owner_of`) the one that speaks. First come numbers of the same identity,
    then by the order of a selective failover, then those longest attached. `actor` sees the substitute: a bound
    key's is its own identity's. The text is kept as always; then `note_substitution`.
    """
    reason = why_not(line)
    if not reason or not line.failover.get("enabled") or line.organization_id is None:
        return None
    routes = Route.objects.live().filter(
        human=ANY_HUMAN, line__in=Line.objects.visible_to(actor), line__organization_id=line.organization_id
    )
    routes = routes.filter(line__service=line.service).exclude(line=line)
    numbers = line.failover.get("numbers", [])
    if line.failover.get("mode") == "selective":
        routes = routes.filter(line__address__in=numbers)
    owner = owner_of(line)
    able = [route for route in routes.select_related("line__account", "identity") if _may_speak(route)]
    rank = {number: place for place, number in enumerate(numbers)}
    able.sort(key=lambda route: (route.identity != owner, rank.get(route.line.address, len(rank)), route.created_at))
    return Substitution(line, able[0].line, reason) if able else None


def why_not(line: Line) -> str:
    """Why texts would wait on this line now, in one word; empty when they would not."""
    if line.wanted in Line.HOLDING_WANTED:
        return "paused" if line.wanted == Line.Wanted.PAUSED else "not_in_service"
    return str(line.seen) if line.seen in Line.HOLDING_SEEN else ""


def note_substitution(
    actor: Actor, substitution: Substitution, *, message_id: UUID, identity_id: UUID, conversation_id: UUID
) -> Event:
    """Tell that a message leaves from another number than asked for; in the transaction that accepts it."""
    original, used = substitution.original, substitution.used
    return record(
        actor,
        "line.substituted",
        organization_id=used.organization_id,
        identity_id=identity_id,
        conversation_id=conversation_id,
        subject_id=used.id,
        data={
            "original": _told(original),
            "used": _told(used),
            "reason": substitution.reason,
            "message_id": str(message_id),
        },
    )


def _told(line: Line) -> dict[str, str]:
    return {"id": str(line.id), "address": line.address, "service": line.service}


def _may_speak(route: Route) -> bool:
    return route.identity.is_reachable and not why_not(route.line)
