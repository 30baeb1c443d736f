"""`manage.py create_webhook`."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Identity
from webhooks.models import Subscription

pytestmark = pytest.mark.django_db

URL = "https://agent.example.com/hook"


def said(*, json_: bool = True, **options: Any) -> Any:
    out = io.StringIO()
    call_command("create_webhook", organization="Acme", json=json_, stdout=out, **options)
    return json.loads(out.getvalue()) if json_ else out.getvalue()


@pytest.mark.parametrize("handle", [None, "helper"])
@pytest.mark.parametrize("dialect", ["inkbox", "agentphone", "contiguity"])
def test_an_endpoint_is_made_listed_and_removed(dialect: str, handle: str | None, identity: Identity) -> None:
    made = said(url=URL, dialect=dialect, identity=handle)
    assert made["secret"].startswith("whsec_")
    scope = f"@{handle}" if handle else "all agents"
    row = {"id": made["id"], "dialect": dialect, "scope": scope, "status": "active", "url": URL}
    assert said(list=True) == [row]
    assert URL in said(list=True, json_=False)
    said(remove=made["id"])
    assert said(list=True) == []


def test_the_secret_is_printed_once_and_agentphone_s_hook_saved_over(identity: Identity) -> None:
    first = said(url=URL, dialect="agentphone", json_=False)
    second = said(url=URL, dialect="agentphone", json_=False)
    assert first != second
    assert "not printed again" in first
    assert Subscription.objects.count() == 1


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://agent.example.com/"},
        {"url": URL, "identity": "stranger"},
        {"url": URL, "identity": "their-agent"},
        {"remove": "nonsense"},
        {"remove": "01890a5d-ac96-774b-bcce-b302099a8001"},
    ],
)
def test_what_cannot_be_is_said(options: dict[str, Any], identity: Identity, charlies_identity: Identity) -> None:
    with pytest.raises(CommandError):
        said(**options)
