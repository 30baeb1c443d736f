"""The list of deliveries and the page of one event: what they show, to whom, and what can be done there."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Identity, User
from console.listening import _connection_parameters
from console.work import allowed_deeds
from core.actor import Role
from core.ids import uuid7
from dialects import inkbox
from events import feed
from events.models import Event
from imessage.models import Conversation
from tests import make
from tests.webhooks.conftest import *  # noqa: F403 - endpoints on loopback, and a courier that goes home
from tests.webhooks.endpoints import deliver, endpoint, happen, subscribe
from tests.webhooks.test_statistics import attempt, make_delivery
from webhooks.courier import deliver_due
from webhooks.fanout import fan_out
from webhooks.models import Attempt, Delivery, Subscription
from webhooks.signing import rotate_key, standard_headers

pytestmark = pytest.mark.django_db

LIST = "/console/deliveries/"


@pytest.fixture
def subscription(identity: Identity) -> Subscription:
    return subscribe(identity, "https://agent.example.com/hook")


def one(subscription: Subscription, **fields: Any) -> Delivery:
    return make_delivery(subscription, **fields)


def page_of(delivery: Delivery) -> str:
    return reverse("console:delivery", args=[delivery.event_id])


def again(delivery: Delivery) -> str:
    return reverse("console:send_again", args=[delivery.event_id, delivery.subscription_id])


def shown(client: Client, query: str = "") -> list[str]:
    """The ids of the rows on the page."""
    response = client.get(LIST + query)
    assert response.status_code == 200
    return [str(row.delivery.id) for row in response.context["rows"]]


OUTCOMES: list[tuple[dict[str, Any], str]] = [
    ({"state": "pending"}, "Waiting"),
    ({"state": "pending", "attempts_made": 1, "next_attempt_at": timezone.now() + timedelta(days=300)}, "Retrying in"),
    ({"state": "delivered", "last_status": 204, "last_ms": 31}, "Delivered"),
    ({"state": "failed", "cause": "server", "last_status": 503}, "The endpoint failed"),
    ({"state": "failed", "ending": "dropped"}, "Dropped, endpoint disabled"),
    ({"state": "failed", "ending": "gone", "cause": "gone"}, "Gone"),
    ({"state": "cancelled"}, "Cancelled"),
    ({"state": "failed", "cause": "timeout"}, "No whole answer in time"),
    ({"state": "failed", "cause": "redirect", "last_status": 302}, "A redirect, which is not followed"),
    ({"state": "failed", "cause": "tls"}, "The TLS connection failed"),
    ({"state": "pending", "claimed_until": timezone.now() + timedelta(days=300)}, "Under way"),
    ({"state": "delivered", "replayed_at": timezone.now()}, "Sent again"),
]


@pytest.mark.parametrize(("fields", "words"), OUTCOMES)
def test_a_row_says_what_became_of_it(
    fields: dict[str, Any], words: str, as_alice: Client, subscription: Subscription
) -> None:
    one(subscription, **fields)
    text = as_alice.get(LIST).content.decode()
    assert words in text
    assert "agent.example.com" in text
    assert "@helper" in text


def test_why_no_connection_came_about_is_told_exactly_only_to_operators(
    as_alice: Client, as_operator: Client, subscription: Subscription
) -> None:
    one(subscription, state="failed", cause="guarded")
    assert "The host could not be reached" in as_alice.get(LIST).content.decode()
    assert "an address that may not be called" in as_operator.get(LIST).content.decode()
    assert shown(as_alice, "?cause=guarded") == shown(as_alice)
    assert "not one of its values" in as_alice.get(LIST + "?cause=guarded").content.decode()
    assert len(shown(as_alice, "?cause=unreachable")) == 1


FILTERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("?outcome=failed", {"state": "failed"}, {"state": "delivered"}),
    ("?outcome=dropped", {"state": "failed", "ending": "dropped"}, {"state": "failed"}),
    ("?outcome=retrying", {"attempts_made": 2}, {}),
    ("?-outcome=delivered", {"state": "failed"}, {"state": "delivered"}),
    ("?view=failed", {"state": "failed", "ending": "gone"}, {}),
    ("?status=5xx", {"cause": "server"}, {"cause": "client"}),
    ("?status=2xx", {"last_status": 201}, {"last_status": 500, "cause": "server"}),
    ("?status=none", {"cause": "dns"}, {}),
    ("?type=tapback.received", {"event_type": "tapback.received"}, {}),
    ("?replayed=yes", {"replayed_at": timezone.now()}, {}),
    ("?test=no", {}, {"kind": "test"}),
    ("?from=2030-01-01T00:00:00Z", {"created_at": timezone.now() + timedelta(days=3650)}, {}),
]


@pytest.mark.parametrize(("query", "wanted", "unwanted"), FILTERS, ids=[row[0] for row in FILTERS])
def test_a_filter_shows_what_matches_and_nothing_else(
    query: str, wanted: dict[str, Any], unwanted: dict[str, Any], as_alice: Client, subscription: Subscription
) -> None:
    found = one(subscription, **wanted)
    one(subscription, **unwanted)
    assert shown(as_alice, query) == [str(found.id)]


def test_an_event_an_endpoint_and_an_identity_narrow_it(as_alice: Client, subscription: Subscription) -> None:
    found = one(subscription)
    other = one(subscribe(make.make_identity(subscription.organization, "other"), "https://other.example.com"))
    for query in (f"?event={found.public_event_id}", f"?endpoint={subscription.id}", "?identity=@helper"):
        assert shown(as_alice, query) == [str(found.id)]
    assert shown(as_alice, f"?endpoint={subscription.id}&endpoint={other.subscription_id}") == [
        str(other.id),
        str(found.id),
    ]
    assert shown(as_alice, "?identity=nobody") == []


def test_bars_lead_to_what_they_count(as_alice: Client, subscription: Subscription) -> None:
    one(subscription, state="failed", created_at=timezone.now() - timedelta(hours=2))
    one(subscription, state="delivered", created_at=timezone.now() - timedelta(minutes=5))
    context = as_alice.get(LIST).context
    assert [bar.value for bar in context["bars"] if bar.value] == [1, 1]
    (bad,) = [bar for bar in context["bars"] if bar.bad]
    assert len(as_alice.get(bad.url).context["rows"]) == 1
    assert {words: number for words, number, _ in context["totals"]} == {
        "delivered": 1,
        "under way": 0,
        "failed": 1,
        "cancelled": 0,
    }
    failed = next(url for words, _, url in context["totals"] if words == "failed")
    assert [row.delivery.state for row in as_alice.get(failed).context["rows"]] == ["failed"]


def test_a_live_region_gets_the_rows_alone(as_alice: Client, subscription: Subscription) -> None:
    delivery = one(subscription)
    for address in (LIST, page_of(delivery)):
        text = as_alice.get(address, headers={"HX-Request": "true"}).content.decode()
        assert "<html" not in text
        assert "agent.example.com" in text


@pytest.mark.parametrize(("query", "words"), [("", "Nothing was sent yet"), ("?outcome=failed", "Nothing matches")])
def test_an_empty_list_says_why(query: str, words: str, as_alice: Client) -> None:
    assert words in as_alice.get(LIST + query).content.decode()


def test_a_list_takes_few_queries_however_many_rows(
    as_alice: Client, subscription: Subscription, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        one(subscription)
    with django_assert_max_num_queries(20):
        as_alice.get(LIST)


# --- One event


def test_an_event_shows_payload_and_each_request_with_its_cause(
    as_alice: Client, identity: Identity, conversation: Conversation, subscription: Subscription
) -> None:
    (delivery,) = deliver(conversation)
    attempt(delivery, None, 15_000, age=timedelta(hours=1), cause="timeout", error_detail="There was no whole answer.")
    attempt(delivery, 503, 12, age=timedelta(minutes=1), cause="server", response_body="<b>down</b>", signed_by=["ab"])
    text = as_alice.get(page_of(delivery)).content.decode()
    assert "No whole answer in time" in text
    assert "503 in 12 ms: The endpoint failed" in text
    assert "&lt;b&gt;down&lt;/b&gt;" in text
    assert "Next try" in text
    assert "text 0" in text
    assert f"/console/threads/{conversation.id}/" in text
    assert f"/console/trace/{delivery.public_event_id}/" in text
    assert "+15555550123" in text


def test_a_viewer_reads_no_number_in_full_and_has_no_controls(
    as_bob: Client, conversation: Conversation, subscription: Subscription
) -> None:
    (delivery,) = deliver(conversation)
    attempt(delivery, 400, 3, age=timedelta(0), cause="client", response_body="unknown +15555550123")
    for address in (LIST, page_of(delivery)):
        text = as_bob.get(address).content.decode()
        assert "5555550123" not in text
        assert "text 0" not in text
        assert 'data-key="r"' not in text
        assert 'form="bulk"' not in text
    assert "Check a signature" not in text


def test_a_viewer_may_do_nothing_and_a_stranger_sees_nothing(
    as_bob: Client, as_charlie: Client, subscription: Subscription, bob: User
) -> None:
    delivery = one(subscription)
    deeds = [again(delivery), reverse("console:check_signature", args=[delivery.event_id])]
    assert [as_bob.post(url).status_code for url in deeds] == [403, 403]
    assert [as_charlie.post(url).status_code for url in deeds] == [404, 404]
    assert as_charlie.get(page_of(delivery)).status_code == 404
    assert shown(as_charlie) == []
    missing = as_charlie.get(reverse("console:delivery", args=[uuid7()]))
    assert missing.status_code == 404
    assert Attempt.objects.count() == 0


def test_two_endpoints_of_an_event_stand_on_one_page(
    as_alice: Client, identity: Identity, conversation: Conversation, subscription: Subscription
) -> None:
    subscribe(identity, "https://second.example.com")
    first, _ = deliver(conversation)
    text = as_alice.get(page_of(first)).content.decode()
    assert "agent.example.com" in text
    assert "second.example.com" in text


@pytest.mark.parametrize("dialect", ["agentphone", "contiguity"])
def test_other_dialects_payloads_hide_from_viewers_what_inkbox_s_do(
    dialect: str, as_bob: Client, as_alice: Client, identity: Identity, conversation: Conversation
) -> None:
    subscribe(identity, "https://hook.example.com", dialect=dialect, context_limit=5)
    _, delivery = deliver(conversation, 2)
    assert "text 1" in as_alice.get(page_of(delivery)).content.decode()
    for address in (LIST, page_of(delivery)):
        text = as_bob.get(address).content.decode()
        assert [each for each in ("5555550123", "text 0", "text 1") if each in text] == []


def test_a_test_of_an_endpoint_of_all_agents_stands_in_the_lists_without_an_agent(
    as_alice: Client, identity: Identity
) -> None:
    endpoint_of_all = Subscription.objects.create(
        organization=identity.organization,
        url="https://x.example.com",
        dialect="contiguity",
        event_types=["message.received"],
    )
    delivery = one(endpoint_of_all, kind="test", state="failed")
    for address in (LIST, page_of(delivery), reverse("console:webhook", args=[endpoint_of_all.id])):
        assert as_alice.get(address).status_code == 200
    assert shown(as_alice) == [str(delivery.id)]


# --- Doing


@pytest.mark.django_db(transaction=True)
def test_of_several_parts_the_one_meant_is_sent_again(
    as_alice: Client, identity: Identity, conversation: Conversation
) -> None:
    with endpoint() as there:
        subscribe(identity, there.url, dialect="agentphone")
        carousel = make.make_message(conversation, None)
        for name in ("cat", "dog"):
            make.make_media(carousel, f"https://files.example.com/{name}.png")
        fan_out(happen(carousel).number)
        first, second = Delivery.objects.order_by("part")
        text = as_alice.get(page_of(first)).content.decode()
        assert [f'id="to-{first.subscription_id}{end}"' in text for end in ("", "-1")] == [True, True]
        assert as_alice.post(again(second), {"part": "1"}).status_code == 302
        assert as_alice.post(again(second), {"part": "nonsense"}).status_code == 302
        assert [request.body.decode() for request in there.requests] == [second.body, first.body]


@pytest.mark.django_db(transaction=True)
def test_one_is_sent_again_and_its_answer_is_told(
    as_alice: Client, identity: Identity, conversation: Conversation
) -> None:
    with endpoint() as there:
        subscribe(identity, there.url, status="disabled", disabled_reason="failing")
        (delivery,) = deliver(conversation)
        answer = as_alice.post(again(delivery), headers={"HX-Request": "true"})
        assert "200 in " in answer.content.decode()
        assert answer["HX-Reswap"] == "none"
        plain = as_alice.post(again(delivery))
        assert plain.status_code == 302
        assert len(there.requests) == 2
    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries) == ("delivered", 2)
    assert Event.objects.filter(type="webhook.replayed").count() == 2


def test_what_is_under_way_is_refused_in_words(as_alice: Client, subscription: Subscription) -> None:
    delivery = one(subscription, claimed_until=timezone.now() + timedelta(seconds=40))
    answer = as_alice.post(again(delivery), headers={"HX-Request": "true"})
    assert answer.status_code == 409
    assert "under way" in answer.content.decode()


def test_the_signature_check_names_the_key_and_tells_no_secret(
    as_alice: Client, identity: Identity, subscription: Subscription
) -> None:
    _, secret = rotate_key(make.agent_of(identity), identity)
    delivery = one(subscription, body='{"a":1}')
    now = int(timezone.now().timestamp())
    headers = standard_headers([secret], event_id="evt_1", timestamp=now, body=b'{"a":1}')
    headers |= inkbox.webhook_headers(secret, request_id="r", timestamp=now, body=b'{"a":1}')
    pasted = "\n".join(f"{name}: {value}" for name, value in headers.items())
    url = reverse("console:check_signature", args=[delivery.event_id])
    for extra in ({}, {"HX-Request": "true"}):
        good = as_alice.post(url, {"headers": pasted, "body": '{"a":1}'}, headers=extra)
        assert good.status_code == 200
        assert good.content.decode().count("It matches.") == 2
        assert secret.removeprefix("whsec_") not in good.content.decode()
    bad = as_alice.post(url, {"headers": pasted, "body": '{"a":2}'})
    assert "None of the present keys" in bad.content.decode()
    empty = as_alice.post(url, {"headers": "", "body": ""})
    assert empty.status_code == 422


def test_only_admins_send_many_again(alice: User, bob: User, identity: Identity) -> None:
    from console.views.deliveries import DELIVERIES, SEND_AGAIN  # the module's own deed

    admin, viewer = make.admin_of(identity.organization), make.admin_of(identity.organization, role=Role.VIEWER)
    assert SEND_AGAIN in allowed_deeds(admin, DELIVERIES)
    assert allowed_deeds(viewer, DELIVERIES) == []


# --- Large lists


QUERIES = ["", "?outcome=failed", "?identity=helper", "?endpoint={endpoint}", "?status=5xx"]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("role", [Role.ADMIN, Role.OPERATOR])
def test_no_list_reads_the_whole_table_or_sorts(query: str, role: Role, subscription: Subscription) -> None:
    from console.views.deliveries import DELIVERIES

    Delivery.objects.bulk_create(
        Delivery(
            organization_id=subscription.organization_id,
            identity_id=subscription.identity_id,
            subscription=subscription,
            event_id=uuid7(),
            event_type="message.received",
            body="{}",
            state="delivered" if number % 50 else "failed",
            cause="" if number % 50 else "server",
            ending="" if number % 100 else "dropped",
            created_at=timezone.now() - timedelta(seconds=number),
        )
        for number in range(3000)
    )
    actor = make.admin_of(subscription.organization) if role is Role.ADMIN else make.operator()
    listing = DELIVERIES.asked(query.format(endpoint=subscription.id), actor)
    rows = listing.rows.order_by("-created_at", "-id")[:41]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE webhooks_delivery")
        cursor.execute("ANALYZE webhooks_subscription")
    plan = rows.explain()
    assert "Seq Scan on webhooks_delivery" not in plan, plan
    assert "Sort" not in plan.replace("Incremental Sort", ""), plan


def run() -> int:
    return asyncio.run(deliver_due(stay=0))


@pytest.mark.django_db(transaction=True)
def test_open_pages_hear_of_each_outcome_by_its_topics(
    identity: Identity, conversation: Conversation, courier_at_home: None
) -> None:
    with endpoint() as there, psycopg.connect(**_connection_parameters(), autocommit=True) as hearing:
        subscription = subscribe(identity, there.url)
        (delivery,) = deliver(conversation)
        hearing.execute(f"LISTEN {feed.CHANNEL}")
        run()
        heard = [json.loads(notice.payload) for notice in hearing.notifies(timeout=2, stop_after=1)]
    assert heard == [
        {
            "signal": {
                "kind": "topics",
                "organization_id": str(identity.organization_id),
                "topics": ["deliveries", f"webhook:{subscription.id}", f"delivery:{delivery.event_id}"],
            }
        }
    ]


def test_the_rows_of_a_live_region_are_those_of_a_fresh_page(as_alice: Client, subscription: Subscription) -> None:
    """Acceptance 1: whatever happened meanwhile, the region asks with the page's own query and gets its rows."""
    query = "?outcome=failed&outcome=dropped"
    page = as_alice.get(LIST + query)
    for fields, _ in OUTCOMES:
        one(subscription, **fields)
    Delivery.objects.filter(state="cancelled").update(state="failed")
    region = as_alice.get(page.context["listing"].live_url, headers={"HX-Request": "true"})
    fresh = as_alice.get(LIST + query)
    ids = [row.delivery.id for row in fresh.context["rows"]]
    assert [row.delivery.id for row in region.context["rows"]] == ids
    assert len(ids) == 6


@pytest.mark.django_db(transaction=True)
def test_a_failed_try_is_on_the_list_with_its_next_time(
    as_alice: Client, identity: Identity, conversation: Conversation, courier_at_home: None
) -> None:
    with endpoint(lambda request: 503) as there:
        subscribe(identity, there.url)
        deliver(conversation)
        run()
    text = as_alice.get(LIST).content.decode()
    assert "Retrying in " in text
    assert "503" in text
