"""Running rehearsals from the console: what contact rules do not know, the live connections, is told them here."""

import logging
from collections.abc import Iterable
from uuid import UUID

from accounts.models import Identity
from contactrules import rehearsal
from contactrules.models import Rehearsal
from core.actor import Actor
from imessage.models import Connection

logger = logging.getLogger(__name__)

_ACTOR = Actor.system("rehearsal")


def live_pairs(identities: list[Identity]) -> Iterable[tuple[UUID, str]]:
    """Who is connected with these identities now."""
    live = Connection.objects.visible_to(_ACTOR).filter(identity__in=identities, status=Connection.Status.ACTIVE)
    return live.values_list("identity_id", "human").iterator()


def rehearse(rehearsal_id: UUID) -> None:
    """Run a long rehearsal, for its job; one that is done already is left alone."""
    found = (
        Rehearsal.objects.visible_to(_ACTOR).select_related("identity", "organization").filter(pk=rehearsal_id).first()
    )
    if found is None or found.is_done:
        return
    try:
        rehearsal.run(found, live=live_pairs)
    except Exception:
        rehearsal.fail(found)
        raise
