"""Where in the console a message of a thread is found."""

from django.urls import reverse

from imessage.models import Message

# A link to a message opens its thread with so many before it.
BEFORE = 10


def place_of(message: Message) -> str:
    """The address of a message in its thread, in its context."""
    thread = reverse("console:thread", args=[message.conversation_id])
    return f"{thread}?start={max(1, message.position - BEFORE)}#m-{message.id}"
