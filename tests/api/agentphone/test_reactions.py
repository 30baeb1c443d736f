"""POST /v1/messages/{id}/reactions: on messages, on single images, and what takes none."""

import pytest

from accounts.models import Identity
from core.ids import prefixed
from imessage.models import Conversation, Message, Tapback
from tests import make
from tests.api.agentphone.conftest import Phone
from tests.api.conftest import Provider


@pytest.fixture
def message(thread: Conversation) -> Message:
    return make.make_message(thread, "nice", provider_handle="handle-1")


def test_it_works(agent: Phone, provider: Provider, message: Message) -> None:
    response = agent.post(f"/messages/{prefixed('msg', message.id)}/reactions", {"reaction": "love"})
    assert (response.status_code, response.json()) == (
        200,
        {
            "id": prefixed("rea", Tapback.objects.get().id),
            "reaction_type": "love",
            "message_id": prefixed("msg", message.id),
            "channel": "imessage",
        },
    )
    assert provider.calls == [
        ("/v1/messages/handle-1/tapbacks", {"action": "add", "kind": "love", "emoji": None, "part": 0})
    ]


def test_an_emoji_goes_out_as_itself(agent: Phone, provider: Provider, message: Message) -> None:
    response = agent.post(f"/messages/{prefixed('msg', message.id)}/reactions", {"reaction": "🔥"})
    assert (response.status_code, response.json()["reaction_type"]) == (200, "🔥")
    assert provider.calls[0][1]["emoji"] == "🔥"


def test_one_image_of_a_carousel_is_reacted_to_by_its_own_id(
    agent: Phone, provider: Provider, thread: Conversation
) -> None:
    carousel = make.make_message(thread, None, provider_handle="handle-1", message_type="carousel")
    images = [make.make_media(carousel) for _ in range(2)]
    target = prefixed("msg", images[1].id)
    answer = agent.post(f"/messages/{target}/reactions", {"reaction": "like"}).json()
    assert (answer["message_id"], provider.calls[0][1]["part"]) == (target, 1)


def test_a_message_is_named_as_a_delivery_s_id_holds_it(agent: Phone, provider: Provider, message: Message) -> None:
    bare = prefixed("msg", message.id).removeprefix("msg_")
    assert agent.post(f"/messages/{bare}/reactions", {"reaction": "love"}).status_code == 200


@pytest.mark.parametrize("reaction", ["haha", "LOVE", "", "🔥 hot", "x" * 65, "1", None])
def test_other_words_are_refused(agent: Phone, message: Message, reaction: str | None) -> None:
    response = agent.post(f"/messages/{prefixed('msg', message.id)}/reactions", {"reaction": reaction})
    assert response.status_code == 422


def test_a_message_of_a_number_for_sms_takes_none(agent: Phone, identity: Identity) -> None:
    conversation = make.make_owned_conversation(make.make_owned_line(identity, service="sms"))
    message = make.make_message(conversation, "hi", service="sms", provider_handle="handle-1")
    response = agent.post(f"/messages/{prefixed('msg', message.id)}/reactions", {"reaction": "like"})
    assert response.status_code == 400


def test_a_provider_that_fails_is_a_carrier_error(agent: Phone, provider: Provider, message: Message) -> None:
    provider.status = 500
    response = agent.post(f"/messages/{prefixed('msg', message.id)}/reactions", {"reaction": "like"})
    assert (response.status_code, response.json()["error"]["code"]) == (502, "CARRIER_ERROR")
