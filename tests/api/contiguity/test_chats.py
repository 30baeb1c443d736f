"""Typing, read receipts and reactions, in the words of both clients."""

from typing import Any

import pytest

from core.ids import prefixed
from imessage.models import Conversation, Message, Tapback
from tests import make
from tests.api.conftest import Provider
from tests.api.contiguity.conftest import Api, data_of, error_of

both_typing = pytest.mark.parametrize("path", ["/send/imessage/typing", "/imessage/typing"])
both_read = pytest.mark.parametrize("path", ["/send/imessage/read", "/imessage/read"])
both_reactions = pytest.mark.parametrize("path", ["/send/imessage/reactions", "/imessage/reactions"])
ADDED = {"status": "added", "message": "Reaction added."}
REMOVED = {"status": "removed", "message": "Reaction removed."}


@pytest.fixture
def message(open_conversation: Conversation) -> Message:
    return make.make_message(open_conversation, "nice", provider_handle="handle-1")


@pytest.fixture
def chat(message: Message) -> Conversation:
    return message.conversation


def pair(chat: Conversation, **more: Any) -> dict[str, Any]:
    return {"to": chat.human, "from": chat.line.address, **more}


@both_typing
@pytest.mark.parametrize(("action", "status"), [("start", "started"), ("stop", "stopped")])
def test_typing_starts_and_stops(
    agent: Api, provider: Provider, chat: Conversation, path: str, action: str, status: str
) -> None:
    assert data_of(agent.post(path, {"to": chat.human, "action": action})) == {"status": status}
    assert provider.calls == [
        ("/v1/threads/typing", {"line": chat.line.address, "human": chat.human, "on": action == "start"})
    ]


@both_read
def test_a_whole_chat_is_marked_read(agent: Api, provider: Provider, chat: Conversation, path: str) -> None:
    done = {"status": "sent", "message": "Read receipt sent; 2 marked as read."}
    assert data_of(agent.post(path, pair(chat))) == done
    assert not chat.messages.filter(is_read=False).exists()


@pytest.mark.parametrize("without", ["to", "from"])
def test_read_needs_both_numbers(agent: Api, chat: Conversation, without: str) -> None:
    body = {name: number for name, number in pair(chat).items() if name != without}
    assert error_of(agent.post("/send/imessage/read", body)) == (400, f"{without}: Field required")


def test_a_reaction_is_put_on_the_newest_message_that_says_so(
    agent: Api, provider: Provider, chat: Conversation, message: Message
) -> None:
    newest = make.make_message(chat, "nice", provider_handle="handle-2")
    body = pair(chat, action="add", tapback="like", message="nice")
    assert data_of(agent.post("/send/imessage/reactions", body)) == ADDED
    assert Tapback.objects.get().message == newest


def test_the_python_client_says_it_in_its_own_words(agent: Api, provider: Provider, chat: Conversation) -> None:
    body = {"to": chat.human, "action": "add", "reaction": "like", "message": "nice"}
    assert data_of(agent.post("/imessage/reactions", body)) == ADDED
    assert data_of(agent.post("/imessage/reactions", {**body, "action": "remove"})) == REMOVED
    assert not Tapback.objects.live().exists()


@both_reactions
def test_an_id_says_which_message_is_meant(
    agent: Api, provider: Provider, chat: Conversation, message: Message, path: str
) -> None:
    make.make_message(chat, "nice", provider_handle="handle-2")
    body = pair(chat, action="add", tapback="love", message="nice", message_id=prefixed("imsg", message.id))
    assert data_of(agent.post(path, body)) == ADDED
    assert Tapback.objects.get().message == message


def test_a_removed_one_is_one_that_was_there(agent: Api, provider: Provider, chat: Conversation) -> None:
    body = pair(chat, action="remove", tapback="like", message="nice")
    words = "There is no such reaction of yours on this message."
    assert error_of(agent.post("/send/imessage/reactions", body)) == (404, words)
    agent.post("/send/imessage/reactions", {**body, "action": "add", "tapback": "love"})
    assert error_of(agent.post("/send/imessage/reactions", body)) == (404, words)


def test_a_text_s_reaction_has_words_of_its_own(
    agent: Api, provider: Provider, chat: Conversation, message: Message
) -> None:
    body = pair(chat, action="add", reaction="thumbsup", message="nice")
    assert data_of(agent.post("/send/text/reactions", body)) == {"message_id": prefixed("imsg", message.id)}
    assert Tapback.objects.get().kind == "like"


def test_nobody_reacts_on_sms(agent: Api, provider: Provider, chat: Conversation) -> None:
    make.make_message(chat, "green", provider_handle="handle-3", service="sms")
    body = pair(chat, action="add", reaction="thumbsup", message="green")
    assert error_of(agent.post("/send/text/reactions", body))[0] == 400
    assert provider.calls == []


def test_a_message_that_nobody_wrote_is_not_found(agent: Api, chat: Conversation) -> None:
    body = pair(chat, action="add", tapback="like", message="Nice")
    assert error_of(agent.post("/send/imessage/reactions", body)) == (404, "There is no such message.")


def test_a_blocked_message_takes_no_reaction_not_even_an_admin_s(admin: Api, chat: Conversation) -> None:
    blocked = make.make_message(chat, "secret", is_blocked=True, provider_handle="handle-4")
    for named in ({"message": "secret"}, {"message_id": prefixed("imsg", blocked.id)}):
        body = pair(chat, action="add", tapback="like", **named)
        assert error_of(admin.post("/send/imessage/reactions", body)) == (404, "There is no such message.")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tapback": "hate"}, "A tapback is one of dislike, emphasize, laugh, like, love, question, or an emoji."),
        ({"tapback": None}, "body: Say which tapback."),
        ({"action": "put"}, "action: Input should be 'add' or 'remove'"),
        ({"message": None}, "body: Name the message by message_id, or by to and its text in message."),
        ({"to": "5550123"}, "to: The number must be in E.164 form, like +15555550123."),
    ],
)
def test_a_bad_reaction_is_explained(agent: Api, chat: Conversation, change: dict[str, Any], words: str) -> None:
    body = pair(chat, action="add", tapback="like", message="nice") | change
    assert error_of(agent.post("/send/imessage/reactions", body)) == (400, words)


BODIES = {
    "/send/imessage/typing": {"action": "start"},
    "/imessage/typing": {"action": "start"},
    "/send/imessage/read": {},
    "/imessage/read": {},
    "/send/imessage/reactions": {"action": "add", "tapback": "like", "message": "nice"},
    "/imessage/reactions": {"action": "add", "reaction": "like", "message": "nice"},
    "/send/text/reactions": {"action": "add", "reaction": "haha", "message": "nice"},
}


@pytest.mark.parametrize(("path", "body"), BODIES.items())
def test_another_organization_s_chat_does_not_exist(
    stranger: Api, provider: Provider, chat: Conversation, path: str, body: dict[str, Any]
) -> None:
    answer = stranger.post(path, pair(chat, **body))
    assert error_of(answer) == (404, "There is no chat between these numbers.")
    assert provider.calls == []


@pytest.mark.parametrize(("path", "body"), BODIES.items())
def test_a_blocked_human_is_left_alone(
    agent: Api, provider: Provider, chat: Conversation, path: str, body: dict[str, Any]
) -> None:
    make.make_rule(chat.identity, chat.human)
    assert error_of(agent.post(path, pair(chat, **body)))[0] == 403
    assert provider.calls == []


def test_what_the_provider_refuses_is_said(agent: Api, provider: Provider, chat: Conversation) -> None:
    provider.status = 500
    assert error_of(agent.post("/send/imessage/typing", pair(chat, action="start")))[0] == 502


def test_a_slow_provider_is_given_up_before_the_client_gives_us_up(
    agent: Api, provider: Provider, chat: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.delay = 0.5
    monkeypatch.setattr("api.contiguity.chats.PATIENCE", 0.1)
    asked = {"action": "add", "tapback": "like", "message": "nice"}
    for path, body in (("typing", {"action": "start"}), ("read", {}), ("reactions", asked)):
        assert error_of(agent.post(f"/send/imessage/{path}", pair(chat, **body)))[0] == 502


def test_a_human_who_left_may_not_be_disturbed(agent: Api, provider: Provider, chat: Conversation) -> None:
    assert chat.connection
    type(chat.connection).objects.update(status="released")
    assert error_of(agent.post("/send/imessage/read", pair(chat)))[0] == 403
