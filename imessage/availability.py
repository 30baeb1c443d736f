"""Whether a number has iMessage, asked on behalf of an organization that thinks of writing to it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from core.actor import Actor
from core.errors import Busy, Forbidden, Upstream
from core.phones import e164
from lines import recipients
from lines.models import Line

# When a line may look up again whose lookups of the day are used, in seconds; most wait for their gap alone.
_PATIENCE = 60


class NoLookup(Busy):
    """No line can look this number up just now; repeat after the time given."""

    code = "lookup_unavailable"


@dataclass(frozen=True, slots=True)
class Availability:
    """What reaches a number, as of a time; no promise, for humans change phones."""

    imessage: bool
    sms: bool
    at: datetime


def availability_of(actor: Actor, *, organization_id: UUID, human: str) -> Availability:
    """Whether iMessage and SMS reach a number: the last answer while it holds, else a new one by a live lookup.

    A number of the organization is asked first, then any healthy line; within the pace of its lookups, for they are
    watched. Calls out: outside any transaction. Raises `Forbidden` for another organization, `NotE164`, `NoLookup`
    when no line may look up now, `Upstream` when nobody could tell.
    """
    if actor.organization_id not in {None, organization_id}:
        raise Forbidden()
    human = e164(human)
    found = recipients.known_of(human)
    if found is None:
        line = _asker(organization_id)
        if line is None:
            raise NoLookup(retry_after=_PATIENCE)
        found = recipients.ask(line, human)
    if found is None or found.looked_up_at is None:
        raise Upstream("Nobody could tell how this number can be reached; repeat later.")
    return Availability(imessage=found.service == "imessage", sms=True, at=found.looked_up_at)


def _asker(organization_id: UUID) -> Line | None:
    """A line that can and may look up now; the organization's own before others, those not asked lately first."""
    now = timezone.now()
    healthy = Line.objects.in_service().filter(seen=Line.Seen.HEALTHY, service=Line.Service.IMESSAGE)
    lines = [
        line
        for line in healthy.select_related("account").order_by("created_at")
        if line.organization_id in {None, organization_id} and line.kind != Line.Kind.ROUTER
    ]
    lines.sort(key=lambda line: line.organization_id != organization_id)
    return next((line for line in lines if recipients.may_look_up(line, now=now)), None)
