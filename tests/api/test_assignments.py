from accounts.models import Identity
from imessage.models import Conversation
from imessage.shapes import iso
from tests import make
from tests.api.conftest import Api


def test_list_shows_active_connections_newest_first(agent: Api, identity: Identity) -> None:
    first = make.make_connection(identity)
    second = make.make_connection(identity, make.OTHER_HUMAN)
    make.make_connection(identity, "+15555550125", status="released")
    body = agent.get("/imessage/assignments").json()
    assert [row["id"] for row in body] == [str(second.id), str(first.id)]
    assert body[1] == {
        "id": str(first.id),
        "remote_number": make.HUMAN,
        "agent_identity_id": str(identity.id),
        "organization_id": identity.organization.public_id,
        "status": "active",
        "released_at": None,
        "created_at": iso(first.created_at),
        "updated_at": iso(first.updated_at),
    }


def test_list_narrows_and_hides(admin: Api, agent: Api, stranger: Api, identity: Identity, colleague: Identity) -> None:
    own = make.make_connection(identity)
    others = make.make_connection(colleague)
    assert len(admin.get("/imessage/assignments").json()) == 2
    assert [row["id"] for row in agent.get("/imessage/assignments").json()] == [str(own.id)]
    narrowed = admin.get("/imessage/assignments", agent_identity_id=colleague.id).json()
    assert [row["id"] for row in narrowed] == [str(others.id)]
    assert stranger.get("/imessage/assignments").json() == []


def test_an_admin_releases_a_connection_once(admin: Api, agent: Api, conversation: Conversation) -> None:
    path = f"/imessage/assignments/{conversation.connection_id}"
    assert agent.delete(path).status_code == 403
    response = admin.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    assert admin.delete(path).status_code == 404
    assert admin.get("/imessage/assignments").json() == []
    assert admin.get(f"/imessage/conversations/{conversation.id}").json()["assignment_status"] == "released"


def test_a_strangers_connection_is_not_found(admin: Api, charlies_conversation: Conversation) -> None:
    for connection_id in (charlies_conversation.connection_id, "nonsense"):
        assert admin.delete(f"/imessage/assignments/{connection_id}").status_code == 404
