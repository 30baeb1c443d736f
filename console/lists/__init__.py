"""Lists of the console: one `FilterSpec` per list; `SPEC.read(request, actor)` is what a request asks of it."""

from console.lists.choices import identity_choice
from console.lists.fields import Choice, Field, Flag, Id, Number, Text, Unreadable
from console.lists.listing import Listing, address_as_asked, wants_rows
from console.lists.paging import PAGE_SIZE, Page, Sort
from console.lists.ranges import Range
from console.lists.spec import SPECS, Column, FilterSpec, View

__all__ = [
    "PAGE_SIZE",
    "SPECS",
    "Choice",
    "Column",
    "Field",
    "FilterSpec",
    "Flag",
    "Id",
    "Listing",
    "Number",
    "Page",
    "Range",
    "Sort",
    "Text",
    "Unreadable",
    "View",
    "address_as_asked",
    "identity_choice",
    "wants_rows",
]
