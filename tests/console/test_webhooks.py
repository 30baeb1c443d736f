"""The pages of endpoints: how each does, and what its owners do with it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Identity
from console.views.deliveries import failing_endpoints
from core.ids import uuid7
from events.models import Event
from tests import make
from tests.webhooks.conftest import *  # noqa: F403 - endpoints on loopback, and a courier that goes home
from tests.webhooks.endpoints import endpoint, subscribe
from tests.webhooks.test_statistics import attempt, make_delivery
from webhooks.models import Delivery, SigningKey, Subscription
from webhooks.signing import known_keys, rotate_key

pytestmark = pytest.mark.django_db

LIST = "/console/webhooks/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def subscription(identity: Identity) -> Subscription:
    return subscribe(identity, "https://agent.example.com/hook", ["message.received"])


def at(name: str, subscription: Subscription) -> str:
    return reverse(f"console:{name}", args=[subscription.id])


def page_of(subscription: Subscription) -> str:
    return at("webhook", subscription)


DAYS_AGO = timezone.now() - timedelta(days=2)
STATES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["Not called yet"]),
    ({"last_success_at": DAYS_AGO}, ["Working"]),
    ({"failing_since": DAYS_AGO}, ["Failing", "if nothing arrives", "unless something arrives, at"]),
    ({"held_until": timezone.now() + timedelta(days=300), "failing_since": DAYS_AGO}, ["sked us to stay away"]),
    (
        {"status": "disabled", "disabled_reason": "failing", "disabled_at": DAYS_AGO},
        ["Disabled", "five days of failures"],
    ),
    ({"status": "disabled", "disabled_reason": "gone", "disabled_at": DAYS_AGO}, ["Gone", "answered 410"]),
    ({"status": "disabled", "disabled_reason": "asked", "disabled_at": DAYS_AGO}, ["Disabled", "By hand"]),
]


@pytest.mark.parametrize(("fields", "words"), STATES)
def test_an_endpoint_says_how_it_is_and_what_comes_next(
    fields: dict[str, Any], words: list[str], as_alice: Client, subscription: Subscription
) -> None:
    Subscription.objects.update(**fields)
    both = as_alice.get(LIST).content.decode() + as_alice.get(page_of(subscription)).content.decode()
    assert [word for word in [*words, "only @helper", "Only of"] if word not in both] == []


def test_times_and_streak_are_of_natural_attempts(as_alice: Client, subscription: Subscription) -> None:
    delivery = make_delivery(subscription)
    for ms in (100, 200, 300):
        attempt(delivery, 500, ms, age=timedelta(hours=1), cause="server")
    text = " ".join(as_alice.get(page_of(subscription)).content.decode().split())
    assert "200 / 290 ms" in text
    assert "3 failed" in text


def test_failures_that_disabled_it_are_a_banner_and_a_number_in_the_rail(
    as_alice: Client, as_charlie: Client, identity: Identity, subscription: Subscription
) -> None:
    Subscription.objects.update(status="disabled", disabled_reason="failing", disabled_at=DAYS_AGO)
    assert "was disabled by five days of failures" in as_alice.get(LIST).content.decode()
    assert "disabled by failures" in as_alice.get("/console/deliveries/").content.decode()
    assert failing_endpoints(make.admin_of(identity.organization)) == 1
    Subscription.objects.update(disabled_reason="asked")
    assert failing_endpoints(make.admin_of(identity.organization)) == 0
    assert "was disabled" not in as_charlie.get(LIST).content.decode()


def test_filters_and_search_narrow_the_list(as_alice: Client, identity: Identity, subscription: Subscription) -> None:
    other = subscribe(
        make.make_identity(identity.organization, "other"), "https://x.example.com", failing_since=DAYS_AGO
    )
    for query, wanted in [
        ("?state=failing", [other]),
        ("?view=failing", [other]),
        ("?state=working", [subscription]),
        ("?identity=other", [other]),
        ("?type=tapback.received", [other]),
        ("?q=agent.example", [subscription]),
        ("", [other, subscription]),
    ]:
        rows = as_alice.get(LIST + query).context["rows"]
        assert {row.subscription.id for row in rows} == {each.id for each in wanted}, query


# --- Making and changing

FORM = {"identity": "helper", "url": "https://agent.example.com/new", "event_types": ["message.received"]}


def test_a_new_endpoint_shows_its_first_secret_once(as_alice: Client, identity: Identity) -> None:
    shown = as_alice.post(LIST + "new/", FORM | {"history": "count", "amount": "5", "auth_token": "t0ken"})
    text = shown.content.decode()
    subscription = Subscription.objects.get()
    assert (subscription.url, subscription.context_config) == (FORM["url"], {"texts": {"mode": "count", "count": 5}})
    assert "whsec_" in text
    assert "I stored it" in text
    assert shown["Cache-Control"] == "no-store"
    later = as_alice.get(page_of(subscription)).content.decode()
    assert "whsec_" not in later
    assert "t0ken" not in later
    assert known_keys(identity)[0].fingerprint in later
    second = as_alice.post(LIST + "new/", FORM | {"url": "https://agent.example.com/second"})
    assert second.status_code == 302


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://agent.example.com"}, "https"),
        ({"url": "https://10.0.0.1/"}, "could not be reached"),
        ({"url": "nonsense"}, ""),
        ({"event_types": []}, "required"),
        ({"event_types": ["nonsense"]}, "not one of the available choices"),
        ({"auth_token": "with space"}, "printable ASCII"),
        ({"identity": "stranger"}, "not one of the available choices"),
        ({"history": "count", "amount": "51"}, "At most 50 texts"),
    ],
)
def test_what_is_refused_comes_back_in_place(
    changes: dict[str, Any], words: str, as_alice: Client, identity: Identity, charlies_identity: Identity
) -> None:
    answer = as_alice.post(LIST + "new/", FORM | changes)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Subscription.objects.exists()


def test_a_change_keeps_what_was_not_given_and_names_what_was(as_alice: Client, subscription: Subscription) -> None:
    Subscription.objects.update(sealed_auth_token="sealed", status="disabled", disabled_reason="failing")
    given = {"url": "https://agent.example.com/moved", "event_types": ["message.received"]}
    assert "sealed" not in as_alice.get(at("change_webhook", subscription)).content.decode()
    assert as_alice.post(at("change_webhook", subscription), given).status_code == 302
    subscription.refresh_from_db()
    assert (subscription.url, subscription.status, subscription.sealed_auth_token) == (given["url"], "active", "sealed")
    assert Event.objects.get(type="webhook.changed").data["changed"] == ["url"]
    as_alice.post(at("change_webhook", subscription), given | {"drop_token": "on"})
    subscription.refresh_from_db()
    assert subscription.sealed_auth_token == ""


@pytest.mark.parametrize("whose", ["helper", "all"])
@pytest.mark.parametrize("dialect", ["inkbox", "agentphone", "contiguity"])
def test_an_endpoint_of_any_dialect_is_made_shown_changed_and_given_a_new_secret(
    dialect: str, whose: str, as_alice: Client, as_bob: Client, identity: Identity
) -> None:
    form = as_alice.get(LIST + f"new/?dialect={dialect}").content.decode()
    assert ('name="event_types"' in form, 'name="timeout"' in form) == (dialect == "inkbox", dialect == "agentphone")
    owner = "helper" if whose == "helper" else f"all:{identity.organization_id}"
    given = FORM | {"dialect": dialect, "identity": owner, "context_limit": "3", "timeout": "60"}
    shown = as_alice.post(LIST + "new/", given)
    assert shown["Cache-Control"] == "no-store"
    assert "whsec_" in shown.content.decode()
    subscription = Subscription.objects.get()
    assert (subscription.dialect, subscription.identity) == (dialect, identity if whose == "helper" else None)
    assert (subscription.context_limit, subscription.timeout) == ((3, 60) if dialect == "agentphone" else (None, None))
    words = "only @helper" if whose == "helper" else "all agents"
    for address in (LIST + f"?dialect={dialect}", page_of(subscription)):
        text = as_bob.get(address).content.decode()
        assert "whsec_" not in text
        assert subscription.get_dialect_display() in text
    assert words in as_bob.get(LIST).content.decode()
    assert as_alice.get(at("change_webhook", subscription)).status_code == 200
    changed = {name: value for name, value in given.items() if name != "identity"} | {"url": FORM["url"] + "/moved"}
    assert as_alice.post(at("change_webhook", subscription), changed).status_code == 302
    former = Subscription.objects.get()
    rotated = as_alice.post(at("rotate_secret", subscription), {"confirmed": "1"})
    assert "whsec_" in rotated.content.decode()
    if former.has_own_secret:
        assert Subscription.objects.get().sealed_secret != former.sealed_secret
        for name in ("rotate_secret_at_once", "end_old_secret"):
            assert as_alice.get(at(name, subscription)).status_code == 404


def test_an_organization_s_endpoint_is_not_made_for_another_nor_seen_there(
    as_alice: Client, as_charlie: Client, identity: Identity, charlies_identity: Identity
) -> None:
    theirs = FORM | {"identity": f"all:{charlies_identity.organization_id}"}
    assert as_alice.post(LIST + "new/", theirs).status_code == 422
    as_alice.post(LIST + "new/", FORM | {"identity": f"all:{identity.organization_id}", "dialect": "contiguity"})
    subscription = Subscription.objects.get()
    assert as_charlie.get(page_of(subscription)).status_code == 404
    assert as_charlie.get(LIST).context["rows"] == []
    assert as_alice.get(LIST + "new/?dialect=nonsense").status_code == 404


# --- Trying, disabling, enabling, deleting


@pytest.mark.django_db(transaction=True)
def test_a_test_shows_its_answer_in_place_for_a_disabled_one_too(as_alice: Client, identity: Identity) -> None:
    with endpoint() as there:
        subscription = subscribe(identity, there.url, status="disabled", disabled_reason="failing")
        for headers in ({}, HTMX):
            text = as_alice.post(
                at("test_webhook", subscription), {"event_type": "tapback.received"}, headers=headers
            ).content.decode()
            assert "The test: 200 in " in text
        assert [payload["event_type"] for payload in there.payloads] == ["imessage.reaction_received"] * 2
    assert as_alice.post(at("test_webhook", subscription), {"event_type": "x"}, headers=HTMX).status_code == 422


def test_disabling_is_done_at_once_and_taken_back(as_alice: Client, subscription: Subscription) -> None:
    make_delivery(subscription)
    undo = at("undo_disable_webhook", subscription)
    assert undo in as_alice.post(at("disable_webhook", subscription), headers=HTMX).content.decode()
    subscription.refresh_from_db()
    assert subscription.status == "disabled"
    assert as_alice.post(undo).status_code == 302
    subscription.refresh_from_db()
    assert subscription.is_active
    assert Delivery.objects.get().state == "pending"
    assert as_alice.post(undo, headers=HTMX).status_code == 409


@pytest.mark.django_db(transaction=True)
def test_enabling_needs_a_test_that_got_through_unless_it_is_meant(as_alice: Client, identity: Identity) -> None:
    status = 500
    with endpoint(lambda request: status) as there:
        subscription = subscribe(identity, there.url, status="disabled", disabled_reason="failing")
        url = at("enable_webhook", subscription)
        assert "A test is sent first" in as_alice.get(url).content.decode()
        refused = as_alice.post(url, {"confirmed": "1"})
        assert refused.status_code == 422
        assert "It stays disabled" in refused.content.decode()
        assert "Enable it all the same" in refused.content.decode()
        assert not Subscription.objects.get().is_active
        assert as_alice.post(url, {"confirmed": "1", "anyway": "1"}).status_code == 302
        assert Subscription.objects.get().is_active
        Subscription.objects.update(status="disabled")
        status = 200
        assert as_alice.post(url, {"confirmed": "1"}).status_code == 302
        assert Subscription.objects.get().is_active
        assert len(there.requests) == 2


def test_deleting_asks_first(as_alice: Client, subscription: Subscription) -> None:
    url = at("delete_webhook", subscription)
    assert as_alice.get(url).status_code == 200
    assert Subscription.objects.get().is_active
    assert as_alice.post(url, {"confirmed": "1"}).status_code == 302
    assert Subscription.objects.get().status == "deleted"
    assert as_alice.get(page_of(subscription)).status_code == 404
    assert as_alice.get(LIST).context["rows"] == []


# --- Secrets


def test_a_new_secret_is_shown_once_and_says_what_may_still_use_the_old_one(
    as_alice: Client, identity: Identity, subscription: Subscription
) -> None:
    _, old = rotate_key(make.agent_of(identity), identity)
    url = at("rotate_secret", subscription)
    asked = as_alice.get(url).content.decode()
    assert "agent.example.com" in asked
    shown = as_alice.post(url, {"confirmed": "1"}).content.decode()
    assert "whsec_" in shown
    assert old not in shown
    later = as_alice.get(page_of(subscription)).content.decode()
    assert "What still uses the old one" in later
    assert "Nothing was sent there since" in later
    assert "whsec_" not in later
    attempt(make_delivery(subscription), 401, 5, age=timedelta(0), cause="client")
    assert "it still uses the old secret, most likely" in as_alice.get(page_of(subscription)).content.decode()


@pytest.mark.parametrize(("name", "left"), [("rotate_secret_at_once", 1), ("end_old_secret", 1)])
def test_without_overlap_the_handle_the_password_and_a_reason_are_asked_for(
    name: str, left: int, as_alice: Client, identity: Identity, subscription: Subscription
) -> None:
    for _ in range(2):
        rotate_key(make.agent_of(identity), identity)
    url = at(name, subscription)
    for given in (
        {},
        {"typed": "helper"},
        {"typed": "other", "reason": "Seen."},
        {"typed": "helper", "reason": "Seen."},
    ):
        assert as_alice.post(url, {"confirmed": "1"} | given).status_code == 422, given
    assert SigningKey.objects.count() == 2
    meant = {"confirmed": "1", "typed": "helper", "reason": "Seen.", "password": make.PASSWORD}
    assert as_alice.post(url, meant).status_code in {200, 302}
    assert len(known_keys(identity)) == left
    assert Event.objects.filter(type="webhook.key_ended").count() == 1


# --- Rights

DEEDS = [
    "test_webhook",
    "disable_webhook",
    "undo_disable_webhook",
    "enable_webhook",
    "delete_webhook",
    "rotate_secret",
    "rotate_secret_at_once",
    "end_old_secret",
    "change_webhook",
]


@pytest.mark.parametrize("name", DEEDS)
def test_viewers_may_not_and_strangers_do_not_see(
    name: str, as_bob: Client, as_charlie: Client, subscription: Subscription
) -> None:
    assert as_bob.post(at(name, subscription), {"confirmed": "1"}).status_code == 403
    assert as_charlie.post(at(name, subscription), {"confirmed": "1"}).status_code == 404
    assert as_charlie.post(reverse(f"console:{name}", args=[uuid7()]), {"confirmed": "1"}).status_code == 404
    assert Subscription.objects.get().is_active


def test_viewers_see_without_controls(as_bob: Client, as_charlie: Client, subscription: Subscription) -> None:
    for address in (LIST, page_of(subscription)):
        answer = as_bob.get(address)
        assert answer.status_code == 200
        text = answer.content.decode()
        controls = [
            "new-webhook",
            "test-webhook",
            "change-webhook",
            "disable-webhook",
            "rotate-secret",
            "delete-webhook",
        ]
        assert [control for control in controls if f'id="{control}"' in text] == []
    assert as_bob.get(LIST + "new/").status_code == 403
    assert as_charlie.get(page_of(subscription)).status_code == 404
    assert as_charlie.get(LIST).context["rows"] == []


def test_a_live_region_gets_its_part_alone(as_alice: Client, subscription: Subscription) -> None:
    for address in (LIST, page_of(subscription)):
        text = as_alice.get(address, headers=HTMX).content.decode()
        assert "<html" not in text
        assert "agent.example.com" in text


@pytest.mark.parametrize(("query", "words"), [("", "No endpoints yet"), ("?state=gone", "Nothing matches")])
def test_an_empty_list_says_why(query: str, words: str, as_alice: Client) -> None:
    assert words in as_alice.get(LIST + query).content.decode()
