"""One declaration per list: what it is narrowed and sorted by drives its page, its address, exports and bulk work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import reverse

from console.lists.fields import Field
from console.lists.listing import Listing
from console.lists.paging import PAGE_SIZE, Sort
from console.lists.ranges import KEYS as RANGE_KEYS
from console.lists.ranges import Range
from core.actor import Actor

# Keys that mean the same on every list.
RESERVED = frozenset({"q", *RANGE_KEYS, "sort", "cursor", "view"})


@dataclass(frozen=True)
class View:
    """A named filter that a list comes with; `query` is what stands after the question mark."""

    slug: str
    label: str
    query: str = ""


@dataclass(frozen=True)
class Column:
    """One column of an export: a lookup path, or a function of the row.

    What is `masked` is a human's number, in full only for whom pages show it in full. Numbers within other texts are
    masked by the same rule.
    """

    key: str
    label: str
    value: str | Callable[[Any], Any]
    masked: bool = False


@dataclass(frozen=True, kw_only=True)
class FilterSpec:
    """A list of the console.

    `rows` gives all rows an actor may see, through `visible_to`, one row per primary key. `route` is the name of the
    list's address. The first of `sorts` is the default. `search` makes the question for `q`; it must ask nothing of
    rows the actor may not see. `nouns` are one row and many: *thread*, *threads*. `created` is the column of when a
    row appeared: bulk work leaves rows alone that appeared after it was asked for. `row_words` names a row in a few
    words for an actor, numbers masked; `row_url` is its page. Both are for the pages of jobs.
    """

    name: str
    title: str
    route: str
    rows: Callable[[Actor], QuerySet[Any]]
    sorts: tuple[Sort, ...]
    fields: tuple[Field, ...] = ()
    time: Range | None = None
    search: Callable[[str], Q] | None = None
    search_label: str = "Search"
    views: tuple[View, ...] = ()
    columns: tuple[Column, ...] = ()
    nouns: tuple[str, str] = ("row", "rows")
    created: str = "created_at"
    row_words: Callable[[Any, Actor], str] | None = None
    row_url: Callable[[Any], str] | None = None
    page_size: int = PAGE_SIZE
    by_key: dict[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        keys = [declared.key for declared in self.fields]
        if len(set(keys)) != len(keys) or RESERVED & set(keys) or any(key.startswith("-") for key in keys):
            raise ValueError(f"The keys of list {self.name} are not its own: {keys}")
        if self.name in SPECS:
            raise ValueError(f"There are two lists named {self.name}.")
        object.__setattr__(self, "by_key", dict(zip(keys, self.fields, strict=True)))
        SPECS[self.name] = self

    @property
    def url(self) -> str:
        return reverse(self.route)

    def read(self, request: HttpRequest, actor: Actor, *, own: Sequence[str] = ()) -> Listing:
        """What a request asks of this list. `own` names keys of the address that belong to the page around it."""
        return Listing(self, actor, request.GET, own=own)

    def asked(self, query: str, actor: Actor) -> Listing:
        """The same from a query string, with or without its question mark."""
        return Listing(self, actor, QueryDict(query.removeprefix("?")))


# By name, as modules that declare them are imported.
SPECS: dict[str, FilterSpec] = {}
