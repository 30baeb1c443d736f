"""What one address asks of a list: read strictly, answered by rows, and written back as other addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, reduce
from operator import or_
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils import timezone

from console.lists.fields import LONGEST, Field, Option, Unreadable
from console.lists.paging import Order, Place, read_cursor
from console.lists.ranges import KEYS as RANGE_KEYS
from console.lists.ranges import begin_of, bound_text, read_bound
from console.models import SavedView
from core.actor import Actor

if TYPE_CHECKING:
    from console.lists.spec import FilterSpec

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Term:
    """One value of one field, wanted or, with `is_excluded`, unwanted."""

    field: Field
    value: Any
    is_excluded: bool = False

    @property
    def pair(self) -> tuple[str, str]:
        """As the address holds it."""
        return ("-" if self.is_excluded else "") + self.field.key, self.field.text(self.value)


@dataclass(frozen=True, slots=True)
class Unknown:
    """What stands in the address and was not understood; it narrows nothing, and the page says so.

    It stays in links of the page, unless it would be understood there: a second view, a cursor of another order.
    """

    key: str
    text: str
    why: str
    is_kept: bool = True


@dataclass(slots=True)
class State:
    """What an address says, understood key by key."""

    terms: list[Term] = field(default_factory=list)
    sought: list[str] = field(default_factory=list)
    bounds: dict[str, str | datetime] = field(default_factory=dict)
    order: Order | None = None
    unknown: list[Unknown] = field(default_factory=list)

    def settle(self, fields: Sequence[Field]) -> None:
        """Bring what was read into the one order that chips, words and links have."""
        self.terms.sort(key=lambda term: (fields.index(term.field), term.is_excluded))
        self.unknown.sort(key=lambda unknown: unknown.key)

    def pairs(self, default: Order) -> Pairs:
        """As an address holds it."""
        is_default = self.order == default and not any(unknown.key == "sort" for unknown in self.unknown)
        return [
            *(term.pair for term in self.terms),
            *(("q", text) for text in self.sought),
            *((key, bound_text(self.bounds[key])) for key in RANGE_KEYS if key in self.bounds),
            *([("sort", self.order.text)] if self.order and not is_default else []),
            *((unknown.key, unknown.text) for unknown in self.unknown if unknown.is_kept),
        ]


class Asked:
    """A list as one address asks for it, for one actor; `rows` are all that match, unordered."""

    def __init__(
        self,
        spec: "FilterSpec",
        actor: Actor,
        query: QueryDict,
        *,
        own: Sequence[str] = (),
        now: datetime | None = None,
    ) -> None:
        self.spec = spec
        self.actor = actor
        self.now = now or timezone.now()
        self._options: dict[str, Sequence[Option]] = {}
        texts = {key: _texts(query, key) for key in query if key not in own}
        texts = {key: given for key, given in texts.items() if given}
        cursors = texts.pop("cursor", [])
        self.view, of_view = self._take_view(texts)
        self._given = self._read(texts)
        self._state = self._read(of_view | texts) if self.view else self._given
        self._cursor = cursors[0] if cursors else ""
        self.place = self._read_cursor(cursors)

    # --- What matches

    @cached_property
    def rows(self) -> QuerySet[Any]:
        """All rows that match and the actor may see, in no order."""
        return self.narrow(self.spec.rows(self.actor))

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those of `rows` that match."""
        for declared in self.spec.fields:
            wanted = [term.value for term in self._state.terms if term.field is declared and not term.is_excluded]
            unwanted = [term.value for term in self._state.terms if term.field is declared and term.is_excluded]
            if wanted:
                rows = rows.filter(declared.matching(self.actor, wanted))
            if unwanted:
                rows = rows.exclude(declared.matching(self.actor, unwanted))
        if self._state.sought and self.spec.search:
            rows = rows.filter(reduce(or_, map(self.spec.search, self._state.sought)))
        if self.spec.time:
            for key, bound in self._state.bounds.items():
                rows = self.spec.time.narrow(rows, key, bound, now=self.now)
        return rows

    @property
    def order(self) -> Order:
        return self._state.order or self.default_order

    @property
    def default_order(self) -> Order:
        first = self.spec.sorts[0]
        return Order(first, first.descending)

    @property
    def is_narrowed(self) -> bool:
        """Whether anything narrows it; an empty list then says so instead of how to begin."""
        return bool(self._state.terms or self._state.sought or self._state.bounds)

    @property
    def is_moving(self) -> bool:
        """Whether its range moves with the clock."""
        return "range" in self._state.bounds

    @property
    def unknown(self) -> Sequence[Unknown]:
        """What was not understood; bulk work refuses a filter that has any."""
        return self._state.unknown

    @property
    def q(self) -> str:
        """What is searched for."""
        return self._state.sought[0] if self._state.sought else ""

    def values(self, key: str) -> list[Any]:
        """The wanted values of a field, for pages that show them."""
        return [term.value for term in self._state.terms if term.field.key == key and not term.is_excluded]

    # --- Addresses

    def query(self, **changes: str | Sequence[str] | None) -> str:
        """The query string, with its question mark, of this list with some keys changed; empty without any.

        None or an empty text takes a key away; `**{"-state": "active"}` excludes. Keys that are not the list's are
        added behind it. The cursor is left out unless it is given: another filter begins at the first page.
        """
        theirs = {key: value for key, value in changes.items() if key != "cursor" and not self._is_ours(key)}
        ours = {key: value for key, value in changes.items() if self._is_ours(key)}
        pairs = self._changed(ours) if ours else self.pairs
        added = [(key, text) for key, value in theirs.items() for text in _listed(value)]
        cursor = [("cursor", text) for text in _listed(changes.get("cursor"))]
        return query_string([*pairs, *cursor, *added])

    def here(self, **added: str | Sequence[str] | None) -> str:
        """The query string of exactly this page, its cursor included."""
        return self.query(**({"cursor": self._cursor} | added))

    def link(self, **changes: str | Sequence[str] | None) -> str:
        """The whole address for `query(**changes)`."""
        return self.spec.url + self.query(**changes)

    @property
    def pairs(self) -> Pairs:
        """What this list's address holds, canonical; a view stands for what it says."""
        if self.view:
            return [("view", self.view), *self._pairs(self._given)]
        return self._pairs(self._state)

    @property
    def full_pairs(self) -> Pairs:
        """The same with the view spelled out: what means the same rows to everybody."""
        return self._pairs(self._state)

    @property
    def full_query(self) -> str:
        """The query string with the view spelled out."""
        return query_string(self.full_pairs)

    @property
    def fixed_query(self) -> str:
        """The same with a moving range fixed to where it begins now."""
        bounds = dict(self._state.bounds)
        if isinstance(moving := bounds.pop("range", None), str):
            begins = begin_of(moving, self.now)
            since = bounds.get("from", begins)
            bounds["from"] = max(begins, since) if isinstance(since, datetime) else begins
        return query_string(self._pairs(replace(self._state, bounds=bounds)))

    @property
    def url(self) -> str:
        """This list without its cursor."""
        return self.spec.url + self.query()

    @property
    def clear_url(self) -> str:
        """The list with nothing narrowing it."""
        return self.spec.url

    @property
    def live_url(self) -> str:
        """From where the page's rows are fetched again: exactly its own query."""
        return self.spec.url + self.here()

    # --- Reading

    def _take_view(self, texts: dict[str, list[str]]) -> tuple[str, dict[str, list[str]]]:
        """The view that the address names, taken out of its texts, and what it stands for."""
        slugs = texts.get("view", [])
        query = self._query_of_view(slugs[0]) if slugs else None
        if query is None:
            return "", {}
        texts["view"] = slugs[1:]
        return slugs[0], by_key(QueryDict(query.removeprefix("?")))

    def _query_of_view(self, slug: str) -> str | None:
        """What a view of this list stands for: one it comes with, else one's own, else a shared one."""
        for view in self.spec.views:
            if view.slug == slug:
                return view.query
        named = SavedView.objects.visible_to(self.actor).filter(list_name=self.spec.name, slug=slug[:LONGEST])
        saved = named.order_by("is_shared").first() if "\x00" not in slug else None
        return saved.query if saved else None

    def _read(self, texts: Mapping[str, list[str]]) -> State:
        state = State()
        for key, given in texts.items():
            for text in given:
                try:
                    self._take(state, key, text)
                except Unreadable as odd:
                    state.unknown.append(Unknown(key, text, str(odd), is_kept=not (key == "view" and self.view)))
        state.settle(self.spec.fields)
        return state

    def _take(self, state: State, key: str, text: str) -> None:
        if key == "q" and self.spec.search:
            # PostgreSQL refuses NUL; nothing that people look for holds one.
            if sought := text.replace("\x00", "").strip()[:LONGEST]:
                state.sought.append(sought)
        elif key in RANGE_KEYS and self.spec.time:
            self._once(key in state.bounds)
            state.bounds[key] = read_bound(key, text)
        elif key == "sort":
            self._once(state.order is not None)
            state.order = self._read_order(text)
        elif declared := self.spec.by_key.get(key.removeprefix("-")):
            value = declared.read(text, self._options_of(declared))
            term = Term(declared, value, is_excluded=key.startswith("-"))
            if term not in state.terms:
                state.terms.append(term)
        elif key == "view":
            raise Unreadable("is no view of this list")
        else:
            raise Unreadable("is nothing this list knows")

    def _once(self, is_there: bool) -> None:
        if is_there:
            raise Unreadable("is given twice")

    def _read_order(self, text: str) -> Order:
        for sort in self.spec.sorts:
            if text.removeprefix("-") == sort.key:
                return Order(sort, text.startswith("-"))
        raise Unreadable("is no order of this list")

    def _read_cursor(self, texts: list[str]) -> Place | None:
        if not texts:
            return None
        try:
            self._once(len(texts) > 1)
            return read_cursor(texts[0], self.order, self.spec.rows(self.actor).model)
        except Unreadable as odd:
            self._state.unknown.append(Unknown("cursor", texts[0], str(odd), is_kept=False))
            return None

    def _options_of(self, declared: Field) -> Sequence[Option]:
        if declared.key not in self._options:
            self._options[declared.key] = declared.options(self.actor)
        return self._options[declared.key]

    # --- Writing

    def _pairs(self, state: State) -> Pairs:
        return state.pairs(self.default_order)

    def _link(self, state: State) -> str:
        return self.spec.url + query_string(self._pairs(state))

    def _is_ours(self, key: str) -> bool:
        return key.removeprefix("-") in self.spec.by_key or key in {"q", *RANGE_KEYS, "sort", "view"}

    def _changed(self, changes: Mapping[str, str | Sequence[str] | None]) -> Pairs:
        texts = _by_pairs([pair for pair in self.full_pairs if pair[0] not in changes])
        texts |= {key: _listed(value) for key, value in changes.items() if _listed(value)}
        return [("view", slug) for slug in texts.pop("view", [])] + self._pairs(self._read(texts))


def _texts(query: QueryDict, key: str) -> list[str]:
    """The texts of a key that say something, each once."""
    return list(dict.fromkeys(stripped for text in query.getlist(key) if (stripped := text.strip())))


def by_key(query: QueryDict) -> dict[str, list[str]]:
    return {key: texts for key in query if (texts := _texts(query, key))}


def _by_pairs(pairs: Pairs) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for key, text in pairs:
        texts.setdefault(key, []).append(text)
    return texts


def _listed(value: str | Sequence[str] | None) -> list[str]:
    if value is None or isinstance(value, str):
        return [value] if value else []
    return [text for text in value if text]


def query_string(pairs: Pairs) -> str:
    return f"?{urlencode(pairs)}" if pairs else ""
