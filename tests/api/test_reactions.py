import pytest

from accounts.models import Identity
from imessage.models import Conversation, Message, Tapback
from imessage.shapes import iso
from tests import make
from tests.api.conftest import Api, Provider


@pytest.fixture
def message(open_conversation: Conversation) -> Message:
    return make.make_message(open_conversation, "nice", provider_handle="handle-1")


def test_react_works(agent: Api, provider: Provider, message: Message) -> None:
    response = agent.post("/imessage/reactions", {"message_id": str(message.id), "reaction": "like"})
    tapback = Tapback.objects.get()
    assert response.status_code == 201
    assert response.json() == {
        "id": str(tapback.id),
        "conversation_id": str(message.conversation_id),
        "assignment_id": str(message.connection_id),
        "target_message_id": str(message.id),
        "direction": "outbound",
        "reaction": "like",
        "custom_emoji": None,
        "remote_number": make.HUMAN,
        "part_index": 0,
        "created_at": iso(tapback.created_at),
        "updated_at": iso(tapback.updated_at),
    }
    assert provider.calls == [
        ("/v1/messages/handle-1/tapbacks", {"action": "add", "kind": "like", "emoji": None, "part": 0})
    ]


def test_a_second_one_replaces_the_first(agent: Api, provider: Provider, message: Message) -> None:
    for reaction in ("like", "love"):
        agent.post("/imessage/reactions", {"message_id": str(message.id), "reaction": reaction, "part_index": 0})
    rows = agent.get("/imessage/messages").json()
    assert [found["reaction"] for found in rows[0]["reactions"]] == ["love"]


@pytest.mark.parametrize("reaction", ["custom", "LIKE", "\N{EYES}", ""])
def test_other_words_are_refused(agent: Api, message: Message, reaction: str) -> None:
    response = agent.post("/imessage/reactions", {"message_id": str(message.id), "reaction": reaction})
    assert response.status_code == 422
    assert response.json()["detail"][0] == {
        "type": "literal_error",
        "loc": ["body", "reaction"],
        "msg": "Input should be 'love', 'like', 'dislike', 'laugh', 'emphasize', 'question' or 'eyes'",
        "input": reaction,
    }


def test_a_part_that_is_not_there_is_refused(agent: Api, message: Message) -> None:
    response = agent.post("/imessage/reactions", {"message_id": str(message.id), "reaction": "like", "part_index": 1})
    assert response.status_code == 422


def test_a_message_that_has_not_left_is_refused(agent: Api, open_conversation: Conversation) -> None:
    queued = make.make_message(open_conversation, direction="outbound", status="queued")
    response = agent.post("/imessage/reactions", {"message_id": str(queued.id), "reaction": "like"})
    assert response.status_code == 400


def test_a_failing_provider_leaves_no_tapback(agent: Api, provider: Provider, message: Message) -> None:
    provider.status = 503
    response = agent.post("/imessage/reactions", {"message_id": str(message.id), "reaction": "like"})
    assert response.status_code == 502
    assert not Tapback.objects.exists()


def test_released_blocked_and_disabled_are_refused(agent: Api, message: Message) -> None:
    body = {"message_id": str(message.id), "reaction": "like"}
    rule = make.make_rule(message.identity)
    assert agent.post("/imessage/reactions", body).status_code == 403
    rule.delete()
    message.connection.status = "released"
    message.connection.save()
    assert agent.post("/imessage/reactions", body).status_code == 409
    Identity.objects.update(imessage_enabled=False)
    assert agent.post("/imessage/reactions", body).status_code == 400


def test_messages_that_the_caller_may_not_see_are_not_found(
    agent: Api, stranger: Api, message: Message, open_conversation: Conversation
) -> None:
    blocked = make.make_message(open_conversation, is_blocked=True)
    answers = {
        stranger.post("/imessage/reactions", {"message_id": str(message.id), "reaction": "like"}).content,
        agent.post("/imessage/reactions", {"message_id": str(blocked.id), "reaction": "like"}).content,
        agent.post("/imessage/reactions", {"message_id": str(make.make_message().id), "reaction": "like"}).content,
    }
    assert answers == {b'{"detail":"Not found."}'}


def test_eyes_are_an_emoji_on_the_phone_and_custom_to_those_who_read(
    agent: Api, provider: Provider, message: Message
) -> None:
    shown = agent.post("/imessage/reactions", {"message_id": str(message.id), "reaction": "eyes"}).json()
    assert (shown["reaction"], shown["custom_emoji"]) == ("eyes", None)
    assert provider.calls[0][1] == {"action": "add", "kind": "emoji", "emoji": "\N{EYES}", "part": 0}
    read = agent.get(f"/imessage/messages/{message.id}").json()["reactions"][0]
    assert (read["reaction"], read["custom_emoji"]) == ("custom", "\N{EYES}")


def test_an_agent_takes_back_its_own(agent: Api, provider: Provider, message: Message) -> None:
    made = agent.post("/imessage/reactions", {"message_id": str(message.id), "reaction": "like"}).json()
    response = agent.delete(f"/imessage/reactions/{made['id']}")
    assert (response.status_code, response.content) == (204, b"")
    assert provider.calls[-1][1] == {"action": "remove", "kind": "like", "emoji": None, "part": 0}
    assert agent.get(f"/imessage/messages/{message.id}").json()["reactions"] == []


def test_one_that_is_gone_is_taken_back_without_a_call(agent: Api, provider: Provider, message: Message) -> None:
    ids = [
        agent.post("/imessage/reactions", {"message_id": str(message.id), "reaction": reaction}).json()["id"]
        for reaction in ("like", "love")
    ]
    calls = len(provider.calls)
    assert agent.delete(f"/imessage/reactions/{ids[0]}").status_code == 204
    assert len(provider.calls) == calls
    assert Tapback.objects.live().get().kind == "love"


def test_a_failed_removal_leaves_it(agent: Api, provider: Provider, message: Message) -> None:
    made = agent.post("/imessage/reactions", {"message_id": str(message.id), "reaction": "like"}).json()
    provider.status = 500
    assert agent.delete(f"/imessage/reactions/{made['id']}").status_code == 502
    assert Tapback.objects.live().count() == 1


def test_a_humans_is_not_the_agents_to_take_back(agent: Api, message: Message) -> None:
    tapback = make.make_tapback(message)
    assert agent.delete(f"/imessage/reactions/{tapback.id}").status_code == 403


def test_a_strangers_is_not_found(agent: Api, charlies_conversation: Conversation) -> None:
    tapback = make.make_tapback(make.make_message(charlies_conversation), direction="outbound")
    for reaction_id in (tapback.id, "nonsense"):
        assert agent.delete(f"/imessage/reactions/{reaction_id}").status_code == 404
