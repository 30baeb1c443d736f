"""Every page for every eye: light and dark, wide and narrow, full and empty; no barrier that axe can find."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.browsing import HEIGHT, NARROW, WIDE, Browsing, keep_shot
from tests.browser.people import Agent, Human

pytestmark = pytest.mark.xdist_group("browser")

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = {
    "threads": "/console/threads/",
    "threads-empty": "/console/threads/?q=nobody-has-this-name",
    "blocked": "/console/blocked/",
    "blocked-empty": "/console/blocked/?identity=echo",
}


def look_at(page: Page, name: str) -> None:
    """Fails for what axe finds, or when the page scrolls sideways, in each theme and width."""
    barriers = []
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": HEIGHT})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            keep_shot(page, f"{name}-{scheme}-{width}")
            found = Axe().run(page, options={"runOnly": RULES, "resultTypes": ["violations"]})
            if found.violations_count:
                barriers.append(f"{scheme} {width}: {found.generate_report()}")
        sideways = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert sideways == 0, f"{name} scrolls {sideways} pixels sideways at {width}"
    assert not barriers, "\n".join(barriers)


def test_sign_in(browsing: Browsing) -> None:
    look_at(browsing.open("/accounts/login/", signed_in=False), "sign-in")


@pytest.mark.parametrize("name", PAGES)
def test_list(name: str, open_live: Callable[..., Page]) -> None:
    look_at(open_live(PAGES[name]), name)


def test_a_thread_with_all_it_can_show(page: Page, human: Human, agent: Agent) -> None:
    human.text("Please read https://example.com/a-very-long-address/that-does-not-break/" + "x" * 120)
    agent.like(human)
    agent.mark_read(human)
    assert agent.send(human, "I have, and here is what I think of it:\n\nit is long.").status_code == 201
    expect(page.locator(".bubble-row.is-outbound")).to_have_attribute("data-status", "delivered")
    human.tapback("love")
    page.locator("#block-button").click()
    human.text("Blocked words")
    expect(page.locator(".bubble-row.is-held")).to_be_visible()
    page.locator(".bubble-row.is-outbound summary").click()
    expect(page.locator(".bubble-row.is-outbound .reactions li")).to_be_visible()
    look_at(page, "thread-blocked")
    page.set_viewport_size({"width": WIDE, "height": HEIGHT})
    page.locator("#remove-rule").click()
    expect(page.locator("#block-button")).to_be_visible()
    human.type(on=True)
    expect(page.locator("#typing")).to_be_visible()
    look_at(page, "thread")
    page.locator("#to-about").click()
    expect(page.locator("#thread-about")).to_be_visible()
    look_at(page, "thread-about")


def test_a_thread_of_the_demo(open_live: Callable[..., Page]) -> None:
    page = open_live("/console/threads/?q=0141")
    page.locator("#thread-list .row a").click()
    expect(page.locator("#thread-log .bubble-text").first).to_contain_text("table for four")
    look_at(page, "thread-demo")


def test_the_theme_is_chosen_and_kept(open_live: Callable[..., Page]) -> None:
    page = open_live("/console/threads/")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="As the system").click()
    assert page.evaluate(ground) == light
