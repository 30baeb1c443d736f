"""What can be done to the rows of a list, for the bulk bar."""

from collections.abc import Sequence

from django import template

from console.lists import Listing
from console.work import Deed, allowed_deeds

register = template.Library()


@register.simple_tag
def deeds_for(listing: Listing) -> Sequence[Deed]:
    """The deeds that whoever reads the list may do to its rows."""
    return allowed_deeds(listing.actor, listing.spec)
