"""Lists: the grammar of their addresses, pages that stay put, and what must hold for every list there is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.http import QueryDict
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.members import actor_of
from accounts.models import Identity, User
from console.lists import SPECS, FilterSpec, Listing, Sort
from console.lists.fields import Unreadable
from console.lists.paging import Order, Place, beyond, read_cursor, read_page
from console.views.threads import THREADS
from core.actor import Actor, Role
from imessage.models import Connection, Conversation
from tests import make
from tests.admin.conftest import _fill as fill_every_table
from tests.console.listing import addresses, keys, tried, tried_on_all, undone

LIST = "/console/threads/"
NOBODY = Actor(role=Role.ADMIN, kind="user", id="00000000-0000-7000-8000-000000000001", label="nobody")

ALL_LISTS = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


@pytest.fixture
def actor(alice: User) -> Actor:
    return actor_of(alice)


# --- The grammar


@pytest.fixture
def four(identity: Identity, organization: Any) -> dict[str, Conversation]:
    """Threads of two identities, active and released."""
    other = make.make_identity(organization, "other")
    made = {}
    for name, whose, human, status in [
        ("a", identity, "+15555551001", "active"),
        ("b", identity, "+15555551002", "released"),
        ("c", other, "+15555551003", "active"),
        ("d", other, "+15555551004", "released"),
    ]:
        made[name] = make.make_conversation(connection=make.make_connection(whose, human, status=status))
    return made


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "abcd"),
        ("?state=active", "ac"),
        ("?state=active&state=released", "abcd"),
        ("?state=active&identity=helper", "a"),
        ("?identity=@HELPER", "ab"),
        ("?-identity=helper", "cd"),
        ("?-identity=helper&-state=released", "c"),
        ("?identity=helper&identity=other&-state=active", "bd"),
        ("?q=1003", "c"),
        ("?q=1003&q=1004", "cd"),
        ("?range=1h", "abcd"),
        ("?to=2020-01-01", ""),
        ("?from=2020-01-01&to=2999-01-01T00:00:00%2B02:00", "abcd"),
        ("?view=live", "ac"),
        ("?view=live&identity=other", "c"),
        ("?state=&q=", "abcd"),
    ],
)
def test_repeated_keys_are_or_different_keys_are_and(
    actor: Actor, four: dict[str, Conversation], query: str, found: str
) -> None:
    listing = THREADS.asked(query, actor)
    assert keys(listing) == {four[name].pk for name in found}
    assert not listing.unknown


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("?stat=active", "stat"),
        ("?-stat=active", "-stat"),
        ("?state=asleep", "state"),
        ("?blocked=perhaps", "blocked"),
        ("?range=soon", "range"),
        ("?range=24h&range=1h", "range"),
        ("?from=yesterday", "from"),
        ("?sort=-colour", "sort"),
        ("?cursor=nonsense", "cursor"),
        ("?view=nobodys", "view"),
        ("?identity=%00", "identity"),
    ],
)
def test_what_is_not_understood_is_a_chip_that_takes_itself_away(
    actor: Actor, four: dict[str, Conversation], query: str, key: str
) -> None:
    listing = THREADS.asked(query, actor)
    (chip,) = [chip for chip in listing.chips if chip.is_warning]
    assert chip.label == key
    assert not THREADS.asked(chip.remove.partition("?")[2], actor).unknown
    assert len(keys(listing)) == 4


def test_chips_take_away_and_turn_round(actor: Actor, four: dict[str, Conversation]) -> None:
    listing = THREADS.asked("?view=live&identity=helper", actor)
    chips = {chip.words: chip for chip in listing.chips}
    assert chips["Active"].remove == f"{LIST}?identity=helper"
    assert chips["@helper"].flip == f"{LIST}?-identity=helper&state=active"
    assert listing.words == "Identity: @helper · Connection: Active"


def test_a_query_is_composed_of_changes(actor: Actor, identity: Identity) -> None:
    listing = THREADS.asked("?state=active&q=12", actor)
    assert listing.query(cursor="x", open="1") == "?state=active&q=12&cursor=x&open=1"
    assert listing.query(state=None, identity=["helper"]) == "?identity=helper&q=12"
    assert listing.query(**{"-state": "released"}) == "?state=active&-state=released&q=12"
    assert THREADS.asked("?view=live", actor).query() == "?view=live"
    assert THREADS.asked("?view=live", actor).query(q="1") == "?state=active&q=1"
    assert THREADS.asked("", actor).query() == ""


def test_a_moving_range_can_be_fixed(actor: Actor) -> None:
    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    listing = Listing(THREADS, actor, QueryDict("range=24h&state=active"), now=now)
    assert listing.fixed_query == "?state=active&from=2026-11-20T12%3A00%3A00Z"
    assert listing.is_moving


def test_links_of_a_page_hold_its_own_keys_no_more(as_alice: Client, four: dict[str, Conversation]) -> None:
    page = as_alice.get(f"{LIST}{four['a'].id}/?state=active&start=1")
    assert page.context["listing"].query() == "?state=active"
    assert not page.context["listing"].unknown


def test_two_lists_cannot_share_a_name_nor_take_a_key_of_all() -> None:
    facts: dict[str, Any] = {"title": "", "route": "", "rows": lambda actor: None, "sorts": THREADS.sorts}
    with pytest.raises(ValueError, match="two lists"):
        FilterSpec(name="threads", **facts)
    with pytest.raises(ValueError, match="keys"):
        FilterSpec(name="new", fields=(THREADS.fields[0], THREADS.fields[0]), **facts)


def test_the_filter_bar_leaves_a_clean_address(as_alice: Client, four: dict[str, Conversation]) -> None:
    asked = f"{LIST}?q=&state=active&from=&view="
    page = as_alice.get(asked, headers={"HX-Request": "true", "HX-Request-Type": "full"})
    assert page["HX-Push-Url"] == f"{LIST}?state=active"
    assert b"<html" in page.content
    assert "HX-Push-Url" not in as_alice.get(asked, headers={"HX-Request": "true"})


# --- Pages


def pages(rows: QuerySet[Any], order: Order, size: int = 3) -> list[list[Any]]:
    """All pages, front to back, each then found again from behind."""
    found, place = [], None
    while True:
        page = read_page(rows, order, place, size=size)
        found.append([row.pk for row in page.rows])
        if not page.following:
            break
        place = read_cursor(page.following, order, rows.model)
    behind = []
    while page.preceding:
        page = read_page(rows, order, read_cursor(page.preceding, order, rows.model), size=size)
        behind.append([row.pk for row in page.rows])
    assert behind == found[:-1][::-1]
    return found


@tried
@given(
    moments=st.lists(st.sampled_from([None, 0, 1, 2, 3]), min_size=1, max_size=10),
    descending=st.booleans(),
)
def test_pages_hold_every_row_once_in_order(identity: Identity, moments: list[int | None], descending: bool) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    nullable = Sort("read", "Visible", "visible_last_at", is_nullable=True)
    plain = Sort("last", "Last", "last_at")
    with undone():
        for number, moment in enumerate(moments):
            at = None if moment is None else start + timedelta(seconds=moment)
            human = f"+1555555{1000 + number}"
            make.make_conversation(identity, human, visible_last_at=at, last_at=at or start)
        rows = Conversation.objects.filter(identity=identity)
        for sort in (nullable, plain):
            seen = [pk for page in pages(rows, Order(sort, descending)) for pk in page]
            assert len(seen) == len(set(seen)) == len(moments)
            values = [getattr(rows.get(pk=pk), sort.column) for pk in seen]
            given_ones = [value for value in values if value is not None]
            assert given_ones == sorted(given_ones, reverse=descending)
            assert values[: len(given_ones)] == given_ones


@tried
@given(arrivals=st.lists(st.integers(0, 3), max_size=4))
def test_pages_neither_repeat_nor_skip_while_rows_arrive(identity: Identity, arrivals: list[int]) -> None:
    now = timezone.now()
    order = Order(Sort("last", "Last", "last_at"), descending=True)
    with undone():
        old = [
            make.make_conversation(identity, f"+1555555{1000 + n}", last_at=now - timedelta(seconds=n // 2)).pk
            for n in range(9)
        ]
        rows, place, seen, number = Conversation.objects.filter(identity=identity), None, [], 2000
        for count in [*arrivals, 0, 0, 0, 0][:9]:
            page = read_page(rows, order, place, size=3)
            seen += [row.pk for row in page.rows]
            for _ in range(count):
                make.make_conversation(identity, f"+1555555{number}", last_at=now + timedelta(seconds=number))
                number += 1
            if not page.following:
                break
            place = read_cursor(page.following, order, Conversation)
        assert [pk for pk in seen if pk in old] == seen
        assert sorted(seen) == sorted(old)


@pytest.mark.parametrize("is_backwards", [False, True])
def test_a_page_is_one_range_of_the_index(is_backwards: bool) -> None:
    """`c <= x AND (c < x OR pk < y)`: the plain OR form reads the whole index."""
    order = Order(Sort("last", "Last", "last_at"), descending=True)
    place = Place(timezone.now(), "00000000-0000-7000-8000-000000000001", is_backwards)
    where = str(Conversation.objects.filter(beyond(order, place)).query).split("WHERE")[1]
    sign = ">=" if is_backwards else "<="
    assert where.count(f'"last_at" {sign}') == 1
    assert " AND (" in where


@pytest.mark.parametrize("text", ["", "e30=", "W10=", "WyJhZnRlciJd", "\u00e9", "WyJhZnRlciIsIi1sYXN0IiwxZTQwMCwiMSJd"])
def test_a_cursor_of_nobodys_is_refused(text: str) -> None:
    order = Order(Sort("last", "Last", "last_at"), descending=True)
    with pytest.raises(Unreadable):
        read_cursor(text, order, Conversation)


def test_a_count_stops_at_a_thousand(actor: Actor, monkeypatch: pytest.MonkeyPatch, four: object) -> None:
    assert str(THREADS.asked("", actor).count) == "4"
    monkeypatch.setattr("console.lists.listing.COUNTED_AT_MOST", 3)
    assert str(THREADS.asked("", actor).count) == "3+"


# --- What holds for every list


@ALL_LISTS
@tried_on_all
@given(data=st.data())
def test_any_address_is_read_answered_and_written_back(spec: FilterSpec, actor: Actor, data: st.DataObject) -> None:
    query = data.draw(addresses(spec, actor))
    listing = spec.asked(query, actor)
    list(listing.page.rows)
    assert str(listing.count)
    assert listing.words is not None
    again = spec.asked(listing.full_query, actor)
    assert again.full_pairs == listing.full_pairs
    assert keys(again) == keys(listing)
    for chip in listing.chips:
        spec.asked(chip.remove.partition("?")[2], actor)


@ALL_LISTS
@tried_on_all
@given(data=st.data())
def test_the_filter_bar_asks_for_what_it_shows(spec: FilterSpec, actor: Actor, data: st.DataObject) -> None:
    """The form, submitted as it stands, changes nothing."""
    listing = spec.asked(data.draw(addresses(spec, actor)), actor)
    form = QueryDict(mutable=True)
    if spec.search:
        form.appendlist("q", listing.q)
    for control in listing.controls:
        if control.kind == "choice":
            for option in control.options:
                if option.is_chosen:
                    form.appendlist(control.key, option.value)
        elif control.kind == "flag":
            chosen = [option.value for option in control.options if option.is_chosen]
            form.appendlist(control.key, chosen[-1] if chosen else "")
        else:
            form.appendlist(control.key, control.value)
    for option in listing.ranges:
        if option.is_chosen:
            form.appendlist("range", option.value)
    if spec.time:
        form.appendlist("from", listing.bounds.get("since", ""))
        form.appendlist("to", listing.bounds.get("until", ""))
    form.appendlist("sort", next(option.value for option in listing.orders if option.is_chosen))
    for key, value in listing.hidden:
        form.appendlist(key, value)
    # The order that the form shows is the order, whatever else the address said of it.
    unread = {("sort", unknown.text) for unknown in listing.unknown if unknown.key == "sort"}
    shown = [pair for pair in listing.full_pairs if pair not in {*unread, ("sort", listing.default_order.text)}]
    assert sorted(Listing(spec, actor, form).full_pairs) == sorted(shown)


@ALL_LISTS
def test_strangers_rows_are_in_no_list(db: None, spec: FilterSpec) -> None:
    """Every list begins with `visible_to`: an actor of no organization is shown nothing of any."""
    fill_every_table()
    assert not spec.asked("", NOBODY).rows.exists()


# --- Threads, with their oracle

_ORACLE = {
    "identity": lambda thread, value: thread.identity.handle == value,
    "state": lambda thread, value: thread.connection.status == value,
    "blocked": lambda thread, value: (thread.blocked_total > 0) is value,
}


def _matches(listing: Listing, thread: Conversation) -> bool:
    for field in listing.spec.fields:
        terms = [term for term in listing._state.terms if term.field is field]
        if not terms:
            continue
        holds = _ORACLE[field.key]
        wanted = [term for term in terms if not term.is_excluded]
        if wanted and not any(holds(thread, term.value) for term in wanted):
            return False
        if any(holds(thread, term.value) for term in terms if term.is_excluded):
            return False
    return True


_simple = st.lists(
    st.tuples(st.sampled_from(["identity", "-identity", "state", "-state", "blocked", "-blocked"]), st.integers(0, 1)),
    max_size=4,
)
_rows = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=6)


def _query(pairs: list[tuple[str, int]]) -> str:
    values = {"identity": ["helper", "second"], "state": ["active", "released"], "blocked": ["yes", "no"]}
    return "?" + "&".join(f"{key}={values[key.removeprefix('-')][n]}" for key, n in pairs)


def _make(identity: Identity, second: Identity, facts: tuple[bool, bool, bool], number: int) -> Conversation:
    is_second, is_released, is_blocked = facts
    status = Connection.Status.RELEASED if is_released else Connection.Status.ACTIVE
    connection = make.make_connection(second if is_second else identity, f"+1555555{1000 + number}", status=status)
    return make.make_conversation(connection=connection, blocked_total=int(is_blocked))


@tried
@given(pairs=_simple, rows=_rows)
def test_the_database_answers_as_plain_reasoning_does(
    actor: Actor, identity: Identity, pairs: list[tuple[str, int]], rows: list[tuple[bool, bool, bool]]
) -> None:
    with undone():
        second = make.make_identity(identity.organization, "second")
        threads = [_make(identity, second, facts, number) for number, facts in enumerate(rows)]
        listing = THREADS.asked(_query(pairs), actor)
        assert keys(listing) == {thread.pk for thread in threads if _matches(listing, thread)}


def test_a_pasted_tab_of_a_private_view_shows_a_colleague_the_same_rows(
    as_alice: Client, as_bob: Client, four: dict[str, Conversation]
) -> None:
    """Acceptance 5: links to saved views spell out what they stand for."""
    as_alice.post("/console/views/new/", {"list": "threads", "name": "Mine", "query": "?state=released&sort=last"})
    (tab,) = [tab for tab in as_alice.get(LIST).context["listing"].tabs if tab.label == "Mine"]
    theirs = as_bob.get(tab.url).context
    assert [row.thread.pk for row in theirs["rows"]] == [four["b"].pk, four["d"].pk]
    assert not theirs["listing"].unknown
