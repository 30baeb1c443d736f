"""Conversations: listed, read with their history, and typed into."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Identity
from core.ids import prefixed
from imessage.models import Conversation
from imessage.shapes import iso
from lines.models import Line
from tests import make
from tests.api.agentphone.conftest import NUMBER, Phone, agent_id, conversation_id, number_id
from tests.api.conftest import Provider


def test_the_list_shows_them_whole(agent: Phone, identity: Identity, number: Line, thread: Conversation) -> None:
    answer = agent.get("/conversations").json()
    assert answer == {
        "data": [
            {
                "id": conversation_id(thread),
                "agentId": agent_id(identity),
                "phoneNumberId": number_id(number),
                "phoneNumber": NUMBER,
                "participant": make.HUMAN,
                "isGroup": False,
                "groupId": None,
                "groupName": None,
                "groupIconUrl": None,
                "participants": None,
                "channel": "imessage",
                "lastMessageAt": iso(thread.visible_last_at),
                "messageCount": 1,
                "metadata": None,
                "createdAt": iso(thread.created_at),
                "lastMessagePreview": "hello",
            }
        ],
        "hasMore": False,
        "total": 1,
    }
    assert agent.get(f"/agents/{agent_id(identity)}/conversations").json() == answer


def test_a_group_is_shown_with_its_roster(agent: Phone, number: Line) -> None:
    group = make.make_group(number, group_name="Trip", metadata={"step": 1})
    make.make_message(group, "hi", human=make.OTHER_HUMAN)
    [found] = agent.get("/conversations").json()["data"]
    group_id = prefixed("grp", group.id)
    assert (found["participant"], found["groupId"], found["groupName"]) == (group_id, group_id, "Trip")
    assert found["metadata"] == {"step": 1}
    assert found["participants"] == [
        {"identifier": make.HUMAN, "name": None},
        {"identifier": make.OTHER_HUMAN, "name": None},
    ]
    [message] = agent.get(f"/conversations/{found['id']}").json()["messages"]
    assert (message["fromNumber"], message["senderIdentifier"]) == (make.OTHER_HUMAN, make.OTHER_HUMAN)


def test_the_latest_come_first_and_are_counted(agent: Phone, number: Line) -> None:
    humans = [f"+1555555014{digit}" for digit in range(3)]
    for human in humans:
        make.make_message(make.make_owned_conversation(number, human), "hi")
    first = agent.get("/conversations", limit=2).json()
    rest = agent.get("/conversations", limit=2, offset=2).json()
    assert [found["participant"] for found in first["data"] + rest["data"]] == humans[::-1]
    assert (first["hasMore"], first["total"], rest["hasMore"]) == (True, 3, False)


def test_one_is_shown_with_its_newest_messages_and_what_it_takes(agent: Phone, thread: Conversation) -> None:
    for text in ("one", "two"):
        make.make_message(thread, text)
    found = agent.get(f"/conversations/{conversation_id(thread)}", message_limit=2).json()
    assert [message["body"] for message in found["messages"]] == ["two", "one"]
    assert found["capabilities"] == {
        "canSendMessages": True,
        "media": True,
        "reactions": True,
        "emojiReactions": True,
        "sendDisabledReason": None,
        "sendChannel": "imessage",
        "availableChannels": ["imessage", "sms"],
        "mediaChannels": ["imessage", "mms"],
    }


def test_history_is_read_by_time_or_by_message(agent: Phone, thread: Conversation) -> None:
    start = timezone.now()
    rows = [make.make_message(thread, str(age), created_at=start + timedelta(seconds=age)) for age in range(5)]
    path = f"/conversations/{conversation_id(thread)}/messages"

    def bodies(**query: Any) -> list[str]:
        return [message["body"] for message in agent.get(path, **query).json()["data"]]

    middle = prefixed("msg", rows[2].id)
    assert bodies(before=middle, after=iso(start)) == ["1"]
    assert bodies(before=iso(rows[2].created_at), after=prefixed("msg", rows[0].id)) == ["1"]
    assert bodies(after=middle) == ["4", "3"]
    assert bodies(before="2999-12-31T23:59:59-23:00", limit=1) == ["4"]
    assert bodies(limit=2) == ["4", "3"]
    assert agent.get(path, limit=2).json()["hasMore"] is True
    assert agent.get(path, limit=6).json()["hasMore"] is False


def test_an_inbound_carousel_is_not_cut_in_two(agent: Phone, thread: Conversation) -> None:
    carousel = make.make_message(thread, None, message_type="carousel")
    images = [make.make_media(carousel, f"https://files.example.com/{number}.png") for number in range(3)]
    path = f"/conversations/{conversation_id(thread)}/messages"
    found = agent.get(path, limit=2).json()
    assert [message["id"] for message in found["data"]] == [prefixed("msg", image.id) for image in images[::-1]]
    assert found["hasMore"] is True


def test_a_reply_shows_its_parent(agent: Phone, thread: Conversation) -> None:
    parent = make.make_message(thread, "which?")
    make.make_message(thread, "that", reply_to=parent, thread_root=parent, reply_unresolved=False)
    newest = agent.get(f"/conversations/{conversation_id(thread)}/messages", limit=1).json()["data"][0]
    assert newest["replyTo"] == {"messageId": prefixed("msg", parent.id), "message": "which?", "mediaUrls": []}


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": "x"},
        {"before": "yesterday"},
        {"before": ""},
        {"after": "0001-01-01T00:00:00Z"},
    ],
)
def test_a_strange_query_is_refused(agent: Phone, thread: Conversation, query: dict[str, Any]) -> None:
    response = agent.get(f"/conversations/{conversation_id(thread)}/messages", **query)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "VALIDATION_ERROR")


def test_typing_is_shown(agent: Phone, provider: Provider, thread: Conversation) -> None:
    response = agent.post(f"/conversations/{conversation_id(thread)}/typing")
    assert (response.status_code, response.json()) == (
        200,
        {"conversationId": conversation_id(thread), "channel": "imessage", "status": "typing indicator sent"},
    )
    assert len(provider.calls) == 1


def test_typing_on_sms_is_skipped(agent: Phone, provider: Provider, identity: Identity) -> None:
    conversation = make.make_owned_conversation(make.make_owned_line(identity, service="sms"))
    make.make_message(conversation, "hi", service="sms")
    response = agent.post(f"/conversations/{conversation_id(conversation)}/typing", {})
    assert (response.json()["channel"], response.json()["status"], provider.calls) == ("sms", "skipped", [])


def test_state_is_replaced_whole_and_cleared(agent: Phone, thread: Conversation) -> None:
    path = f"/conversations/{conversation_id(thread)}"
    assert agent.patch(path, {"metadata": {"step": 1, "name": "Ada"}}).json()["metadata"] == {"step": 1, "name": "Ada"}
    assert agent.patch(path, {"metadata": {"step": 2}}).json()["metadata"] == {"step": 2}
    assert agent.patch(path, {}).json()["metadata"] == {"step": 2}
    assert agent.patch(path, {"metadata": None}).json()["metadata"] is None


def test_only_groups_are_renamed(agent: Phone, thread: Conversation) -> None:
    response = agent.patch(f"/conversations/{conversation_id(thread)}", {"group_name": "Trip", "metadata": {"step": 1}})
    assert response.status_code == 422
    assert agent.get(f"/conversations/{conversation_id(thread)}").json()["metadata"] is None


def test_a_background_on_sms_changes_nothing(agent: Phone, identity: Identity) -> None:
    conversation = make.make_owned_conversation(make.make_owned_line(identity, service="sms"))
    make.make_message(conversation, "hi", service="sms")
    path = f"/conversations/{conversation_id(conversation)}/background"
    response = agent.post(path, {"image_url": "https://files.example.com/x.png"})
    assert (response.status_code, response.json()) == (
        200,
        {
            "conversationId": conversation_id(conversation),
            "channel": "sms",
            "hasBackground": False,
            "backgroundId": None,
            "backgroundVersion": None,
            "changed": False,
        },
    )
    assert agent.delete(path).status_code == 204


def test_many_groups_take_a_handful_of_queries(
    agent: Phone, identity: Identity, number: Line, django_assert_max_num_queries: Any
) -> None:
    make.make_contact(identity.organization, make.HUMAN, "Dana")
    for _ in range(5):
        make.make_message(make.make_group(number), human=make.HUMAN)
    with django_assert_max_num_queries(9):
        rows = agent.get("/conversations").json()["data"]
    assert [[one["name"] for one in row["participants"]] for row in rows] == [["Dana", None]] * 5
