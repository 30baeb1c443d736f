"""Questions by which conversations are found; to be asked of rows that are narrowed to their reader already."""

from datetime import datetime

from django.db.models import Q

from imessage.again import OUTCOME_UNKNOWN
from imessage.models import Connection, Message

FAILED = (Message.Status.ERROR, Message.Status.DECLINED)


def with_failed_sends() -> Q:
    """At least one message of the agent's did not arrive."""
    return Q(pk__in=Message.objects.filter(status__in=FAILED).values("conversation_id"))


def with_undecided_sends() -> Q:
    """At least one message of the agent's may or may not have left: whether it goes again is a person's decision."""
    lost = Message.objects.filter(status=Message.Status.ERROR, error_reason=OUTCOME_UNKNOWN)
    return Q(pk__in=lost.values("conversation_id"))


def with_downgraded() -> Q:
    """At least one message left as SMS or RCS because iMessage could not carry it."""
    return Q(pk__in=Message.objects.filter(was_downgraded=True).values("conversation_id"))


def waiting_since(latest: datetime) -> Q:
    """A connected human has waited for an answer at least since then."""
    waits = Q(waiting_since__isnull=False, waiting_since__lte=latest)
    return waits & Q(connection__status=Connection.Status.ACTIVE)
