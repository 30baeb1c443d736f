"""The door providers knock on: proved, stored, answered; nothing else."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from standardwebhooks import Webhook

from core import secrets
from lines.models import Callback, ProviderAccount
from tests import make
from tests.providers.scripted import waiting_jobs

pytestmark = pytest.mark.django_db

SECRET = "whsec_" + "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
BODY = json.dumps(
    {"id": "evt_1", "type": "message.received", "data": {"line": "+15555550101", "human": make.HUMAN}}
).encode()


@pytest.fixture
def account(db: None) -> ProviderAccount:
    return make.make_account("signed", sealed_callback_secret=secrets.seal(SECRET))


def headers(body: bytes = BODY, *, at: datetime | None = None, secret: str = SECRET) -> dict[str, str]:
    at = at or datetime.now(UTC)
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", at, body.decode()),
    }


def post(client: Client, account_id: object, sent: dict[str, str], body: bytes = BODY) -> int:
    url = f"/callbacks/{account_id}"
    return client.post(url, body, content_type="application/json", headers=sent).status_code


def test_a_proved_callback_is_stored_with_its_job(client: Client, account: ProviderAccount) -> None:
    assert post(client, account.id, headers()) == 204
    callback = Callback.objects.get()
    assert (bytes(callback.body), callback.event_key, callback.state) == (BODY, "evt_1", "stored")
    assert callback.thread == f"+15555550101/{make.HUMAN}"
    assert [job["args"] for job in waiting_jobs()] == [{"callback_id": callback.id}]


def test_a_replay_is_answered_and_has_no_effect(client: Client, account: ProviderAccount) -> None:
    sent = headers()
    assert [post(client, account.id, sent) for _ in range(3)] == [204] * 3
    assert Callback.objects.count() == len(waiting_jobs()) == 1


@pytest.mark.parametrize(
    "sent",
    [
        dict,
        lambda: {**headers(), "webhook-signature": "v1,AAAA"},
        lambda: {**headers(), "webhook-signature": ""},
        lambda: {**headers(), "webhook-signature": "v1,\u00e9"},
        lambda: {**headers(), "webhook-id": "evt_2"},
        lambda: {**headers(), "webhook-timestamp": "soon"},
        lambda: {**headers(), "webhook-timestamp": "1e999"},
        lambda: {**headers(), "webhook-timestamp": "nan"},
        lambda: headers(b'{"id": "evt_1"}'),
        lambda: headers(at=datetime.now(UTC) - timedelta(minutes=6)),
        lambda: headers(at=datetime.now(UTC) + timedelta(minutes=6)),
        lambda: headers(secret="whsec_" + "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90"),
    ],
)
def test_what_cannot_be_proved_is_refused_and_counted(
    sent: Callable[[], dict[str, str]], client: Client, account: ProviderAccount
) -> None:
    assert post(client, account.id, sent()) == 401
    account.refresh_from_db()
    assert (account.callbacks_refused, Callback.objects.count()) == (1, 0)


def test_an_unknown_account_is_not_found(client: Client, db: None) -> None:
    assert post(client, "0197b0a0-0000-7000-8000-000000000000", headers()) == 404


def test_only_posts_are_taken(client: Client, account: ProviderAccount) -> None:
    assert client.get(f"/callbacks/{account.id}").status_code == 405


@pytest.mark.parametrize("body", [b"[]", b'{"id": 7, "data": {"line": "\\u0000"}}'])
def test_a_proved_body_that_nobody_can_read_is_kept(body: bytes, client: Client, account: ProviderAccount) -> None:
    assert post(client, account.id, headers(body), body) == 204
    assert bytes(Callback.objects.get().body) == body
