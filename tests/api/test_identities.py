from typing import Any

import pytest

from accounts.models import Identity
from imessage.models import Conversation
from imessage.shapes import iso
from lines.models import Line, Route
from tests import make
from tests.api.conftest import Api

MODES = ("phone_filter_mode", "phone_inbound_filter_mode", "phone_outbound_filter_mode")


def shown(identity: Identity, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(identity.id),
        "organization_id": identity.organization.public_id,
        "agent_handle": identity.handle,
        "display_name": "Helper",
        "description": None,
        "email_address": None,
        "status": "active",
        "imessage_enabled": True,
        "imessage_filter_mode": "blacklist",
        "phone_filter_mode": "blacklist",
        "phone_inbound_filter_mode": "blacklist",
        "phone_outbound_filter_mode": "blacklist",
        "mailbox": None,
        "phone_number": None,
        "tunnel": None,
        "imessage_number": None,
        "signing_key_configured": False,
        "signing_key_created_at": None,
        "created_at": iso(identity.created_at),
        "updated_at": iso(identity.updated_at),
        **changes,
    }


@pytest.mark.parametrize("path", ["/identities", "/identities/"])
def test_create_works_with_and_without_the_slash(admin: Api, path: str) -> None:
    response = admin.post(path, {"agent_handle": "@Helper", "display_name": "Helper", "imessage_enabled": True})
    assert response.status_code == 201
    assert response.json() == shown(Identity.objects.get())


def test_create_has_defaults(admin: Api) -> None:
    body = admin.post("/identities/", {"agent_handle": "plain"}).json()
    assert (body["display_name"], body["description"], body["imessage_enabled"]) == ("plain", None, False)


def test_create_ignores_what_newer_clients_send(admin: Api) -> None:
    extras = {"mailbox": {}, "tunnel": {"tls_mode": "edge"}, "vault_secret_ids": "*", "contact_sharing_enabled": True}
    assert admin.post("/identities/", {"agent_handle": "new", **extras}).status_code == 201


def test_create_keeps_an_empty_description_apart_from_none(admin: Api) -> None:
    assert admin.post("/identities/", {"agent_handle": "new", "description": ""}).json()["description"] == ""


def test_create_refuses_a_taken_handle(admin: Api, charlies_identity: Identity) -> None:
    response = admin.post("/identities/", {"agent_handle": charlies_identity.handle})
    assert response.status_code == 409
    assert response.json() == {
        "detail": {
            "error": "agent_handle_unavailable",
            "message": "The agent handle 'stranger' is already taken; choose another.",
        }
    }


def test_create_refuses_a_bound_key(agent: Api) -> None:
    response = agent.post("/identities/", {"agent_handle": "new"})
    assert (response.status_code, response.json()) == (403, {"detail": "This key or person may not do that."})


def test_create_explains_a_bad_handle(admin: Api) -> None:
    response = admin.post("/identities/", {"agent_handle": "Not a handle"})
    assert response.status_code == 422
    assert response.json() == {
        "detail": [
            {
                "type": "bad_handle",
                "loc": ["body", "agent_handle"],
                "msg": "A handle is 1 to 63 lower case letters, digits and hyphens, and begins and ends with a letter"
                " or digit.",
                "input": "Not a handle",
            }
        ]
    }


def test_list_shows_the_organizations_own_newest_first(
    admin: Api, identity: Identity, colleague: Identity, charlies_identity: Identity
) -> None:
    handles = [row["agent_handle"] for row in admin.get("/identities/").json()]
    assert handles == [colleague.handle, identity.handle]
    assert admin.get("/identities").json() == admin.get("/identities/").json()


def test_list_shows_a_bound_key_only_itself(agent: Api, identity: Identity, colleague: Identity) -> None:
    assert agent.get("/identities/").json() == [shown(identity)]


@pytest.mark.parametrize("handle", ["helper", "@helper", "HELPER"])
def test_get_works(admin: Api, identity: Identity, handle: str) -> None:
    assert admin.get(f"/identities/{handle}").json() == shown(identity)


def test_get_hides_strangers_deleted_and_colleagues_alike(
    admin: Api, agent: Api, identity: Identity, colleague: Identity, charlies_identity: Identity
) -> None:
    missing = admin.get("/identities/nobody")
    assert missing.status_code == 404
    assert admin.get("/identities/stranger").content == missing.content
    assert agent.get(f"/identities/{colleague.handle}").content == missing.content
    Identity.objects.filter(pk=identity.pk).update(status="deleted")
    assert admin.get("/identities/helper").content == missing.content


def test_update_changes_what_is_given(admin: Api, identity: Identity) -> None:
    response = admin.patch("/identities/helper", {"display_name": "Other", "imessage_filter_mode": "whitelist"})
    identity.refresh_from_db()
    modes = dict.fromkeys((*MODES, "imessage_filter_mode"), "whitelist")
    assert response.json() == shown(identity, display_name="Other", **modes)
    assert (identity.display_name, identity.imessage_filter_mode) == ("Other", "whitelist")


def test_update_with_nothing_changes_nothing(admin: Api, identity: Identity) -> None:
    assert admin.patch("/identities/helper", {}).json() == shown(identity)


def test_update_can_disable_pause_and_clear(agent: Api, identity: Identity) -> None:
    body = agent.patch(
        "/identities/helper",
        {"imessage_enabled": False, "status": "paused", "display_name": None, "description": None},
    ).json()
    identity.refresh_from_db()
    assert body == shown(identity, imessage_enabled=False, status="paused", display_name="helper")


def test_update_of_the_mode_needs_an_admin_key(agent: Api, identity: Identity) -> None:
    response = agent.patch("/identities/helper", {"imessage_filter_mode": "whitelist", "display_name": "No"})
    assert response.status_code == 403
    identity.refresh_from_db()
    assert (identity.imessage_filter_mode, identity.display_name) == ("blacklist", "Helper")


@pytest.mark.parametrize(
    ("changes", "inbound", "outbound"),
    [
        ({"phone_filter_mode": "whitelist"}, "whitelist", "whitelist"),
        ({"phone_filter_mode": "whitelist", "imessage_filter_mode": "whitelist"}, "whitelist", "whitelist"),
        ({"phone_inbound_filter_mode": "whitelist"}, "whitelist", "blacklist"),
        ({"phone_outbound_filter_mode": "whitelist"}, "blacklist", "whitelist"),
        (
            {"phone_inbound_filter_mode": "whitelist", "phone_outbound_filter_mode": "whitelist"},
            "whitelist",
            "whitelist",
        ),
    ],
)
def test_update_sets_the_mode_of_each_direction(
    admin: Api, identity: Identity, changes: dict[str, str], inbound: str, outbound: str
) -> None:
    body = admin.patch("/identities/helper", changes).json()
    assert (body["phone_inbound_filter_mode"], body["phone_outbound_filter_mode"]) == (inbound, outbound)
    assert body["imessage_filter_mode"] == inbound


@pytest.mark.parametrize(
    "changes",
    [
        {"imessage_filter_mode": "whitelist", "phone_inbound_filter_mode": "whitelist"},
        {"imessage_filter_mode": "whitelist", "phone_filter_mode": "blacklist"},
    ],
)
def test_update_refuses_modes_that_contradict(admin: Api, identity: Identity, changes: dict[str, str]) -> None:
    assert admin.patch("/identities/helper", changes).status_code == 422


def test_self_is_the_identity_of_a_bound_key(agent: Api, admin: Api, identity: Identity) -> None:
    assert agent.get("/identities/self").json() == shown(identity)
    assert admin.get("/identities/self").status_code == 404
    assert admin.post("/identities/", {"agent_handle": "self"}).status_code == 409


def test_delete_ends_connections_keys_and_the_identity(
    admin: Api, agent: Api, identity: Identity, open_conversation: Conversation
) -> None:
    response = admin.delete("/identities/@helper")
    assert (response.status_code, response.content) == (204, b"")
    assert agent.get("/identities/self").status_code == 401
    assert admin.get("/identities/helper").status_code == 404
    assert admin.get("/imessage/assignments").json() == []
    assert admin.get("/imessage/messages").json()[0]["content"] == "hello"
    assert admin.post("/identities/", {"agent_handle": "helper"}).status_code == 409
    assert admin.delete("/identities/helper").status_code == 404


def test_delete_needs_an_admin_key_of_the_organization(agent: Api, stranger: Api, identity: Identity) -> None:
    assert agent.delete("/identities/helper").status_code == 403
    assert stranger.delete("/identities/helper").status_code == 404


def test_a_repeated_creation_gives_the_first_answer_again(admin: Api) -> None:
    first = admin.post("/identities/", {"agent_handle": "twin"}, {"Idempotency-Key": "k"})
    again = admin.post("/identities/", {"agent_handle": "twin"}, {"Idempotency-Key": "k"})
    assert (again.status_code, again.content) == (201, first.content)
    other = admin.post("/identities/", {"agent_handle": "other"}, {"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["detail"]["error"]) == (409, "idempotency_key_reused")


def test_update_renames(admin: Api, agent: Api, identity: Identity) -> None:
    assert agent.patch("/identities/helper", {"agent_handle": "@helper"}).status_code == 200
    assert agent.patch("/identities/helper", {"agent_handle": "other"}).status_code == 403
    renamed = admin.patch("/identities/helper", {"agent_handle": "other"}).json()
    assert (renamed["agent_handle"], renamed["id"]) == ("other", str(identity.id))
    assert admin.get("/identities/helper").status_code == 404
    assert admin.patch("/identities/other", {"agent_handle": "helper"}).json()["agent_handle"] == "helper"


def test_a_former_handle_stays_the_identitys(
    admin: Api, stranger: Api, identity: Identity, charlies_identity: Identity
) -> None:
    admin.patch("/identities/helper", {"agent_handle": "other"})
    assert stranger.post("/identities/", {"agent_handle": "helper"}).status_code == 409
    response = stranger.patch("/identities/stranger", {"agent_handle": "helper"})
    assert (response.status_code, response.json()["detail"]["error"]) == (409, "agent_handle_unavailable")
    assert Identity.objects.called("helper").get() == identity


def test_update_of_a_stranger_is_not_found(stranger: Api, identity: Identity) -> None:
    assert stranger.patch("/identities/helper", {"display_name": "Mine"}).status_code == 404


def test_an_identity_shows_the_line_of_its_own(admin: Api, agent: Api, identity: Identity) -> None:
    assert admin.get("/identities/helper").json()["imessage_number"] is None
    sms = make.make_line(kind=Line.Kind.DEDICATED, organization=identity.organization, service=Line.Service.SMS)
    line, later = (make.make_line(kind=Line.Kind.DEDICATED, organization=identity.organization) for _ in range(2))
    for own in (sms, line, later):
        Route.objects.create(line=own, line_kind=own.kind, human="*", identity=identity)
    number = {"id": str(line.id), "number": line.address, "type": "dedicated_outbound"}
    for api in (admin, agent):
        assert api.get("/identities/helper").json()["imessage_number"] == number
        assert [found["imessage_number"] for found in api.get("/identities/").json()] == [number]
