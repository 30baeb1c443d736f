"""The door: in with what `bin/run` printed, and out in every tab at once."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.browsing import Browsing
from tests.browser.conftest import sign_in, wait_until_live
from tests.browser.people import Human, Operator

pytestmark = pytest.mark.xdist_group("browser")

AT_ONCE = 5_000


def test_signs_in_as_printed_and_opens_a_thread(
    browsing: Browsing, operator: Operator, human: Human, thread: str
) -> None:
    page = browsing.context(signed_in=False).new_page()
    sign_in(page, operator)
    # As a reader knows it from the phone: +1 555-556-0001.
    digits = human.number[2:]
    page.get_by_role("link", name=f"+1 {digits[:3]}-{digits[3:6]}-{digits[6:]}").click()
    expect(page).to_have_url(re.compile(f"{thread}$"))
    expect(page.locator("#thread-log .bubble-text")).to_have_text(["Hello"])
    wait_until_live(page)


def test_a_wrong_password_is_refused_in_words(browsing: Browsing, operator: Operator) -> None:
    page = browsing.open("/accounts/login/", signed_in=False)
    page.get_by_label("E-mail").fill(operator.email)
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not correct")


def test_signing_out_silences_the_other_tabs_of_the_session_only(
    browsing: Browsing, operator: Operator, human: Human, thread: str
) -> None:
    here, elsewhere = browsing.context(signed_in=False), browsing.context()
    first = here.new_page()
    sign_in(first, operator)
    second, stranger = here.new_page(), elsewhere.new_page()
    for page in (second, stranger):
        page.goto(thread)
        wait_until_live(page)
    first.get_by_role("button", name="Sign out").click()
    expect(second.locator("[data-live-state]")).to_have_attribute("data-live-state", "ended", timeout=AT_ONCE)
    human.text("Is anybody there?")
    expect(stranger.locator(".bubble-text").last).to_have_text("Is anybody there?")
    wait_until_live(stranger)
    assert second.locator("#thread-log .bubble-text").all_inner_texts() == ["Hello"]
