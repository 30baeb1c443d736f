"""When iMessage cannot carry a text: the provider's own SMS, or the human's second address; never both to one phone.

Only a provider's word that the human cannot be reached over iMessage opens the way. A text whose outcome is unknown,
or that is merely not delivered yet, may reach the phone any time and is never sent again as SMS.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Identity
from core.actor import Actor
from imessage.models import Conversation, DeliveryStep, Message, Part, Service
from imessage.senders import numbers_of
from imessage.telling import tell
from lines import recipients
from lines.models import Dispatch, Line
from lines.pool import give_sms_line
from lines.providers import driver_of
from lines.providers.base import ErrorClass, ProviderError

_FALLBACK = Actor.system("fallback")

# What carriers take; larger files go as a link in the text.
SMS_MEDIA_LIMIT = 5 * 1024 * 1024

UNREACHABLE = ProviderError(
    ErrorClass.RECIPIENT_UNREACHABLE, "looked_up", "A lookup says that the number is not on iMessage."
)


@dataclass(frozen=True, slots=True)
class Carried:
    """How a text went: the service, if known, and whether it was meant to be another."""

    service: str
    downgraded: bool | None


def service_of(line: Line, *, may_fall_back: bool) -> str:
    """What a provider is asked for on this line: imessage, auto (its own SMS from the same number) or sms."""
    services = driver_of(line.account).card.services
    if line.service == Line.Service.SMS or "imessage" not in services:
        return "sms"
    return "auto" if may_fall_back and "sms" in services else "imessage"


def may_fall_back(message: Message) -> bool:
    """Whether the order allows it at all."""
    return message.fallback != Message.Fallback.NEVER and not message.is_group


def asked_service(message: Message) -> str:
    """What a provider is asked for with this message on its line; see `service_of`.

    The provider's own SMS would leave from the same number, and before anything is known to have failed: it is asked
    for only where both are wanted.
    """
    if message.service == Service.SMS:
        return "sms"
    elsewhere = message.fallback_line_id not in {None, message.line_id}
    by_itself = may_fall_back(message) and message.fallback != Message.Fallback.IF_FAILED and not elsewhere
    return service_of(message.line, may_fall_back=by_itself)


def can_send_sms(line: Line) -> bool:
    """Whether texts can leave over this line as SMS at all."""
    return line.service == Line.Service.SMS or "sms" in driver_of(line.account).card.services


def could_fall_back(conversation: Conversation, line: Line | None) -> bool:
    """Whether there is a number that could carry the conversation's texts as SMS: `line` if one is named."""
    if line is not None or can_send_sms(conversation.line):
        return line is None or can_send_sms(line)
    if conversation.owned_line_id:
        return _own_sms_lines(conversation.identity).exists()
    return Line.objects.in_service().filter(kind=Line.Kind.POOL, service=Line.Service.SMS).exists()


def begin_as_sms(message: Message, *, now: datetime) -> Message:
    """The message as it should leave: on the second address at once when iMessage lately failed twice in a row.

    In the drain's transaction, before the first attempt.
    """
    if not _needs_second_address(message) or Dispatch.objects.filter(order_id=message.id).exists():
        return message
    if not recipients.prefers_sms(message.human, now=now):
        return message
    line = _sms_line(message)
    return _switch(message, line, why="iMessage failed twice in a row; SMS until tomorrow.") if line else message


def looks_up_first(message: Message, *, is_first: bool, now: datetime) -> bool:
    """Whether the drain should ask first if iMessage reaches the human: only where an answer would change something."""
    return _needs_second_address(message) and recipients.should_look_up(
        message.line, message.human, is_first=is_first, now=now
    )


def fall_back(message: Message, error: ProviderError | None, *, was_accepted: bool) -> bool:
    """Queue the message again on the human's SMS number; False when it has to fail.

    Inside the caller's transaction, under the conversation's lock. `was_accepted`: the provider had taken it, and told
    the failure later.
    """
    if error is None or error.error_class is not ErrorClass.RECIPIENT_UNREACHABLE:
        return False
    if not _needs_second_address(message) or message.status == Message.Status.DELIVERED:
        return False
    unwanted = Message.Fallback.IF_UNSUPPORTED if was_accepted else Message.Fallback.IF_FAILED
    if message.fallback == unwanted:
        return False
    if message.connection is not None and not message.connection.is_active:
        return False
    line = _sms_line(message)
    if line is None:
        return False
    if was_accepted:
        Dispatch.objects.filter(order_id=message.id, outcome=Dispatch.Outcome.ACCEPTED).update(
            outcome=Dispatch.Outcome.FAILED
        )
    recipients.note_downgrade(message.human, now=timezone.now())
    _switch(message, line, why="iMessage cannot reach the human; sent as SMS.")
    return True


def carried(message: Message, *, service: str, downgraded: bool | None) -> Carried:
    """What a provider's word on its own call means for the message: on the second address it is downgraded SMS."""
    if message.line.service == Line.Service.SMS:
        # A number that knows nothing but SMS was chosen as such.
        return Carried(Service.SMS, bool(message.was_downgraded))
    fell = True if downgraded is None and service in {Service.SMS, Service.RCS} else downgraded
    return Carried(service, fell)


def take_back(message: Message, dispatch: Dispatch) -> None:
    """The first attempt arrived after all, and nothing left as SMS yet: the message is what it was.

    Inside the caller's transaction; the report moves it to delivered.
    """
    if Dispatch.objects.filter(order_id=message.id, outcome__in=Dispatch.STANDING).exists():
        return
    Message.objects.filter(pk=message.pk).update(
        line=dispatch.line, provider_handle=dispatch.handle, service=Service.IMESSAGE, was_downgraded=False
    )


def is_former_attempt(message: Message, dispatch: Dispatch) -> bool:
    """Whether a report speaks of a call from before the message went to its second address."""
    return message.service == Service.SMS and dispatch.service == "imessage"


def sms_content(message: Message) -> tuple[str, tuple[str, ...]]:
    """Text and media as SMS can carry them; a file that is too large becomes a link at the end."""
    parts = [part for part in message.parts.all() if part.kind == Part.Kind.MEDIA]
    too_large = {part.id for part in parts if _size(part) > SMS_MEDIA_LIMIT}
    links = [part.link for part in parts if part.id in too_large]
    text = "\n".join([message.text, *links] if message.text else links)
    return text, tuple(part.link for part in parts if part.id not in too_large)


def _sms_line(message: Message) -> Line | None:
    """The number that SMS leaves from: the one that was named, one of the agent's own, or the pool's."""
    if message.fallback_line is not None:
        return message.fallback_line
    if message.line.kind == Line.Kind.DEDICATED:
        second = _own_sms_lines(message.identity).select_related("account").first()
        return second or (message.line if can_send_sms(message.line) else None)
    return give_sms_line(message.identity, message.human)


def _own_sms_lines(identity: Identity) -> QuerySet[Line]:
    return numbers_of(identity).filter(service=Line.Service.SMS, wanted=Line.Wanted.IN_SERVICE)


def _needs_second_address(message: Message) -> bool:
    return may_fall_back(message) and asked_service(message) == "imessage"


def _size(part: Part) -> int:
    return part.size or (part.media.size if part.media else 0)


def _switch(message: Message, line: Line, *, why: str) -> Message:
    """Nothing of the earlier attempt stands on the row any more; the calls keep it."""
    message.line = line
    message.service, message.was_downgraded = Service.SMS, True
    message.status, message.provider_handle, message.sent_at = Message.Status.QUEUED, "", None
    message.updated_at = timezone.now()
    fields = ["line", "service", "was_downgraded", "status", "provider_handle", "sent_at", "updated_at"]
    message.save(update_fields=fields)
    DeliveryStep.objects.create(message=message, state="downgraded", detail=why)
    tell(_FALLBACK, "message.downgraded", message)
    return message
