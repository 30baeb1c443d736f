"""Tapbacks that arrive as a text with the words they are about, as Sendblue and SMS bring them."""

import itertools
import json
from typing import Any

import pytest

from accounts.models import Identity
from events.models import Event
from imessage.models import Conversation, Message, RouterMessage, Tapback, TapbackChange
from lines.models import Callback, Line, ProviderAccount
from tests import make
from tests.providers.scripted import tell

pytestmark = pytest.mark.django_db

_ids = itertools.count(1)


@pytest.fixture
def account(db: None) -> ProviderAccount:
    return make.make_account("sendblue", provider="sendblue")


@pytest.fixture
def said(conversation: Conversation) -> Message:
    return make.make_message(conversation, "See you at 5", direction="outbound", provider_handle="SB-1")


def comes(line: Line, text: str, human: str = make.HUMAN, **fields: Any) -> Callback:
    body = {
        "message_handle": f"in-{next(_ids)}",
        "content": text,
        "is_outbound": False,
        "status": "RECEIVED",
        "from_number": human,
        "sendblue_number": line.address,
        "service": "iMessage",
        "date_sent": "2026-01-01T12:00:00Z",
        **fields,
    }
    return tell(line.account, json.dumps(body).encode())


def live() -> list[str]:
    return [tapback.emoji or tapback.kind for tapback in Tapback.objects.live()]


def inbound() -> list[str | None]:
    return list(Message.objects.filter(direction="inbound").values_list("text", flat=True))


def test_it_becomes_a_tapback_on_the_text_that_it_quotes(said: Message, line: Line) -> None:
    assert comes(line, "Loved “See you at 5”").state == "applied"
    assert (live(), inbound()) == (["love"], [])
    assert Tapback.objects.get().message == said
    assert list(Event.objects.filter(type__startswith="tapback").values_list("type", flat=True)) == ["tapback.added"]


def test_a_later_one_replaces_it(said: Message, line: Line) -> None:
    comes(line, "Loved “See you at 5”")
    comes(line, "Reacted 🦊 to “See you at 5”", date_sent="2026-01-01T12:01:00Z")
    assert live() == ["🦊"]


@pytest.mark.parametrize("texts", [["See you at six"], ["See you at 5", "See you at 5"]])
def test_on_no_text_or_on_one_of_several_it_stays_a_text(
    texts: list[str], conversation: Conversation, line: Line
) -> None:
    for text in texts:
        make.make_message(conversation, text, direction="outbound")
    comes(line, "Loved “See you at 5”")
    assert (live(), inbound()) == ([], ["Loved “See you at 5”"])


def test_a_text_that_failed_is_not_on_the_phone(said: Message, conversation: Conversation, line: Line) -> None:
    make.make_message(conversation, "See you at 5", direction="outbound", status="error")
    comes(line, "Liked “See you at 5”")
    assert live() == ["like"]


def test_on_the_human_s_own_text_it_stays_a_text(conversation: Conversation, line: Line) -> None:
    make.make_message(conversation, "See you at 5")
    comes(line, "Loved “See you at 5”")
    assert live() == []
    assert Message.objects.count() == 2


def test_another_agent_s_text_on_the_line_is_not_meant(line: Line, router: Line, identity: Identity) -> None:
    """The pair was somebody else's once: what stands there is not this agent's."""
    strangers = make.make_conversation(human=make.OTHER_HUMAN)
    theirs = make.make_message(strangers, "See you at 5", direction="outbound")
    Message.objects.filter(pk=theirs.pk).update(line=line, human=make.HUMAN)
    make.make_conversation(connection=make.make_connection(identity, line=line))
    comes(line, "Loved “See you at 5”")
    assert (live(), inbound()) == ([], ["Loved “See you at 5”"])


def test_a_blocked_human_s_is_kept_and_silent(said: Message, identity: Identity, line: Line) -> None:
    make.make_rule(identity)
    comes(line, "Loved “See you at 5”")
    assert live() == []
    assert TapbackChange.objects.get().is_blocked


def test_on_the_switchboard_s_own_words_nobody_hears_of_it(conversation: Conversation, router: Line) -> None:
    Line.objects.filter(pk=router.pk).update(account=conversation.connection.line.account)
    router.refresh_from_db()
    RouterMessage.objects.create(line=router, human=make.HUMAN, direction="outbound", text="You are connected.")
    assert comes(router, "Liked “You are connected.”").state == "applied"
    assert RouterMessage.objects.count() == 1


def test_a_text_in_a_group_reaches_no_agent(conversation: Conversation, line: Line) -> None:
    callback = comes(line, "hi all", group_id="g1")
    assert (callback.state, inbound(), RouterMessage.objects.count()) == ("unrouted", [], 0)
