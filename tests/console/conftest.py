"""The console's doors: people who are signed in, and static files without a build."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Identity, User
from lines import providers
from tests import make
from tests.console.lives import Life
from tests.providers.scripted import ScriptedDriver


@pytest.fixture(autouse=True)
def _plain_static_files(settings: Any) -> None:
    """Templates name static files without the manifest that `collectstatic` would write."""
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> ScriptedDriver:
    """A provider whose answers a test writes down."""
    scripted = ScriptedDriver()
    monkeypatch.setitem(providers._DRIVERS, "scripted", scripted)
    return scripted


@pytest.fixture
def life(identity: Identity, driver: ScriptedDriver) -> Callable[[int], Life]:
    """The life of the thread between the human and Alice's agent, over a scripted line, by its seed."""
    account = make.make_account("scripted", provider="scripted")
    router, line = make.make_router("+15555550109", account=account), make.make_line("+15555550108", account=account)
    conversation = make.make_conversation(connection=make.make_connection(identity, line=line))
    return lambda seed: Life(seed, conversation, line, router, driver)


@pytest.fixture
def as_alice(alice: User) -> Client:
    return signed_in(alice)


@pytest.fixture
def as_bob(bob: User) -> Client:
    return signed_in(bob)


@pytest.fixture
def as_charlie(charlie: User) -> Client:
    return signed_in(charlie)


@pytest.fixture
def as_operator(operator: User) -> Client:
    return signed_in(operator)
