import pytest
from django.test import Client

from accounts.models import ApiKey, Identity
from imessage.shapes import iso
from tests.api.conftest import Api


def test_an_admin_key_is_told_who_it_is(admin: Api, admin_key: str) -> None:
    key = ApiKey.objects.get(pk=admin_key.partition(".")[0])
    assert admin.get("/whoami").json() == {
        "auth_type": "api_key",
        "auth_subtype": "api_key.admin_scoped",
        "scope": f"organization:{key.organization.public_id}",
        "organization_id": key.organization.public_id,
        "created_by": "tests",
        "creator_type": "human",
        "key_id": key.id,
        "label": "admin",
        "description": None,
        "created_at": iso(key.created_at),
        "last_used_at": None,
        "expires_at": None,
    }


def test_a_bound_key_is_told_its_identity(agent: Api, identity: Identity) -> None:
    body = agent.get("/whoami").json()
    assert body["auth_subtype"] == "api_key.agent_scoped.claimed"
    assert body["scope"] == f"identity:{identity.id}"


def test_both_paths_answer(admin_key: str) -> None:
    client = Client(headers={"X-API-Key": admin_key})
    assert client.get("/api/whoami").json()["key_id"] == client.get("/api/v1/whoami").json()["key_id"]


@pytest.mark.parametrize("key", ["", "nonsense", "ApiKey_x.y"])
def test_a_bad_key_is_refused(db: None, key: str) -> None:
    response = Api(key).get("/whoami")
    assert response.status_code == 401
    assert response.json() == {"detail": "The API key is missing, malformed, unknown, expired or revoked."}


def test_a_wrong_secret_is_refused(admin_key: str) -> None:
    assert Api(admin_key[:-1] + ("0" if admin_key[-1] != "0" else "1")).get("/whoami").status_code == 401
