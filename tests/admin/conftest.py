"""A signed-in operator, and at least one row in every table."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from procrastinate.contrib.django import app

from accounts.models import FormerHandle, Identity, User
from api.models import IdempotencyKey
from console.models import Job, JobItem, Preferences, SavedView, ThreadMark
from contactrules.reach import Draft
from contactrules.rehearsal import prepare, run
from contactrules.rules import create_rule, note_decision, verdict
from contactrules.shadow import judge_new, start_shadow
from core import secrets
from core.ids import uuid7
from events.record import record
from imessage.models import ConnectionMove, DeliveryStep, Participant, Release, RouterMessage, TapbackChange
from lines.models import (
    AccountHealth,
    Alert,
    Callback,
    Dispatch,
    Incident,
    Line,
    LineEvent,
    LineHealth,
    LineHour,
    LineReading,
    Move,
    MoveItem,
    Recipient,
)
from tests import make
from webhooks.models import Attempt, Delivery, OrderNumber, SigningKey, Subscription

SECRET = "never-shown"


@pytest.fixture(autouse=True)
def light_settings(settings: Any) -> None:
    """Pages are drawn without `collectstatic`, passwords hashed without effort."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture
def admin(operator: User) -> Client:
    """The operator's browser."""
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def fill(db: None) -> Callable[[], None]:
    """Adds a row to every table; may be called again."""
    return _fill


def _fill() -> None:
    now = timezone.now()
    organization = make.make_organization()
    person = make.make_user(organization, f"{organization.id}@example.com")
    Preferences.objects.create(user=person)
    identity = make.make_identity(organization)
    make.make_key(organization, identity)
    make.make_contact(organization)
    create_rule(make.operator(), identity, action="block", match_target="+15555550177")
    note_decision(identity, make.HUMAN, verdict(identity, make.HUMAN), direction="inbound", subject="message")
    _add_drafts(identity)
    conversation = make.make_conversation(identity)
    line = conversation.connection.line
    inbound = make.make_message(conversation, "Is it raining?")
    make.make_media(inbound)
    make.make_file(organization)
    make.make_tapback(inbound)
    outbound = make.make_message(conversation, "No.", direction="outbound", provider_handle=str(conversation.id))
    DeliveryStep.objects.create(message=outbound, state="sent")
    TapbackChange.objects.create(
        organization_id=organization.id,
        conversation=conversation,
        message=inbound,
        direction="inbound",
        action="add",
        kind="like",
    )
    ThreadMark.objects.create(user=person, conversation=conversation, seen_position=1)
    Participant.objects.create(organization=organization, conversation=conversation, human=make.HUMAN)
    Release.objects.create(
        organization=organization,
        identity=identity,
        conversation=conversation,
        human=make.HUMAN,
        allow=True,
        up_to=1,
        requested_by={},
        due_at=timezone.now(),
    )
    Dispatch.objects.create(
        kind="message", order_id=outbound.id, attempt=1, line=line, human=make.HUMAN, outcome="accepted", handle="p-1"
    )
    RouterMessage.objects.create(line=line, human=make.HUMAN, direction="inbound", text="help", command="help")
    Callback.objects.create(account=line.account, event_key=str(outbound.id), body=b'{"id": "evt", "text": "\xff"}')
    move = Move.objects.create(line=line, state="done", requested_by={})
    MoveItem.objects.create(move=move, rank=1, identity=identity, human=make.HUMAN)
    ConnectionMove.objects.create(
        organization=organization, connection=conversation.connection, from_line=line, to_line=line, move_id=move.id
    )
    Recipient.objects.get_or_create(human=make.HUMAN)
    LineEvent.objects.create(line=line, column="seen", before="unknown", after="healthy", reason="answers", actor={})
    _add_health(line, now)
    IdempotencyKey.objects.create(scope=str(identity.id), operation="send", key="k-1", fingerprint="0" * 64)
    FormerHandle.objects.create(handle=f"{identity.handle}-before", identity=identity)
    account = make.make_account(f"account {organization.id}", sealed_token=SECRET, sealed_callback_secret=SECRET)
    assert secrets.seal("x") != account.sealed_token
    with transaction.atomic():
        record(make.operator(), "line.added", organization_id=organization.id, subject_id=line.id)
    _add_webhooks(identity)
    job = Job.objects.create(
        organization=organization, user=person, who=person.email, deed="export", list_name="threads", snapshot_at=now
    )
    JobItem.objects.create(job=job, subject_id=str(conversation.id))
    SavedView.objects.create(
        organization=organization, user=person, list_name="threads", slug="mine", name="Mine", query="?state=active"
    )
    # A job a day ahead, so that it stays in the queue.
    app.configure_task(
        "lines.measure", schedule_at=timezone.now() + timedelta(days=1), queueing_lock=str(organization.id)
    ).defer(timestamp=0)


def _add_health(line: Line, now: datetime) -> None:
    LineHealth.objects.create(line=line)
    AccountHealth.objects.update_or_create(account=line.account)
    LineReading.objects.create(line=line, state="healthy")
    LineHour.objects.create(line=line, hour=now)
    line.caps.create(name="capacity", value=100, reason="a quiet week", actor={})
    incident = Incident.objects.create(line=line, cause="offline", worst="down", opened_by={})
    incident.humans.create(human=make.HUMAN, how="held", first_at=now)
    incident.notes.create(line=line, text="The Mac was asleep.", actor={})
    alert = Alert.objects.create(line=line, cause="down", words="A line is down.")
    alert.notices.create(channel="email")


def _add_drafts(identity: Identity) -> None:
    draft = Draft.of_mode("whitelist")
    since = timezone.now() - timedelta(days=1)
    whose = {"organization": identity.organization, "identity": identity}
    rehearsal = prepare(make.operator(), **whose, draft=draft, since=since)
    run(rehearsal, live=lambda identities: [])
    shadow = start_shadow(make.operator(), identity, draft=draft, lasting=timedelta(days=7))
    note_decision(identity, make.HUMAN, verdict(identity, make.HUMAN), direction="inbound", subject="message")
    judge_new(shadow)


def _add_webhooks(identity: Identity) -> None:
    whose = {"organization": identity.organization}
    SigningKey.objects.create(**whose, identity=identity, sealed_key=SECRET)
    subscription = Subscription.objects.create(
        **whose,
        identity=identity,
        url="https://agent.example.com/hook",
        event_types=["message.received"],
        sealed_auth_token=SECRET,
    )
    OrderNumber.objects.create(subscription=subscription, conversation_id=uuid7(), last=1)
    delivery = Delivery.objects.create(
        **whose,
        identity=identity,
        subscription=subscription,
        event_id=uuid7(),
        event_type="message.received",
        body="{}",
    )
    Attempt.objects.create(
        **whose,
        identity=identity,
        subscription=subscription,
        delivery=delivery,
        number=1,
        url=subscription.url,
        request_headers={},
    )
