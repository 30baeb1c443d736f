"""See as agent: exactly what the API answers to the identity's own key."""

import re
from collections.abc import Callable

import pytest
from django.test import Client

from imessage.models import Conversation, Message
from tests import make
from tests.console.lives import Life


def api(key: str, path: str, **query: object) -> tuple[int, object]:
    answer = Client(headers={"X-API-Key": key}).get(f"/api/v1/imessage{path}", query)
    return answer.status_code, answer.json()


def as_agent(client: Client, conversation: Conversation) -> tuple[object, str]:
    page = client.get(f"/console/threads/{conversation.id}/", {"as": "agent"})
    assert page.status_code == 200
    return page.context["seen"], page.content.decode()


@pytest.mark.parametrize("seed", range(3))
def test_11_see_as_agent_equals_the_answers_to_its_key(
    seed: int, as_alice: Client, agent_key: str, life: Callable[[int], Life]
) -> None:
    lived = life(seed)
    thread = lived.conversation
    for _ in range(6):
        for _ in range(6):
            lived.step()
        seen, page = as_agent(as_alice, thread)
        _, messages = api(agent_key, "/messages", conversation_id=thread.id, limit=200)
        assert list(reversed(messages)) == seen.messages
        status, conversation = api(agent_key, f"/conversations/{thread.id}")
        assert (conversation if status == 200 else None) == seen.conversation
        _, summaries = api(agent_key, "/conversations")
        assert summaries == ([seen.summary] if status == 200 else [])
        drawn = re.findall(r'data-message-id="([^"]+)"', page)
        assert drawn == [message["id"] for message in seen.messages]
        # The list beside it is the reader's own.
        log = page[page.index('id="thread-log"') :]
        for blocked in Message.objects.blocked():
            assert f">{blocked.text}<" not in log


def test_what_is_hidden_is_counted_and_explained(as_alice: Client, conversation: Conversation) -> None:
    make.make_message(conversation, "hello")
    make.make_message(conversation, "the secret", is_blocked=True)
    seen, page = as_agent(as_alice, conversation)
    assert [message["content"] for message in seen.messages] == ["hello"]
    log = page[page.index('id="thread-log"') :]
    assert "the secret" not in log
    assert "Hidden from it" in log


def test_a_thread_of_blocked_texts_alone_does_not_exist_to_the_agent(
    as_alice: Client, conversation: Conversation
) -> None:
    make.make_message(conversation, is_blocked=True)
    seen, page = as_agent(as_alice, conversation)
    assert seen.conversation is None
    assert "the API answers 404" in page


def test_a_stranger_sees_nothing_as_anybody(as_charlie: Client, conversation: Conversation) -> None:
    assert as_charlie.get(f"/console/threads/{conversation.id}/", {"as": "agent"}).status_code == 404
    assert as_charlie.get(f"/console/threads/{conversation.id}/as-agent/").status_code == 404
