"""`bin/screenshots [FOLDER]`: plays a day at the switchboard on a fresh installation and takes the docs' pictures."""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import ARGUMENTS, browser_program, sign_in
from tests.browser.people import Agent, Operator
from tests.browser.scene import played
from tests.installation import Installation

FOLDER = Path(__file__).parents[2] / "docs" / "images"
WIDE, NARROW = (1440, 900), (390, 844)


class Picture(NamedTuple):
    """What is pictured: the first page to open, and the link to follow from it, if any."""

    name: str
    address: str
    link: str = ""
    size: tuple[int, int] = WIDE
    scheme: str = "light"


_TALK = '#thread-list .row a:has-text("Wonderful, thank you")'
_ROW = 'main tbody a[href*="/{}/"]'
PICTURES = [
    Picture("threads", "/console/threads/", _TALK),
    Picture("threads-dark", "/console/threads/", _TALK, scheme="dark"),
    Picture("threads-narrow", "/console/threads/", _TALK, NARROW),
    Picture("blocked", "/console/blocked/"),
    Picture("blocked-narrow", "/console/blocked/", size=NARROW, scheme="dark"),
    Picture("reach", "/console/identities/concierge/reach/"),
    Picture("rehearsal", "/console/rehearsals/", _ROW.format("rehearsals")),
    Picture("shadow", "/console/shadows/", _ROW.format("shadows")),
    Picture("identities", "/console/identities/"),
    Picture("deliveries", "/console/deliveries/"),
    Picture("delivery", "/console/deliveries/", "#deliveries-list tbody[data-rows] a"),
    Picture("webhooks", "/console/webhooks/"),
    Picture("lines", "/console/lines/"),
    Picture("line", "/console/lines/", _ROW.format("lines")),
    Picture("phone", "/console/phone/", ".phones a"),
    Picture("search", "/console/search/?q=table"),
]


def main() -> int:
    """Take every picture; the folder they are in is printed."""
    parser = argparse.ArgumentParser(prog="bin/screenshots", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to (default docs/images)")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, Installation() as product:
        browser = playwright.chromium.launch(executable_path=browser_program(), args=ARGUMENTS)
        with played(product, Agent(product)):
            for picture in PICTURES:
                _take(browser, product, picture, folder / f"{picture.name}.png")
                print(f"{picture.name}.png", flush=True)
        browser.close()
    print(f"in {folder}")
    return 0


def _take(browser: Browser, product: Installation, picture: Picture, to: Path) -> None:
    width, height = picture.size
    context = browser.new_context(
        base_url=product.base_url,
        viewport={"width": width, "height": height},
        color_scheme="dark" if picture.scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    sign_in(page, Operator(product))
    page.goto(picture.address)
    if picture.link:
        page.goto(page.locator(picture.link).first.get_attribute("href") or picture.address)
    _settle(page)
    page.screenshot(path=to)
    context.close()


def _settle(page: Page) -> None:
    """Until the page is live and its fonts are there; the mouse points at nothing."""
    page.locator('[data-live-state="live"]').first.wait_for(state="attached")
    page.evaluate("() => document.fonts.ready")
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)


if __name__ == "__main__":
    sys.exit(main())
