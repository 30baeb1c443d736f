"""Pages that stay true while things happen, and while the socket does not: acceptance items 2, 3 and 4 of the console.

Time is not waited for: the browser's clock is moved ten minutes on.
"""

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.browser.browsing import Browsing, Stayed, note_states, states
from tests.browser.conftest import sign_in, wait_until_live
from tests.browser.people import Human, Operator
from tests.installation import Installation, waited

# What happens within seconds is told apart from what does not only with the machine to oneself.
pytestmark = pytest.mark.alone

SOCKET = re.compile("/ws/console/")
FIRST_WORDS = "SELECT 1 FROM imessage_message WHERE human = %s AND text = 'First words'"
A_FRAGMENT = re.compile("/console/")
UNEVEN = ["short", "a text that goes on " * 12, "two\nlines"]
NOTE_TOPS = """(ids) => {
    window.tops = {};
    const look = () => {
        for (const id of ids) {
            const el = document.getElementById(id);
            (tops[id] ??= new Set()).add(el ? Math.round(el.getBoundingClientRect().top * 10) / 10 : "gone");
        }
        requestAnimationFrame(look);
    };
    look();
}"""
PLACES = "() => Object.values(tops).map((seen) => [...seen])"
ROWS = """() => [...document.querySelectorAll("[data-rows] [data-row]")].map((row) =>
    [row.id, row.innerText.replace(/\\s+/g, " ").trim()])"""
FIRST_IN_SIGHT = """() => {
    const top = document.getElementById("thread-scroll").getBoundingClientRect().top;
    return [...document.querySelectorAll("[data-position]")].find((el) => el.getBoundingClientRect().top > top).id;
}"""
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


class Wire:
    """What lies between a page and the product; it can be cut."""

    def __init__(self, page: Page) -> None:
        self.is_cut = self._answers = False
        self.asked: list[str] = []
        self.opened = 0
        self._sockets: list[WebSocketRoute] = []
        page.route_web_socket(SOCKET, self._socket)
        page.route(A_FRAGMENT, self._request)

    def cut(self, *, sockets_only: bool = False) -> None:
        self.is_cut = True
        self._answers = sockets_only
        for socket in self._sockets:
            socket.close(code=1011)
        self._sockets = []

    def mend(self) -> None:
        self.is_cut = False

    def _socket(self, socket: WebSocketRoute) -> None:
        if self.is_cut:
            socket.close(code=1011)
            return
        self.opened += 1
        socket.connect_to_server()
        self._sockets.append(socket)

    def _request(self, route: Route) -> None:
        if self.is_cut and not self._answers:
            route.abort()
            return
        if route.request.headers.get("hx-request"):
            self.asked.append(route.request.url)
        route.continue_()


def wired(browsing: Browsing, address: str, *, clock: bool = False) -> tuple[Page, Wire]:
    """A page that is live over a wire; with `clock`, its time can be moved."""
    page = browsing.context().new_page()
    if clock:
        page.clock.install()
    wire = Wire(page)
    page.goto(address)
    wait_until_live(page)
    return page, wire


def block(human: Human) -> None:
    """From now on nothing of this human reaches @concierge."""
    rules = ("contact_rules", "--organization", "demo", "--identity", "concierge")
    human.product.manage(*rules, "add", "block", human.number)


def blocked_of(human: Human) -> int:
    """How many of the human's texts were held back."""
    count = "SELECT count(*) FROM imessage_message WHERE human = %s AND is_blocked"
    return int(human.product.sql(count, human.number)[0][0])


def rows(page: Page) -> list[list[str]]:
    """The rows of the page's lists: their ids and words, times left out."""
    return [[id, re.sub(r"\b(now|\d+ min)\b", "", words)] for id, words in page.evaluate(ROWS)]


def test_ten_minutes_without_a_socket_are_made_up_for(browsing: Browsing, human: Human, thread: str) -> None:
    """Acceptance 2: 300 events while it was cut; no reload, the same result, selection and typed text kept."""
    browsing.outage_expected = True
    block(human)
    human.text("Held one")
    blocked, wire = wired(browsing, "/console/blocked/?view=", clock=True)
    expect(blocked.locator("#blocked-list [data-row]").first).to_contain_text("Held one")
    reading, other_wire = wired(browsing, thread, clock=True)
    stayed = Stayed(blocked), Stayed(reading)
    chosen = blocked.locator("#blocked-list [data-row] input[name=id]").first
    chosen.check()
    reading.keyboard.press("/")
    reading.keyboard.type("half a wo")
    for page in (blocked, reading):
        note_states(page)
    for each in (wire, other_wire):
        each.cut()

    human.say((f"Held {number}" for number in range(300)), per_second=200)
    waited(lambda: blocked_of(human) == 301, within=60, what="300 blocked messages")
    for page in (blocked, reading):
        page.clock.fast_forward("10:00")
        expect(page.locator("[data-live-state]")).to_contain_text("Stale since")

    for each in (wire, other_wire):
        each.mend()
    for page in (blocked, reading):
        page.clock.fast_forward("00:31")
        wait_until_live(page)
        told = states(page)
        assert told.index("stale") < told.index("catching-up") < len(told) - 1, told
    expect(blocked.locator(".waits .button")).to_contain_text("new")
    expect(chosen).to_be_checked()
    expect(blocked.locator("[data-count]")).to_have_text("1 selected")
    expect(reading.locator("#filter-q")).to_have_value("half a wo")
    expect(reading.locator("#filter-q")).to_be_focused()
    assert all(stayed)

    blocked.locator(".waits .button").click()
    fresh = browsing.open("/console/blocked/?view=")
    waited(lambda: rows(blocked) == rows(fresh), what="the rows of a fresh load")
    expect(blocked.locator("[data-count]")).to_have_text("1 selected, 1 of them not shown")
    expect(reading.locator(".bubble-text")).to_have_count(302)
    assert all(stayed)


def test_a_socket_that_is_refused_is_made_up_for_by_asking(browsing: Browsing, human: Human, thread: str) -> None:
    browsing.outage_expected = True
    page, wire = wired(browsing, thread, clock=True)
    wire.cut(sockets_only=True)
    page.clock.fast_forward("00:40")
    page.clock.fast_forward("00:10")
    expect(page.locator("[data-live-state]")).to_have_text("Every 5 s")
    human.text("By asking")
    page.clock.fast_forward("00:05")
    expect(page.locator(".bubble-text").last).to_have_text("By asking")
    wire.mend()
    page.clock.fast_forward("00:05")
    wait_until_live(page)


def test_a_hidden_tab_lets_go_after_five_minutes_and_catches_up(browsing: Browsing, human: Human, thread: str) -> None:
    page, wire = wired(browsing, thread, clock=True)
    page.evaluate(HIDE, True)
    human.text("Seen in the title")
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    page.clock.fast_forward("05:01")
    expect(page.locator("[data-live-state]")).to_contain_text("Stale since")
    human.text("Came while away")
    page.clock.fast_forward("02:00")
    expect(page.locator(".bubble-text")).to_have_count(2)
    opened = wire.opened
    page.evaluate(HIDE, False)
    expect(page.locator(".bubble-text").last).to_have_text("Came while away")
    wait_until_live(page)
    expect(page).to_have_title(re.compile(r"^\+1"))
    assert wire.opened == opened + 1


def test_signing_out_or_losing_a_right_silences_a_page_within_two_seconds(
    browsing: Browsing, product: Installation, operator: Operator, human: Human, thread: str
) -> None:
    """Acceptance 3: the other tabs of a session that ended, and whoever is switched off; nobody else."""
    here = browsing.context(signed_in=False)
    first = here.new_page()
    sign_in(first, operator)
    second, stranger = here.new_page(), browsing.context().new_page()
    for page in (second, stranger):
        page.goto(thread)
        wait_until_live(page)
    pill = "[data-live-state=ended]"
    first.locator("#sign-out").click()
    expect(first.get_by_role("heading", name="Sign in")).to_be_visible()
    second.wait_for_selector(pill, timeout=2000)
    human.text("Is anybody there?")
    expect(stranger.locator(".bubble-text").last).to_have_text("Is anybody there?")
    product.sql("UPDATE accounts_user SET is_active = false WHERE email = %s RETURNING id", operator.email)
    try:
        stranger.wait_for_selector(pill, timeout=2000)
        human.text("And now?")
        stranger.wait_for_timeout(500)
        for page, texts in ((second, 1), (stranger, 2)):
            expect(page.locator(".bubble-text")).to_have_count(texts)
    finally:
        product.sql("UPDATE accounts_user SET is_active = true WHERE email = %s RETURNING id", operator.email)


def test_the_place_being_read_does_not_move(page: Page, human: Human) -> None:
    """Acceptance 4: not by a pixel while 50 messages arrive below, nor while earlier ones are drawn above."""
    human.say((f"{UNEVEN[number % 3]} {number}" for number in range(70)), per_second=60)
    texts = page.locator(".bubble-text")
    expect(texts).to_have_count(71)
    page.reload()
    wait_until_live(page)
    expect(texts).to_have_count(50)
    log, button = page.locator("#thread-scroll"), page.locator("#new-messages")
    log.hover()
    page.mouse.wheel(0, -900)
    page.wait_for_function("() => document.getElementById('thread-scroll').scrollTop < -500")
    page.evaluate(NOTE_TOPS, [page.evaluate(FIRST_IN_SIGHT)])
    human.say((f"{UNEVEN[number % 3]} more {number}" for number in range(50)), per_second=25)
    expect(button).to_have_text("50 new")
    expect(page.locator("[data-unseen]")).to_contain_text("more 0")
    page.locator("#earlier-link").dispatch_event("click")
    expect(texts).to_have_count(121)
    tops = page.evaluate(PLACES)[0]
    # Bubbles end between pixels, and a scroller stands on whole ones: it may round, but not creep.
    assert max(tops) - min(tops) < 1, tops
    button.click()
    expect(button).to_be_hidden()
    expect(texts.last).to_be_in_viewport()
    expect(page.locator("[data-unseen]")).to_have_count(1)


def test_in_a_list_nothing_moves_under_the_pointer(browsing: Browsing, product: Installation, human: Human) -> None:
    """Rows change in place, new ones wait, the order is frozen; what was heard of in a pause is counted."""
    friend = Human(product)
    for somebody in (human, friend):
        somebody.text("First words")
        waited(lambda somebody=somebody: product.sql(FIRST_WORDS, somebody.number), what="the first words, in order")  # type: ignore[misc]
    page, wire = wired(browsing, "/console/threads/?identity=concierge")
    row = page.locator("#thread-list [data-row]")
    expect(row.first).to_contain_text("First words")
    ids = [str(each.get_attribute("id")) for each in row.all()[:3]]
    row.nth(1).hover()
    page.evaluate(NOTE_TOPS, ids)

    human.text("Changed in place")
    expect(row.nth(1)).to_contain_text("Changed in place")
    expect(page.locator(".waits .button")).to_have_text("1 moved")
    newcomer = Human(product)
    newcomer.text("Somebody new")
    expect(page.locator(".waits .button")).to_have_text(re.compile("1 new"))
    expect(page).to_have_title(re.compile(r"^\(1\) Threads"))
    assert all(len(seen) == 1 for seen in page.evaluate(PLACES))

    # A storm of 50 events a second: the list is fetched once a second, not fifty times.
    wire.asked.clear()
    begins = time.monotonic()
    human.say((f"Storm {number}" for number in range(150)), per_second=50)
    expect(row.nth(1)).to_contain_text("Storm 149", timeout=60_000)
    took = time.monotonic() - begins
    asked = [address for address in wire.asked if "/console/threads/" in address]
    print(f"\n150 texts, all seen within {took:.1f} s: the list was fetched {len(asked)} times")
    assert len(asked) <= took + 3
    assert all(len(seen) == 1 for seen in page.evaluate(PLACES))

    page.keyboard.press("p")
    expect(page.locator("[data-live-state]")).to_have_text("Paused")
    wire.asked.clear()
    human.text("Unheard")
    expect(page.locator("[data-live-state]")).to_have_text(re.compile("Paused, [1-9]"))
    page.wait_for_timeout(1200)
    assert wire.asked == []
    expect(row.nth(1)).to_contain_text("Storm 149")
    page.keyboard.press("p")
    expect(row.nth(1)).to_contain_text("Unheard")

    page.keyboard.press(".")
    expect(row.first).to_contain_text("Unheard")
    expect(page).to_have_title(re.compile("^Threads"))
    fresh = browsing.open("/console/threads/?identity=concierge")
    assert rows(page) == rows(fresh)


def test_what_no_longer_matches_stays_until_the_next_action(open_live: Callable[..., Page], human: Human) -> None:
    """What a colleague has reviewed leaves the queue without moving the rows beside it; the next action clears it."""
    block(human)
    for number in (1, 2, 3):
        human.text(f"For review {number}")
    waited(lambda: blocked_of(human) == 3, what="three blocked messages")
    page, colleague = open_live("/console/blocked/"), open_live("/console/blocked/")
    row = page.locator("#blocked-list [data-row]")
    expect(row.first).to_contain_text("For review 3")
    before = row.count()
    page.evaluate(NOTE_TOPS, [row.nth(number).get_attribute("id") for number in range(3)])
    colleague.locator("#blocked-list [data-row]").nth(1).locator("[data-key=m]").click()
    expect(page.locator("[data-gone]")).to_have_count(1)
    expect(page.locator("[data-gone]")).to_contain_text("For review 2")
    assert row.count() == before
    assert all(len(seen) == 1 for seen in page.evaluate(PLACES))
    row.first.locator("[data-key=m]").click()
    expect(page.locator("#blocked-list")).not_to_contain_text("For review 2")
    expect(page.locator("#blocked-list")).to_contain_text("For review 1")
