"""Asking a provider what became of a text it has accepted, where its callbacks do not reliably tell.

A Mac writes an error number into a row long after it answered, and tells of it in no event.
"""

import logging
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from core.wake import wake
from lines.callbacks import store
from lines.models import Dispatch
from lines.providers import driver_of, opened
from lines.providers.base import ProviderCallFailed, StatusChanged

logger = logging.getLogger(__name__)

_FINAL = {"delivered", "error", "declined"}


def plan(dispatch: Dispatch, *, turn: int = 0) -> None:
    """Have an accepted text read back after the driver's next wait, if it has one; in the caller's transaction."""
    waits = driver_of(dispatch.line.account).read_back_waits
    if turn < len(waits):
        wait = waits[turn] - (waits[turn - 1] if turn else 0)
        wake(
            "lines.read_back",
            lock=f"read_back:{dispatch.line.account_id}",  # a provider that hangs holds one worker, not all
            once=f"read_back:{dispatch.id}:{turn}",
            at=timezone.now() + timedelta(seconds=wait),
            dispatch_id=str(dispatch.id),
            turn=turn,
        )


def read_back(dispatch_id: UUID, *, turn: int) -> None:
    """Store what the provider says of the text as a callback; plan another look unless that is final."""
    dispatch = Dispatch.objects.select_related("line__account").get(pk=dispatch_id)
    account = dispatch.line.account
    driver, credentials = driver_of(account), opened(account)
    human = "" if dispatch.is_to_group else dispatch.human
    try:
        bodies = driver.read_back(credentials, line=dispatch.line.address, human=human, handle=dispatch.handle)
    except ProviderCallFailed as failed:
        logger.info("Not read back", extra={"dispatch_id": str(dispatch_id), "turn": turn, "reason": str(failed)})
        bodies = []
    for body in bodies:
        # Asked for, not found by chance: no sign of a lost callback.
        store(account, body, polled=False)
    reports = [report for body in bodies for report in driver.parse(credentials, body=body)]
    if not any(isinstance(report, StatusChanged) and report.state in _FINAL for report in reports):
        with transaction.atomic():
            plan(dispatch, turn=turn + 1)
