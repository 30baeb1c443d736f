"""Reading back over a provider's API what its callbacks should have brought; what only a poll found is late."""

import logging
from datetime import timedelta
from typing import Any

from django.utils import timezone

from lines.callbacks import store, unheard
from lines.models import ProviderAccount, Route
from lines.providers import driver_of, opened
from lines.providers.base import ProviderCallFailed, Thread

logger = logging.getLogger(__name__)

# Pages read in one go; the next round goes on from the cursor.
_MOST_PAGES = 20

# Threads asked one by one, with providers that have no list of everything.
_MOST_THREADS = 200
_LATELY = timedelta(days=2)


def poll(account: ProviderAccount) -> int:
    """Store what the provider reports and we did not hear; the number of such late callbacks.

    The cursor moves only after a page is stored, so a killed worker reads it again: storing twice changes nothing.
    """
    found = 0
    for _ in range(_MOST_PAGES):
        try:
            bodies, cursor = driver_of(account).poll(opened(account), cursor=account.poll_cursor, **_threads(account))
        except ProviderCallFailed as failed:
            logger.warning("Poll failed", extra={"account_id": str(account.id), "reason": str(failed)})
            break
        found += sum(store(account, body, polled=True) for body in unheard(account, bodies))
        moved = cursor != account.poll_cursor
        account.poll_cursor = cursor
        account.save(update_fields=["poll_cursor"])
        if not bodies or not moved:
            break
    if found:
        logger.info("Poll found lost callbacks", extra={"account_id": str(account.id), "count": found})
    return found


def _threads(account: ProviderAccount) -> dict[str, Any]:
    """What a provider that is polled thread by thread is asked about: those that lately spoke."""
    if driver_of(account).card.poll != "thread":
        return {}
    lately = Route.objects.live().filter(line__account=account, updated_at__gt=timezone.now() - _LATELY)
    routes = lately.exclude(human="*").select_related("line").order_by("-updated_at")[:_MOST_THREADS]
    return {"threads": [Thread(route.line.address, route.human, route.chat) for route in routes]}
