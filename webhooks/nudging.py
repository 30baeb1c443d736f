"""Telling a courier that something is due: this process's own, or by a job whichever worker is free."""

from core.wake import wake
from webhooks.courier import poke


def nudge() -> None:
    """Have what is due delivered now. After the commit that made it due: a courier would not see it before.

    A job is queued only when this process has no courier at work, and only one waits at a time.
    """
    if not poke():
        wake("webhooks.deliver", once="webhooks.deliver")
