"""Who may have which address told of what."""

from typing import Any

import pytest
from django.db import connection

from accounts.models import Identity
from core import secrets
from core.addresses import OutboundRefused
from core.errors import Forbidden, Invalid
from events.models import Event
from tests import make
from webhooks.models import Subscription
from webhooks.signing import key_status, rotate_key
from webhooks.subscribing import (
    DuplicateSubscription,
    TooManySubscriptions,
    create_subscription,
    delete_subscription,
    enable_subscription,
    end_subscriptions,
    update_subscription,
)

pytestmark = pytest.mark.django_db

URL = "https://agent.example.com/hook"


def created(identity: Identity, url: str = URL, **fields: Any) -> Subscription:
    return create_subscription(
        make.agent_of(identity), identity, url=url, **{"event_types": ["message.received"], **fields}
    )[0]


def test_the_first_subscription_makes_and_shows_the_first_key(identity: Identity) -> None:
    first, key = create_subscription(make.agent_of(identity), identity, url=URL, event_types=["message.sent"])
    _, none = create_subscription(make.agent_of(identity), identity, url=URL + "2", event_types=["message.sent"])
    assert key is not None
    assert none is None
    assert key_status(identity).configured
    assert (first.organization_id, first.status, first.event_types) == (
        identity.organization_id,
        "active",
        ["message.sent"],
    )
    assert Event.objects.filter(type="webhook.subscribed").count() == 2


def test_an_identity_with_a_key_gets_no_other(identity: Identity) -> None:
    rotate_key(make.agent_of(identity), identity)
    assert create_subscription(make.agent_of(identity), identity, url=URL, event_types=["message.sent"])[1] is None


def test_the_bearer_token_is_sealed_and_told_nowhere(identity: Identity) -> None:
    subscription = created(identity, auth_token="very-secret-token")
    assert subscription.has_auth_token
    assert secrets.unseal(subscription.sealed_auth_token) == "very-secret-token"
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(s)::text FROM webhooks_subscription s")
        assert "very-secret-token" not in cursor.fetchone()[0]
    assert "very-secret-token" not in str(list(Event.objects.values()))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"url": "http://agent.example.com/"}, OutboundRefused),
        ({"url": "https://169.254.169.254/"}, OutboundRefused),
        ({"url": "https://user:pw@agent.example.com/"}, OutboundRefused),
        ({"url": "https://agent.example.com/\r\nX: y"}, OutboundRefused),
        ({"event_types": []}, Invalid),
        ({"event_types": ["message.sent", "message.sent"]}, Invalid),
        ({"event_types": ["message.blocked"]}, Invalid),
        ({"auth_token": "two words"}, Invalid),
        ({"auth_token": "line\r\nbreak"}, Invalid),
        ({"auth_token": "naïve"}, Invalid),
        ({"auth_token": ""}, Invalid),
        ({"context_config": {"faxes": None}}, Invalid),
        ({"context_config": {"texts": {"mode": "count", "count": 51}}}, Invalid),
        ({"context_config": {"texts": {"mode": "count", "count": True}}}, Invalid),
        ({"context_config": {"texts": {"mode": "count", "hours": 5}}}, Invalid),
        ({"context_config": {"texts": {"mode": "window", "hours": 169}}}, Invalid),
        ({"context_config": {"texts": []}}, Invalid),
    ],
)
def test_what_is_not_valid_is_refused_at_creation_and_at_a_change(
    fields: dict[str, Any], error: type[Exception], identity: Identity
) -> None:
    with pytest.raises(error):
        created(identity, **fields)
    subscription = created(identity)
    with pytest.raises(error):
        update_subscription(make.agent_of(identity), subscription, changes=fields)


def test_an_address_is_subscribed_once_an_identity_until_deleted(
    identity: Identity, charlies_identity: Identity
) -> None:
    subscription = created(identity)
    created(charlies_identity)
    with pytest.raises(DuplicateSubscription):
        created(identity)
    delete_subscription(make.agent_of(identity), subscription)
    created(identity)


def test_a_change_to_an_address_in_use_is_refused(identity: Identity) -> None:
    created(identity)
    other = created(identity, URL + "2")
    with pytest.raises(DuplicateSubscription):
        update_subscription(make.agent_of(identity), other, changes={"url": URL})


def test_twenty_are_enough(identity: Identity) -> None:
    for number in range(20):
        created(identity, f"{URL}/{number}")
    with pytest.raises(TooManySubscriptions):
        created(identity, f"{URL}/more")


def test_changes_are_made_and_null_clears(identity: Identity) -> None:
    subscription = created(identity, auth_token="token", context_config={"texts": {"mode": "count", "count": 3}})
    agent = make.agent_of(identity)
    update_subscription(agent, subscription, changes={"event_types": ["message.sent", "tapback.received"]})
    update_subscription(agent, subscription, changes={"auth_token": None, "context_config": None})
    update_subscription(agent, subscription, changes={})
    subscription.refresh_from_db()
    assert subscription.event_types == ["message.sent", "tapback.received"]
    assert (subscription.has_auth_token, subscription.context_config, subscription.url) == (False, None, URL)
    with pytest.raises(Invalid):
        update_subscription(agent, subscription, changes={"status": "active"})


def test_a_disabled_one_can_be_enabled(identity: Identity) -> None:
    subscription = created(identity)
    Subscription.objects.update(status="disabled", disabled_reason="gone")
    enable_subscription(make.agent_of(identity), subscription)
    subscription.refresh_from_db()
    assert (subscription.status, subscription.disabled_reason) == ("active", "")


def test_only_owners_may(identity: Identity, charlies_identity: Identity) -> None:
    subscription = created(identity)
    for actor in (make.agent_of(charlies_identity), make.admin_of(identity.organization, role=make.Role.VIEWER)):
        for deed in (
            lambda actor=actor: create_subscription(actor, identity, url=URL + "x", event_types=["message.sent"]),
            lambda actor=actor: update_subscription(actor, subscription, changes={"url": URL + "y"}),
            lambda actor=actor: enable_subscription(actor, subscription),
            lambda actor=actor: delete_subscription(actor, subscription),
        ):
            with pytest.raises(Forbidden):
                deed()


def test_strangers_do_not_see_them(identity: Identity, charlies_identity: Identity) -> None:
    subscription = created(identity)
    seen = Subscription.objects.visible_to
    assert list(seen(make.agent_of(identity))) == [subscription]
    assert list(seen(make.admin_of(identity.organization))) == [subscription]
    assert not seen(make.agent_of(charlies_identity)).exists()
    assert not seen(make.admin_of(charlies_identity.organization)).exists()
    assert not seen(make.agent_of(make.make_identity(identity.organization))).exists()


def test_the_subscriptions_of_a_deleted_identity_end(identity: Identity) -> None:
    created(identity)
    created(identity, URL + "2")
    assert end_subscriptions(make.operator(), identity.id) == 2
    assert not Subscription.objects.kept().exists()
