"""One message by its id, its thread, and the message that a key made."""

import pytest

from accounts.models import Identity
from core.ids import uuid7
from imessage.models import Conversation, Message
from tests import make
from tests.api.conftest import Api


@pytest.fixture
def message(conversation: Conversation) -> Message:
    return make.make_message(conversation, "hello")


def test_get_shows_what_the_list_shows(agent: Api, message: Message) -> None:
    assert agent.get(f"/imessage/messages/{message.id}").json() == agent.get("/imessage/messages").json()[0]


def test_get_asserts_the_owner(admin: Api, message: Message, colleague: Identity) -> None:
    path = f"/imessage/messages/{message.id}"
    assert admin.get(path, agent_identity_id=str(message.identity_id)).status_code == 200
    assert admin.get(path, agent_identity_id=str(colleague.id)).status_code == 404


def test_blocked_foreign_and_missing_look_alike(
    agent: Api, admin: Api, conversation: Conversation, charlies_conversation: Conversation
) -> None:
    blocked = make.make_message(conversation, "spam", is_blocked=True)
    foreign = make.make_message(charlies_conversation)
    for suffix in ("", "/thread"):
        for message_id in (blocked.id, foreign.id, "nonsense", "018f3c5e-0000-7000-8000-000000000000"):
            assert agent.get(f"/imessage/messages/{message_id}{suffix}").content == b'{"detail":"Not found."}'
    assert admin.get(f"/imessage/messages/{blocked.id}").json()["is_blocked"] is True


def test_a_message_is_a_thread_of_its_own(agent: Api, message: Message) -> None:
    shown = agent.get(f"/imessage/messages/{message.id}/thread").json()
    assert shown == {
        "thread_id": str(message.id),
        "conversation_id": str(message.conversation_id),
        "thread_root_message_id": str(message.id),
        "messages": [agent.get(f"/imessage/messages/{message.id}").json()],
        "next_cursor": None,
    }
    path = f"/imessage/conversations/{message.conversation_id}/threads/{message.id}"
    assert agent.get(path).json() == shown
    assert agent.get(path, cursor="made-up").status_code == 422
    assert agent.get(path.replace(str(message.conversation_id), str(message.id))).status_code == 404


def test_a_list_is_narrowed_to_a_thread(agent: Api, message: Message) -> None:
    make.make_message(message.conversation, "another")
    query = {"conversation_id": str(message.conversation_id), "thread_id": str(message.id)}
    assert [row["content"] for row in agent.get("/imessage/messages", **query).json()] == ["hello"]


class TestLookup:
    @pytest.fixture
    def sent(self, agent: Api, open_conversation: Conversation) -> str:
        answer = agent.send({"conversation_id": str(open_conversation.id), "text": "hi"}, key="key-1")
        return str(answer.json()["message"]["id"])

    def look(self, api: Api, identity: Identity, *, key: str | None = "key-1", **changes: str) -> tuple[int, object]:
        query = {
            "sender_kind": "imessage_identity",
            "sender_id": str(identity.id),
            "operation": "imessage.send",
            **changes,
        }
        headers = {"Idempotency-Key": key} if key else None
        answer = api.client.get("/api/v1/message-sends/lookup", query, headers=headers)
        return answer.status_code, answer.json()

    def test_finds_the_message(self, agent: Api, admin: Api, sent: str, identity: Identity) -> None:
        for api in (agent, admin):
            assert self.look(api, identity) == (200, {"message_id": sent})

    @pytest.mark.parametrize(
        "changes", [{"operation": "mail.send"}, {"sender_kind": "mailbox"}, {"sender_id": str(uuid7())}]
    )
    def test_unknown_is_not_found(self, agent: Api, sent: str, identity: Identity, changes: dict[str, str]) -> None:
        assert self.look(agent, identity, **changes)[0] == 404
        assert self.look(agent, identity, key="key-2")[0] == 404

    def test_a_strangers_key_finds_nothing(self, stranger: Api, sent: str, identity: Identity) -> None:
        assert self.look(stranger, identity)[0] == 404

    def test_the_key_is_needed(self, agent: Api, identity: Identity) -> None:
        assert self.look(agent, identity, key=None)[0] == 422
