"""Everything by keyboard, and nothing by accident: acceptance 14 of the console. No test here touches the mouse."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import Browsing
from tests.browser.conftest import sign_in, wait_until_live
from tests.browser.people import Human, Operator

# What happens within seconds is told apart from what does not only with the machine to oneself.
pytestmark = pytest.mark.alone

FOCUSED = "() => document.activeElement.closest('[data-row]')?.id ?? document.activeElement.id"


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def focus_on(page: Page, id: str, *, key: str = "Tab", most: int = 60) -> None:
    """Press a key until the control with this id has the focus."""
    for _ in range(most):
        if page.evaluate("() => document.activeElement.id") == id:
            return
        page.keyboard.press(key)
    raise AssertionError(f"{most} times {key} did not lead to {id}")


# --- Five jobs. Each begins on the list of threads, with one human who said Hello


def open_a_thread(page: Page, human: Human) -> None:
    press(page, "j", "k", "j")
    expect(page.locator("#thread-list [data-row]:focus-within")).to_have_count(1)
    press(page, "Control+k")
    page.keyboard.type(human.number)
    press(page, "Enter")
    expect(page.locator("#thread-log .bubble-text")).to_have_text(["Hello"])


def block_a_number(page: Page, human: Human) -> None:
    open_a_thread(page, human)
    wait_until_live(page)
    press(page, "b")
    expect(page.locator("#block-button")).to_be_focused()
    press(page, "Enter")
    expect(page.locator("#thread-head")).to_contain_text("Blocked now")
    press(page, "z")
    expect(page.locator("#block-open")).to_be_visible()


def filter_the_blocked(page: Page, human: Human) -> None:
    press(page, "g", "b")
    expect(page.get_by_role("heading", name="Blocked", exact=True)).to_be_visible()
    wait_until_live(page)
    press(page, "f")
    focus_on(page, "filter-sender")
    page.keyboard.type(human.number)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "hx-request-type" in request.headers else None)
    press(page, "Enter")
    expect(page).to_have_url(re.compile(r"sender="))
    expect(page.locator("#blocked-list")).to_contain_text("Nothing matches")
    assert len([url for url in asked if "sender=" in url]) == 1
    press(page, "Escape", "v", "Tab", "Enter")
    expect(page).to_have_url(re.compile(r"view="))


def change_the_page(page: Page, human: Human) -> None:
    for key, place in (("b", "blocked"), ("s", "search"), ("t", "threads")):
        press(page, "g", key)
        expect(page).to_have_url(re.compile(f"/console/{place}/"))
        wait_until_live(page)
    press(page, "j", "Enter")
    expect(page.locator("#thread-title")).to_be_visible()
    wait_until_live(page)
    press(page, "u")
    expect(page).to_have_url(re.compile("/console/threads/$"))


def sign_out(page: Page, human: Human) -> None:
    focus_on(page, "sign-out")
    press(page, "Enter")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


JOBS: dict[str, Callable[[Page, Human], None]] = {
    "open a thread": open_a_thread,
    "block a number and undo it": block_a_number,
    "filter what was blocked": filter_the_blocked,
    "go from page to page": change_the_page,
    "sign out": sign_out,
}


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_done_by_keyboard_alone(job: str, browsing: Browsing, operator: Operator, human: Human) -> None:
    """Acceptance 14."""
    page = browsing.context(signed_in=job != "sign out").new_page()
    if job == "sign out":
        sign_in(page, operator)
    page.goto("/console/threads/")
    wait_until_live(page)
    JOBS[job](page, human)


def test_keys_do_what_the_sheet_says_and_nothing_while_one_types(browsing: Browsing, human: Human) -> None:
    page = browsing.open("/console/threads/")
    wait_until_live(page)
    press(page, "?")
    sheet = page.locator("#keys")
    expect(sheet).to_be_visible()
    expect(sheet).to_contain_text("Pause live updates")
    press(page, "j", "p")
    expect(page.locator("#live-pause")).to_have_attribute("aria-pressed", "false")
    press(page, "Escape")
    expect(sheet).to_be_hidden()

    rows = [row.get_attribute("id") for row in page.locator("#thread-list [data-row]").all()]
    press(page, "j")
    assert page.evaluate(FOCUSED) == rows[0]
    press(page, "j", "j", "k")
    assert page.evaluate(FOCUSED) == rows[1]
    press(page, "Control+j", "Alt+j")
    assert page.evaluate(FOCUSED) == rows[1]
    press(page, "Enter")
    expect(page.locator("#thread-title")).to_be_visible()
    wait_until_live(page)
    press(page, "]")
    expect(page.locator(f"#{rows[2]} [aria-current]")).to_be_visible()
    wait_until_live(page)
    press(page, "[")
    expect(page.locator(f"#{rows[1]} [aria-current]")).to_be_visible()
    wait_until_live(page)

    here = page.url
    press(page, "Control+k")
    page.keyboard.type("gt")
    expect(page.locator("#palette-asked")).to_have_value("gt")
    press(page, "Escape")
    expect(page.locator("#palette")).to_be_hidden()
    press(page, "p")
    expect(page.locator("#live-pause")).to_have_attribute("aria-pressed", "true")
    press(page, "p")
    page.evaluate("() => document.documentElement.setAttribute('data-shortcuts', 'off')")
    press(page, "p", "j", "g", "b")
    expect(page.locator("#live-pause")).to_have_attribute("aria-pressed", "false")
    assert page.url == here


def test_the_palette_is_a_listbox(browsing: Browsing, human: Human) -> None:
    page = browsing.open("/console/threads/")
    wait_until_live(page)
    press(page, "Control+k")
    field, options = page.locator("#palette-asked"), page.locator("#palette-found [role=option]")
    expect(options.first).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", str(options.first.get_attribute("id")))
    press(page, "ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    press(page, "ArrowUp", "ArrowUp")
    expect(options.last).to_have_attribute("aria-selected", "true")
    expect(field).to_be_focused()
    page.keyboard.type("@concierge")
    expect(options.first).to_contain_text("@concierge")
    press(page, "Escape")
    expect(page.locator("#palette")).to_be_hidden()
