"""History of a chat and one message, at the paths of both clients."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from core.ids import prefixed
from imessage.models import Conversation, DeliveryStep, TapbackChange
from tests import make
from tests.api.contiguity.conftest import Api, data_of, error_of

AT = datetime(2026, 6, 9, 12, tzinfo=UTC)
AT_MS = 1781006400000


def path_of(chat: Conversation, limit: object = 20, channel: str = "imessage") -> str:
    return f"/conversations/history/{channel}/{chat.human}/{chat.line.address}/{limit}"


def texts_of(api: Api, path: str) -> list[str]:
    return [row["message"] for row in data_of(api.get(path))["conversation"]]


@pytest.fixture
def chat(conversation: Conversation) -> Conversation:
    make.make_message(conversation, "hello", created_at=AT)
    make.make_message(conversation, "hi", direction="outbound", status="delivered", created_at=AT, delivered_at=AT)
    return conversation


def test_the_newest_comes_first_with_all_that_a_client_reads(agent: Api, chat: Conversation) -> None:
    human, line = chat.human, chat.line.address
    row = {
        "timestamp": AT_MS,
        "read": 0,
        "delivery": {"status": "delivered", "delayed": False, "timestamp": AT_MS},
        "risk": {"auto_reported_as_spam": False, "marked_as_spam": False},
        "attachments": [],
    }
    assert data_of(agent.get(path_of(chat))) == {
        "conversation": [
            {"to": human, "from": line, "from_": int(line[1:]), "message": "hi", **row},
            {"to": line, "from": human, "from_": int(human[1:]), "message": "hello", **row},
        ],
        "reactions": [],
        "chat": {"filtered": False, "chat_marked_as_spam": False, "limit": 20, "total": 2, "count": 2},
    }


def test_the_python_client_asks_with_two_slashes(agent: Api, chat: Conversation) -> None:
    path = f"/history//imessage/{chat.human}/{chat.line.address}/1"
    found = data_of(agent.post(path))
    assert [row["message"] for row in found["conversation"]] == ["hi"]
    assert (found["chat"]["limit"], found["chat"]["total"], found["chat"]["count"]) == (1, 2, 1)


def test_more_than_200_are_not_given_at_once(agent: Api, chat: Conversation) -> None:
    assert data_of(agent.get(path_of(chat, 999)))["chat"]["limit"] == 200


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "٣", "9" * 30])
def test_a_limit_is_a_number_from_one(agent: Api, chat: Conversation, limit: str) -> None:
    assert error_of(agent.get(path_of(chat, limit))) == (400, "The limit must be a number from 1.")


@pytest.mark.parametrize("who", ["agent", "admin"])
def test_a_blocked_message_is_shown_to_nobody(request: pytest.FixtureRequest, chat: Conversation, who: str) -> None:
    api: Api = request.getfixturevalue(who)
    blocked = make.make_message(chat, "secret", is_blocked=True)
    make.make_tapback(blocked)
    found = data_of(api.get(path_of(chat)))
    assert ([row["message"] for row in found["conversation"]], found["reactions"]) == (["hi", "hello"], [])
    assert found["chat"]["total"] == 2
    assert error_of(api.get(f"/conversations/history/message/{prefixed('imsg', blocked.id)}"))[0] == 404


def test_a_chat_of_blocked_messages_alone_does_not_exist(admin: Api, conversation: Conversation) -> None:
    make.make_message(conversation, "secret", is_blocked=True)
    assert error_of(admin.get(path_of(conversation))) == (404, "There is no chat between these numbers.")


def test_another_organization_s_chat_does_not_exist(stranger: Api, chat: Conversation) -> None:
    message = chat.messages.first()
    assert message
    assert error_of(stranger.get(path_of(chat)))[0] == 404
    assert error_of(stranger.get(path_of(chat, channel="text")))[0] == 404
    assert error_of(stranger.post(f"/history//imessage/{chat.human}/{chat.line.address}/1"))[0] == 404
    assert error_of(stranger.get(f"/conversations/history/message/{prefixed('imsg', message.id)}"))[0] == 404


def test_another_agent_s_chat_does_not_exist_for_a_bound_key(agent: Api, admin: Api, chat: Conversation) -> None:
    other = make.make_conversation(make.make_identity(chat.identity.organization, "colleague"))
    make.make_message(other, "hello")
    assert error_of(agent.get(path_of(other)))[0] == 404
    assert texts_of(admin, path_of(other)) == ["hello"]


@pytest.mark.parametrize("to", ["5555550123", "+0", "x", "+1555%2F", "me@icloud.com"])
def test_a_number_in_a_path_is_in_its_one_form(agent: Api, chat: Conversation, to: str) -> None:
    assert error_of(agent.get(f"/conversations/history/imessage/{to}/{chat.line.address}/20"))[0] in {400, 404}


def test_times_of_reading_are_told(agent: Api, chat: Conversation) -> None:
    chat.messages.filter(direction="inbound").update(is_read=True, read_at=AT)
    chat.messages.filter(direction="outbound").update(peer_read_at=AT)
    assert [row["read"] for row in data_of(agent.get(path_of(chat)))["conversation"]] == [AT_MS, AT_MS]


def test_what_went_as_sms_is_the_history_of_texts(agent: Api, chat: Conversation) -> None:
    make.make_message(chat, "green", direction="outbound", service="sms", was_downgraded=True)
    found = data_of(agent.get(path_of(chat, channel="text")))
    assert [row["message"] for row in found["conversation"]] == ["green"]
    assert found["chat"] == {"limit": 20, "total": 1, "count": 1}
    assert texts_of(agent, path_of(chat)) == ["green", "hi", "hello"]


def test_the_log_of_reactions_tells_additions_and_removals(agent: Api, chat: Conversation) -> None:
    message = chat.messages.get(text="hi")
    for action, direction in (("add", "inbound"), ("remove", "inbound"), ("add", "outbound")):
        TapbackChange.objects.create(
            organization_id=chat.organization_id,
            conversation=chat,
            message=message,
            direction=direction,
            action=action,
            kind="like",
            at=AT,
        )
    human, line = chat.human, chat.line.address
    one = {"reaction": "like", "on": "hi", "timestamp": AT_MS}
    assert data_of(agent.get(path_of(chat)))["reactions"] == [
        {**one, "action": "added", "from": line, "from_": line},
        {**one, "action": "removed", "from": human, "from_": human},
        {**one, "action": "added", "from": human, "from_": human},
    ]


@pytest.mark.parametrize("prefix", ["imsg", "text"])
def test_one_message_is_found_by_its_id(agent: Api, chat: Conversation, prefix: str) -> None:
    message = chat.messages.get(text="hi")
    make.make_media(message)
    assert data_of(agent.get(f"/conversations/history/message/{prefixed(prefix, message.id)}")) == {
        "id": prefixed("imsg", message.id),
        "to": chat.human,
        "from": chat.line.address,
        "message": "hi",
        "timestamp": AT_MS,
        "status": "delivered",
        "attachments": ["https://files.example.com/cat.png"],
    }


def test_the_timeline_is_told_when_it_is_asked_for(agent: Api, chat: Conversation) -> None:
    message = chat.messages.get(text="hi")
    DeliveryStep.objects.create(message=message, state="delivered", at=AT)
    step = {"event": "imessage.delivery.confirmed", "title": "Delivered", "timestamp": "2026-06-09T12:00:00Z"}
    path = f"/conversations/history/message/{prefixed('imsg', message.id)}"
    assert data_of(agent.get(path, tracking="true"))["tracking"] == [step]
    newest, oldest = data_of(agent.get(path_of(chat), tracking="true"))["conversation"]
    assert (newest["tracking"], oldest["tracking"]) == ([step], [])


@pytest.mark.parametrize("id", ["x", "imsg_", "imsg_" + "a" * 26, "msg_" + "a" * 26, "%00"])
def test_no_other_id_names_a_message(agent: Api, chat: Conversation, id: str) -> None:
    assert error_of(agent.get(f"/conversations/history/message/{id}"))[0] == 404


def test_a_group_does_not_exist_here(agent: Api, chat: Conversation) -> None:
    group = make.make_group(make.make_owned_line(chat.identity))
    message = make.make_message(group, "to all", human="+15555550123")
    assert error_of(agent.get(f"/conversations/history/message/{prefixed('imsg', message.id)}"))[0] == 404


def test_history_asks_few_questions(agent: Api, chat: Conversation, django_assert_max_num_queries: object) -> None:
    for _ in range(10):
        make.make_media(make.make_message(chat, "more", created_at=timezone.now()))
    with django_assert_max_num_queries(9):  # type: ignore[operator]
        assert len(texts_of(agent, path_of(chat))) == 12
