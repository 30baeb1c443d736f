"""Endpoints of all three dialects, and of whole organizations: who is told what, how it is signed, when it is tried."""

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.contacts import create_contact
from accounts.models import Identity, Organization
from api.inkbox.finding import attempt_with, subscription_with
from core.errors import Forbidden, Invalid, NotFound
from core.ids import prefixed
from imessage.models import Conversation
from tests import make
from tests.webhooks.endpoints import Endpoint, deliver, endpoint, happen, make_due, subscribe
from webhooks.catalog import Sample
from webhooks.checking import check_signature
from webhooks.courier import deliver_due
from webhooks.delivering import send_test
from webhooks.fanout import fan_out
from webhooks.models import Attempt, Delivery, Subscription
from webhooks.schedule import AGENTPHONE_SCHEDULE
from webhooks.subscribing import (
    DuplicateSubscription,
    create_subscription,
    end_subscriptions,
    hook_of,
    rotate_secret,
    save_hook,
    secret_of,
)
from webhooks.tallies import deliveries_to, fate_of, tally_of
from webhooks.vendors import VENDORS

pytestmark = pytest.mark.django_db

URL = "https://agent.example.com/hook"
DIALECTS = list(VENDORS)
on_the_wire = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("courier_at_home")]


def for_all(organization: Organization, url: str = URL, dialect: str = "agentphone", **fields: Any) -> Subscription:
    """An endpoint of every identity, written directly."""
    return Subscription.objects.create(
        organization=organization,
        url=url,
        dialect=dialect,
        event_types=list(VENDORS[dialect].events),
        created_at=timezone.now() - timedelta(minutes=1),
        **fields,
    )


def run() -> int:
    return asyncio.run(deliver_due(stay=0))


def told() -> Counter[Any]:
    return Counter(Delivery.objects.values_list("subscription_id", flat=True))


# --- Who is told


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_organization_s_endpoint_hears_of_all_its_identities_and_of_no_one_else_s(
    dialect: str, identity: Identity, conversation: Conversation, charlies_conversation: Conversation
) -> None:
    whole = for_all(identity.organization, dialect=dialect)
    others = make.make_conversation(make.make_identity(identity.organization), make.OTHER_HUMAN)
    for thread in (conversation, others, charlies_conversation):
        deliver(thread)
    assert set(Delivery.objects.values_list("subscription_id", "identity_id")) == {
        (whole.id, identity.id),
        (whole.id, others.identity_id),
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_blocked_is_told_in_any_dialect_nor_stands_in_its_history(
    dialect: str, identity: Identity, conversation: Conversation
) -> None:
    for_all(identity.organization, dialect=dialect, context_limit=10)
    subscribe(identity, URL, dialect=dialect, context_limit=10)
    blocked = make.make_message(conversation, "a secret of somebody blocked", is_blocked=True)
    fan_out(happen(blocked, "message.blocked").number)
    assert not Delivery.objects.exists()
    deliver(conversation)
    assert Delivery.objects.exists()
    assert not Delivery.objects.filter(body__contains="secret of somebody").exists()


def test_an_agent_s_hook_takes_the_place_of_the_project_s_even_when_fanned_out_again(
    identity: Identity, conversation: Conversation
) -> None:
    project, agents = for_all(identity.organization), subscribe(identity, URL, dialect="agentphone")
    others = make.make_conversation(make.make_identity(identity.organization), make.OTHER_HUMAN)
    deliver(conversation, 2)
    deliver(others)
    assert told() == {agents.id: 2, project.id: 1}
    assert fan_out(happen(make.make_message(conversation)).number) == 1
    agents.status = Subscription.Status.DELETED
    agents.save()
    deliver(conversation)
    assert told() == {agents.id: 3, project.id: 2}


def test_a_disabled_hook_of_an_agent_still_keeps_its_events_from_the_project_s(
    identity: Identity, conversation: Conversation
) -> None:
    for_all(identity.organization)
    subscribe(identity, URL, dialect="agentphone", status="disabled")
    (delivery,) = deliver(conversation)
    assert (delivery.subscription.identity_id, delivery.state) == (identity.id, "failed")


def test_inkbox_s_and_contiguity_s_endpoints_hear_beside_each_other(
    identity: Identity, conversation: Conversation
) -> None:
    expected = {subscribe(identity, URL, dialect=dialect).id for dialect in DIALECTS}
    expected |= {for_all(identity.organization, dialect=dialect).id for dialect in ("inkbox", "contiguity")}
    deliver(conversation)
    assert set(told()) == expected


# --- What is told


def test_of_an_inbound_carousel_agentphone_gets_a_delivery_for_each_image(
    identity: Identity, conversation: Conversation
) -> None:
    subscribe(identity, URL, dialect="agentphone")
    carousel = make.make_message(conversation, None)
    for name in ("cat", "dog"):
        make.make_media(carousel, f"https://files.example.com/{name}.png")
    event = happen(carousel)
    assert (fan_out(event.number), fan_out(event.number)) == (2, 0)
    first, second = Delivery.objects.order_by("part")
    assert (first.part, second.part) == (0, 1)
    assert first.event_id == second.event_id
    assert len({first.told_id, second.told_id}) == 2
    assert ("cat.png" in first.body, "dog.png" in second.body) == (True, True)


def test_recent_history_is_as_long_as_asked_and_ends_before_the_event(
    identity: Identity, conversation: Conversation
) -> None:
    subscribe(identity, URL, dialect="agentphone", context_limit=2)
    payloads = [_payload(delivery) for delivery in deliver(conversation, 4)]
    assert [item["content"] for item in payloads[-1]["recentHistory"]] == ["text 1", "text 2"]
    Subscription.objects.update(context_limit=0)
    assert _payload(deliver(conversation)[0])["recentHistory"] == []


def test_state_and_contact_are_told_as_they_were(identity: Identity, conversation: Conversation) -> None:
    subscribe(identity, URL, dialect="agentphone")
    create_contact(make.operator(), organization=identity.organization, phone_number=conversation.human, name="Frieda")
    conversation.metadata = {"stage": "trial"}
    conversation.save()
    event = happen(make.make_message(conversation))
    Conversation.objects.update(metadata={"stage": "paid"})
    fan_out(event.number)
    payload = _payload(Delivery.objects.get())
    assert payload["conversationState"] == {"stage": "trial"}
    assert payload["data"]["contact"]["name"] == "Frieda"


def test_inkbox_s_endpoints_hear_who_the_contact_book_knows(identity: Identity, conversation: Conversation) -> None:
    subscribe(identity, URL)
    known = create_contact(
        make.operator(), organization=identity.organization, phone_number=conversation.human, name="Frieda"
    )
    fan_out(happen(make.make_message(conversation)).number)
    assert _payload(Delivery.objects.get())["data"]["contacts"] == [{"id": str(known.id), "name": "Frieda"}]


def test_contiguity_is_told_of_texts_that_fared_and_not_of_imessages(
    identity: Identity, conversation: Conversation
) -> None:
    subscribe(identity, URL, dialect="contiguity")
    for service, expected in (("imessage", 0), ("sms", 1)):
        message = make.make_message(
            conversation, direction="outbound", service=service, status="delivered", delivered_at=timezone.now()
        )
        assert fan_out(happen(message, "message.delivered").number) == expected


def _payload(delivery: Delivery) -> dict[str, Any]:
    return dict(json.loads(delivery.body))


# --- Hooks and secrets


@pytest.mark.parametrize("of_project", [True, False])
def test_a_hook_is_saved_over_with_a_new_secret_and_enabled_again(of_project: bool, identity: Identity) -> None:
    owner: Identity | Organization = identity.organization if of_project else identity
    admin = make.admin_of(identity.organization)
    hook, first = save_hook(admin, owner, url=URL)
    assert (hook.context_limit, hook.timeout, hook.identity_id) == (10, 30, None if of_project else identity.id)
    Subscription.objects.update(status="disabled", disabled_reason="gone")
    again, second = save_hook(admin, owner, url=URL + "/2", context_limit=0, timeout=120)
    assert (again.id, again.url, again.status, again.context_limit, again.timeout) == (
        hook.id,
        URL + "/2",
        "active",
        0,
        120,
    )
    assert first != second
    assert secret_of(admin, again) == second
    assert second.startswith("whsec_")
    found = hook_of(owner)
    assert found
    assert found.id == hook.id


@pytest.mark.parametrize(("name", "amount"), [("timeout", 4), ("timeout", 121), ("context_limit", 51)])
def test_what_a_hook_cannot_have_is_refused(name: str, amount: int, identity: Identity) -> None:
    with pytest.raises(Invalid):
        save_hook(make.admin_of(identity.organization), identity, url=URL, **{name: amount})


def test_an_agent_s_key_has_its_own_hook_and_never_the_project_s(identity: Identity) -> None:
    agent, colleague = make.agent_of(identity), make.make_identity(identity.organization)
    project, _ = save_hook(make.admin_of(identity.organization), identity.organization, url=URL)
    save_hook(agent, identity, url=URL)
    for owner in (identity.organization, colleague):
        with pytest.raises(Forbidden):
            save_hook(agent, owner, url=URL)
    with pytest.raises(Forbidden):
        secret_of(agent, project)
    assert project not in Subscription.objects.visible_to(agent)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_has_a_secret_of_its_own_but_an_identity_s_inkbox_endpoint(dialect: str, identity: Identity) -> None:
    admin = make.admin_of(identity.organization)
    of_all, secret = create_subscription(admin, identity.organization, url=URL, dialect=dialect)
    assert secret
    assert secret_of(admin, of_all) == secret
    changed = rotate_secret(admin, of_all)
    of_all.refresh_from_db()
    assert secret_of(admin, of_all) == changed != secret
    own, _ = create_subscription(admin, identity, url=URL, dialect=dialect)
    assert own.has_own_secret == (dialect != "inkbox")
    if not own.has_own_secret:
        with pytest.raises(Invalid):
            rotate_secret(admin, own)


def test_an_address_is_given_once_for_an_owner_and_dialect(identity: Identity) -> None:
    admin = make.admin_of(identity.organization)
    for owner in (identity, identity.organization):
        for dialect in DIALECTS:
            create_subscription(admin, owner, url=URL, dialect=dialect)
            with pytest.raises(DuplicateSubscription):
                create_subscription(admin, owner, url=URL, dialect=dialect)
        with pytest.raises(DuplicateSubscription):
            create_subscription(admin, owner, url=URL + "/2", dialect="agentphone")


def test_inkbox_s_api_knows_endpoints_and_requests_of_its_own_alone(identity: Identity) -> None:
    agent, admin = make.agent_of(identity), make.admin_of(identity.organization)
    own = subscribe(identity, URL)
    foreign = [for_all(identity.organization), for_all(identity.organization, dialect="inkbox")]
    foreign += [subscribe(identity, URL, dialect=dialect) for dialect in ("agentphone", "contiguity")]
    assert subscription_with(agent, own.id) == own
    for actor in (agent, admin):
        for one in foreign:
            with pytest.raises(NotFound):
                subscription_with(actor, one.id)
            with pytest.raises(NotFound):
                attempt_with(actor, _attempt(one, identity).id)
    assert attempt_with(agent, _attempt(own, identity).id)


def _attempt(subscription: Subscription, identity: Identity) -> Attempt:
    both: dict[str, Any] = {
        "organization_id": identity.organization_id,
        "identity": identity,
        "subscription": subscription,
    }
    delivery = Delivery.objects.create(
        **both, event_id=make.make_message().id, event_type="message.received", body="{}"
    )
    return Attempt.objects.create(**both, delivery=delivery, number=1, url=URL, request_headers={})


# --- On the wire


def signed_by_hand(dialect: str, secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether the vendor's own rule accepts the request; written from its contract, not from our code."""
    if dialect == "agentphone":
        stamp, given = headers["x-webhook-timestamp"], headers["x-webhook-signature"].removeprefix("sha256=")
    else:
        stamp, given = (part.split("=", 1)[1] for part in headers["contiguity-signature"].split(","))
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return given == digest and abs(int(stamp) - timezone.now().timestamp()) < 60


class TestOnTheWire:
    pytestmark = on_the_wire

    @pytest.mark.parametrize("dialect", ["agentphone", "contiguity"])
    @pytest.mark.parametrize("of_all", [True, False])
    def test_each_attempt_is_signed_anew_over_the_same_bytes_and_id(
        self, dialect: str, of_all: bool, identity: Identity, conversation: Conversation
    ) -> None:
        answers = [500, 204]
        with endpoint(lambda request: answers.pop(0)) as there:
            admin = make.admin_of(identity.organization)
            owner: Any = identity.organization if of_all else identity
            subscription, secret = create_subscription(admin, owner, url=there.url, dialect=dialect)
            Subscription.objects.update(created_at=timezone.now() - timedelta(minutes=1))
            (delivery,) = deliver(conversation)
            for _ in range(2):
                run()
                make_due()
        assert secret
        first, second = there.requests
        assert first.body == second.body == delivery.body.encode()
        assert all(signed_by_hand(dialect, secret, request.headers, request.body) for request in there.requests)
        assert "x-inkbox-signature" not in first.headers
        assert "webhook-signature" not in first.headers
        assert secret not in str(list(Attempt.objects.values()))
        if dialect == "agentphone":
            message_id = first.payload["data"]["messageId"].removeprefix("msg_")
            number_id = prefixed("num", conversation.line.id)
            assert first.headers["x-webhook-id"] == second.headers["x-webhook-id"] == f"del_{message_id}_{number_id}"
            assert first.headers["x-webhook-event"] == "agent.message"
        delivery.refresh_from_db()
        assert delivery.state == "delivered"
        pasted = "\n".join(f"{name}: {value}" for name, value in first.headers.items())
        (verdict,) = check_signature(admin, None, headers=pasted, body=delivery.body, endpoints=[subscription])
        assert verdict.matches

    def test_agentphone_is_tried_again_after_faults_and_not_after_refusals(self, organization: Organization) -> None:
        expected = {
            500: "pending",
            503: "pending",
            429: "pending",
            408: "pending",
            400: "failed",
            404: "failed",
            302: "failed",
        }
        with endpoint(lambda request: int(request.path.rpartition("/")[2])) as there:
            for status in expected:
                thread = make.make_conversation(make.make_identity(organization))
                subscribe(thread.identity, f"{there.url.rstrip('/')}/{status}", dialect="agentphone")
                deliver(thread)
            run()
        assert dict(Delivery.objects.values_list("last_status", "state")) == expected

    def test_agentphone_gets_six_attempts_and_no_more_while_it_is_alive(
        self, identity: Identity, conversation: Conversation
    ) -> None:
        with endpoint(lambda request: 500) as there:
            subscribe(identity, there.url, dialect="agentphone", last_success_at=timezone.now())
            (delivery,) = deliver(conversation)
            for _ in range(8):
                run()
                make_due()
        delivery.refresh_from_db()
        assert (delivery.state, len(there.requests)) == ("failed", 6)

    def test_no_connection_is_tried_again(self, identity: Identity, conversation: Conversation) -> None:
        with endpoint() as gone:
            subscribe(identity, gone.url, dialect="agentphone")
        (delivery,) = deliver(conversation)
        run()
        delivery.refresh_from_db()
        assert (delivery.state, delivery.cause) == ("pending", "connect")

    def test_of_a_paused_identity_nothing_goes_to_an_endpoint_of_all(
        self, identity: Identity, conversation: Conversation, there: Endpoint
    ) -> None:
        for_all(identity.organization, there.url)
        others = make.make_conversation(make.make_identity(identity.organization), make.OTHER_HUMAN)
        deliver(conversation, 5)
        (flowing,) = deliver(others)
        Identity.objects.filter(pk=identity.pk).update(status="paused")
        assert run() == 1
        flowing.refresh_from_db()
        assert flowing.state == "delivered"
        Identity.objects.filter(pk=identity.pk).update(status="deleted")
        end_subscriptions(make.operator(), identity.id)
        assert set(Delivery.objects.filter(identity=identity).values_list("state", flat=True)) == {"cancelled"}
        assert Subscription.objects.kept().count() == 1

    @pytest.mark.parametrize("of_all", [True, False])
    def test_a_test_says_so_and_holds_what_was_asked_for(
        self, of_all: bool, identity: Identity, charlies_identity: Identity, there: Endpoint
    ) -> None:
        admin = make.admin_of(identity.organization)
        hook, secret = save_hook(admin, identity.organization if of_all else identity, url=there.url)
        sample = Sample(human="+15555550777", line="+15555550888", text="Is this thing on?", service="sms")
        assert send_test(admin, hook, sample=sample).succeeded
        (request,) = there.requests
        payload = request.payload
        assert (payload["test"], payload["event"], payload["channel"]) == (True, "agent.message", "sms")
        asked = {name: payload["data"][name] for name in ("from", "to", "message")}
        assert asked == {"from": sample.human, "to": sample.line, "message": sample.text}
        assert (payload["agentId"] is None) == of_all
        assert signed_by_hand("agentphone", secret, request.headers, request.body)
        if of_all:
            assert send_test(admin, hook, identity=identity).succeeded
            assert there.payloads[-1]["agentId"] == prefixed("agt", identity.id)
            assert len({request.headers["x-webhook-id"] for request in there.requests}) == 2
            with pytest.raises(NotFound):
                send_test(admin, hook, identity=charlies_identity)

    def test_every_event_of_every_dialect_can_be_tried(self, identity: Identity, there: Endpoint) -> None:
        for dialect, vendor in VENDORS.items():
            of_all = for_all(identity.organization, there.url, dialect)
            for subscription in (subscribe(identity, there.url, dialect=dialect), of_all):
                for event_type in vendor.events:
                    assert send_test(make.operator(), subscription, event_type=event_type).succeeded
        assert all(payload["test"] for payload in there.payloads)

    def test_rows_and_numbers_of_a_hook(self, identity: Identity, conversation: Conversation) -> None:
        answers = [200, 404, 500]
        with endpoint(lambda request: answers.pop(0)) as there:
            hook = subscribe(identity, there.url, dialect="agentphone")
            deliver(conversation, 3)
            for _ in range(3):
                run()
        admin = make.admin_of(identity.organization)
        rows = list(deliveries_to(admin, hook, since=timezone.now() - timedelta(hours=1)))
        assert sorted(map(fate_of, rows)) == ["delivered", "failed", "pending"]
        tally = tally_of(admin, hook)
        assert (tally.total, tally.success_rate) == (3, 0.5)
        assert tally.by_type == {"message.received": {"pending": 1, "delivered": 1, "failed": 1}}
        assert sum(sum(counts.values()) for _, counts in tally.by_hour) == 3
        assert not deliveries_to(make.agent_of(make.make_identity()), hook).exists()


def test_agentphone_s_attempts_take_about_twenty_hours_and_a_half() -> None:
    waits = [AGENTPHONE_SCHEDULE.wait_after(made, spread=0) for made in range(1, 7)]
    assert waits[-1] is None
    assert sum((wait for wait in waits if wait), timedelta()) == timedelta(hours=20, minutes=35)
