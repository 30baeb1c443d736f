"""Who reads phone numbers in full: operators and admins. Viewers read the last two digits, on pages and in exports."""

import re
from typing import Any

from core import phones
from core.actor import Actor, Role

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}(?![0-9])", re.ASCII)
_KEPT = 2
_MASK = "•••••"


def sees_numbers(actor: Actor | None) -> bool:
    """Whether this reader sees numbers in full; nobody in particular does not."""
    return actor is not None and actor.may(Role.ADMIN)


def shown_number(actor: Actor | None, number: str) -> str:
    """The number as this reader sees it on a page: as people write it, or masked."""
    return phones.pretty(number) if sees_numbers(actor) else masked(number)


def exported_number(actor: Actor | None, number: str) -> str:
    """The number as this reader gets it in a file: in E.164 form, or masked."""
    return number if sees_numbers(actor) else masked(number)


def masked(number: str) -> str:
    """Always of one length, so that the mask tells nothing but the last two digits."""
    return f"{_MASK}{number[-_KEPT:]}" if number else ""


def masked_within(actor: Actor | None, value: Any) -> Any:
    """JSON, or a text, with every number in it as this reader may see it."""
    if sees_numbers(actor):
        return value
    if isinstance(value, str):
        return _NUMBER.sub(lambda found: masked(found[0]), value)
    if isinstance(value, dict):
        return {masked_within(actor, key): masked_within(actor, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked_within(actor, inner) for inner in value]
    return value
