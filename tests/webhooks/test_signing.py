"""Signatures that the public verifiers accept, and keys that are replaced without a gap."""

import base64
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, models
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from accounts.models import Identity
from core.errors import Forbidden
from core.ids import uuid7
from dialects import inkbox
from events.models import Event
from tests import make
from webhooks.models import SigningKey
from webhooks.signing import key_status, rotate_key, rotate_organization_key, standard_headers, valid_keys

CLIENTS = Path(__file__).resolve().parents[2] / "var" / "clients"
BODY = '{"id":"evt_1","text":"grüße 👋"}'.encode()

_SDK = """
import base64, json, sys
from inkbox.signing_keys import verify_webhook
given = json.load(sys.stdin)
body = base64.b64decode(given["body"])
print(json.dumps([
    verify_webhook(payload=body, headers=given["headers"], secret=given["key"]),
    verify_webhook(payload=body, headers=given["headers"], secret=given["key"].removeprefix("whsec_")),
    verify_webhook(payload=body[:-1] + b"]", headers=given["headers"], secret=given["key"]),
    verify_webhook(payload=body, headers=given["headers"], secret=given["key"] + "x"),
]))
"""


def test_a_vector_made_by_hand() -> None:
    """The specification's own example."""
    key, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    headers = standard_headers([key], event_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("version", ["0.4.7", "0.7.20"])
def test_the_vendors_client_accepts_ours_and_refuses_a_changed_byte(version: str) -> None:
    key = "whsec_" + base64.b64encode(b"k" * 32).decode()
    headers = inkbox.webhook_headers(key, request_id=str(uuid7()), timestamp=1_780_000_000, body=BODY)
    given = {"headers": headers, "body": base64.b64encode(BODY).decode(), "key": key}
    done = subprocess.run(
        [sys.executable, "-c", _SDK],
        input=json.dumps(given),
        env={"PYTHONPATH": str(CLIENTS / f"inkbox-{version}")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [True, True, False, False]


@pytest.mark.django_db
class TestKeys:
    def test_while_one_is_replaced_both_verify_and_afterwards_only_the_new_one(self, identity: Identity) -> None:
        former = rotate_key(make.agent_of(identity), identity)[1]
        newest = rotate_key(make.agent_of(identity), identity)[1]
        assert _keys(identity) == [newest, former]
        headers = _signed(_keys(identity))
        for key in (former, newest):
            Webhook(key).verify(BODY, headers)
            with pytest.raises(WebhookVerificationError):
                Webhook(key).verify(BODY + b" ", headers)
        SigningKey.objects.exclude(replaced_at=None).update(replaced_at=timezone.now() - timedelta(hours=24, seconds=1))
        assert _keys(identity) == [newest]
        with pytest.raises(WebhookVerificationError):
            Webhook(former).verify(BODY, _signed(_keys(identity)))

    def test_keys_are_sealed_and_random(self, identity: Identity) -> None:
        key = rotate_key(make.agent_of(identity), identity)[1]
        assert len(base64.b64decode(key.removeprefix("whsec_"))) == 32
        with connection.cursor() as cursor:
            cursor.execute("SELECT row_to_json(k)::text FROM webhooks_signingkey k")
            assert key.removeprefix("whsec_") not in cursor.fetchone()[0]
        assert key.removeprefix("whsec_") not in str(list(Event.objects.values()))

    def test_status_tells_whether_and_since_when(self, identity: Identity) -> None:
        assert (key_status(identity).configured, key_status(identity).created_at) == (False, None)
        row, _ = rotate_key(make.agent_of(identity), identity)
        assert (key_status(identity).configured, key_status(identity).created_at) == (True, row.created_at)

    def test_of_an_organizations_key_and_an_own_one_the_newer_signs(self, identity: Identity) -> None:
        admin = make.admin_of(identity.organization)
        shared = rotate_organization_key(admin, identity.organization)[1]
        assert _keys(identity) == [shared]
        own = rotate_key(admin, identity)[1]
        assert _keys(identity) == [own, shared]
        again = rotate_organization_key(admin, identity.organization)[1]
        assert _keys(identity) == [again, own, shared]
        SigningKey.objects.update(
            created_at=models.F("created_at") - timedelta(days=2),
            replaced_at=models.F("replaced_at") - timedelta(days=2),
        )
        assert _keys(identity) == [again]

    def test_another_organizations_key_never_signs(self, identity: Identity, charlies_identity: Identity) -> None:
        rotate_organization_key(make.admin_of(charlies_identity.organization), charlies_identity.organization)
        assert _keys(identity) == []

    def test_only_owners_may(self, identity: Identity, charlies_identity: Identity) -> None:
        viewer: Any = make.admin_of(identity.organization, role=make.Role.VIEWER)
        for actor in (viewer, make.agent_of(charlies_identity)):
            with pytest.raises(Forbidden):
                rotate_key(actor, identity)
        with pytest.raises(Forbidden):
            rotate_organization_key(make.agent_of(identity), identity.organization)


def _keys(identity: Identity) -> list[str]:
    return valid_keys([(identity.id, identity.organization_id)])[identity.id]


def _signed(keys: list[str]) -> dict[str, str]:
    return standard_headers(keys, event_id="evt_1", timestamp=int(timezone.now().timestamp()), body=BODY)
