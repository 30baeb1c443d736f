"""The sheet of keys."""

from typing import Any

from django import template

from console import keys

register = template.Library()


@register.inclusion_tag("console/shared/_keys.html")
def key_sheet() -> dict[str, Any]:
    """The dialog that `?` opens."""
    return {"groups": (("Everywhere", keys.EVERYWHERE), ("In lists", keys.IN_LISTS))}
