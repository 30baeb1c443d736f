"""An owner who disables an endpoint, and takes it back."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Identity
from core.errors import Conflict
from events.models import Event
from tests import make
from tests.webhooks.endpoints import subscribe
from tests.webhooks.test_statistics import make_delivery
from webhooks.models import Delivery, Subscription
from webhooks.subscribing import disable_subscription, enable_subscription, take_back_disabling

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscription(identity: Identity) -> Subscription:
    return subscribe(identity, "https://agent.example.com")


def states() -> list[tuple[str, str]]:
    return list(Delivery.objects.order_by("id").values_list("state", "ending"))


def test_what_waits_is_dropped_and_waits_again_when_taken_back(identity: Identity, subscription: Subscription) -> None:
    agent = make.agent_of(identity)
    make_delivery(subscription, state="failed", settled_at=timezone.now())
    make_delivery(subscription, attempts_made=3)
    disable_subscription(agent, subscription, reason="It is being moved.")
    assert states() == [("failed", ""), ("failed", "dropped")]
    told = Event.objects.get(type="webhook.disabled").data
    assert (told["reason"], told["why"]) == ("asked", "It is being moved.")
    taken_back = take_back_disabling(agent, subscription)
    assert taken_back.is_active
    assert states() == [("failed", ""), ("pending", "")]
    assert Delivery.objects.pending().get().attempts_made == 3


def test_disabling_twice_is_once(identity: Identity, subscription: Subscription) -> None:
    for _ in range(2):
        disable_subscription(make.agent_of(identity), subscription)
    assert Event.objects.filter(type="webhook.disabled").count() == 1


@pytest.mark.parametrize("fields", [{"status": "active"}, {"status": "disabled", "disabled_reason": "gone"}])
def test_only_what_was_disabled_by_hand_is_taken_back(
    fields: dict[str, Any], identity: Identity, subscription: Subscription
) -> None:
    Subscription.objects.update(disabled_at=timezone.now(), **fields)
    with pytest.raises(Conflict):
        take_back_disabling(make.agent_of(identity), subscription)


def test_enabling_later_leaves_the_dropped_ones_to_a_replay(identity: Identity, subscription: Subscription) -> None:
    make_delivery(subscription)
    disable_subscription(make.agent_of(identity), subscription)
    enable_subscription(make.agent_of(identity), subscription)
    assert states() == [("failed", "dropped")]
