"""A human is blocked from the thread: the next text is found in the audit, and never by the agent."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import Stayed
from tests.browser.people import Agent, Human

pytestmark = pytest.mark.xdist_group("browser")


@pytest.mark.parametrize("way_back", ["#undo", "#remove-rule"])
def test_a_blocked_human_is_heard_in_the_audit_only(
    way_back: str, open_live: Callable[..., Page], page: Page, human: Human, agent: Agent
) -> None:
    audit = open_live("/console/blocked/")
    stayed, audit_stayed = Stayed(page), Stayed(audit)

    page.locator("#block-button").click()
    expect(page.locator("#remove-rule")).to_have_text("Unblock this number")
    expect(page.locator("#thread-head")).to_contain_text("Blocked now")
    words = f"Can you hear me, {human.number}?"
    human.text(words)
    row = audit.locator("#blocked-list .held-row", has_text=words)
    expect(row).to_contain_text("Block rule")
    held = page.locator(".bubble-row.is-held")
    expect(held).to_contain_text(words)
    expect(held.locator(".bubble")).to_have_css("background-image", re.compile("repeating-linear-gradient"))
    expect(page.locator("#thread-about .facts")).to_contain_text(
        re.compile(r"Messages\s*1\s.*Blocked\s*1\s", re.DOTALL)
    )
    assert agent.texts(human) == ["Hello"]
    assert agent.send(human, "Hello?").status_code == 403
    assert human.heard() == []

    page.locator(way_back).click()
    expect(page.locator("#block-button")).to_be_visible()
    expect(page.locator("#thread-head")).not_to_contain_text("Blocked now")
    human.text("And now?")
    expect(page.locator(".bubble-row:not(.is-held) .bubble-text")).to_have_text(["Hello", "And now?"])
    expect(held).to_have_count(1)
    assert agent.texts(human) == ["Hello", "And now?"]
    assert stayed
    assert audit_stayed

    row.get_by_role("link").click()
    expect(audit.locator(".bubble-row:target")).to_contain_text(words)
