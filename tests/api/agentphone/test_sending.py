"""POST /v1/messages: who sends, to whom, what, and every way in which that is refused."""

from typing import Any

import pytest

from accounts.models import Identity
from core.ids import prefixed
from events.models import Event
from imessage.models import Conversation, Message
from lines.models import Line
from tests import make
from tests.api.agentphone.conftest import NUMBER, Phone, agent_id, conversation_id, number_id

STRANGER = "+15555550149"
PICTURES = ["https://files.example.com/1.png", "https://files.example.com/2.png"]


def test_an_agent_writes_first_from_its_number(agent: Phone, identity: Identity, number: Line) -> None:
    response = agent.send(agent_id=agent_id(identity), to_number="(555) 555-0149", body="hi", send_style="slam")
    message = Message.objects.get()
    assert response.status_code == 200
    assert response.json() == {
        "id": prefixed("msg", message.id),
        "status": "sent",
        "channel": "imessage",
        "from_number": NUMBER,
        "to_number": STRANGER,
        "conversation_id": conversation_id(message.conversation),
        "media_urls": [],
        "reply_to_message_id": None,
        "reply_parent_unresolved": None,
    }
    assert (message.send_style, message.conversation.owned_line_id) == ("slam", number.id)


def test_a_number_goes_before_its_id_and_that_before_an_agent(admin: Phone, identity: Identity, number: Line) -> None:
    first = make.make_owned_line(make.make_identity(identity.organization), "+15555550178")
    second = make.make_owned_line(identity, "+15555550179")
    named = {"from_number": second.address, "number_id": number_id(first), "agent_id": agent_id(identity)}
    senders = []
    for leave_out in ((), ("from_number",), ("from_number", "number_id")):
        body = {name: value for name, value in named.items() if name not in leave_out}
        senders.append(admin.send(**body, to_number=STRANGER, body="hi").json()["from_number"])
    assert senders == [second.address, first.address, NUMBER]


def test_another_number_stands_in_for_one_that_cannot_send(agent: Phone, identity: Identity, number: Line) -> None:
    Line.objects.update(failover={"enabled": True, "mode": "all", "numbers": []}, seen=Line.Seen.DOWN)
    other = make.make_owned_line(identity, "+15555550179")
    response = agent.send(from_number=NUMBER, to_number=STRANGER, body="hi")
    assert (response.status_code, response.json()["from_number"]) == (200, other.address)
    assert Event.objects.get(type="line.substituted").data["original"]["address"] == NUMBER


def test_a_pool_number_answers_the_human_who_is_connected_there(admin: Phone, conversation: Conversation) -> None:
    make.make_message(conversation, "hello")
    for named in ({"from_number": conversation.line.address}, {"number_id": number_id(conversation.line)}):
        response = admin.send(**named, to_number=make.HUMAN, body="hi")
        assert (response.status_code, response.json()["from_number"]) == (200, conversation.line.address)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"to_number": STRANGER, "body": "hi"}, 400),
        ({"from_number": NUMBER, "body": "hi"}, 422),
        ({"from_number": NUMBER, "to_number": STRANGER, "recipients": [STRANGER, make.HUMAN], "body": "hi"}, 422),
        ({"from_number": NUMBER, "to_number": STRANGER}, 422),
        ({"from_number": NUMBER, "to_number": STRANGER, "body": ""}, 422),
        ({"from_number": NUMBER, "to_number": "12345", "body": "hi"}, 422),
        ({"from_number": NUMBER, "to_number": "a@example.com", "body": "hi"}, 422),
        ({"from_number": NUMBER, "recipients": [STRANGER], "body": "hi"}, 422),
        ({"from_number": NUMBER, "to_number": STRANGER, "body": "hi", "send_style": "sparkle"}, 422),
        ({"from_number": NUMBER, "to_number": STRANGER, "body": "hi", "send_style": "shooting_star"}, 422),
        ({"from_number": NUMBER, "to_number": STRANGER, "media_urls": PICTURES * 11}, 422),
        ({"from_number": NUMBER, "to_number": STRANGER, "media_url": PICTURES[0], "media_urls": PICTURES}, 400),
        ({"from_number": NUMBER, "to_number": STRANGER, "body": "hi", "media_urls": PICTURES}, 400),
        ({"from_number": NUMBER, "to_number": STRANGER, "body": "hi", "channel": "whatsapp"}, 422),
        ({"from_number": NUMBER, "to_number": STRANGER, "body": "hi", "buttons": [{}]}, 422),
        ({"from_number": "+15555550999", "to_number": STRANGER, "body": "hi"}, 404),
        ({"number_id": "num_nonsense", "to_number": STRANGER, "body": "hi"}, 404),
        ({"from_number": NUMBER, "to_number": "grp_nonsense", "body": "hi"}, 404),
        ({"from_number": NUMBER, "to_number": STRANGER, "body": "hi", "reply_to_message_id": "msg_x"}, 404),
    ],
)
def test_a_malformed_one_is_refused(admin: Phone, number: Line, body: dict[str, Any], status: int) -> None:
    response = admin.send(**body)
    assert response.status_code == status, response.json()
    assert response.json()["error"]["message"]
    assert not Message.objects.exists()


def test_an_agent_without_a_number_has_nothing_to_send_from(admin: Phone, identity: Identity) -> None:
    response = admin.send(agent_id=agent_id(identity), to_number=STRANGER, body="hi")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "NO_SENDER")


def test_a_blocked_recipient_is_forbidden(agent: Phone, identity: Identity, number: Line) -> None:
    make.make_rule(identity, STRANGER)
    response = agent.send(from_number=NUMBER, to_number=STRANGER, body="hi")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "RECIPIENT_BLOCKED")


def test_several_recipients_become_a_group_that_answers_go_to(agent: Phone, number: Line) -> None:
    opened = agent.send(from_number=NUMBER, recipients=[STRANGER, make.HUMAN], body="hi all").json()
    group = Conversation.objects.get()
    assert opened["to_number"] == prefixed("grp", group.id)
    again = agent.send(number_id=number_id(number), to_number=opened["to_number"], body="more").json()
    assert (again["conversation_id"], again["to_number"]) == (conversation_id(group), opened["to_number"])
    assert set(group.participants.values_list("human", flat=True)) == {STRANGER, make.HUMAN}


def test_a_conversation_may_be_named_instead(agent: Phone, thread: Conversation) -> None:
    response = agent.send(conversation_id=conversation_id(thread), body="hi")
    assert (response.status_code, response.json()["to_number"]) == (200, make.HUMAN)


def test_a_group_is_not_written_to_from_another_number(admin: Phone, identity: Identity, number: Line) -> None:
    group = make.make_group(number)
    other = make.make_owned_line(identity)
    response = admin.send(from_number=other.address, to_number=prefixed("grp", group.id), body="hi")
    assert response.status_code == 404


def test_a_reply_tells_that_it_is_threaded(agent: Phone, thread: Conversation) -> None:
    parent = make.make_message(thread, "which one?", provider_handle="handle-1")
    sent = agent.send(
        from_number=NUMBER, to_number=make.HUMAN, body="that", reply_to_message_id=prefixed("msg", parent.id)
    ).json()
    assert (sent["reply_to_message_id"], sent["reply_parent_unresolved"]) == (prefixed("msg", parent.id), False)


def test_a_reply_to_one_image_names_its_part(agent: Phone, thread: Conversation) -> None:
    parent = make.make_message(thread, None, provider_handle="handle-1", message_type="carousel")
    image = [make.make_media(parent) for _ in range(3)][2]
    agent.send(from_number=NUMBER, to_number=make.HUMAN, body="that", reply_to_message_id=prefixed("msg", image.id))
    sent = Message.objects.get(direction="outbound")
    assert (sent.reply_to_id, sent.reply_to_part) == (parent.id, 2)


def test_a_reply_to_a_message_of_another_chat_is_not_sent(agent: Phone, number: Line, thread: Conversation) -> None:
    elsewhere = make.make_message(make.make_owned_conversation(number, STRANGER), "hi")
    response = agent.send(
        from_number=NUMBER, to_number=make.HUMAN, body="that", reply_to_message_id=prefixed("msg", elsewhere.id)
    )
    assert (response.status_code, response.json()["detail"]) == (404, "Reply target not found.")


def test_an_sms_number_says_its_channel_and_takes_a_carousel_with_a_body(agent: Phone, identity: Identity) -> None:
    line = make.make_owned_line(identity, service="sms")
    body = {"from_number": line.address, "to_number": STRANGER}
    assert agent.send(**body, body="hi").json()["channel"] == "sms"
    assert agent.send(**body, body="look", media_urls=PICTURES).json()["channel"] == "mms"
