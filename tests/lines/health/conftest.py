"""A provider whose readings a test writes down, and a line on it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from lines import providers
from lines.models import Line, ProviderAccount
from lines.providers.base import Installed, LineReading, ProviderCallFailed
from tests import make
from tests.providers.scripted import ScriptedDriver


class WatchedDriver(ScriptedDriver):
    """Answers every probe with `reading`; `repaired` are the repairs that were asked for."""

    name = "watched"
    card = replace(ScriptedDriver.card, repairs=frozenset({"restart_messages"}))
    limits: Mapping[str, Any] = {"new_per_day": 40, "human_gap": 2.0}

    def __init__(self) -> None:
        super().__init__()
        self.reading = LineReading(state="healthy", reachable=True)
        self.probes = 0
        self.repaired: list[str] = []
        self.repair_fails = False
        self.installed: list[str] = []

    def probe(self, account: Any, *, line: str) -> LineReading:
        self.probes += 1
        return self.reading

    def repair(self, account: Any, *, line: str, deed: str) -> None:
        if self.repair_fails:
            raise ProviderCallFailed(None)
        self.repaired.append(deed)

    def install_callbacks(self, account: Any, *, url: str) -> Installed:
        if self.repair_fails:
            raise ProviderCallFailed(None)
        self.installed.append(account.callback_secret)
        return Installed([url])


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> WatchedDriver:
    watched = WatchedDriver()
    monkeypatch.setitem(providers._DRIVERS, "watched", watched)
    return watched


@pytest.fixture
def account(db: None, driver: WatchedDriver) -> ProviderAccount:
    return make.make_account("watched", provider="watched")


@pytest.fixture
def watched(account: ProviderAccount) -> Line:
    """A healthy pool line on the watched provider."""
    return make.make_line("+15555550151", account=account)
