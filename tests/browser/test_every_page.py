"""Acceptance 13: no page keeps anybody out or breaks its policy, light or dark, wide or narrow, empty or full.

The pages are found as people find them: by following every link and button from the first page on.
"""

import itertools
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.urls import Resolver404, resolve
from playwright.sync_api import Browser, Page

from tests.browser.browsing import LOOKS, Browsing, look_at
from tests.browser.conftest import sign_in
from tests.browser.people import Agent, Operator
from tests.browser.scene import played
from tests.installation import Installation

# Addresses that answer with a file, with a part of a page, or with a question like others that are looked at.
NO_PAGES = {
    "pause_line",
    "resume_line",
    "quarantine_line",
    "retire_line",
    "clear_line",
    "line_secret",
    "make_router",
    "detach_number",
    "rail",
    "log",
    "tail",
    "about",
    "raw",
    "job_file",
    "job_failures",
    "phone_screen",
    "message_json",
    "palette",
}
LISTS = ["threads", "blocked", "deliveries", "rules", "identities", "webhooks", "jobs", "rehearsals", "shadows"]
# What must have been found from the first page on, with something to show.
FULL = {
    *LISTS,
    "thread",
    "trace",
    "held",
    "release",
    "rule",
    "reach",
    "rehearsal",
    "new_rehearsal",
    "shadow",
    "lines",
    "line",
    "incident",
    "drain_line",
    "identity",
    "identity_connections",
    "identity_keys",
    "identity_activity",
    "identity_off",
    "new_identity",
    "search",
    "open_trace",
    "phones",
    "phone",
    "profile",
}
_ADDRESSES = """() => [...document.querySelectorAll("a[href], [hx-get]")].map((el) =>
    new URL(el.getAttribute("hx-get") ?? el.getAttribute("href"), location.href).href)"""
_MAKE_VIEWER = """
from accounts.members import add_member, create_organization
from core.actor import Actor, Role
actor = Actor.system("tests")
new = create_organization(actor, name="Nobody yet")
add_member(actor, new, email="new@example.com", password="{password}", role=Role.ADMIN, name="New")
"""
PASSWORD = "a password of the tests"


@pytest.fixture(scope="module")
def _scene(product: Installation, agent: Agent) -> Iterator[None]:
    with played(product, agent):
        yield


def route_of(address: str) -> str:
    """The name of the console's route behind an address; empty for what is no page of it."""
    path = urlsplit(address).path
    try:
        name = resolve(path).url_name or ""
    except Resolver404:
        return ""
    return name if path.startswith("/console/") and name not in NO_PAGES else ""


def walk(page: Page, first: str, looks: Iterator[tuple[int, str]], each: int) -> tuple[set[str], list[str]]:
    """Every kind of page that links lead to from the first one on, one of each, and what is wrong with them.

    Each page is looked at in the next `each` looks.
    """
    waiting, seen, faults = [first], {route_of(page.url.split("/console/")[0] + first)}, []
    visited: set[str] = set()
    while waiting:
        address = waiting.pop(0)
        answer = page.goto(address)
        if answer is None or answer.status == 405:
            continue
        name = route_of(page.url)
        if answer.status != 200:
            faults.append(f"{address} answers {answer.status}")
        visited.add(name)
        faults += look_at(page, name, list(itertools.islice(looks, each)))
        for found in page.evaluate(_ADDRESSES):
            route = route_of(found)
            if route and route not in seen and urlsplit(found).netloc == urlsplit(page.url).netloc:
                seen.add(route)
                waiting.append(found)
    return visited, faults


# Each page in one look after the other's by bin/test, each in all four by bin/soak.
@pytest.mark.usefixtures("_scene")
@pytest.mark.parametrize("each", [1, pytest.param(len(LOOKS), marks=pytest.mark.soak)], ids=["one look", "all looks"])
def test_every_page_with_something_to_show(browsing: Browsing, each: int) -> None:
    page = browsing.open("/console/threads/")
    visited, faults = walk(page, "/console/threads/", itertools.cycle(LOOKS), each)
    assert not faults, "\n".join(faults)
    assert visited >= FULL


def test_every_list_with_nothing_to_show(chromium: Browser, product: Installation) -> None:
    product.manage("shell", "-v0", "-c", _MAKE_VIEWER.format(password=PASSWORD))
    with Browsing(chromium, product.base_url, None) as browsing:
        page = browsing.open("/accounts/login/", signed_in=False)
        faults = look_at(page, "sign-in", LOOKS[:2])
        newcomer = Operator(product)
        newcomer.email, newcomer.password = "new@example.com", PASSWORD
        sign_in(page, newcomer)
        for name in LISTS:
            page.goto(f"/console/{name}/")
            faults += look_at(page, f"{name}-empty", LOOKS[:2])
        assert not faults, "\n".join(faults)


def test_refusals_are_pages_too(browsing: Browsing, product: Installation) -> None:
    page = browsing.open("/console/threads/00000000-0000-7000-8000-000000000000/")
    browsing.faults[:] = [fault for fault in browsing.faults if not re.search(r"status of 404", fault)]
    assert look_at(page, "missing") == []
