"""No connection is opened inward: not when a subscription is made, not for a test, an attempt or a replay."""

import asyncio
from typing import Any

import pytest

from accounts.models import Identity
from core import http
from core.addresses import UNREACHABLE, OutboundRefused
from imessage.models import Conversation
from tests import make
from tests.core import receivers
from tests.core.sockets import connections
from tests.core.test_addresses import REFUSED, REFUSED_URLS
from tests.webhooks.endpoints import deliver, subscribe
from webhooks.courier import deliver_due
from webhooks.delivering import replay, send_test
from webhooks.models import Attempt, Delivery
from webhooks.subscribing import create_subscription

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("courier_at_home")]


@pytest.fixture(autouse=True)
def nothing_inside_allowed(settings: Any, loopback_allowed: None) -> None:
    settings.INTERNAL_HOSTS = []


def test_none_of_the_targets_can_be_subscribed(identity: Identity) -> None:
    literals = [f"https://[{address}]/" if ":" in address else f"https://{address}/" for address in REFUSED]
    with connections() as seen:
        for url in REFUSED_URLS + literals:
            with pytest.raises(OutboundRefused):
                create_subscription(make.agent_of(identity), identity, url=url, event_types=["message.sent"])
    assert seen == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "64:ff9b::7f00:1", "fec0::1"])
def test_a_name_that_came_to_lead_inward_is_not_called(
    address: str, identity: Identity, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_look_up", lambda host: [address])
    subscription, _ = create_subscription(
        make.agent_of(identity), identity, url="https://rebound.example.com/hook", event_types=["message.received"]
    )
    deliver(conversation)
    with connections() as seen:
        asyncio.run(deliver_due(stay=0))
        send_test(make.agent_of(identity), subscription)
        replay(make.agent_of(identity), Attempt.objects.order_by("at")[0])
    assert [place for place in seen if isinstance(place, tuple) and place[0] == address] == []
    told = Attempt.objects.values_list("response_status", "error_detail", "response_body")
    assert set(told) == {(None, UNREACHABLE, None)}
    assert Attempt.objects.count() == 3


def test_a_subscription_from_more_open_days_is_judged_again(identity: Identity, conversation: Conversation) -> None:
    with receivers.raw(receivers.answering(receivers.OK)) as there:
        subscribe(identity, there.url)
        deliver(conversation)
        asyncio.run(deliver_due(stay=0))
        assert there.connections == 0
    assert Delivery.objects.get().state == "pending"
