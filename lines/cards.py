"""What a line can do now: its driver's card, less what the last probe found gone."""

from dataclasses import asdict

from lines.models import Line
from lines.providers import driver_named, driver_of, names
from lines.providers.base import Capabilities


def card_of(line: Line) -> Capabilities:
    """What this line can do now; surfaces ask this, never the provider's name."""
    return driver_of(line.account).card.without(line.lost_capabilities)


def static_cards() -> dict[str, Capabilities]:
    """What each provider can do at best, by its name."""
    return {name: driver_named(name).card for name in names()}


def plain(card: Capabilities) -> dict[str, object]:
    """The card as values that JSON knows."""
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(card).items()}
