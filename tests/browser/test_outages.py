"""A page that stays open while what it needs is killed with -9: all bubbles, in order, each once, and no reload."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import Browsing, Stayed, bubbles, drawn, note_states, states
from tests.browser.conftest import wait_until_live
from tests.browser.people import Human
from tests.installation import Installation, waited

pytestmark = pytest.mark.xdist_group("browser")

SETTLED_WITHIN = 60.0

KILLS: dict[str, Callable[[Installation], object]] = {
    "web": lambda product: product.kill("web"),
    "worker": lambda product: product.kill("worker"),
    "postgres": lambda product: product.kill_postgres(),
}


@pytest.mark.parametrize("victim", KILLS)
def test_nothing_is_missed_when_it_is_killed(
    victim: str, product: Installation, browsing: Browsing, page: Page, human: Human, thread: str
) -> None:
    browsing.outage_expected = True
    stayed = Stayed(page)
    note_states(page)
    texts = [f"{victim} {number}" for number in range(1, 51)]
    with ThreadPoolExecutor(1) as aside:
        saying = aside.submit(human.say, texts, per_second=8)
        expect(page.locator(".bubble-text", has_text=f"{victim} 15")).to_be_visible()
        killed = time.monotonic()
        KILLS[victim](product)
        said = saying.result()[-1] - time.time() + time.monotonic()
    waited(
        lambda: len(bubbles(page)) > len(texts),
        within=SETTLED_WITHIN,
        what=lambda: f"51 bubbles; {len(bubbles(page))} are there, the pill said {states(page)}",
    )
    settled = time.monotonic()
    wait_until_live(page)
    told = states(page)
    print(f"\n{victim}: all there {settled - killed:.1f} s after the kill, {settled - said:.1f} s after the last text")
    print(f"the pill said {told}")
    assert bubbles(page) == ["Hello", *texts]
    assert stayed
    assert victim == "worker" or "stale" in told
    waited(product.is_ready, what="readiness")
    page.wait_for_load_state("networkidle")
    assert drawn(page) == drawn(browsing.open(f"{thread}?from=1"))
