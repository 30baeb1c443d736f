"""What is known of how a human can be reached: lookups, which are watched and capped, and what failed before."""

from datetime import datetime, timedelta

from django.utils import timezone

from lines.cards import card_of
from lines.models import Line, Recipient
from lines.pacing import limits_of
from lines.providers import driver_of, opened
from lines.providers.base import ProviderCallFailed

# A "yes" is trusted for a day, a "no" for an hour: humans get an iPhone, or switch it on again (contract/lines.md, 5).
_YES_FOR, _NO_FOR = timedelta(hours=24), timedelta(hours=1)

# After so many failed rounds in a row SMS goes at once, for a day.
_TRIES, _SMS_FOR = 2, timedelta(hours=24)

_UNKNOWN = "unknown"


def prefers_sms(human: str, *, now: datetime) -> bool:
    """Whether iMessage has failed so often of late that trying it first would only cost time."""
    return Recipient.objects.filter(human=human, sms_until__gt=now).exists()


def note_downgrade(human: str, *, now: datetime) -> None:
    """One more text for which iMessage failed and SMS had to do."""
    recipient, _ = Recipient.objects.get_or_create(human=human)
    recipient.downgrades += 1
    if recipient.downgrades >= _TRIES:
        # The next try after the day decides anew.
        recipient.downgrades, recipient.sms_until = _TRIES - 1, now + _SMS_FOR
    recipient.updated_at = now
    recipient.save(update_fields=["downgrades", "sms_until", "updated_at"])


def note_imessage(human: str) -> None:
    """A text reached the human over iMessage."""
    failed = Recipient.objects.filter(human=human, downgrades__gt=0)
    failed.update(downgrades=0, sms_until=None, updated_at=timezone.now())


def should_look_up(line: Line, human: str, *, is_first: bool, now: datetime) -> bool:
    """Whether to ask before sending: on a first contact or after a downgrade, where the line can and may."""
    if not card_of(line).lookup:
        return False
    known = Recipient.objects.filter(human=human).first()
    return bool(is_first or (known and known.downgrades)) and may_look_up(line, now=now)


def may_look_up(line: Line, *, now: datetime) -> bool:
    """Whether the line can look a number up, and has a lookup left by its pace."""
    if not card_of(line).lookup:
        return False
    limits = limits_of(line)
    asked = Recipient.objects.filter(looked_up_on=line)
    if limits.lookup_gap and asked.filter(looked_up_at__gt=now - timedelta(seconds=limits.lookup_gap)).exists():
        return False
    per_day = limits.lookups_per_day
    return per_day is None or asked.filter(looked_up_at__gt=now - timedelta(days=1)).count() < per_day


def is_on_imessage(line: Line, human: str) -> bool:
    """Whether iMessage reaches the human, from the last answer or a new one; what nobody knows counts as yes.

    Calls out: outside any transaction, after `should_look_up`.
    """
    known = Recipient.objects.filter(human=human).exclude(looked_up_at=None).first()
    service = known.service if known and _is_fresh(known) else _look_up(line, human)
    return service in {"imessage", _UNKNOWN, ""}


def known_of(human: str) -> Recipient | None:
    """The last answer about this number, while it is to be trusted."""
    known = Recipient.objects.filter(human=human).exclude(service__in=["", _UNKNOWN]).first()
    return known if known and _is_fresh(known) else None


def ask(line: Line, human: str) -> Recipient | None:
    """Look the number up over this line now; None when nobody could tell. Calls out: outside any transaction."""
    return known_of(human) if _look_up(line, human) != _UNKNOWN else None


def _is_fresh(known: Recipient) -> bool:
    lasts = _YES_FOR if known.service == "imessage" else _NO_FOR
    return known.looked_up_at is not None and timezone.now() - known.looked_up_at < lasts


def _look_up(line: Line, human: str) -> str:
    try:
        answer = driver_of(line.account).lookup_service(opened(line.account), line=line.address, address=human)
        service = answer.service
    except ProviderCallFailed:
        service = _UNKNOWN
    now = timezone.now()
    found = {"service": service[:8], "looked_up_at": now, "looked_up_on": line, "updated_at": now}
    Recipient.objects.update_or_create(human=human, defaults=found)
    return service
