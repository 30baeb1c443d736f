"""What must hold for every list: tried with random addresses, rows and changes, by the lists' own declarations.

`addresses(SPEC, actor)` draws queries; a `Window` is an open page that fetches its list anew when it hears of a change.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from unittest import mock
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from console.lists import FilterSpec, Listing
from console.topics import topics_of
from core.actor import Actor
from events import feed

# Rows are made inside `undone`, so nothing is left for the next example.
tried = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
# For what is tried on every list there is.
tried_on_all = settings(tried, max_examples=12)

_WORDS = ["", "a", "0123", "+1 555-555-0123", "@helper", "%_", "'", "\\", "x" * 300, "\x00", "ß🦉", "(555) 555-0124"]
_TIMES = ["2026-01-01", "2026-11-21T10:00:00Z", "9999-12-31", "0001-01-01", "not a time"]


def addresses(spec: FilterSpec, actor: Actor, *, strange: bool = True) -> st.SearchStrategy[str]:
    """Query strings of this list: of its own values, with `strange` also of what it cannot read."""
    pairs = [_pair(name, values) for name, values in _values(spec, actor, strange=strange)]
    return st.lists(st.one_of(pairs), max_size=5).map(lambda chosen: f"?{urlencode(chosen)}")


def _pair(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    return st.tuples(st.just(name), values)


def _values(spec: FilterSpec, actor: Actor, *, strange: bool) -> Iterator[tuple[str, st.SearchStrategy[str]]]:
    words = st.sampled_from(_WORDS)
    for field in spec.fields:
        offered = [option.value for option in field.options(actor)]
        if field.control == "number":
            offered = ["0", "1", "10", "1000000"]
        values = st.sampled_from(offered) if offered else words
        for key in (field.key, f"-{field.key}"):
            yield key, st.one_of(values, words) if strange else values
    if spec.search:
        yield "q", words
    if spec.time:
        yield "range", st.sampled_from([*spec.time.presets, *(["0h", "x"] if strange else [])])
        for key in ("from", "to"):
            yield key, st.sampled_from(_TIMES if strange else _TIMES[:2])
    yield "sort", st.sampled_from([way + sort.key for sort in spec.sorts for way in ("", "-")])
    if spec.views:
        yield "view", st.sampled_from([view.slug for view in spec.views])
    if strange:
        yield from ((key, words) for key in ("cursor", "view", "sort", "nonsense"))


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """What is made inside is gone afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def keys(listing: Listing) -> set[Any]:
    """The keys of all rows that match."""
    return set(listing.rows.values_list("pk", flat=True))


class Window:
    """An open page's list: fetched anew only when the page hears one of its topics, as the browser does it.

    Pages are drawn at one moment a minute ahead, so that two drawings of the same rows are the same text.
    """

    def __init__(self, patch: pytest.MonkeyPatch, client: Client) -> None:
        self.client, self.now = client, timezone.now() + timedelta(minutes=1)
        self.heard: set[str] = set()
        patch.setattr("core.notices.after_commit", self._hear)

    def open(self, address: str) -> None:
        self.address = address
        drawn = self._get(address)
        regions = re.findall(r'data-live="([^"]*)" data-live-url="([^"]*)"', drawn)
        ((topics, self._url),) = [region for region in regions if not region[0].startswith("rail ")]
        self._topics = set(topics.split())
        self.held = self.fetched()
        assert self.held in _plain(drawn)
        self.heard.clear()

    def has_heard(self) -> bool:
        """Whether anything concerned it since it was last asked."""
        concerns = bool(self._topics & self.heard)
        self.heard.clear()
        return concerns

    def refresh(self) -> None:
        if self.has_heard():
            self.held = self.fetched()

    def fetched(self) -> str:
        return _plain(self._get(_unescaped(self._url), headers={"HX-Request": "true"}))

    def fresh(self) -> str:
        return _plain(self._get(self.address))

    def _get(self, address: str, **more: Any) -> str:
        with clock_at(self.now):
            answer = self.client.get(address, **more)
        assert answer.status_code == 200
        return str(answer.content.decode())

    def _hear(self, channel: str, payload: str) -> None:
        said = json.loads(payload) if channel == feed.CHANNEL else {}
        if "number" in said:
            (item,) = [item for item in feed.items_since(said["number"] - 1) if item.number == said["number"]]
            self.heard.update(topics_of(item))
        else:
            self.heard.update(said.get("signal", {}).get("topics", []))


def clock_at(now: datetime) -> contextlib.AbstractContextManager[Any]:
    """Pages drawn inside are drawn at this moment."""
    return mock.patch.object(timezone, "now", return_value=now)


def _unescaped(text: str) -> str:
    return text.replace("&amp;", "&")


def _plain(page: str) -> str:
    page = re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"', "", page)
    return re.sub(r"\s+", " ", page).strip()
