"""Inline replies and their threads in Inkbox's dialect (contract/inkbox.md, sections 8 and 19)."""

from typing import Any

import pytest

from imessage.models import Conversation, Message
from tests import make
from tests.api.conftest import Api


def reply(to: Message, text: str, **fields: Any) -> Message:
    """A message that hangs in the thread of another."""
    root_id = to.thread_root_id or to.id
    return make.make_message(
        to.conversation, text, **{"reply_to": to, "thread_root_id": root_id, "reply_unresolved": False, **fields}
    )


@pytest.fixture
def root(conversation: Conversation) -> Message:
    return make.make_message(conversation, "root")


@pytest.fixture
def thread(root: Message) -> list[Message]:
    """A root, two replies to it and one to a reply; between them a text, and a reply that left as an ordinary one."""
    first = reply(root, "first", direction="outbound")
    make.make_message(root.conversation, "beside")
    reply(root, "lost", direction="outbound", reply_unresolved=True)
    return [root, first, reply(root, "second"), reply(first, "third")]


def contents(shown: dict[str, Any]) -> list[str]:
    return [message["content"] for message in shown["messages"]]


def test_any_message_of_a_thread_leads_to_all_of_it(agent: Api, thread: list[Message]) -> None:
    for message in thread:
        shown = agent.get(f"/imessage/messages/{message.id}/thread").json()
        assert contents(shown) == ["root", "first", "second", "third"]
        assert (shown["thread_id"], shown["thread_root_message_id"]) == (str(thread[0].id),) * 2
    path = f"/imessage/conversations/{thread[0].conversation_id}/threads/{thread[0].id}"
    assert agent.get(path).json() == shown


def test_a_thread_is_read_page_by_page(agent: Api, thread: list[Message]) -> None:
    path, read, cursor = f"/imessage/messages/{thread[0].id}/thread", [], {}
    for _ in range(2):
        shown = agent.get(path, limit=2, **cursor).json()
        read, cursor = [*read, *contents(shown)], {"cursor": shown["next_cursor"]}
    assert (read, shown["next_cursor"]) == (["root", "first", "second", "third"], None)


def test_a_reply_names_what_it_answers_and_its_thread(agent: Api, thread: list[Message]) -> None:
    root, first, _, third = (str(message.id) for message in thread)
    shown = agent.get(f"/imessage/messages/{third}").json()
    assert [shown[name] for name in ("reply_to_message_id", "thread_id", "thread_root_message_id")] == [
        first,
        root,
        root,
    ]


def test_a_list_is_narrowed_to_a_thread(agent: Api, thread: list[Message]) -> None:
    query = {"conversation_id": str(thread[0].conversation_id), "thread_id": str(thread[0].id)}
    rows = agent.get("/imessage/messages", **query).json()
    assert [row["content"] for row in rows] == ["third", "second", "first", "root"]


def test_a_reply_that_left_as_an_ordinary_text_is_a_thread_of_its_own(agent: Api, thread: list[Message]) -> None:
    lost = Message.objects.get(text="lost")
    shown = agent.get(f"/imessage/messages/{lost.id}/thread").json()
    assert (contents(shown), shown["thread_id"]) == (["lost"], str(lost.id))
    assert shown["messages"][0]["reply_to_message_id"] is None


def test_what_was_blocked_is_in_no_thread_of_an_agents(agent: Api, admin: Api, thread: list[Message]) -> None:
    reply(thread[0], "spam", is_blocked=True)
    path = f"/imessage/messages/{thread[0].id}/thread"
    assert "spam" not in contents(agent.get(path).json())
    assert contents(admin.get(path).json())[-1] == "spam"


def test_a_thread_of_another_conversation_is_not_found(
    agent: Api, thread: list[Message], charlies_conversation: Conversation
) -> None:
    foreign = make.make_message(charlies_conversation)
    for thread_id in (foreign.id, "nonsense", "018f3c5e-0000-7000-8000-000000000000"):
        path = f"/imessage/conversations/{thread[0].conversation_id}/threads/{thread_id}"
        assert agent.get(path).status_code == 404


class TestSending:
    @pytest.fixture
    def asked(self, root: Message) -> Message:
        """A text that is on the phone, so that an answer can hang on it."""
        return reply(root, "who?", provider_handle="on the phone")

    def body(self, to: Message, **fields: Any) -> dict[str, Any]:
        return {"conversation_id": str(to.conversation_id), "text": "re", "reply_to_message_id": str(to.id), **fields}

    def test_a_reply_is_part_of_its_thread(self, agent: Api, root: Message, asked: Message) -> None:
        message = agent.send(self.body(asked, plain_reply_fallback=False)).json()["message"]
        assert (message["reply_to_message_id"], message["thread_id"]) == (str(asked.id), str(root.id))

    def test_a_reply_in_a_group_works_too(self, agent: Api, root: Message) -> None:
        group = make.make_group(make.make_owned_line(root.identity))
        asked = make.make_message(group, "who?", human=make.HUMAN, provider_handle="on the phones")
        assert agent.send(self.body(asked)).json()["message"]["reply_to_message_id"] == str(asked.id)

    def test_what_cannot_be_threaded_goes_as_an_ordinary_text(self, agent: Api, root: Message) -> None:
        assert agent.send(self.body(root)).json()["message"]["reply_to_message_id"] is None

    def test_unless_it_must_be_threaded(self, agent: Api, root: Message) -> None:
        response = agent.send(self.body(root, plain_reply_fallback=False))
        assert (response.status_code, response.json()["detail"]["error"]) == (409, "imessage_reply_target_unavailable")
        assert not Message.objects.filter(direction="outbound").exists()
