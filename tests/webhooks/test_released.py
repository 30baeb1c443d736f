"""What was held back and then released, as endpoints hear of it."""

import json
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Identity
from imessage.models import Conversation, Message, Release
from imessage.releasing import release, undo_release
from imessage.shapes import iso
from tests import make
from tests.providers.scripted import run_jobs
from tests.webhooks.endpoints import happen, subscribe
from webhooks.models import Delivery

pytestmark = pytest.mark.django_db

URL = "https://agent.example.com/hook"


@pytest.fixture
def held_back(conversation: Conversation, identity: Identity) -> list[Message]:
    """Three blocked texts after one that was told."""
    subscribe(identity, URL)
    happen(make.make_message(conversation, "hello"))
    return [make.make_message(conversation, text, is_blocked=True) for text in ("one", "two", "three")]


def go() -> list[dict[str, Any]]:
    """The hold is over and every job has run; what endpoints are sent."""
    Release.objects.update(due_at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE task_name = 'imessage.release'")
    run_jobs()
    return [json.loads(delivery.body) for delivery in Delivery.objects.order_by("order_number")]


def test_released_texts_are_told_in_order_with_their_own_times(held_back: list[Message], identity: Identity) -> None:
    """Acceptance 9."""
    release(make.admin_of(identity.organization), held_back[1], all_of_sender=True)
    payloads = go()
    shown = [(payload["sequence"], payload["data"]["message"]["content"]) for payload in payloads]
    assert shown == [(1, "hello"), (2, "one"), (3, "two"), (4, "three")]
    assert "released" not in payloads[0]
    for message, payload in zip(held_back, payloads[1:], strict=True):
        assert payload["event_type"] == "imessage.received"
        assert payload["data"]["message"]["created_at"] == iso(message.created_at)
        assert payload["released"]["received_at"] == iso(message.created_at)
        assert "is_blocked" not in payload["data"]["message"]


def test_a_release_undone_within_the_hold_sends_nothing(held_back: list[Message], identity: Identity) -> None:
    """Acceptance 9."""
    admin = make.admin_of(identity.organization)
    undo_release(admin, release(admin, held_back[1], all_of_sender=True))
    assert [payload["data"]["message"]["content"] for payload in go()] == ["hello"]
