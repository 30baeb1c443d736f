"""Webhooks of the project and of agents: saved, read back, tried; their deliveries and how they fared."""

import hashlib
import hmac
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Identity
from imessage.models import Conversation
from tests import make
from tests.api.agentphone.conftest import NUMBER, Phone, agent_id
from tests.webhooks.endpoints import Endpoint, endpoint
from webhooks.models import Delivery, Subscription

URL = "https://hooks.example.com/agentphone"


@pytest.fixture(autouse=True)
def _inward(settings: Any) -> None:
    settings.INTERNAL_HOSTS = ["127.0.0.0/8", "hooks.example.com"]


@pytest.fixture
def there() -> Iterator[Endpoint]:
    with endpoint() as healthy:
        yield healthy


def paths(identity: Identity) -> list[str]:
    return ["/webhooks", f"/agents/{agent_id(identity)}/webhook"]


def test_each_is_saved_with_a_new_secret_read_back_and_ended(admin: Phone, identity: Identity) -> None:
    for path in paths(identity):
        assert admin.get(path).content == b"null"
        first = admin.post(path, {"url": URL}).json()
        second = admin.post(path, {"url": URL, "contextLimit": 0, "timeout": 5}).json()
        assert (first["contextLimit"], first["timeout"], first["status"]) == (10, 30, "active")
        assert (second["id"], second["contextLimit"], second["timeout"]) == (first["id"], 0, 5)
        assert first["secret"].startswith("whsec_")
        assert second["secret"] not in {first["secret"], ""}
        assert admin.get(path).json() == second
        assert admin.delete(path).json() == {"success": True}
        assert admin.get(path).content == b"null"
        assert admin.delete(path).status_code == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"url": ""}, {"url": "no url"}, {"url": URL, "contextLimit": 51}, {"url": URL, "timeout": 4}, {"body": {}}],
)
def test_a_strange_one_is_refused(admin: Phone, body: dict[str, object]) -> None:
    assert admin.post("/webhooks", body).status_code in {400, 422}
    assert not Subscription.objects.exists()


def test_an_agents_own_key_manages_its_own(agent: Phone, identity: Identity) -> None:
    assert agent.post(f"/agents/{agent_id(identity)}/webhook", {"url": URL}).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_an_example_is_signed_and_marked(admin: Phone, identity: Identity, there: Endpoint) -> None:
    secret = admin.post("/webhooks", {"url": there.url}).json()["secret"]
    wanted = {"from": make.OTHER_HUMAN, "to": NUMBER, "message": "ping", "channel": "sms"}
    answer = admin.post(f"/webhooks/test?agentId={agent_id(identity)}", wanted).json()
    [request] = there.requests
    payload, data = request.payload, request.payload["data"]
    assert (answer["success"], answer["statusCode"], answer["error"]) == (True, 200, None)
    assert (payload["test"], payload["event"], payload["channel"]) == (True, "agent.message", "sms")
    assert payload["agentId"] == agent_id(identity)
    assert (data["from"], data["to"], data["message"]) == (make.OTHER_HUMAN, NUMBER, "ping")
    signed = f"{request.headers['x-webhook-timestamp']}.".encode() + request.body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    assert request.headers["x-webhook-signature"] == f"sha256={digest}"
    [row] = admin.get("/webhooks/deliveries").json()["items"]
    assert (row["status"], row["httpStatus"], row["attemptCount"]) == ("success", 200, 1)


def test_there_is_nothing_to_try_without_one(admin: Phone, identity: Identity) -> None:
    assert admin.post("/webhooks/test", {}).status_code == 404
    assert admin.post(f"/agents/{agent_id(identity)}/webhook/test").status_code == 404


def test_deliveries_and_how_they_fared_are_shown(admin: Phone, identity: Identity, thread: Conversation) -> None:
    admin.post("/webhooks", {"url": URL})
    hook = Subscription.objects.get()
    told = '{"event": "agent.message", "channel": "imessage", "data": {"messageId": "msg_1"}}'
    now = timezone.now()
    for age, state in enumerate(["pending", "delivered", "delivered", "failed"]):
        Delivery.objects.create(
            organization_id=hook.organization_id,
            identity=identity,
            subscription=hook,
            event_id=identity.id,
            part=age,
            event_type="message.received",
            body=told,
            state=state,
            next_attempt_at=now,
            created_at=now - timedelta(hours=age * 20),
        )
    listed = admin.get("/webhooks/deliveries", limit=1, hours=48).json()
    assert (listed["total"], listed["offset"], listed["limit"]) == (3, 0, 1)
    [row] = listed["items"]
    assert (row["messageId"], row["eventType"], row["status"]) == ("msg_1", "agent.message", "pending")
    stats = admin.get("/webhooks/deliveries/stats").json()
    assert (stats["total"], stats["success"], stats["pending"], stats["successRate"]) == (2, 1, 1, 1.0)
    assert stats["byEventType"] == {"agent.message": {"pending": 1, "success": 1, "failed": 0}}
    assert sum(hour["total"] for hour in stats["byHour"]) == 2
    assert admin.get("/webhooks/deliveries/all-time").json() == {
        "total": 4,
        "success": 2,
        "failed": 1,
        "successRate": 2 / 3,
    }
    assert admin.get(f"/agents/{agent_id(identity)}/webhook/deliveries").json() == []
