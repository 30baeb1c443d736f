from typing import Any

import pytest

from accounts.models import Identity
from tests import make
from tests.api.conftest import Api
from tests.webhooks.endpoints import Endpoint, endpoint
from webhooks.delivering import send_test
from webhooks.models import Attempt, SigningKey, Subscription

PATH = "/webhooks/subscriptions"
URL = "https://agent.example.com/hook"


@pytest.fixture(autouse=True)
def loopback_allowed(settings: Any) -> None:
    settings.INTERNAL_HOSTS = ["127.0.0.0/8", "agent.example.com", "other.example.com"]


def wanted(identity: Identity, **changes: Any) -> dict[str, Any]:
    return {"url": URL, "event_types": ["imessage.received"], "agent_identity_id": str(identity.id), **changes}


@pytest.fixture
def subscription(admin: Api, identity: Identity) -> dict[str, Any]:
    return admin.post(PATH, wanted(identity)).json()


@pytest.mark.parametrize("who", ["admin", "agent"])
def test_create_shows_the_first_signing_key_once(admin: Api, agent: Api, identity: Identity, who: str) -> None:
    api = {"admin": admin, "agent": agent}[who]
    response = api.post(PATH, wanted(identity))
    assert response.status_code == 201
    row = Subscription.objects.get()
    made = response.json()
    assert made.pop("signing_key").startswith("whsec_")
    assert made == api.get(f"{PATH}/{row.id}").json()
    assert (made["agent_identity_id"], made["owner_identity_id"]) == (str(identity.id), str(identity.id))
    assert (made["mailbox_id"], made["phone_number_id"], made["status"]) == (None, None, "active")
    assert api.post(PATH, wanted(identity, url=URL + "/2")).json()["signing_key"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"event_types": []},
        {"event_types": ["imessage.received", "imessage.received"]},
        {"event_types": ["imessage.unknown"]},
        {"event_types": ["phone.incoming_call"]},
        {"event_types": ["message.received"]},
        {"url": "ftp://agent.example.com/"},
        {"url": ""},
        {"url": "https://10.0.0.1/"},
        {"agent_identity_id": None},
        {"mailbox_id": "018f3c5e-0000-7000-8000-000000000000"},
        {"context_config": {"fax": None}},
        {"context_config": {"texts": {"mode": "count", "count": 51}}},
        {"auth_token": "two words"},
    ],
)
def test_create_refuses_what_cannot_be(admin: Api, identity: Identity, changes: dict[str, Any]) -> None:
    assert admin.post(PATH, wanted(identity, **changes)).status_code == 422
    assert not Subscription.objects.exists()


def test_create_refuses_a_url_twice(admin: Api, identity: Identity, subscription: dict[str, Any]) -> None:
    response = admin.post(PATH, wanted(identity))
    assert (response.status_code, "active subscription" in response.json()["detail"]) == (409, True)


def test_other_identities_are_not_found(
    admin: Api, agent: Api, colleague: Identity, charlies_identity: Identity
) -> None:
    assert agent.post(PATH, wanted(colleague)).status_code == 404
    assert admin.post(PATH, wanted(charlies_identity)).status_code == 404


def test_list_is_an_envelope_with_filters(admin: Api, identity: Identity, subscription: dict[str, Any]) -> None:
    del subscription["signing_key"]
    for query in (
        {},
        {"agent_identity_id": str(identity.id)},
        {"url": URL},
        {"event_type": "imessage.received"},
        {"scope": "identity"},
    ):
        assert admin.get(PATH, **query).json() == {"subscriptions": [subscription]}
    nowhere = "018f3c5e-0000-7000-8000-000000000000"
    for query in ({"url": "https://x"}, {"event_type": "imessage.sent"}, {"mailbox_id": nowhere}):
        assert admin.get(PATH, **query).json() == {"subscriptions": []}
    assert admin.get(PATH, mailbox_id=nowhere, agent_identity_id=str(identity.id)).status_code == 422


def test_update_keeps_replaces_and_clears(admin: Api, identity: Identity) -> None:
    body = wanted(identity, auth_token="secret", context_config={"texts": {"mode": "count", "count": 3}})
    made = admin.post(PATH, body).json()
    assert (made["has_auth_token"], made["auth_token"]) == (True, "secret")
    path = f"{PATH}/{made['id']}"
    kept = admin.patch(path, {"event_types": ["imessage.sent", "imessage.delivered"]}).json()
    assert (kept["event_types"], kept["auth_token"]) == (["imessage.sent", "imessage.delivered"], "secret")
    cleared = admin.patch(f"{path}?scope=identity", {"auth_token": None, "context_config": None}).json()
    assert (cleared["has_auth_token"], cleared["auth_token"], cleared["context_config"]) == (False, None, None)
    assert admin.patch(path, {}).json() == cleared
    assert admin.patch(path, {"url": None}).status_code == 422


def test_delete_ends_it(admin: Api, subscription: dict[str, Any]) -> None:
    response = admin.delete(f"{PATH}/{subscription['id']}")
    assert (response.status_code, response.content) == (204, b"")
    assert admin.get(f"{PATH}/{subscription['id']}").status_code == 404
    assert admin.get(PATH).json() == {"subscriptions": []}


def test_a_colleagues_or_strangers_subscription_is_not_found(
    agent: Api, stranger: Api, admin: Api, colleague: Identity
) -> None:
    made = admin.post(PATH, wanted(colleague)).json()
    for api in (agent, stranger):
        path = f"{PATH}/{made['id']}"
        answers = [api.get(path), api.patch(path, {}), api.delete(path)]
        assert {answer.content for answer in answers} == {b'{"detail":"Not found."}'}
        assert api.get(PATH).json() == {"subscriptions": []}


def test_the_catalog_says_what_clients_ask_for(agent: Api) -> None:
    shown = agent.get("/webhooks/catalog").json()
    assert shown["supports_identity_subscriptions"] is True
    assert [event["event_type"] for event in shown["events"]] == [
        "imessage.received",
        "imessage.sent",
        "imessage.delivered",
        "imessage.delivery_failed",
        "imessage.reaction_received",
    ]


class TestDeliveries:
    @pytest.fixture
    def there(self) -> Any:
        with endpoint() as healthy:
            yield healthy

    @pytest.fixture
    def attempt(self, admin: Api, identity: Identity, there: Endpoint) -> Attempt:
        admin.post(PATH, wanted(identity, url=there.url))
        return send_test(make.operator(), Subscription.objects.get())

    def test_list_shows_attempts(self, admin: Api, agent: Api, attempt: Attempt, there: Endpoint) -> None:
        rows = agent.get("/webhooks/deliveries").json()["deliveries"]
        assert [(row["id"], row["response_status"], row["url"]) for row in rows] == [(str(attempt.id), 200, there.url)]
        assert rows[0]["event_id"].startswith("evt_")
        assert rows[0]["request_payload"] == attempt.request_body
        assert (rows[0]["event_type"], rows[0]["replayable"]) == ("imessage.received", True)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"success": "true"}, 1),
            ({"success": "false"}, 0),
            ({"event_type": "imessage.received"}, 1),
            ({"event_type": "imessage.sent"}, 0),
            ({"limit": 0}, 1),
            ({"limit": 9999}, 1),
            ({"offset": 1}, 0),
            ({"subscription_id": "018f3c5e-0000-7000-8000-000000000000"}, 0),
            ({"phone_number_id": "018f3c5e-0000-7000-8000-000000000000"}, 0),
        ],
    )
    def test_filters_are_anded(self, admin: Api, attempt: Attempt, query: dict[str, Any], found: int) -> None:
        assert len(admin.get("/webhooks/deliveries", **query).json()["deliveries"]) == found

    def test_replay_sends_the_same_event_again(self, agent: Api, attempt: Attempt, there: Endpoint) -> None:
        response = agent.post(f"/webhooks/deliveries/{attempt.id}/replay", "")
        assert response.status_code == 200
        again = response.json()
        assert again["id"] != str(attempt.id)
        assert again["event_id"] == attempt.delivery.public_event_id
        assert len(agent.get("/webhooks/deliveries").json()["deliveries"]) == 2

    def test_replay_of_a_strangers_is_not_found(self, stranger: Api, attempt: Attempt) -> None:
        assert stranger.post(f"/webhooks/deliveries/{attempt.id}/replay", "").status_code == 404

    def test_replay_needs_a_subscription_that_selects_it(self, admin: Api, attempt: Attempt) -> None:
        Subscription.objects.update(event_types=["message.sent"])
        assert admin.post(f"/webhooks/deliveries/{attempt.id}/replay", "").status_code == 409
        assert admin.get("/webhooks/deliveries").json()["deliveries"][0]["replayable"] is False


class TestSigningKeys:
    PATH = "/identities/helper/signing-key"

    @pytest.mark.parametrize("who", ["admin", "agent"])
    def test_made_then_replaced(self, admin: Api, agent: Api, identity: Identity, who: str) -> None:
        api = {"admin": admin, "agent": agent}[who]
        assert api.get(self.PATH).json() == {"configured": False, "created_at": None}
        first, second = (api.post(self.PATH, {}).json() for _ in range(2))
        assert first["signing_key"] != second["signing_key"]
        assert api.get(self.PATH).json() == {"configured": True, "created_at": second["created_at"]}
        assert api.get("/identities/helper").json()["signing_key_created_at"] == second["created_at"]
        assert api.get("/identities/").json()[0]["signing_key_configured"] is True

    def test_of_another_identity_is_refused(self, agent: Api, stranger: Api, colleague: Identity) -> None:
        path = f"/identities/{colleague.handle}/signing-key"
        assert (agent.post(path, {}).status_code, stranger.post(path, {}).status_code) == (403, 404)
        assert not SigningKey.objects.exists()

    def test_without_a_handle_it_is_the_bound_keys_own(self, agent: Api, admin: Api, identity: Identity) -> None:
        made = agent.post("/signing-keys", {})
        assert (made.status_code, SigningKey.objects.get().identity_id) == (201, identity.id)
        for api in (agent, admin):
            assert api.get("/signing-keys").json() == {"configured": True, "created_at": made.json()["created_at"]}

    def test_without_a_handle_an_admin_key_makes_the_organizations(
        self, admin: Api, agent: Api, identity: Identity
    ) -> None:
        assert admin.post("/signing-keys", {}).status_code == 201
        assert SigningKey.objects.get().identity_id is None
        assert agent.get(self.PATH).json()["configured"] is True
        assert admin.post(PATH, wanted(identity)).json()["signing_key"] is None

    def test_the_organizations_key_can_be_switched_off(self, admin: Api, settings: Any) -> None:
        settings.ORGANIZATION_SIGNING_KEYS = False
        response = admin.post("/signing-keys", {})
        assert response.status_code == 409
        assert "/identities/{handle}/signing-key" in response.json()["detail"]
