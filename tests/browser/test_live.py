"""A thread that is watched while it happens: nothing is reloaded, nothing is late, nothing moves under the eyes."""

import statistics
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import Stayed, arrivals, bubbles, note_arrivals
from tests.browser.people import Agent, Human

pytestmark = pytest.mark.xdist_group("browser")

SOON = 1.0
# Bubbles of different heights, so that one that moves is noticed.
UNEVEN = ["short", "a text that goes on " * 12, "two\nlines"]
NOTE_TOPS = """(id) => {
    window.tops = new Set();
    const look = () => {
        tops.add(document.getElementById(id).getBoundingClientRect().top);
        requestAnimationFrame(look);
    };
    look();
}"""
FIRST_IN_SIGHT = """() => {
    const top = document.getElementById("thread-scroll").getBoundingClientRect().top;
    return [...document.querySelectorAll("[data-position]")].find((el) => el.getBoundingClientRect().top > top).id;
}"""


def test_a_bubble_is_in_the_page_within_a_second(page: Page, human: Human) -> None:
    note_arrivals(page)
    texts = [f"Bubble {number}" for number in range(1, 51)]
    sent = human.say(texts, per_second=8)
    expect(page.locator(".bubble-text")).to_have_count(51)
    seen = arrivals(page)
    took = sorted(seen[text] - at for text, at in zip(texts, sent, strict=True))
    p50, p95 = statistics.median(took), took[round(0.95 * len(took)) - 1]
    most = took[-1]
    print(f"\n50 bubbles, handset to page: p50 {p50 * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms, most {most * 1000:.0f} ms")
    assert bubbles(page) == ["Hello", *texts]
    assert p95 < SOON


def test_idle_pages_ask_for_nothing(open_live: Callable[..., Page], thread: str) -> None:
    pages = [open_live(address) for address in (thread, "/console/threads/", "/console/blocked/")]
    for page in pages:
        page.wait_for_load_state("networkidle")
    asked: list[str] = []
    for page in pages:
        page.on("request", lambda request: asked.append(request.url))
    pages[0].wait_for_timeout(10_000)
    assert asked == []


def test_a_reply_is_seen_from_queued_to_read(page: Page, human: Human, agent: Agent) -> None:
    stayed = Stayed(page)
    human.slow_the_line(seconds=2)
    assert agent.send(human, "On it").status_code == 201
    reply = page.locator(".bubble-row.is-outbound")
    expect(reply).to_contain_text("On it")
    assert reply.get_attribute("data-status") in {"queued", "accepted", "claimed"}
    expect(reply).to_have_attribute("data-status", "delivered")
    reply.locator("summary").click()
    expect(reply.locator(".steps li strong")).to_have_text(["Queued", "Sent", "Delivered"])
    human.read()
    expect(reply.locator("summary")).to_contain_text("Read")
    expect(reply.locator(".steps ol")).to_be_visible()
    assert stayed


def test_the_agent_reads(page: Page, human: Human, agent: Agent) -> None:
    heard = page.locator(".bubble-row.is-inbound summary")
    expect(heard).to_contain_text("Unread")
    agent.mark_read(human)
    expect(heard).to_contain_text("Read by the agent")
    expect(page.locator(".row[aria-current], .row:has([aria-current]) .count")).to_have_count(0)


def test_tapbacks_come_change_and_go(page: Page, human: Human, agent: Agent) -> None:
    stayed = Stayed(page)
    assert agent.send(human, "A table for four?").status_code == 201
    expect(page.locator(".bubble-row.is-outbound")).to_have_attribute("data-status", "delivered")
    tapbacks = page.locator(".bubble-row.is-outbound .reactions li")
    human.tapback("love")
    expect(tapbacks).to_have_text(["❤️love from the human"])
    human.tapback("laugh")
    expect(tapbacks).to_have_text(["😂laugh from the human"])
    human.tapback("laugh", remove=True)
    expect(tapbacks).to_have_count(0)
    agent.like(human)
    expect(page.locator(".bubble-row.is-inbound .reactions li")).to_have_text(["👍like from the agent"])
    assert stayed


def test_typing_is_seen_until_it_stops_or_the_text_comes(page: Page, human: Human, agent: Agent) -> None:
    typing = page.locator("#typing")
    human.type(on=True)
    expect(typing).to_have_text("The human is typing")
    human.type(on=False)
    expect(typing).to_be_hidden()
    human.type(on=True)
    expect(typing).to_be_visible()
    human.text("Here I am")
    expect(page.locator(".bubble-text").last).to_have_text("Here I am")
    expect(typing).to_be_hidden()
    agent.type(human)
    expect(typing).to_have_text("The agent is typing")


def test_the_place_being_read_does_not_move(page: Page, human: Human) -> None:
    human.say((f"{UNEVEN[number % 3]} {number}" for number in range(30)), per_second=40)
    texts = page.locator(".bubble-text")
    expect(texts).to_have_count(31)
    log, button = page.locator("#thread-scroll"), page.locator("#new-messages")
    log.hover()
    page.mouse.wheel(0, -900)
    expect(button).to_be_hidden()
    page.wait_for_function("() => document.getElementById('thread-scroll').scrollTop < -500")
    page.evaluate(NOTE_TOPS, page.evaluate(FIRST_IN_SIGHT))
    human.say((f"{UNEVEN[number % 3]} more {number}" for number in range(20)), per_second=20)
    expect(texts).to_have_count(51)
    expect(button).to_have_text("20 new")
    tops = page.evaluate("() => [...tops]")
    # Bubbles end between pixels, and a scroller stands on whole ones: it may round, but not creep.
    assert max(tops) - min(tops) < 1, tops
    button.click()
    expect(button).to_be_hidden()
    expect(texts.last).to_be_in_viewport()


def test_the_newest_is_followed_from_the_bottom(page: Page, human: Human) -> None:
    human.say((f"{UNEVEN[number % 3]} {number}" for number in range(20)), per_second=20)
    expect(page.locator(".bubble-text")).to_have_count(21)
    expect(page.locator(".bubble-text").last).to_be_in_viewport(ratio=1)
    expect(page.locator("#new-messages")).to_be_hidden()


def test_a_new_thread_comes_to_the_top_of_the_list(open_live: Callable[..., Page], human: Human) -> None:
    page = open_live("/console/threads/")
    stayed = Stayed(page)
    human.text("Me first")
    expect(page.locator("#thread-list .row").first).to_contain_text("Me first")
    newcomer = Human(human.product)
    newcomer.text("No, me")
    expect(page.locator("#thread-list .row").first).to_contain_text("No, me")
    assert stayed
