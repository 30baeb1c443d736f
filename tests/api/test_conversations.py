from typing import Any

import pytest

from accounts.models import Identity
from imessage.models import Conversation
from imessage.shapes import iso
from tests import make
from tests.api.conftest import Api


def rows(api: Api, **query: Any) -> list[dict[str, Any]]:
    return api.get("/imessage/conversations", **query).json()


def test_list_shows_a_summary(agent: Api, conversation: Conversation) -> None:
    make.make_message(conversation, "first")
    latest = make.make_message(conversation, "second")
    make.make_media(latest)
    assert rows(agent) == [
        {
            "id": str(conversation.id),
            "assignment_id": str(conversation.connection_id),
            "assignment_status": "active",
            "remote_number": make.HUMAN,
            "participants": [make.HUMAN],
            "is_group": False,
            "group_creation_status": None,
            "created_at": iso(conversation.created_at),
            "updated_at": iso(conversation.updated_at),
            "latest_text": "second",
            "latest_message_at": iso(latest.created_at),
            "latest_direction": "inbound",
            "latest_has_media": True,
            "unread_count": 2,
            "total_count": 2,
        }
    ]


@pytest.mark.parametrize(
    ("who", "is_blocked", "latest", "unread", "total"),
    [
        ("admin", None, "blocked 2", 3, 4),
        ("admin", "true", "blocked 2", 2, 2),
        ("admin", "false", "answer", 1, 2),
        ("agent", None, "answer", 1, 2),
        ("agent", "false", "answer", 1, 2),
    ],
)
def test_counters_and_preview_are_over_what_is_looked_at(
    admin: Api,
    agent: Api,
    conversation: Conversation,
    who: str,
    is_blocked: str | None,
    latest: str,
    unread: int,
    total: int,
) -> None:
    make.make_message(conversation, "blocked 1", is_blocked=True)
    make.make_message(conversation, "hello")
    make.make_message(conversation, "answer", direction="outbound")
    make.make_message(conversation, "blocked 2", is_blocked=True)
    row = rows({"admin": admin, "agent": agent}[who], **({"is_blocked": is_blocked} if is_blocked else {}))[0]
    assert (row["latest_text"], row["unread_count"], row["total_count"]) == (latest, unread, total)


def test_conversations_without_anything_to_look_at_are_left_out(
    admin: Api, agent: Api, conversation: Conversation, identity: Identity
) -> None:
    blocked = make.make_conversation(identity, make.OTHER_HUMAN)
    make.make_message(blocked, is_blocked=True)
    assert [row["id"] for row in rows(admin)] == [str(blocked.id)]
    assert rows(admin, is_blocked="false") == []
    assert rows(agent) == []
    assert rows(agent, is_blocked="true") == []


def test_the_latest_comes_first_by_what_is_looked_at(
    admin: Api, conversation: Conversation, identity: Identity
) -> None:
    other = make.make_conversation(identity, make.OTHER_HUMAN)
    make.make_message(other, "older")
    make.make_message(conversation, "newer")
    make.make_message(other, "newest, blocked", is_blocked=True)
    assert [row["id"] for row in rows(admin)] == [str(other.id), str(conversation.id)]
    assert [row["id"] for row in rows(admin, is_blocked="false")] == [str(conversation.id), str(other.id)]
    assert [row["id"] for row in rows(admin, limit=1, offset=1)] == [str(conversation.id)]


def test_a_full_page_takes_a_handful_of_queries(
    admin: Api, identity: Identity, django_assert_max_num_queries: Any
) -> None:
    line = make.make_line()
    for number in range(50):
        connection = make.make_connection(identity, f"+1555555{number:04d}", line=line)
        make.make_media(make.make_message(make.make_conversation(connection=connection)))
    admin.get("/whoami")
    with django_assert_max_num_queries(4):
        assert len(rows(admin, limit=50)) == 50


def test_get_shows_a_conversation(agent: Api, open_conversation: Conversation) -> None:
    assert agent.get(f"/imessage/conversations/{open_conversation.id}").json() == {
        "id": str(open_conversation.id),
        "assignment_id": str(open_conversation.connection_id),
        "assignment_status": "active",
        "remote_number": make.HUMAN,
        "participants": [make.HUMAN],
        "is_group": False,
        "group_creation_status": None,
        "created_at": iso(open_conversation.created_at),
        "updated_at": iso(open_conversation.updated_at),
    }


def test_get_asserts_the_owner(admin: Api, open_conversation: Conversation, colleague: Identity) -> None:
    path = f"/imessage/conversations/{open_conversation.id}"
    assert admin.get(path, agent_identity_id=open_conversation.identity_id).status_code == 200
    assert admin.get(path, agent_identity_id=colleague.id).status_code == 404


def test_a_released_connection_shows(agent: Api, open_conversation: Conversation) -> None:
    open_conversation.connection.status = "released"
    open_conversation.connection.save()
    assert agent.get(f"/imessage/conversations/{open_conversation.id}").json()["assignment_status"] == "released"


def test_get_hides_what_the_caller_may_not_see(
    agent: Api, identity: Identity, line: Any, charlies_conversation: Conversation
) -> None:
    blocked = make.make_conversation(identity, make.OTHER_HUMAN)
    make.make_message(blocked, is_blocked=True)
    make.make_message(charlies_conversation)
    paths = [blocked.id, charlies_conversation.id, "018f3c5e-0000-7000-8000-000000000000", "018f3c5e", "%00"]
    answers = {agent.get(f"/imessage/conversations/{path}").content for path in paths}
    assert answers == {b'{"detail":"Not found."}'}
