"""How a person reads the console: asked once per page, changed by the person alone."""

from typing import Any

from accounts.models import User
from console.models import Preferences


def preferences_of(user: User) -> Preferences:
    """The person's choices, or the defaults."""
    try:
        kept: Preferences = user.preferences
    except Preferences.DoesNotExist:
        return Preferences(user=user)
    return kept


def save_preferences(user: User, **choices: Any) -> Preferences:
    """Keep some choices; the others stay as they are. Private to the person, so no event tells of it."""
    kept = preferences_of(user)
    for name, value in choices.items():
        setattr(kept, name, value)
    kept.save()
    return kept
