from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Identity
from imessage.models import Conversation, Message
from imessage.sending import CAP
from imessage.shapes import iso
from lines.models import Line
from tests import make
from tests.api.conftest import Api

NO_ERROR = {"error_code": None, "error_message": None, "error_reason": None, "error_detail": None}


def sent_message() -> Message:
    return Message.objects.get(direction="outbound")


def test_send_into_a_conversation_works(agent: Api, open_conversation: Conversation) -> None:
    response = agent.send({"conversation_id": str(open_conversation.id), "text": "hi", "send_style": "confetti"})
    message = sent_message()
    assert response.status_code == 201
    assert response.json() == {
        "message": {
            "id": str(message.id),
            "conversation_id": str(open_conversation.id),
            "assignment_id": str(open_conversation.connection_id),
            "direction": "outbound",
            "remote_number": make.HUMAN,
            "content": "hi",
            "message_type": "message",
            "service": "imessage",
            "send_style": "confetti",
            "media": None,
            "was_downgraded": None,
            "status": "queued",
            **NO_ERROR,
            "is_read": False,
            "is_blocked": False,
            "recipients": [
                {
                    "remote_number": make.HUMAN,
                    "delivery_status": "queued",
                    "service": "imessage",
                    **NO_ERROR,
                    "sent_at": None,
                    "delivered_at": None,
                    "failed_at": None,
                }
            ],
            "reactions": [],
            "sender_number": None,
            "participants": None,
            "is_group": False,
            "reply_to_message_id": None,
            "thread_id": None,
            "thread_root_message_id": None,
            "created_at": iso(message.created_at),
            "updated_at": iso(message.updated_at),
        }
    }


def test_send_by_number_works_for_a_bound_key(agent: Api, open_conversation: Conversation) -> None:
    assert agent.send({"to": make.HUMAN, "text": "hi"}).status_code == 201


def test_a_bound_key_sends_as_itself_whatever_it_names(
    agent: Api, open_conversation: Conversation, charlies_identity: Identity
) -> None:
    response = agent.send({"to": make.HUMAN, "text": "hi"}, query=f"?agent_identity_id={charlies_identity.id}")
    assert response.status_code == 201
    assert sent_message().identity == open_conversation.identity


def test_an_admin_key_sends_by_number_as_the_named_identity(admin: Api, open_conversation: Conversation) -> None:
    query = f"?agent_identity_id={open_conversation.identity_id}"
    assert admin.send({"to": [make.HUMAN], "text": "hi"}, query=query).status_code == 201


def test_an_admin_key_must_name_the_sender_of_a_send_by_number(admin: Api, open_conversation: Conversation) -> None:
    response = admin.send({"to": make.HUMAN, "text": "hi"})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "agent_identity_id"]


def test_media_alone_works(agent: Api, open_conversation: Conversation) -> None:
    url = "https://files.example.com/cat.png"
    body = agent.send({"conversation_id": str(open_conversation.id), "media_urls": [url]}).json()["message"]
    assert (body["content"], body["media"]) == (None, [{"url": url, "content_type": None, "size": None}])


def test_what_no_client_of_today_knows_is_ignored(agent: Api, open_conversation: Conversation) -> None:
    body = {"conversation_id": str(open_conversation.id), "text": "hi", "from_the_future": {"a": [1]}}
    assert agent.post("/imessage/messages", body, {"Prefer": "idempotency-replay"}).status_code == 201


def test_a_reply_needs_a_target_in_the_conversation(
    agent: Api, open_conversation: Conversation, charlies_conversation: Conversation
) -> None:
    foreign = make.make_message(charlies_conversation)
    body = {"conversation_id": str(open_conversation.id), "text": "hi", "reply_to_message_id": str(foreign.id)}
    response = agent.send(body)
    assert response.status_code == 404
    assert response.json()["detail"]["error"] == "imessage_reply_target_not_found"


def test_a_reply_names_its_conversation(agent: Api, open_conversation: Conversation) -> None:
    target = str(open_conversation.visible_last_id)
    assert agent.send({"to": make.HUMAN, "text": "hi", "reply_to_message_id": target}).status_code == 422


def test_the_longest_text_works(agent: Api, open_conversation: Conversation) -> None:
    text = "\U0001f642" * 18_996
    assert agent.send({"conversation_id": str(open_conversation.id), "text": text}).json()["message"]["content"] == text


def test_not_enabled_is_refused(agent: Api, open_conversation: Conversation) -> None:
    Identity.objects.update(imessage_enabled=False)
    response = agent.send({"conversation_id": str(open_conversation.id), "text": "hi"})
    assert response.status_code == 400
    assert response.json() == {
        "detail": "This identity is not enabled for iMessage; enable it before sending or listing."
    }


def test_never_connected_tells_how_to_connect(agent: Api, identity: Identity, router: Line) -> None:
    response = agent.send({"to": make.OTHER_HUMAN, "text": "hi"})
    assert response.status_code == 404
    assert response.json() == {
        "detail": f"{make.OTHER_HUMAN} is not connected to @helper."
        f" Have them text 'connect @helper' to {router.address} first."
    }


def test_released_is_refused(agent: Api, open_conversation: Conversation) -> None:
    open_conversation.connection.status = "released"
    open_conversation.connection.save()
    response = agent.send({"to": make.HUMAN, "text": "hi"})
    assert response.status_code == 409
    assert response.json() == {
        "detail": {
            "error": "imessage_assignment_inactive",
            "message": "The human has disconnected from this agent and must reconnect through the router.",
        }
    }


def test_writing_first_is_refused(agent: Api, identity: Identity, line: Line) -> None:
    make.make_connection(identity, line=line)
    response = agent.send({"to": make.HUMAN, "text": "hi"})
    assert (response.status_code, response.json()["detail"]["error"]) == (409, "imessage_awaiting_inbound")


def test_a_blocked_recipient_is_refused(agent: Api, open_conversation: Conversation) -> None:
    rule = make.make_rule(open_conversation.identity)
    response = agent.send({"conversation_id": str(open_conversation.id), "text": "hi"})
    assert response.status_code == 403
    assert response.json() == {
        "detail": {
            "error": "recipient_blocked",
            "message": "A contact rule blocks this recipient; nothing was sent.",
            "matched_rule_id": str(rule.id),
            "address": make.HUMAN,
            "reason": "A contact rule blocks this number.",
        }
    }


def test_a_whitelist_blocks_without_a_rule(agent: Api, open_conversation: Conversation) -> None:
    Identity.objects.update(imessage_filter_mode="whitelist")
    response = agent.send({"conversation_id": str(open_conversation.id), "text": "hi"})
    assert response.json()["detail"]["matched_rule_id"] is None


def test_the_cap_is_told_in_headers(agent: Api, open_conversation: Conversation) -> None:
    first = timezone.now() - timedelta(hours=23)
    for _ in range(CAP):
        make.make_message(open_conversation, direction="outbound", created_at=first)
    response = agent.send({"conversation_id": str(open_conversation.id), "text": "one more"})
    assert response.status_code == 429
    assert response["X-RateLimit-Limit"] == str(CAP)
    assert response["X-RateLimit-Remaining"] == "0"
    assert abs(int(response["X-RateLimit-Reset"]) - first.timestamp() - 24 * 3600) <= 1
    assert 3500 <= int(response["Retry-After"]) <= 3601


def test_a_conversation_that_an_agent_may_not_see_is_not_found(
    agent: Api, colleague: Identity, charlies_conversation: Conversation
) -> None:
    others = make.make_conversation(colleague)
    make.make_message(others)
    make.make_message(charlies_conversation)
    answers = {
        agent.send({"conversation_id": str(conversation_id), "text": "hi"}).content
        for conversation_id in (others.id, charlies_conversation.id, "018f3c5e-0000-7000-8000-000000000000")
    }
    assert answers == {b'{"detail":"Not found."}'}


def test_naming_another_identity_than_the_conversations_is_not_found(
    admin: Api, open_conversation: Conversation, colleague: Identity
) -> None:
    body: dict[str, Any] = {"conversation_id": str(open_conversation.id), "text": "hi"}
    assert admin.send(body, query=f"?agent_identity_id={colleague.id}").status_code == 404


@pytest.mark.parametrize(
    ("body", "loc", "msg"),
    [
        ({"text": "hi"}, ["body"], "Name the recipient by exactly one of to and conversation_id."),
        ({"to": make.HUMAN}, ["body"], "A message needs text, or one URL in media_urls."),
        ({"to": "5550123", "text": "hi"}, ["body", "to"], "The number must be in E.164 form, like +15555550123."),
        (
            {"to": [make.HUMAN, make.HUMAN], "text": "hi"},
            ["body", "to"],
            "Each recipient is named once.",
        ),
        (
            {"to": make.HUMAN, "text": "x" * 18_997},
            ["body", "text"],
            "String should have at most 18996 characters",
        ),
        ({"to": make.HUMAN, "text": "a\x00"}, ["body", "text"], "Text must not contain the NUL character."),
    ],
)
def test_a_bad_shape_is_explained(agent: Api, body: dict[str, Any], loc: list[str], msg: str) -> None:
    response = agent.send(body)
    assert response.status_code == 422
    detail = response.json()["detail"]
    assert [(error["loc"], error["msg"]) for error in detail] == [(loc, msg)]
