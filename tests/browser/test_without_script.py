"""Reading and every form work without JavaScript."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.browsing import Browsing
from tests.browser.conftest import sign_in
from tests.browser.people import Human, Operator
from tests.installation import waited

pytestmark = pytest.mark.xdist_group("browser")


def test_signs_in_reads_blocks_and_unblocks(browsing: Browsing, operator: Operator, human: Human, thread: str) -> None:
    page = browsing.context(signed_in=False, script=False).new_page()
    sign_in(page, operator)
    page.get_by_label("Number or handle").fill(human.number)
    page.get_by_role("button", name="Filter").click()
    page.locator("#thread-list .row a").click()
    expect(page).to_have_url(re.compile(thread))
    expect(page.locator("#thread-log .bubble-text")).to_have_text(["Hello"])
    expect(page.locator("[data-live-state]")).to_be_hidden()

    page.locator("#block-button").click()
    expect(page.locator("#toasts")).to_contain_text("can no longer reach")
    words = f"Nobody hears {human.number}"
    human.text(words)

    def is_in_the_audit() -> bool:
        page.goto("/console/blocked/")
        return page.locator("#blocked-list", has_text=words).count() == 1

    waited(is_in_the_audit, what="the text in the audit")
    page.get_by_role("link", name=words).click()
    expect(page.locator(".bubble-row.is-held")).to_contain_text(words)

    page.locator("#remove-rule").click()
    expect(page.locator("#block-button")).to_be_visible()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator("#sign-out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
