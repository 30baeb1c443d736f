"""The cast on a line whose provider answers what the test writes down."""

from collections.abc import Iterator

import pytest

from imessage.models import Conversation
from lines import providers
from lines.models import Line, ProviderAccount
from tests import make
from tests.providers.scripted import ScriptedDriver, forget_jobs


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> ScriptedDriver:
    scripted = ScriptedDriver()
    monkeypatch.setitem(providers._DRIVERS, "scripted", scripted)
    return scripted


@pytest.fixture
def account(db: None, driver: ScriptedDriver) -> ProviderAccount:
    return make.make_account("scripted", provider="scripted")


@pytest.fixture
def line(account: ProviderAccount) -> Line:
    return make.make_line("+15555550101", account=account)


@pytest.fixture
def router(account: ProviderAccount) -> Line:
    return make.make_router(account=account)


@pytest.fixture
def written(conversation: Conversation) -> Conversation:
    """The conversation after the human's first text."""
    make.make_message(conversation, "hello", provider_handle="first")
    return conversation


@pytest.fixture
def racing(transactional_db: None) -> Iterator[None]:
    """For threads: everything commits, and the jobs are taken away with the rest."""
    forget_jobs()
    yield
    forget_jobs()
