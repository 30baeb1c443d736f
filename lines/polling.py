"""Reading back over a provider's API what its callbacks should have brought; what only a poll found is late."""

import logging

from lines.callbacks import store
from lines.models import ProviderAccount
from lines.providers import driver_of, opened
from lines.providers.base import ProviderCallFailed

logger = logging.getLogger(__name__)

# Pages read in one go; the next round goes on from the cursor.
_MOST_PAGES = 20


def poll(account: ProviderAccount) -> int:
    """Store what the provider reports and we did not hear; the number of such late callbacks.

    The cursor moves only after a page is stored, so a killed worker reads it again: storing twice changes nothing.
    """
    found = 0
    for _ in range(_MOST_PAGES):
        try:
            bodies, cursor = driver_of(account).poll(opened(account), cursor=account.poll_cursor)
        except ProviderCallFailed as failed:
            logger.warning("Poll failed", extra={"account_id": str(account.id), "reason": str(failed)})
            break
        found += sum(store(account, body, polled=True) for body in bodies)
        moved = cursor != account.poll_cursor
        account.poll_cursor = cursor
        account.save(update_fields=["poll_cursor"])
        if not bodies or not moved:
            break
    if found:
        logger.info("Poll found lost callbacks", extra={"account_id": str(account.id), "count": found})
    return found
