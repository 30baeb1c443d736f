"""A browser that notices what a page must never do: log an error, break its content policy, load itself again."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

WIDE, NARROW = 1440, 390
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HEIGHT = 900
LOOKS = ((WIDE, "light"), (NARROW, "dark"), (WIDE, "dark"), (NARROW, "light"))
# What Chromium itself logs while nobody answers, or nobody accepts a socket.
_UNREACHABLE = re.compile(r"Failed to load resource|WebSocket (connection|is closed)|net::ERR_")
_REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
    report(`${event.violatedDirective} blocked ${event.blockedURI} at ${event.sourceFile}:${event.lineNumber}`));
"""


class Browsing:
    """Contexts that share one list of `faults`; leaving it fails the test if there is any."""

    def __init__(self, browser: Browser, base_url: str, session: Any) -> None:
        self.faults: list[str] = []
        self.outage_expected = False
        self._browser = browser
        self._base_url = base_url
        self._session = session
        self._contexts: list[BrowserContext] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for context in self._contexts:
            context.close()
        if error is None:
            assert self.faults == []

    def context(self, *, signed_in: bool = True, script: bool = True, width: int = WIDE) -> BrowserContext:
        """A browser of its own: cookies, size, with script or without."""
        context = self._browser.new_context(
            base_url=self._base_url,
            storage_state=self._session if signed_in else None,
            java_script_enabled=script,
            viewport={"width": width, "height": HEIGHT},
            reduced_motion="reduce",
        )
        self._contexts.append(context)
        context.on("console", self._note_console)
        context.on("weberror", lambda error: self.faults.append(f"uncaught: {error.error}"))
        if script:
            context.expose_function("report", lambda words: self.faults.append(f"content policy: {words}"))
            context.add_init_script(_REPORT_VIOLATIONS)
        return context

    def open(self, address: str, **options: Any) -> Page:
        """A page in a context of its own."""
        page = self.context(**options).new_page()
        page.goto(address)
        return page

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type != "error" or (self.outage_expected and _UNREACHABLE.search(message.text)):
            return
        self.faults.append(f"{message.page and message.page.url}: {message.text}")


class Stayed:
    """Proof that a page is still the one it was: an own mark on its window, and when its document began."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._began = page.evaluate("() => (window.stayed = performance.timeOrigin)")

    def __bool__(self) -> bool:
        return bool(self._page.evaluate("() => [window.stayed, performance.timeOrigin]") == [self._began, self._began])


def keep_shot(page: Page, name: str) -> None:
    """A picture of the page in the folder `CORDBOARD_SHOTS`, for whoever wants to look; without it nothing."""
    if folder := os.environ.get("CORDBOARD_SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


def look_at(page: Page, name: str, looks: Sequence[tuple[int, str]] = LOOKS) -> list[str]:
    """What is wrong with an open page, in each width and theme."""
    faults = []
    for width, scheme in looks:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        keep_shot(page, f"{name}-{scheme}-{width}")
        found = Axe().run(page, options={"runOnly": RULES, "resultTypes": ["violations"]})
        if found.violations_count:
            faults.append(f"{name}, {scheme}, {width}: {_words_of(found)}")
        sideways = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if sideways:
            faults.append(f"{name} scrolls {sideways} pixels sideways at {width}")
    return faults


def _words_of(found: Any) -> str:
    """What axe found, a line for each kind."""
    return "; ".join(
        f"{fault['id']} at {', '.join(str(node['target']) for node in fault['nodes'][:3])}"
        for fault in found.response["violations"]
    )


# --- What a thread shows

# Notes of each bubble the moment it stands in the page, by its text.
_NOTE_ARRIVALS = """() => {
    window.arrivals = {};
    const log = document.getElementById("thread-log");
    const look = () => {
        for (const text of log.querySelectorAll(".bubble-text")) arrivals[text.textContent] ??= Date.now() / 1000;
    };
    look();
    new MutationObserver(look).observe(log, { childList: true, subtree: true, characterData: true });
}"""
_NOTE_STATES = """() => {
    const pill = document.querySelector("[data-live-state]");
    window.states = [];
    const look = () => states.at(-1) === pill.dataset.liveState || states.push(pill.dataset.liveState);
    look();
    new MutationObserver(look).observe(pill, { attributes: true });
}"""
_DRAWN = """() => [...document.querySelectorAll("#thread-log li[id]:not(.unseen-mark)")].map((item) =>
    [item.id, item.className.trim(), item.textContent.replace(/\\s+/g, " ").trim()])"""
_BUBBLES = """() => [...document.querySelectorAll("#thread-log .bubble-text")].map((text) => text.textContent)"""


def note_arrivals(page: Page) -> None:
    """From now on, remember when each text came into the page; `arrivals` tells."""
    page.evaluate(_NOTE_ARRIVALS)


def arrivals(page: Page) -> dict[str, float]:
    """When each text came into the page, in seconds since 1970."""
    return dict(page.evaluate("() => arrivals"))


def note_states(page: Page) -> None:
    """From now on, remember what the pill says; `states` tells."""
    page.evaluate(_NOTE_STATES)


def states(page: Page) -> list[str]:
    """What the pill has said, each once until it changed."""
    return list(page.evaluate("() => states"))


def bubbles(page: Page) -> list[str]:
    """The texts of a thread as they stand, top to bottom."""
    return list(page.evaluate(_BUBBLES))


def drawn(page: Page) -> list[list[str]]:
    """Everything in a thread's log: id, classes and words of each item, but where one's last visit ended."""
    return [list(item) for item in page.evaluate(_DRAWN)]
