"""Groups in Inkbox's dialect: several humans on a dedicated line (contract/inkbox.md, section 19)."""

from typing import Any

import pytest

from accounts.models import Identity
from imessage.models import UNNAMED, Conversation, Message
from lines.models import Line, Route
from tests import make
from tests.api.conftest import Api

MEMBERS = [make.HUMAN, make.OTHER_HUMAN]


@pytest.fixture
def own_line(identity: Identity) -> Line:
    return make.make_owned_line(identity, "+15555550900")


@pytest.fixture
def group(own_line: Line) -> Conversation:
    """A group in which the second human has written."""
    group = make.make_group(own_line, MEMBERS)
    make.make_message(group, "hello all", human=make.OTHER_HUMAN)
    return group


def test_a_group_names_its_participants_and_no_assignment(agent: Api, group: Conversation) -> None:
    shown = agent.get(f"/imessage/conversations/{group.id}").json()
    assert shown | {"created_at": "", "updated_at": ""} == {
        "id": str(group.id),
        "assignment_id": None,
        "assignment_status": None,
        "remote_number": None,
        "participants": MEMBERS,
        "is_group": True,
        "group_creation_status": "ready",
        "created_at": "",
        "updated_at": "",
    }


@pytest.mark.parametrize(("status", "word"), [("queued", "creating"), ("error", "not_created"), ("sent", "creating")])
def test_a_group_that_the_provider_has_not_named_yet(agent: Api, own_line: Line, status: str, word: str) -> None:
    group = make.make_group(own_line, key=f"{UNNAMED}1")
    make.make_message(group, direction="outbound", status=status, human="")
    assert agent.get(f"/imessage/conversations/{group.id}").json()["group_creation_status"] == word


def test_lists_hide_groups_unless_asked(agent: Api, group: Conversation, open_conversation: Conversation) -> None:
    for path in ("/imessage/conversations", "/imessage/messages"):
        assert [row["is_group"] for row in agent.get(path).json()] == [False]
        assert {row["is_group"] for row in agent.get(path, include_groups="true").json()} == {True, False}


def test_a_named_group_is_always_readable(agent: Api, group: Conversation) -> None:
    for query in ({}, {"is_read": "false"}):
        (row,) = agent.get("/imessage/messages", conversation_id=str(group.id), **query).json()
        assert (row["sender_number"], row["remote_number"], row["participants"]) == (make.OTHER_HUMAN, None, MEMBERS)


def test_a_stranger_finds_no_group(stranger: Api, group: Conversation) -> None:
    assert stranger.get(f"/imessage/conversations/{group.id}").status_code == 404
    assert stranger.get("/imessage/conversations", include_groups="true").json() == []


def test_many_groups_take_a_handful_of_queries(agent: Api, own_line: Line, django_assert_max_num_queries: Any) -> None:
    for _ in range(5):
        make.make_message(make.make_group(own_line), human=make.HUMAN)
    with django_assert_max_num_queries(9):
        assert len(agent.get("/imessage/conversations", include_groups="true").json()) == 5


@pytest.mark.parametrize("path", ["/imessage/mark-read", "/imessage/typing"])
def test_groups_know_no_receipts_and_no_typing(agent: Api, group: Conversation, path: str) -> None:
    response = agent.post(path, {"conversation_id": str(group.id)})
    assert (response.status_code, response.json()["detail"]["error"]) == (409, "imessage_group_unsupported")


class TestSending:
    def test_into_a_group_there_is_a_recipient_for_each_participant(self, agent: Api, group: Conversation) -> None:
        message = agent.send({"conversation_id": str(group.id), "text": "hi"}).json()["message"]
        assert [recipient["remote_number"] for recipient in message["recipients"]] == MEMBERS
        assert (message["assignment_id"], message["remote_number"], message["is_group"]) == (None, None, True)

    def test_the_same_participants_are_the_same_group(self, agent: Api, group: Conversation, own_line: Line) -> None:
        make.make_message(make.make_group(own_line, [*MEMBERS, "+15555550125"]), human=make.HUMAN)
        message = agent.send({"to": MEMBERS[::-1], "text": "hi"}).json()["message"]
        assert message["conversation_id"] == str(group.id)

    def test_new_participants_open_a_group(self, agent: Api, group: Conversation) -> None:
        members = [make.HUMAN, "+15555550125", "+15555550126"]
        message = agent.send({"to": members, "text": "hi"}).json()["message"]
        shown = agent.get(f"/imessage/conversations/{message['conversation_id']}").json()
        assert (shown["participants"], shown["group_creation_status"]) == (members, "creating")
        assert message["participants"] == members

    def test_two_groups_of_the_same_participants_are_told_apart_by_id(
        self, agent: Api, group: Conversation, own_line: Line
    ) -> None:
        make.make_message(make.make_group(own_line, MEMBERS), human=make.HUMAN)
        response = agent.send({"to": MEMBERS, "text": "hi"})
        assert (response.status_code, response.json()["detail"]["error"]) == (409, "imessage_group_ambiguous")

    def test_an_identity_without_a_line_of_its_own_has_no_groups(self, agent: Api, identity: Identity) -> None:
        response = agent.send({"to": MEMBERS, "text": "hi"})
        assert (response.status_code, response.json()["detail"]["error"]) == (400, "imessage_groups_unsupported")

    def test_a_blocked_participant_holds_it_back(self, agent: Api, group: Conversation, identity: Identity) -> None:
        make.make_rule(identity, make.OTHER_HUMAN)
        for where in ({"conversation_id": str(group.id)}, {"to": MEMBERS}, {"to": [make.OTHER_HUMAN, "+15555550127"]}):
            response = agent.send({**where, "text": "hi"})
            assert (response.status_code, response.json()["detail"]["address"]) == (403, make.OTHER_HUMAN)
        assert not Message.objects.filter(direction="outbound").exists()

    @pytest.mark.parametrize("to", [[], [make.HUMAN, make.HUMAN], [f"+1555555013{n}" for n in range(9)], ["x"], [1]])
    def test_a_list_holds_up_to_eight_different_numbers(self, agent: Api, own_line: Line, to: list[Any]) -> None:
        assert agent.send({"to": to, "text": "hi"}).status_code == 422


class TestDedicatedLines:
    def test_an_agent_may_write_first(self, agent: Api, own_line: Line) -> None:
        message = agent.send({"to": make.OTHER_HUMAN, "text": "hi"}).json()["message"]
        assert (message["remote_number"], message["status"]) == (make.OTHER_HUMAN, "queued")
        assert message["assignment_id"] is not None
        (row,) = agent.get("/imessage/conversations").json()
        assert (row["id"], row["remote_number"]) == (message["conversation_id"], make.OTHER_HUMAN)

    def test_its_connections_are_none_of_the_routers(self, agent: Api, admin: Api, own_line: Line) -> None:
        conversation = make.make_owned_conversation(own_line)
        make.make_message(conversation)
        assert agent.get("/imessage/assignments").json() == []
        shown = agent.get(f"/imessage/conversations/{conversation.id}").json()
        assert shown["assignment_id"] == str(conversation.connection_id)

    def test_who_is_connected_is_answered_over_the_pool_line(
        self, agent: Api, own_line: Line, open_conversation: Conversation
    ) -> None:
        message = agent.send({"to": make.HUMAN, "text": "hi"}).json()["message"]
        assert message["conversation_id"] == str(open_conversation.id)


class TestAttaching:
    @pytest.fixture
    def free(self, identity: Identity) -> Line:
        return make.make_line(kind=Line.Kind.DEDICATED, organization=identity.organization)

    def own(self, identity: Identity) -> list[str]:
        return list(Route.objects.live().filter(identity=identity).values_list("line__address", flat=True))

    def test_a_number_takes_the_place_of_the_former_one(
        self, admin: Api, identity: Identity, own_line: Line, free: Line
    ) -> None:
        response = admin.patch("/identities/helper", {"imessage_number_id": str(free.id)})
        assert response.json()["imessage_number"]["number"] == free.address
        assert self.own(identity) == [free.address]
        assert admin.patch("/identities/helper", {"imessage_number_id": str(free.id)}).status_code == 200

    def test_null_leads_back_to_the_shared_lines(self, admin: Api, identity: Identity, own_line: Line) -> None:
        assert admin.patch("/identities/helper", {"imessage_number_id": None}).json()["imessage_number"] is None
        assert self.own(identity) == []

    def test_only_an_admin_attaches_what_is_the_organizations(
        self, admin: Api, agent: Api, stranger: Api, identity: Identity, free: Line
    ) -> None:
        body = {"imessage_number_id": str(free.id)}
        assert agent.patch("/identities/helper", body).status_code in {403, 404}
        assert stranger.patch("/identities/stranger", body).status_code == 404
        sms = make.make_line(kind=Line.Kind.DEDICATED, organization=identity.organization, service=Line.Service.SMS)
        assert admin.patch("/identities/helper", {"imessage_number_id": str(sms.id)}).status_code == 404
        assert self.own(identity) == []

    def test_anothers_number_is_not_taken(self, admin: Api, colleague: Identity, own_line: Line) -> None:
        assert admin.patch("/identities/colleague", {"imessage_number_id": str(own_line.id)}).status_code == 409

    def test_a_claimed_number_is_attached_once(self, admin: Api, identity: Identity) -> None:
        line = make.make_line(kind=Line.Kind.DEDICATED)
        body = {"claim_imessage_number": True}
        assert admin.patch("/identities/helper", body).status_code == 422
        first, again = (
            admin.client.patch(
                "/api/v1/identities/helper", body, content_type="application/json", headers={"Idempotency-Key": "claim"}
            )
            for _ in range(2)
        )
        assert first.status_code == 200
        assert first.json()["imessage_number"]["number"] == line.address
        assert again.content == first.content

    def test_an_identity_is_made_with_a_number(self, admin: Api, identity: Identity) -> None:
        body = {"agent_handle": "caller", "imessage_enabled": True, "claim_imessage_number": True}
        assert admin.post("/identities/", body).status_code == 503
        line = make.make_line(kind=Line.Kind.DEDICATED)
        assert admin.post("/identities/", body).json()["imessage_number"]["number"] == line.address

    @pytest.mark.parametrize(
        "body", [{"claim_imessage_number": True, "imessage_number_id": None}, {"imessage_number_id": "no"}]
    )
    def test_contradictions_are_refused(self, admin: Api, identity: Identity, body: dict[str, Any]) -> None:
        assert admin.patch("/identities/helper", body).status_code == 422
