"""A line goes bad on the phone network while an operator watches; then its humans are moved off it, as forecast."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import Stayed
from tests.browser.people import Agent, Human
from tests.installation import Installation, waited

# A line in trouble is looked at every five seconds, all others every minute.
_SOON = 30_000


@pytest.fixture
def line(human: Human, product: Installation) -> Iterator[str]:
    """The address of the page of the human's line; whatever is done to the line is taken back."""
    ((key,),) = product.sql("SELECT id FROM lines_line WHERE address = %s", human.line)
    yield f"/console/lines/{key}/"
    _fault(product, human.line, "online")


def _fault(product: Installation, number: str, state: str) -> None:
    product.network("PUT", f"/control/lines/{number}/faults", {"state": state})


def test_a_line_that_goes_bad_is_seen_at_once_and_drained_as_forecast(
    human: Human, agent: Agent, product: Installation, line: str, open_live: Callable[..., Page]
) -> None:
    pool, page = open_live("/console/lines/"), open_live(line)
    stayed = [Stayed(pool), Stayed(page)]
    page.get_by_role("textbox", name="Note").fill("Half a note")
    row = pool.locator(f'tr:has(a[href="{line}"])')
    expect(row).to_contain_text("Active")

    _fault(product, human.line, "signed_out")
    agent.send(human, "Are you there?")
    expect(row).to_contain_text("Down", timeout=_SOON)
    expect(row).to_contain_text("nothing can be sent", timeout=_SOON)
    expect(pool.locator("#worst")).to_contain_text("is down.")
    expect(page.locator("#line-state")).to_contain_text("Answers are held")
    expect(page.locator("svg.band")).to_have_attribute("aria-label", re.compile("Down"))
    expect(page.locator("#incidents")).to_contain_text("open")

    _fault(product, human.line, "online")
    expect(row).to_contain_text("Active", timeout=_SOON)
    waited(human.heard, what="the text that was held")
    expect(page.locator("#incidents")).not_to_contain_text("open", timeout=_SOON)
    assert all(stayed)
    expect(page.get_by_role("textbox", name="Note")).to_have_value("Half a note")

    page.get_by_role("button", name="Drain…").click()
    dialog = page.get_by_role("dialog")
    facts = dialog.locator("dl.facts")
    expect(facts).to_be_visible()
    foreseen = re.search(r"Would move\s*(\d+) of (\d+)", facts.inner_text())
    assert foreseen
    dialog.get_by_label("They move as forecast").check()
    dialog.get_by_label("To move them, type how many").fill(foreseen[2])
    dialog.get_by_label("Reason").fill("The phone is being replaced")
    dialog.get_by_role("button", name="Drain").click()
    expect(page.locator("#line-move")).to_contain_text(f"{foreseen[1]} of {foreseen[2]} moved", timeout=_SOON)
    expect(page.locator("#line-state")).to_contain_text("Draining")
    elsewhere = "SELECT line_id::text FROM lines_route WHERE human = %s AND held_until IS NULL"
    assert str(product.sql(elsewhere, human.number)[0][0]) not in line

    page.get_by_role("button", name="Resume…").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("Replaced")
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(page.locator("#line-state")).to_contain_text("Active")
