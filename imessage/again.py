"""Sending a text again whose outcome nobody could find out: a person's decision, for the human may get it twice."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from contactrules.rules import lock_reach
from core.actor import Actor, Role
from core.errors import Conflict
from imessage.draining import wake_queue
from imessage.models import Conversation, DeliveryStep, Message
from imessage.receipts import check_reachable
from imessage.telling import tell

OUTCOME_UNKNOWN = "outcome_unknown"


class NotLeftOpen(Conflict):
    """Only a message whose outcome could not be found out can be sent again."""

    code = "not_left_open"


def may_send_again(message: Message) -> bool:
    """Whether this message was left to a person's decision."""
    return message.status == Message.Status.ERROR and message.error_reason == OUTCOME_UNKNOWN


def send_again(actor: Actor, message: Message) -> Message:
    """Queue the message anew, in its place in the conversation; one more attempt, looked up like any other.

    Raises `Forbidden` unless an admin, `NotLeftOpen`, and as a send does when the human may not be written to now.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        identity = lock_reach(message.identity)
        conversation = (
            Conversation.objects.select_for_update(no_key=True, of=("self",))
            .select_related("connection")
            .get(pk=message.conversation_id)
        )
        conversation.identity = identity
        message = Message.objects.select_for_update(no_key=True, of=("self",)).select_related("line").get(pk=message.pk)
        if not may_send_again(message):
            raise NotLeftOpen()
        check_reachable(conversation)
        _put_back(actor, message, timezone.now())
        wake_queue(conversation.id)
    return message


def _put_back(actor: Actor, message: Message, now: datetime) -> None:
    message.status, message.failed_at, message.updated_at = Message.Status.QUEUED, None, now
    message.error_code = message.error_reason = message.error_message = message.error_detail = ""
    message.save(
        update_fields=[
            "status",
            "failed_at",
            "updated_at",
            "error_code",
            "error_reason",
            "error_message",
            "error_detail",
        ]
    )
    DeliveryStep.objects.create(message=message, state="queued", at=now, detail=f"Sent again by {actor.label}.")
    tell(actor, "message.sent_again", message)
