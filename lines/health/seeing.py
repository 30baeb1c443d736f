"""What we see of a line, from probes and from the calls that fail; never what an operator wants from it."""

import logging

from django.db import transaction
from django.utils import timezone

from core.actor import Actor, Role
from core.errors import Invalid
from core.wake import wake
from events.record import record
from lines.models import Line, LineEvent
from lines.providers import driver_of, opened

logger = logging.getLogger(__name__)

_PROBE = Actor.system("line probe")


def probe(line: Line) -> Line:
    """Look at the line over its provider and keep what was seen. Calls out; not for use inside a transaction."""
    reading = driver_of(line.account).probe(opened(line.account), line=line.address)
    return see(line, seen=reading.state, reasons=list(reading.reasons))


def see(line: Line, *, seen: str, reasons: list[str]) -> Line:
    """Keep a reading; a change is stored as a line event, and a line that came back has its queue woken.

    Wakes `imessage.wake_line` by name: queues belong to a higher app.
    """
    with transaction.atomic():
        line = Line.objects.select_for_update(no_key=True).select_related("account").get(pk=line.pk)
        held, before = line.holds_queue, line.seen
        if seen == Line.Seen.HEALTHY:
            line.proof_of_life_at = timezone.now()
        line.seen_reasons = reasons
        if seen != before:
            line.seen, line.seen_since = seen, timezone.now()
            _note(_PROBE, line, "seen", before, seen, ", ".join(reasons) or "answers")
        line.save(update_fields=["seen", "seen_since", "seen_reasons", "proof_of_life_at"])
        if held and not line.holds_queue:
            _wake(line)
    return line


def want(actor: Actor, line: Line, *, wanted: str, reason: str = "") -> Line:
    """What an operator wants from the line; raises `Forbidden` for anyone else."""
    actor.require(Role.OPERATOR)
    if wanted not in Line.Wanted.values:
        raise Invalid(f"A line is wanted {', '.join(Line.Wanted.values)}; not {wanted!r}.")
    with transaction.atomic():
        line = Line.objects.select_for_update(no_key=True).select_related("account").get(pk=line.pk)
        held, before = line.holds_queue, line.wanted
        if wanted != before:
            line.wanted = wanted
            line.save(update_fields=["wanted"])
            _note(actor, line, "wanted", before, wanted, reason)
        if held and not line.holds_queue:
            _wake(line)
    return line


def _note(actor: Actor, line: Line, column: str, before: str, after: str, reason: str) -> None:
    LineEvent.objects.create(
        line=line, column=column, before=before, after=after, reason=reason[:300], actor=actor.frozen()
    )
    record(
        actor,
        f"line.{column}",
        subject_id=line.id,
        data={"line_id": str(line.id), "before": before, "after": after, "reason": reason},
    )
    logger.info("Line changed", extra={"line_id": str(line.id), "column": column, "after": after})


def _wake(line: Line) -> None:
    wake("imessage.wake_line", once=f"wake:{line.id}", line_id=str(line.id))
