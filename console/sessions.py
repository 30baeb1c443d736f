"""A person who signs out, or is signed out, must stop hearing at once: their open sockets are told to look."""

from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver

from accounts.models import User
from events.feed import publish_signal


@receiver(user_logged_out)
def tell_open_sockets(sender: object, user: User | None, **kwargs: Any) -> None:
    """Ask every socket of this person, in any web process, whether its session still stands."""
    if user is not None:
        publish_signal({"kind": "rights", "user_id": str(user.pk)})
