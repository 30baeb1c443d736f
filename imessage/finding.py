"""Questions by which conversations are found; to be asked of rows that are narrowed to their reader already."""

from datetime import datetime

from django.db.models import Q

from imessage.again import OUTCOME_UNKNOWN
from imessage.models import Connection, Message, Participant

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


def is_open() -> Q:
    """The agent may act in it, as far as the connection goes: `Conversation.is_open` as a question."""
    return Q(connection__status=Connection.Status.ACTIVE) | Q(is_group=True)


def waiting_since(latest: datetime) -> Q:
    """A connected human, or a group, has waited for an answer at least since then."""
    return Q(waiting_since__isnull=False, waiting_since__lte=latest) & is_open()


def with_member(condition: Q) -> Q:
    """Groups that somebody is or was in who fulfils a condition on participants."""
    return Q(pk__in=Participant.objects.filter(condition).values("conversation_id"))
