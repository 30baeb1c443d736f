"""Sending a message again whose outcome nobody could find out."""

from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from console.entry import PageRequest, page, seen_by, tell
from console.friction import Confirmation, Confirmed, Fact, confirm, leave_for
from console.thread.people import in_words, people_of
from core.actor import Actor, Role
from core.errors import DomainError
from imessage.again import NotLeftOpen, may_send_again, send_again
from imessage.models import Message


@page
@require_http_methods(["GET", "HEAD", "POST"])
def send_once_more(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """Ask whether a message shall leave again, and let it."""
    actor.require(Role.ADMIN)
    message: Message = seen_by(actor, Message, pk, "identity", "line", "conversation")
    back = reverse("console:thread", args=[message.conversation_id]) + f"#m-{message.id}"
    if not may_send_again(message):
        messages.error(request, NotLeftOpen().message)
        return leave_for(request, back)
    answer = confirm(request, actor, _question(actor, message, back))
    if not isinstance(answer, Confirmed):
        return answer
    try:
        send_again(actor, message)
    except DomainError as refused:
        messages.error(request, refused.message)
    else:
        tell(request, "The message is on its way again.")
    return leave_for(request, back)


def _question(actor: Actor, message: Message, back: str) -> Confirmation:
    title = people_of(actor, message.conversation).title(message.conversation)
    return Confirmation(
        title="Send again",
        sentence="The provider's answer was lost, and nothing shows that the message left. It is sent once more.",
        action="Send again",
        back=back,
        facts=[Fact("To", in_words(actor, title)), Fact("Agent", f"@{message.identity.handle}")],
        warning="If it did leave after all, the human gets it twice.",
        hold=timedelta(),
    )
