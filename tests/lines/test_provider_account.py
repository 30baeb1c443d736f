"""Accounts with providers: made by a command, changed by the same one, their lines taken into service."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from core.errors import Forbidden, Invalid
from events.models import Event
from lines.models import Line, ProviderAccount
from lines.providers import opened
from lines.provisioning import add_account, add_line
from tests import make
from tests.lines.drivers import hosted

pytestmark = pytest.mark.django_db

LINE = "+15555550100"


@pytest.fixture(scope="module")
def provider() -> Iterator[hosted.StandIn]:
    with hosted.StandIn("tests.lines.drivers.sendblue.standin") as provider:
        yield provider


@pytest.fixture
def token(tmp_path: Path, provider: hosted.StandIn) -> str:
    provider.reset()
    (tmp_path / "token").write_text("key-id:key-secret\n")
    return str(tmp_path / "token")


def run(*options: str) -> dict[str, Any]:
    printed = io.StringIO()
    call_command("provider_account", "main", *options, "--json", stdout=printed)
    return dict(json.loads(printed.getvalue()))


@pytest.fixture
def made(provider: hosted.StandIn, token: str) -> dict[str, Any]:
    return run("--provider", "sendblue", "--base-url", provider.url, "--token-file", token)


def told() -> list[str]:
    events = Event.objects.filter(type__startswith="provider_account").order_by("number")
    return list(events.values_list("type", flat=True))


def test_it_is_made_with_callbacks_and_shows_its_lines(made: dict[str, Any], provider: hosted.StandIn) -> None:
    account = ProviderAccount.objects.get()
    assert made["id"] == str(account.id)
    assert [line["address"] for line in made["lines"]] == [LINE, "+15555550101"]
    assert provider.ask("webhooks")["receive"] == [
        {"url": made["callback_url"], "secret": opened(account).callback_secret}
    ]
    assert (Line.objects.count(), told()) == (0, ["provider_account.created"])


def test_the_same_again_changes_nothing(made: dict[str, Any], provider: hosted.StandIn) -> None:
    before = ProviderAccount.objects.values().get()
    run()
    assert ProviderAccount.objects.values().get() == before
    assert told() == ["provider_account.created"]


def test_a_line_is_taken_into_service_and_looked_at(made: dict[str, Any]) -> None:
    after = run("--line", LINE, "--kind", "router")
    line = Line.objects.get()
    assert (line.address, line.kind, line.wanted) == (LINE, "router", "in_service")
    assert after["lines"][0] == {
        "address": LINE,
        "provider_state": "ONLINE",
        "kind": "router",
        "seen": line.seen,
    }


def test_a_new_callback_secret_is_registered_and_the_former_stays_for_a_day(
    made: dict[str, Any], provider: hosted.StandIn, tmp_path: Path
) -> None:
    first = opened(ProviderAccount.objects.get()).callback_secret
    (tmp_path / "secret").write_text("newer")
    run("--secret-file", str(tmp_path / "secret"), "--setting", "numbers=[1]", "--limit", "human_gap=2")
    account = ProviderAccount.objects.get()
    assert opened(account).callback_secrets == ("newer", first)
    assert (account.settings, account.limits) == ({"numbers": [1]}, {"human_gap": 2})
    assert provider.ask("webhooks")["receive"][0]["secret"] == "newer"
    assert told() == ["provider_account.created", "provider_account.changed"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--line", "+15555550199"], "lists no line"),
        (["--setting", "numbers=x"], "must be JSON"),
        (["--limit", "speed=1"], "There is no limit"),
        (["--token-file", "/nowhere"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(made: dict[str, Any], options: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run(*options)


def test_a_new_account_needs_credentials(db: None) -> None:
    with pytest.raises(CommandError, match="A new account needs"):
        run("--provider", "sendblue")
    assert not ProviderAccount.objects.exists()


def test_wrong_credentials_are_said(provider: hosted.StandIn, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong:wrong")
    with pytest.raises(CommandError, match="Unauthorized"):
        run("--provider", "sendblue", "--base-url", provider.url, "--token-file", str(tmp_path / "token"))


def test_only_an_operator_may(db: None) -> None:
    with pytest.raises(Forbidden):
        add_account(make.admin_of(make.make_organization()), name="main", provider="sendblue")


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://mac.example.com:1234/", True),
        ("http://192.168.1.7:1234", True),
        ("http://mac-1.local:1234", True),
        ("http://mac.example.com:1234", False),
        ("http://8.8.8.8:1234", False),
        ("https://user:password@mac.example.com", False),
        ("ftp://mac.example.com", False),
    ],
)
def test_a_credential_crosses_no_open_network_in_the_clear(url: str, taken: bool, db: None) -> None:
    def add() -> ProviderAccount:
        return add_account(make.operator(), name="mac", provider="bluebubbles", base_url=url, token="password")

    if taken:
        assert add().base_url == url.rstrip("/")
        return
    with pytest.raises(Invalid):
        add()


def test_a_line_belongs_to_one_account(db: None) -> None:
    line = make.make_line()
    other = make.make_account("other")
    with pytest.raises(Invalid, match="is a line of the account"):
        add_line(make.operator(), other, address=line.address, kind="pool")
