"""`manage.py replay_deliveries`."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Identity
from imessage.models import Conversation
from tests.webhooks.endpoints import deliver, subscribe
from webhooks.models import Delivery

pytestmark = pytest.mark.django_db

URL = "https://agent.example.com/hook"


def replayed(**options: Any) -> int:
    out = io.StringIO()
    call_command("replay_deliveries", organization="Acme", json=True, stdout=out, **options)
    return int(json.loads(out.getvalue())["replayed"])


def test_failed_deliveries_since_a_moment_are_queued_again(
    identity: Identity, charlies_identity: Identity, conversation: Conversation
) -> None:
    here, elsewhere = subscribe(identity, URL), subscribe(identity, URL + "2")
    deliver(conversation, 3)
    Delivery.objects.update(state="failed", settled_at=timezone.now(), attempts_made=14)
    oldest = Delivery.objects.filter(subscription=here).order_by("id").first()
    Delivery.objects.filter(pk=getattr(oldest, "pk", None)).update(created_at=timezone.now() - timedelta(days=3))
    today = timezone.now().date().isoformat()
    assert replayed(since=today, subscription=str(here.id)) == 2
    assert replayed(since=today) == 3
    assert Delivery.objects.filter(state="pending", is_replay=True, attempts_made=0).count() == 5
    assert Delivery.objects.filter(subscription=elsewhere, state="pending").count() == 3
    assert replayed(since="2026-01-01T00:00:00Z") == 1


@pytest.mark.parametrize(
    "options",
    [
        {"since": "yesterday"},
        {"since": "2026-13-45"},
        {"since": "2026-01-01", "subscription": "x"},
        {"since": "2026-01-01", "subscription": "01890a5d-ac96-774b-bcce-b302099a8001"},
    ],
)
def test_what_it_cannot_do_is_said(options: dict[str, str], identity: Identity) -> None:
    with pytest.raises(CommandError):
        replayed(**options)


def test_an_unknown_organization_is_said() -> None:
    with pytest.raises(CommandError, match="no organization"):
        call_command("replay_deliveries", organization="Nobody", since="2026-01-01")
