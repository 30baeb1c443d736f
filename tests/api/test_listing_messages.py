from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Identity
from imessage.models import Conversation, Message
from imessage.shapes import iso
from tests import make
from tests.api.conftest import Api

NO_ERROR = {"error_code": None, "error_message": None, "error_reason": None, "error_detail": None}


def texts(api: Api, **query: Any) -> list[str | None]:
    return [row["content"] for row in api.get("/imessage/messages", **query).json()]


def test_list_shows_an_inbound_message_whole(agent: Api, conversation: Conversation) -> None:
    message = make.make_message(conversation, "look", was_downgraded=False)
    make.make_media(message)
    tapback = make.make_tapback(message, "custom", emoji="🌴")
    make.make_tapback(message, "love", ended_at=timezone.now())
    assert agent.get("/imessage/messages").json() == [
        {
            "id": str(message.id),
            "conversation_id": str(conversation.id),
            "assignment_id": str(conversation.connection_id),
            "direction": "inbound",
            "remote_number": make.HUMAN,
            "content": "look",
            "message_type": "message",
            "service": "imessage",
            "send_style": None,
            "media": [{"url": "https://files.example.com/cat.png", "content_type": "image/png", "size": 1234}],
            "was_downgraded": False,
            "status": "received",
            **NO_ERROR,
            "is_read": False,
            "is_blocked": False,
            "recipients": None,
            "reactions": [
                {
                    "id": str(tapback.id),
                    "direction": "inbound",
                    "reaction": "custom",
                    "custom_emoji": "🌴",
                    "remote_number": make.HUMAN,
                    "part_index": 0,
                    "created_at": iso(tapback.created_at),
                }
            ],
            "sender_number": None,
            "participants": None,
            "is_group": False,
            "reply_to_message_id": None,
            "thread_id": None,
            "thread_root_message_id": None,
            "created_at": iso(message.created_at),
            "updated_at": iso(message.updated_at),
        }
    ]


def test_a_failed_message_says_why(agent: Api, conversation: Conversation) -> None:
    make.make_message(
        conversation,
        direction="outbound",
        status="error",
        error_code="22",
        error_message="No.",
        error_reason="permanent",
    )
    row = agent.get("/imessage/messages").json()[0]
    assert (row["status"], row["error_code"], row["error_message"]) == ("error", "22", "No.")
    assert row["recipients"][0]["error_reason"] == "permanent"


def test_the_newest_comes_first_and_pages_fit(agent: Api, conversation: Conversation) -> None:
    for text in ("one", "two", "three"):
        make.make_message(conversation, text)
    assert texts(agent) == ["three", "two", "one"]
    assert texts(agent, limit=1, offset=1) == ["two"]
    assert texts(agent, conversation_id=conversation.id, limit=2) == ["three", "two"]
    assert texts(agent, offset=10_000_000) == []


def test_read_and_conversation_narrow_the_list(admin: Api, conversation: Conversation, colleague: Identity) -> None:
    make.make_message(conversation, "read", is_read=True)
    make.make_message(conversation, "unread")
    make.make_message(make.make_conversation(colleague), "elsewhere")
    assert texts(admin, is_read="true") == ["read"]
    assert texts(admin, is_read="false", conversation_id=conversation.id) == ["unread"]
    assert texts(admin, agent_identity_id=colleague.id) == ["elsewhere"]
    assert texts(admin) == ["elsewhere", "unread", "read"]


@pytest.mark.parametrize(
    ("who", "is_blocked", "expected"),
    [
        ("admin", None, ["blocked", "fine"]),
        ("admin", "true", ["blocked"]),
        ("admin", "false", ["fine"]),
        ("agent", None, ["fine"]),
        ("agent", "true", []),
        ("agent", "false", ["fine"]),
    ],
)
def test_only_admins_see_what_was_blocked(
    admin: Api, agent: Api, conversation: Conversation, who: str, is_blocked: str | None, expected: list[str]
) -> None:
    make.make_message(conversation, "fine")
    make.make_message(conversation, "blocked", is_blocked=True)
    query = {"is_blocked": is_blocked} if is_blocked else {}
    assert texts({"admin": admin, "agent": agent}[who], **query) == expected


def test_strangers_and_colleagues_see_nothing(
    stranger: Api, open_conversation: Conversation, colleague: Identity
) -> None:
    assert texts(stranger) == []
    assert texts(stranger, conversation_id=open_conversation.id) == []
    other = Api(make.make_key(colleague.organization, colleague))
    assert texts(other) == []
    assert texts(other, conversation_id=open_conversation.id) == []


@pytest.mark.parametrize("path", ["/imessage/messages", "/imessage/conversations", "/imessage/assignments"])
class TestNarrowingToAnIdentity:
    def test_a_bound_key_may_name_itself(self, agent: Api, identity: Identity, path: str) -> None:
        assert agent.get(path, agent_identity_id=identity.id).status_code == 200

    def test_a_bound_key_may_name_no_other(
        self, agent: Api, colleague: Identity, charlies_identity: Identity, path: str
    ) -> None:
        for other in (colleague.id, charlies_identity.id, "018f3c5e-0000-7000-8000-000000000000"):
            response = agent.get(path, agent_identity_id=other)
            assert response.status_code == 403
            assert response.json() == {"detail": "This key is bound to another identity."}

    def test_an_unknown_and_a_foreign_one_are_not_found(
        self, admin: Api, charlies_identity: Identity, path: str
    ) -> None:
        unknown = admin.get(path, agent_identity_id="018f3c5e-0000-7000-8000-000000000000")
        assert unknown.status_code == 404
        assert admin.get(path, agent_identity_id=charlies_identity.id).content == unknown.content

    def test_one_that_is_not_enabled_is_refused(self, admin: Api, identity: Identity, path: str) -> None:
        Identity.objects.update(imessage_enabled=False)
        assert admin.get(path, agent_identity_id=identity.id).status_code == 400


def test_a_full_page_takes_a_handful_of_queries(
    agent: Api, conversation: Conversation, django_assert_max_num_queries: Any
) -> None:
    for _ in range(50):
        message = make.make_message(conversation)
        make.make_media(message)
        make.make_tapback(message)
    agent.get("/whoami")  # notes the key's use, which costs a write once a minute
    with django_assert_max_num_queries(4):
        rows = agent.get("/imessage/messages", limit=50).json()
    assert len(rows) == 50
    assert all(row["media"] and row["reactions"] for row in rows)
    assert Message.objects.count() == 50
