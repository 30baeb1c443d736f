"""What providers tell beside texts and states: opt-outs, edits, and what they themselves call late."""

import dataclasses
from datetime import timedelta

import pytest
from django.utils import timezone

from imessage.models import Connection, Conversation, Message
from lines.callbacks import store
from lines.models import Callback
from lines.providers.base import OptedOut, Report, TextArrived, TextEdited
from tests import make
from tests.providers.scripted import (
    ScriptedDriver,
    event,
    run_jobs,
    tell,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def says(driver: ScriptedDriver, monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    """What the next callbacks of the provider come to."""
    said: list[Report] = []
    monkeypatch.setattr(driver, "parse", lambda account, *, body: list(said))
    return said


def callback(conversation: Conversation) -> Callback:
    return tell(conversation.connection.line.account, event("any", conversation.connection.line))


def test_who_opts_out_is_disconnected(written: Conversation, says: list[Report]) -> None:
    line = written.connection.line
    says.append(OptedOut(line=line.address, human=make.HUMAN, word="STOP"))
    callback(written)
    ended = Connection.objects.get(pk=written.connection_id)
    assert (ended.status, ended.released_by) == ("released", "human")
    assert callback(written).state == "applied"


def test_an_edit_is_kept_for_the_operator_and_changes_nothing(written: Conversation, says: list[Report]) -> None:
    line = written.connection.line
    says.append(TextEdited(line=line.address, human=make.HUMAN, handle="first", text="other words"))
    assert callback(written).state == "unrecognised"
    assert Message.objects.get(provider_handle="first").text == "hello"


def test_what_the_provider_recovered_from_a_gap_is_late(written: Conversation, says: list[Report]) -> None:
    line = written.connection.line
    hour_ago = timezone.now() - timedelta(hours=1)
    text = TextArrived(line=line.address, human=make.HUMAN, at=hour_ago, handle="x", text="hm", chat="chat-9")
    says.append(dataclasses.replace(text, late=True))
    store(line.account, event("any", line), polled=False)
    run_jobs()
    assert Message.objects.get(provider_handle="x").is_late
    assert line.routes.get(human=make.HUMAN).chat == "chat-9"
