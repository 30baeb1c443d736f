"""Fields that many lists have."""

from collections.abc import Iterable
from typing import Any

from accounts.models import Identity
from console.lists.fields import Choice
from core.actor import Actor

# Enough to choose from; another handle may be typed into the address, and the search field finds it.
MOST_IDENTITIES = 200


def identity_choice(column: str = "identity__handle", **fields: Any) -> Choice:
    """Rows by the handle of their identity; deleted ones are not offered, but their rows can be asked for."""
    return Choice(
        key="identity",
        label="Identity",
        column=column,
        among=_handles,
        is_open=True,
        is_lower=True,
        prefix="@",
        **fields,
    )


def _handles(actor: Actor) -> Iterable[tuple[str, str]]:
    live = Identity.objects.visible_to(actor).live().order_by("handle")
    return [(handle, f"@{handle}") for handle in live.values_list("handle", flat=True)[:MOST_IDENTITIES]]
