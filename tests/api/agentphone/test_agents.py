"""Agents: made, changed, ended, and given numbers; the contact book."""

import pytest

from accounts.models import Identity
from core.ids import prefixed
from imessage.models import Conversation
from imessage.shapes import iso
from lines.models import Line
from tests import make
from tests.api.agentphone.conftest import NUMBER, Phone, agent_id, conversation_id, number_id


def test_one_is_made_with_a_handle_of_its_name(admin: Phone) -> None:
    first = admin.post("/agents", {"name": "Support Bot", "voiceMode": "hosted"}).json()
    second = admin.post("/agents", {"name": "Support Bot", "enableMessaging": False}).json()
    made = Identity.objects.order_by("created_at")
    assert made[0].handle == "support-bot"
    assert made[1].handle.startswith("support-bot-")
    assert (first["enableMessaging"], second["enableMessaging"]) == (True, False)
    assert (first["name"], first["numbers"], first["voiceMode"]) == ("Support Bot", [], "webhook")


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "  "}, {"name": None}, {"name": "x" * 256}])
def test_one_without_a_name_is_not(admin: Phone, body: dict[str, object]) -> None:
    assert admin.post("/agents", body).status_code == 422


def test_one_is_shown_with_its_numbers_in_the_order_of_attaching(
    agent: Phone, identity: Identity, number: Line
) -> None:
    second = make.make_owned_line(identity, service="sms")
    shown = agent.get(f"/agents/{agent_id(identity)}").json()
    assert shown["numbers"] == [
        {"id": number_id(number), "phoneNumber": NUMBER, "status": "active", "type": "imessage"},
        {"id": number_id(second), "phoneNumber": second.address, "status": "active", "type": "sms"},
    ]


def test_it_changes_what_is_given(agent: Phone, identity: Identity) -> None:
    path = f"/agents/{agent_id(identity)}"
    shown = agent.patch(path, {"name": "New", "description": None, "enableMessaging": False}).json()
    assert (shown["name"], shown["enableMessaging"]) == ("New", False)


def test_an_ended_one_leaves_its_conversations_behind(admin: Phone, identity: Identity, thread: Conversation) -> None:
    path = f"/agents/{agent_id(identity)}"
    assert admin.delete(path).json() == {"success": True, "id": agent_id(identity), "name": "Helper"}
    assert admin.get(path).status_code == 404
    assert admin.get(f"/conversations/{conversation_id(thread)}").json()["agentId"] is None
    assert admin.get("/numbers").json()["data"][0]["agentId"] is None


def test_a_number_moves_from_one_to_another(admin: Phone, identity: Identity, number: Line) -> None:
    other = make.make_identity(identity.organization)
    body = {"numberId": number_id(number)}
    assert admin.post(f"/agents/{agent_id(other)}/numbers", body).status_code == 409
    assert admin.delete(f"/agents/{agent_id(other)}/numbers/{number_id(number)}").status_code == 404
    assert admin.delete(f"/agents/{agent_id(identity)}/numbers/{number_id(number)}").json() == {"success": True}
    assert admin.post(f"/agents/{agent_id(other)}/numbers", body).json() == {
        "agentId": agent_id(other),
        "number": {"id": number_id(number), "phoneNumber": NUMBER, "status": "active", "type": "imessage"},
    }


def test_contacts_are_kept_found_and_forgotten(admin: Phone) -> None:
    body = {"phoneNumber": "(555) 555-0123", "name": "Ada", "notes": "VIP"}
    made = admin.post("/contacts", body)
    ada = made.json()
    assert (made.status_code, ada["phoneNumber"], ada["email"]) == (201, make.HUMAN, None)
    assert admin.post("/contacts", body).status_code == 409
    path = f"/contacts/{ada['id']}"
    assert admin.patch(path, {"email": "ada@example.com"}).json()["email"] == "ada@example.com"
    assert admin.get("/contacts", search="vip").json()["data"] == [admin.get(path).json()]
    assert admin.get("/contacts", search="nobody").json()["total"] == 0
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == 404


def test_ids_carry_their_kind(admin: Phone, identity: Identity) -> None:
    """An agent's key behind another prefix is no agent's."""
    assert admin.get(f"/agents/{prefixed('num', identity.id)}").status_code == 404
    assert iso(identity.created_at) == admin.get(f"/agents/{agent_id(identity)}").json()["createdAt"]
