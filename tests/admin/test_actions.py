"""Actions call the operations: events are recorded, refusals are said."""

from django.db import models
from django.test import Client
from django.urls import reverse

from accounts.models import Identity
from events.models import Event
from imessage.models import Conversation
from lines.models import Line, LineEvent


def _act(admin: Client, action: str, row: models.Model) -> str:
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")
    response = admin.post(url, {"action": action, "_selected_action": [str(row.pk)]}, follow=True)
    return " ".join(str(message) for message in response.context["messages"])


def test_release_ends_a_connection(admin: Client, conversation: Conversation) -> None:
    assert _act(admin, "release", conversation.connection) == "Released: 1."
    conversation.connection.refresh_from_db()
    assert conversation.connection.status == "released"
    event = Event.objects.latest("number")
    assert (event.type, event.actor["label"]) == ("connection.released", "olga@example.com")


def test_a_second_release_is_refused_in_words(admin: Client, conversation: Conversation) -> None:
    _act(admin, "release", conversation.connection)
    assert "This connection has ended already." in _act(admin, "release", conversation.connection)


def test_pausing_and_activating_an_identity(admin: Client, identity: Identity) -> None:
    assert _act(admin, "pause", identity) == "Paused: 1."
    identity.refresh_from_db()
    assert identity.status == Identity.Status.PAUSED
    _act(admin, "activate", identity)
    identity.refresh_from_db()
    assert identity.status == Identity.Status.ACTIVE
    assert list(Event.objects.values_list("type", flat=True)) == ["identity.updated"] * 2


def test_a_deleted_identity_stays_deleted(admin: Client, identity: Identity) -> None:
    Identity.objects.filter(pk=identity.pk).update(status=Identity.Status.DELETED)
    _act(admin, "activate", identity)
    identity.refresh_from_db()
    assert identity.status == Identity.Status.DELETED


def test_draining_a_line_is_kept_as_its_history(admin: Client, line: Line) -> None:
    assert _act(admin, "drain", line) == "Wanted draining: 1."
    change = LineEvent.objects.get(line=line)
    assert (change.column, change.before, change.after) == ("wanted", "in_service", "draining")
