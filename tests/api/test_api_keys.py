import pytest

from accounts.models import ApiKey, Identity
from api.models import IdempotencyKey
from tests import make
from tests.api.conftest import Api


def test_an_admin_key_makes_a_key_for_an_identity(admin: Api, identity: Identity) -> None:
    body = {"label": "bot", "description": "answers", "scoped_identity_id": str(identity.id)}
    response = admin.post("/api-keys", body)
    assert response.status_code == 201
    made = response.json()
    record = made["record"]
    assert record["id"] == made["api_key"].partition(".")[0]
    assert record["display_prefix"] == record["id"][:15]
    assert (record["label"], record["status"], record["creator_type"]) == ("bot", "active", "human")
    assert record["scoped_identity_id"] == str(identity.id)
    assert Api(made["api_key"]).get("/api-keys/self").json()["id"] == record["id"]


def test_an_admin_key_makes_no_admin_key(admin: Api) -> None:
    assert admin.post("/api-keys", {"label": "bot"}).status_code == 403


def test_a_bound_key_makes_none(agent: Api, identity: Identity) -> None:
    assert agent.post("/api-keys", {"label": "bot", "scoped_identity_id": str(identity.id)}).status_code == 403


def test_a_strangers_identity_is_not_found(admin: Api, charlies_identity: Identity) -> None:
    body = {"label": "bot", "scoped_identity_id": str(charlies_identity.id)}
    assert admin.post("/api-keys", body).status_code == 404


@pytest.mark.parametrize("label", [None, "", "x" * 256, "a\x00"])
def test_a_label_is_needed(admin: Api, identity: Identity, label: str | None) -> None:
    assert admin.post("/api-keys", {"label": label, "scoped_identity_id": str(identity.id)}).status_code == 422


def test_self_shows_the_calling_key(agent: Api, identity: Identity) -> None:
    shown = agent.get("/api-keys/self").json()
    assert (shown["scoped_identity_id"], shown["label"], shown["revoked_at"]) == (str(identity.id), "agent", None)


@pytest.mark.parametrize("who", ["admin", "agent"])
def test_a_key_revokes_itself(admin: Api, agent: Api, who: str) -> None:
    api = {"admin": admin, "agent": agent}[who]
    response = api.post("/api-keys/self/revoke", {})
    assert (response.status_code, response.json()["status"]) == (200, "revoked")
    assert api.get("/api-keys/self").status_code == 401
    assert ApiKey.objects.exclude(revoked_at=None).count() == 1


def test_a_repeated_creation_shows_the_same_key_and_keeps_no_secret(admin: Api, identity: Identity) -> None:
    body = {"label": "bot", "scoped_identity_id": str(identity.id)}
    first, again = (admin.post("/api-keys", body, {"Idempotency-Key": "k"}) for _ in range(2))
    assert first.content == again.content
    assert first.json()["api_key"].partition(".")[2] not in IdempotencyKey.objects.get().answer


def test_a_key_is_remembered_per_organization(admin: Api, stranger: Api, identity: Identity) -> None:
    other = make.make_identity(handle="x")
    assert other.organization_id != identity.organization_id
    for api, handle in ((admin, "one"), (stranger, "two")):
        assert api.post("/identities/", {"agent_handle": handle}, {"Idempotency-Key": "k"}).status_code == 201
