"""Mark-read and typing."""

import pytest

from accounts.models import Identity
from imessage.models import Conversation, Message
from tests import make
from tests.api.conftest import Api, Provider

PATHS = ["/imessage/mark-read", "/imessage/typing"]


def named(conversation: Conversation) -> dict[str, str]:
    return {"conversation_id": str(conversation.id)}


def test_mark_read_marks_once(agent: Api, provider: Provider, open_conversation: Conversation) -> None:
    make.make_message(open_conversation, "again")
    response = agent.post("/imessage/mark-read", named(open_conversation))
    assert (response.status_code, response.json()) == (200, {**named(open_conversation), "updated_count": 2})
    assert agent.post("/imessage/mark-read", named(open_conversation)).json()["updated_count"] == 0
    assert provider.calls == [
        ("/v1/threads/read", {"line": open_conversation.connection.line.address, "human": make.HUMAN})
    ]
    assert agent.get("/imessage/conversations").json()[0]["unread_count"] == 0


def test_mark_read_never_touches_blocked_rows(agent: Api, provider: Provider, open_conversation: Conversation) -> None:
    make.make_message(open_conversation, "blocked", is_blocked=True)
    assert agent.post("/imessage/mark-read", named(open_conversation)).json()["updated_count"] == 1
    assert Message.objects.get(is_blocked=True).is_read is False


def test_typing_shows_the_bubble(agent: Api, provider: Provider, open_conversation: Conversation) -> None:
    response = agent.post("/imessage/typing", named(open_conversation))
    assert (response.status_code, response.json()) == (200, {"status": "sent"})
    assert provider.calls == [
        ("/v1/threads/typing", {"line": open_conversation.connection.line.address, "human": make.HUMAN, "on": True})
    ]


@pytest.mark.parametrize("path", PATHS)
class TestRefusals:
    def test_a_failing_provider_is_said_to_be_safe_to_repeat(
        self, agent: Api, provider: Provider, open_conversation: Conversation, path: str
    ) -> None:
        provider.status = 500
        response = agent.post(path, named(open_conversation))
        assert response.status_code == 502
        assert response.json() == {"detail": "The provider did not take the call; it is safe to repeat."}
        assert not Message.objects.filter(is_read=True).exists()

    def test_a_released_connection_is_refused(self, agent: Api, open_conversation: Conversation, path: str) -> None:
        open_conversation.connection.status = "released"
        open_conversation.connection.save()
        assert agent.post(path, named(open_conversation)).status_code == 409

    def test_a_blocked_human_is_refused(self, agent: Api, open_conversation: Conversation, path: str) -> None:
        make.make_rule(open_conversation.identity)
        assert agent.post(path, named(open_conversation)).json()["detail"]["error"] == "recipient_blocked"

    def test_a_disabled_identity_is_refused(self, agent: Api, open_conversation: Conversation, path: str) -> None:
        Identity.objects.update(imessage_enabled=False)
        assert agent.post(path, named(open_conversation)).status_code == 400

    def test_strangers_find_nothing(self, stranger: Api, open_conversation: Conversation, path: str) -> None:
        response = stranger.post(path, named(open_conversation))
        assert (response.status_code, response.content) == (404, b'{"detail":"Not found."}')
