"""The review queue in a browser: by keyboard, live, and with a release that is undone and one that goes out."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import keep_shot, look_at
from tests.browser.conftest import wait_until_live
from tests.browser.people import Agent, Human
from tests.installation import Installation, waited

QUEUE = "/console/blocked/"


@pytest.fixture
def blocked(product: Installation, human: Human, agent: Agent) -> Human:
    """The human, shut out after saying hello, and what they wrote since."""
    agent.conversation(human)
    whose = ["--organization", "demo", "--identity", "concierge"]
    product.manage("contact_rules", *whose, "add", "block", human.number)
    for words in ("First try", "Second try"):
        human.text(words)
    waited(lambda: held(product, human) == 2, what="two blocked texts")
    return human


def held(product: Installation, human: Human) -> int:
    count = product.sql("SELECT count(*) FROM imessage_message WHERE is_blocked AND human = %s", human.number)
    return int(count[0][0])


def test_the_queue_is_worked_by_keyboard(open_live: Callable[..., Page], blocked: Human) -> None:
    page = open_live(QUEUE)
    row = page.locator("tr[data-row]", has_text="Second try")
    expect(row).to_be_visible()
    keep_shot(page, "blocked")
    page.keyboard.press("j")
    expect(row.get_by_role("link")).to_be_focused()
    page.keyboard.press("m")
    expect(page.get_by_text("Reviewed.", exact=True)).to_be_visible()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(row).to_be_visible()


def test_a_release_is_undone_and_another_goes_out(
    open_live: Callable[..., Page], product: Installation, blocked: Human, agent: Agent
) -> None:
    page = open_live(QUEUE)
    row = page.locator("tr[data-row]", has_text="First try").filter(has_text=blocked.number[-4:])
    row.get_by_role("link").click()
    wait_until_live(page)
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("This message")).to_be_visible()
    keep_shot(page, "release")
    dialog.get_by_role("button", name="Release").click()
    expect(page.get_by_text("Being released")).to_be_visible()
    page.get_by_role("button", name="Undo release").click()
    expect(page.get_by_text("Undone: nothing was released")).to_be_visible()
    assert agent.texts(blocked) == ["Hello"]

    page.get_by_role("button", name="Release…").click()
    page.get_by_text("All 2 blocked from this sender").click()
    dialog.get_by_role("button", name="Release").click()
    expect(page.locator(".tag.is-good", has_text="Released")).to_be_visible()
    keep_shot(page, "released")
    assert agent.texts(blocked) == ["Hello", "First try", "Second try"]
    assert agent.send(blocked, "Welcome back").status_code == 201


def test_senders_are_counted_and_marked_at_once(open_live: Callable[..., Page], blocked: Human) -> None:
    page = open_live(QUEUE + "?group=sender")
    row = page.locator("tr[data-row]", has_text=blocked.number[-4:])
    expect(row.get_by_text("2 to review")).to_be_visible()
    keep_shot(page, "senders")
    row.get_by_role("button", name="Mark all reviewed").click()
    expect(row.get_by_text("All reviewed")).to_be_visible()


@pytest.mark.soak
@pytest.mark.parametrize("query", ["", "?group=sender", "?view=released"])
def test_the_pages_are_sound_in_both_themes_and_widths(
    open_live: Callable[..., Page], blocked: Human, query: str
) -> None:
    page = open_live(QUEUE + query)
    expect(page.get_by_role("heading", name="Blocked")).to_be_visible()
    assert look_at(page, f"blocked{query.replace('?', '-')}") == []


@pytest.mark.soak
def test_the_page_of_one_message_is_sound(open_live: Callable[..., Page], blocked: Human) -> None:
    page = open_live(QUEUE)
    page.locator("tr[data-row] a").first.click()
    expect(page.get_by_role("heading", name="Blocked message")).to_be_visible()
    assert look_at(page, "blocked-message") == []
    page.get_by_role("button", name="Release…").click()
    expect(page.get_by_text("This message", exact=True)).to_be_visible()
    assert look_at(page, "blocked-release") == []
