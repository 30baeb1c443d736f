"""The sheet of keys."""

from typing import Any

from django import template
from django.template.context import Context

from console import keys

register = template.Library()


@register.inclusion_tag("console/shared/_keys.html", takes_context=True)
def key_sheet(context: Context) -> dict[str, Any]:
    """The dialog that `?` opens: the keys of all pages; those of this one are added by `keys.js`."""
    places = [*(context.get("places") or ()), *(context.get("more_places") or ())]
    go = [keys.Key(entry.key, entry.label) for entry in places]
    return {"groups": (("Everywhere", keys.EVERYWHERE), ("In lists", keys.IN_LISTS), ("Go to", go))}
