"""One installation started by `bin/run`, one headless Chromium, and who talks and watches."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.browsing import Browsing
from tests.browser.people import Agent, Human, Operator
from tests.installation import Installation, waited

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]
# What a page shows in the end is waited for so long (milliseconds); how soon it comes is measured where it matters.
_PATIENCE = 20_000


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if os.environ.get("CORDBOARD_SKIP_BROWSER") == "1":
        pytest.skip("CORDBOARD_SKIP_BROWSER is set")
    program = browser_program()
    if program is None:
        pytest.fail(
            "The browser tests need Chromium: install it (Debian, Ubuntu: apt-get install chromium), name it in"
            " CORDBOARD_CHROMIUM, or set CORDBOARD_SKIP_BROWSER=1.",
            pytrace=False,
        )
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


def browser_program() -> str | None:
    """The path of the Chromium that is used, if there is one."""
    return shutil.which(os.environ.get("CORDBOARD_CHROMIUM") or "chromium")


@pytest.fixture(scope="package")
def product(chromium: Browser) -> Iterator[Installation]:
    with Installation(prepared=True) as started:
        yield started


@pytest.fixture(scope="package")
def agent(product: Installation) -> Agent:
    return Agent(product)


@pytest.fixture(scope="package")
def operator(product: Installation) -> Operator:
    return Operator(product)


@pytest.fixture(scope="package")
def session(chromium: Browser, product: Installation, operator: Operator) -> Any:
    """The cookies of a signed-in operator."""
    context = chromium.new_context(base_url=product.base_url)
    sign_in(context.new_page(), operator)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def browsing(chromium: Browser, product: Installation, session: Any) -> Iterator[Browsing]:
    with Browsing(chromium, product.base_url, session) as started:
        yield started


@pytest.fixture
def human(product: Installation) -> Human:
    """Somebody who has said hello to @concierge."""
    somebody = Human(product)
    somebody.text("Hello")
    stored = "SELECT 1 FROM imessage_message WHERE human = %s"
    waited(lambda: product.sql(stored, somebody.number), what="the hello in the thread")
    return somebody


@pytest.fixture
def thread(human: Human, agent: Agent) -> str:
    """The address of the human's thread."""
    return f"/console/threads/{agent.conversation(human)}/"


@pytest.fixture
def open_live(browsing: Browsing) -> Callable[..., Page]:
    """Opens a page and waits until it is live."""

    def opened(address: str, **options: Any) -> Page:
        page = browsing.open(address, **options)
        wait_until_live(page)
        return page

    return opened


@pytest.fixture
def page(open_live: Callable[..., Page], thread: str) -> Page:
    """The human's thread, open and live."""
    return open_live(thread)


def sign_in(page: Page, operator: Operator) -> None:
    page.goto("/console/threads/")
    page.get_by_label("E-mail").fill(operator.email)
    page.get_by_label("Password").fill(operator.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Threads", exact=True)).to_be_visible()


def wait_until_live(page: Page) -> None:
    expect(page.locator("[data-live-state]")).to_have_attribute("data-live-state", "live")
