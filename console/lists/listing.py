"""What a page draws of a list: its rows by pages, and what narrows it in chips, words, tabs and controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict

from console.lists.asking import Asked, Pairs, Term, by_key, query_string
from console.lists.fields import Field
from console.lists.paging import Order, Page, read_page
from console.lists.ranges import bound_text, bound_words
from console.models import SavedView
from core.actor import Role

# A count reads no further: beyond it the exact number is no help, and reading a million rows is no use.
COUNTED_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class Chip:
    """One thing that narrows the list, in words, with the addresses that take it away or turn it round."""

    label: str
    words: str
    remove: str
    flip: str = ""
    is_excluded: bool = False
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Tab:
    """A view of the list, as a link."""

    label: str
    url: str
    is_current: bool
    slug: str = ""
    is_shared: bool = False
    saved_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Choosable:
    """An option of a control and whether it is chosen."""

    value: str
    label: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Control:
    """What the filter bar draws for one field."""

    key: str
    label: str
    kind: str
    hint: str
    options: Sequence[Choosable]
    value: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows match; `is_more` when there are more than were counted."""

    number: int
    is_more: bool

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.is_more else ''}"


class Listing(Asked):
    """A list as templates use it: `page`, `chips`, `tabs`, `controls`, `count`, `live_url`."""

    # --- Rows

    @cached_property
    def page(self) -> Page[Any]:
        """The page that the cursor names, the first without one."""
        return read_page(self.rows, self.order, self.place, size=self.spec.page_size)

    @cached_property
    def count(self) -> Count:
        """How many match, counted no further than a thousand."""
        found = self.rows.order_by()[: COUNTED_AT_MOST + 1].count()
        return Count(min(found, COUNTED_AT_MOST), found > COUNTED_AT_MOST)

    @property
    def following_url(self) -> str:
        return self.link(cursor=self.page.following) if self.page.following else ""

    @property
    def preceding_url(self) -> str:
        return self.link(cursor=self.page.preceding) if self.page.preceding else ""

    @property
    def may_share(self) -> bool:
        """Whether the actor may save views for others."""
        return self.actor.may(Role.ADMIN)

    @property
    def may_search(self) -> bool:
        """Whether the list can be searched; a template would call the search itself."""
        return self.spec.search is not None

    # --- Words

    @cached_property
    def chips(self) -> list[Chip]:
        """What narrows the list, and what was not understood."""
        state = self._state
        chips = [self._chip(term) for term in state.terms]
        for text in state.sought:
            rest = [other for other in state.sought if other != text]
            chips.append(Chip("Search", text, self._link(replace(state, sought=rest))))
        for key, bound in state.bounds.items():
            kept = {other: value for other, value in state.bounds.items() if other != key}
            label = self.spec.time.label if self.spec.time else key
            chips.append(Chip(label, bound_words(key, bound), self._link(replace(state, bounds=kept))))
        for unknown in state.unknown:
            others = [other for other in state.unknown if other is not unknown]
            words = f"{unknown.text[:60]} {unknown.why}".strip()
            chips.append(Chip(unknown.key[:60], words, self._link(replace(state, unknown=others)), is_warning=True))
        return chips

    @property
    def words(self) -> str:
        """The filter in a sentence, for jobs and exports; empty when nothing narrows."""
        said: dict[str, list[str]] = {}
        for term in self._state.terms:
            label = f"{term.field.label} not" if term.is_excluded else term.field.label
            said.setdefault(label, []).append(self.words_of(term))
        parts = [f"{label}: {' or '.join(values)}" for label, values in said.items()]
        parts += [f"Search: {' or '.join(self._state.sought)}"] if self._state.sought else []
        label = self.spec.time.label if self.spec.time else ""
        parts += [f"{label}: {bound_words(key, bound)}" for key, bound in self._state.bounds.items()]
        return " · ".join(parts)

    def words_of(self, term: Term) -> str:
        return term.field.words(term.value, self._options_of(term.field))

    @cached_property
    def tabs(self) -> list[Tab]:
        """All rows, the views that the list comes with, then those that people saved.

        Links to saved views spell their filter out: whoever gets one sees the same rows without having the view.
        """
        mine = sorted(self.full_pairs)
        tabs = [Tab("All", self.spec.url, not mine)]
        for view in self.spec.views:
            pairs = self._pairs(self._read(by_key(QueryDict(view.query))))
            url = self.spec.url + query_string([("view", view.slug)])
            tabs.append(Tab(view.label, url, sorted(pairs) == mine, view.slug))
        saved = SavedView.objects.visible_to(self.actor).filter(list_name=self.spec.name)
        for kept in saved.order_by("name", "pk"):
            pairs = self._pairs(self._read(by_key(QueryDict(kept.query.removeprefix("?")))))
            url = self.spec.url + query_string(pairs)
            tabs.append(Tab(kept.name, url, sorted(pairs) == mine, kept.slug, kept.is_shared, kept.id))
        return tabs

    # --- The filter bar

    @cached_property
    def controls(self) -> list[Control]:
        """A control for every field, showing what is wanted."""
        return [self._control(declared) for declared in self.spec.fields]

    @property
    def hidden(self) -> Pairs:
        """What the form keeps although no control shows it."""
        shown = set(self._shown())
        return [pair for pair in self.full_pairs if pair not in shown and pair[0] != "sort"]

    @property
    def orders(self) -> list[Choosable]:
        """Every order the list can have."""
        both = [Order(sort, way) for sort in self.spec.sorts for way in (sort.descending, not sort.descending)]
        return [Choosable(order.text, order.words, order == self.order) for order in both]

    @property
    def ranges(self) -> list[Choosable]:
        """The lengths of time that are offered, and the one asked for."""
        chosen = self._state.bounds.get("range", "")
        offered = self.spec.time.presets if self.spec.time else ()
        given = [str(chosen)] if chosen and chosen not in offered else []
        return [Choosable(text, bound_words("range", text), text == chosen) for text in [*offered, *given]]

    @property
    def bounds(self) -> Mapping[str, str]:
        """`from` and `to` as a field for date and time shows them, in UTC."""
        fixed = {key: bound for key, bound in self._state.bounds.items() if isinstance(bound, datetime)}
        names = {"from": "since", "to": "until"}
        return {names[key]: bound.replace(tzinfo=None).isoformat(timespec="seconds") for key, bound in fixed.items()}

    def _chip(self, term: Term) -> Chip:
        terms = self._state.terms
        others = [other for other in terms if other is not term]
        turned = replace(term, is_excluded=not term.is_excluded)
        return Chip(
            label=term.field.label,
            words=self.words_of(term),
            remove=self._link(replace(self._state, terms=others)),
            flip=self._link(replace(self._state, terms=[turned if other is term else other for other in terms])),
            is_excluded=term.is_excluded,
        )

    def _control(self, declared: Field) -> Control:
        wanted = [declared.text(value) for value in self.values(declared.key)]
        options = [
            Choosable(option.value, option.label, option.value in wanted) for option in self._options_of(declared)
        ]
        if declared.control == "choice":
            offered = {option.value for option in options}
            options += [Choosable(text, text, True) for text in wanted if text not in offered]
        return Control(
            key=declared.key,
            label=declared.label,
            kind=declared.control,
            hint=declared.hint,
            options=options,
            value=wanted[0] if wanted else "",
        )

    def _shown(self) -> Pairs:
        """What the controls show by themselves."""
        shown: Pairs = [("q", self.q), *((key, bound_text(bound)) for key, bound in self._state.bounds.items())]
        for control in self.controls:
            if control.kind == "choice":
                shown += [(control.key, option.value) for option in control.options if option.is_chosen]
            else:
                shown.append((control.key, control.value))
        return shown


def wants_rows(request: HttpRequest) -> bool:
    """Whether only the rows are wanted, for a region that keeps itself live; links and the filter bar want the page."""
    return bool(getattr(request, "htmx", False)) and request.headers.get("HX-Request-Type") != "full"


def address_as_asked(request: HttpRequest, response: HttpResponse) -> None:
    """Have the filter bar's answer put an address without its empty fields into the browser's address bar."""
    if request.headers.get("HX-Request-Type") == "full":
        pairs = [(key, text) for key, texts in request.GET.lists() for text in texts if text]
        response["HX-Push-Url"] = request.path + query_string(pairs)
