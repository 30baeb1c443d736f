"""What belongs to others, and what was blocked, does not exist: the same bytes as for an id that never was."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse

from accounts.models import Identity
from core.ids import prefixed, uuid7
from imessage.models import Conversation
from tests import make
from tests.api.agentphone.conftest import Phone

Call = Callable[[Phone, dict[str, str]], HttpResponse]

_URL = {"url": "https://hooks.example.com/x"}

CALLS: dict[str, Call] = {
    "react": lambda phone, ids: phone.post(f"/messages/{ids['msg']}/reactions", {"reaction": "like"}),
    "reply": lambda phone, ids: phone.send(conversation_id=ids["conv"], body="hi", reply_to_message_id=ids["msg"]),
    "group": lambda phone, ids: phone.send(number_id=ids["num"], to_number=ids["grp"], body="hi"),
    "from": lambda phone, ids: phone.send(number_id=ids["num"], to_number=make.HUMAN, body="hi"),
    "as": lambda phone, ids: phone.send(agent_id=ids["agt"], to_number=make.HUMAN, body="hi"),
    "conversation": lambda phone, ids: phone.get(f"/conversations/{ids['conv']}"),
    "history": lambda phone, ids: phone.get(f"/conversations/{ids['conv']}/messages"),
    "typing": lambda phone, ids: phone.post(f"/conversations/{ids['conv']}/typing"),
    "number": lambda phone, ids: phone.get(f"/numbers/{ids['num']}"),
    "change number": lambda phone, ids: phone.patch(f"/numbers/{ids['num']}", {"externalId": "x"}),
    "release": lambda phone, ids: phone.delete(f"/numbers/{ids['num']}"),
    "number's messages": lambda phone, ids: phone.get(f"/numbers/{ids['num']}/messages"),
    "card": lambda phone, ids: phone.get(f"/numbers/{ids['num']}/contact-card"),
    "agent": lambda phone, ids: phone.get(f"/agents/{ids['agt']}"),
    "change agent": lambda phone, ids: phone.patch(f"/agents/{ids['agt']}", {"name": "x"}),
    "delete agent": lambda phone, ids: phone.delete(f"/agents/{ids['agt']}"),
    "attach": lambda phone, ids: phone.post(f"/agents/{ids['agt']}/numbers", {"numberId": ids["num"]}),
    "detach": lambda phone, ids: phone.delete(f"/agents/{ids['agt']}/numbers/{ids['num']}"),
    "agent's conversations": lambda phone, ids: phone.get(f"/agents/{ids['agt']}/conversations"),
    "webhook": lambda phone, ids: phone.get(f"/agents/{ids['agt']}/webhook"),
    "save webhook": lambda phone, ids: phone.post(f"/agents/{ids['agt']}/webhook", _URL),
    "delete webhook": lambda phone, ids: phone.delete(f"/agents/{ids['agt']}/webhook"),
    "deliveries": lambda phone, ids: phone.get(f"/agents/{ids['agt']}/webhook/deliveries"),
    "contact": lambda phone, ids: phone.get(f"/contacts/{ids['con']}"),
    "change contact": lambda phone, ids: phone.patch(f"/contacts/{ids['con']}", {"name": "x"}),
    "delete contact": lambda phone, ids: phone.delete(f"/contacts/{ids['con']}"),
}


@pytest.fixture
def theirs(charlies_identity: Identity) -> dict[str, str]:
    """Ids of everything that Charlie has."""
    line = make.make_owned_line(charlies_identity)
    conversation = make.make_owned_conversation(line)
    return {
        "msg": prefixed("msg", make.make_message(conversation).id),
        "conv": prefixed("conv", conversation.id),
        "grp": prefixed("grp", make.make_group(line).id),
        "num": prefixed("num", line.id),
        "agt": prefixed("agt", charlies_identity.id),
        "con": prefixed("con", make.make_contact(charlies_identity.organization).id),
    }


def test_another_organizations_ids_answer_as_ids_that_never_were(admin: Phone, theirs: dict[str, str]) -> None:
    nowhere = {name: prefixed(name, uuid7()) for name in theirs}

    def said(call: Call, ids: dict[str, str]) -> tuple[int, bytes]:
        response = call(admin, ids)
        return response.status_code, response.content

    answers = {name: (said(call, theirs), said(call, nowhere)) for name, call in CALLS.items()}
    assert {name: answer for name, answer in answers.items() if answer[0] != answer[1] or answer[0][0] != 404} == {}


def test_lists_hold_nothing_of_others(admin: Phone, theirs: dict[str, str]) -> None:
    for path in ("/conversations", "/numbers", "/agents", "/contacts"):
        assert admin.get(path).json() == {"data": [], "hasMore": False, "total": 0}


def test_a_shared_number_is_nobodys_to_use_or_to_manage(admin: Phone, identity: Identity) -> None:
    shared = make.make_line()
    number, agent = prefixed("num", shared.id), prefixed("agt", identity.id)
    group = {"from_number": shared.address, "recipients": [make.HUMAN, make.OTHER_HUMAN], "body": "hi"}
    answers = [
        admin.send(from_number=shared.address, to_number=make.HUMAN, body="hi"),
        admin.send(number_id=number, to_number=make.HUMAN, body="hi"),
        admin.send(**group),
        admin.get(f"/numbers/{number}"),
        admin.get(f"/numbers/{number}/messages"),
        admin.post(f"/agents/{agent}/numbers", {"numberId": number}),
        admin.delete(f"/numbers/{number}"),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)


def test_nothing_blocked_is_shown_to_anybody(admin: Phone, agent: Phone, thread: Conversation) -> None:
    blocked = make.make_message(thread, "secret", is_blocked=True)
    silent = make.make_owned_conversation(thread.line, make.OTHER_HUMAN)
    make.make_message(silent, "secret too", is_blocked=True)
    for phone in (admin, agent):
        paths = _paths(prefixed("conv", thread.id), prefixed("num", thread.line.id))
        shown = "".join(phone.get(path).content.decode() for path in paths)
        assert "hello" in shown
        assert "secret" not in shown
        assert prefixed("conv", silent.id) not in shown
        assert phone.get(f"/conversations/{prefixed('conv', silent.id)}").status_code == 404
        reaction: dict[str, Any] = {"reaction": "like"}
        assert phone.post(f"/messages/{prefixed('msg', blocked.id)}/reactions", reaction).status_code == 404


def _paths(conversation: str, number: str) -> list[str]:
    return [
        "/conversations",
        f"/conversations/{conversation}",
        f"/conversations/{conversation}/messages",
        f"/numbers/{number}/messages",
    ]


def test_a_bound_key_sees_its_own_and_manages_nothing(agent: Phone, identity: Identity, thread: Conversation) -> None:
    colleague = make.make_identity(identity.organization, "colleague")
    other = make.make_owned_line(colleague)
    make.make_message(make.make_owned_conversation(other), "not yours")
    assert agent.get("/conversations").json()["total"] == 1
    assert agent.get("/numbers").json()["total"] == 1
    assert agent.get("/agents").json()["total"] == 1
    assert agent.get(f"/agents/{prefixed('agt', colleague.id)}").status_code == 404
    own = prefixed("num", thread.line.id)
    entry = prefixed("con", make.make_contact(identity.organization).id)
    refused = [
        agent.post("/numbers", {}),
        agent.patch(f"/numbers/{own}", {"externalId": "x"}),
        agent.delete(f"/numbers/{own}"),
        agent.post("/agents", {"name": "x"}),
        agent.post("/contacts", {"phoneNumber": make.HUMAN, "name": "x"}),
        agent.delete(f"/agents/{prefixed('agt', identity.id)}"),
        agent.post(f"/agents/{prefixed('agt', identity.id)}/numbers", {"numberId": own}),
        agent.delete(f"/agents/{prefixed('agt', identity.id)}/numbers/{own}"),
        agent.put(f"/numbers/{own}/contact-card", {"displayName": "x"}),
        agent.delete(f"/numbers/{own}/contact-card"),
        agent.patch(f"/contacts/{entry}", {"name": "x"}),
        agent.delete(f"/contacts/{entry}"),
        agent.delete("/webhooks"),
        agent.post("/webhooks/test", {}),
        agent.get("/webhooks/deliveries"),
        agent.get("/webhooks/deliveries/stats"),
        agent.get("/webhooks/deliveries/all-time"),
        agent.get("/webhooks"),
        agent.post("/webhooks", _URL),
    ]
    assert [response.status_code for response in refused] == [403] * len(refused)


def test_a_sub_account_cannot_be_named(admin_key: str) -> None:
    phone = Phone(admin_key)
    response = phone.client.get("/v1/agents", headers={"X-Sub-Account-Id": "sub_1"})
    assert response.status_code == 400
