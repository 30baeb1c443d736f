"""What is stored of a thread, bare: its events as JSON lines, one message as JSON."""

import json

from django.http import StreamingHttpResponse
from django.test import Client

from imessage.models import Conversation, Message
from lines.models import Line
from tests import make
from tests.providers.scripted import text_in


def lines(client: Client, conversation: Conversation) -> list[str]:
    answer = client.get(f"/console/threads/{conversation.id}/raw/")
    assert isinstance(answer, StreamingHttpResponse)
    return b"".join(answer).decode().splitlines()  # type: ignore[arg-type]


def test_each_event_is_a_line_in_order(as_alice: Client, conversation: Conversation, line: Line) -> None:
    text_in(line, "one")
    text_in(line, "two")
    events = [json.loads(text) for text in lines(as_alice, conversation)]
    assert [event["data"]["message"]["text"] for event in events] == ["one", "two"]
    assert [event["type"] for event in events] == ["message.received"] * 2
    assert events[0]["number"] < events[1]["number"]


def test_viewers_read_no_number(as_bob: Client, conversation: Conversation, line: Line) -> None:
    text_in(line, "hello")
    told = "".join(lines(as_bob, conversation))
    assert make.HUMAN not in told
    answer = as_bob.get(f"/console/threads/{conversation.id}/raw/", {"message": Message.objects.get().id})
    assert make.HUMAN.encode() not in answer.content


def test_one_message_with_its_verdict(as_alice: Client, conversation: Conversation) -> None:
    message = make.make_message(conversation, "secret", is_blocked=True, rule_revision=3)
    told = as_alice.get(f"/console/threads/{conversation.id}/raw/", {"message": message.id}).json()
    assert (told["text"], told["is_blocked"], told["verdict"]["rule_revision"]) == ("secret", True, 3)


def test_a_message_of_another_thread_is_not_there(
    as_alice: Client, conversation: Conversation, charlies_conversation: Conversation
) -> None:
    other = make.make_message(charlies_conversation)
    for wanted in (other.id, "nonsense", "\x00"):
        answer = as_alice.get(f"/console/threads/{conversation.id}/raw/", {"message": wanted})
        assert answer.status_code == 404


def test_a_stranger_reads_nothing(as_charlie: Client, conversation: Conversation) -> None:
    assert as_charlie.get(f"/console/threads/{conversation.id}/raw/").status_code == 404


def test_viewers_read_nothing_that_was_blocked(as_bob: Client, conversation: Conversation, line: Line) -> None:
    make.make_rule(conversation.identity)
    text_in(line, "the secret")
    assert "the secret" not in "".join(lines(as_bob, conversation))
    answer = as_bob.get(f"/console/threads/{conversation.id}/raw/", {"message": Message.objects.get().id})
    assert b"the secret" not in answer.content
