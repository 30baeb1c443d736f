"""Alerts: one per line and cause, told over each channel, closed by themselves."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone
from standardwebhooks import Webhook

from core.errors import Invalid
from events.models import Event
from lines.health import alerts
from lines.health.measuring import measure
from lines.models import Alert, AlertNotice, Line, LineHealth, ProviderAccount
from tests import make
from tests.lines.health.traffic import NOW, ago, human, sent
from tests.webhooks.endpoints import endpoint

pytestmark = pytest.mark.django_db

SECRET = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"


@pytest.fixture(autouse=True)
def spare(db: None) -> Line:
    """A good line, so that the pool as a whole has no trouble."""
    return make.make_line()


def causes() -> list[str]:
    return sorted(Alert.objects.open().values_list("cause", flat=True))


def change(line: Line, **fields: Any) -> None:
    Line.objects.filter(pk=line.pk).update(**{"seen_since": ago(minutes=4), **fields})


def queue(line: Line) -> None:
    LineHealth.objects.create(line=line, queue_oldest_at=ago(minutes=3), queue_depth=4)
    measure(now=NOW)


def refusals(line: Line) -> None:
    measure(now=ago(minutes=30))
    ProviderAccount.objects.filter(pk=line.account_id).update(callbacks_refused=5)
    measure(now=NOW)


def busy_morning(line: Line) -> None:
    Line.objects.all().update(limits={"new_per_day": 5})
    for each in Line.objects.all():
        for number in range(5):
            sent(each, human(number), at=datetime.fromisoformat("2026-11-21T08:00:00+00:00"), first_contact=True)
    measure(now=NOW - timedelta(hours=3))


def full_pool(line: Line) -> None:
    Line.objects.all().update(capacity=1)
    for each in Line.objects.all():
        sent(each, at=ago(hours=1))
    measure(now=NOW)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"seen": "down"}, []),  # it may come back by itself
        ({"seen": "down", "seen_since": ago(minutes=5)}, ["down"]),
        ({"seen": "flagged"}, ["flagged"]),
        ({"seen": "flagged", "seen_reasons": ["wrong_sender"]}, ["wrong_sender"]),
        ({"seen": "flagged", "wanted": "retired"}, []),
        ({"seen": "down", "seen_since": ago(minutes=9), "wanted": "paused"}, []),
        ({"seen": "degraded", "kind": "router"}, ["router"]),
        ({"seen": "healthy", "kind": "router"}, []),
        ({"seen": "degraded"}, []),
    ],
)
def test_a_state_is_alerted(fields: dict[str, Any], expected: list[str], line: Line) -> None:
    change(line, **fields)
    alerts.review(now=NOW)
    assert causes() == expected


@pytest.mark.parametrize(
    ("happen", "at", "expected"),
    [
        (queue, NOW, ["queue"]),
        (refusals, NOW, ["callbacks_refused"]),
        (busy_morning, NOW - timedelta(hours=3), ["allowance_low"]),
        (full_pool, NOW, ["no_line_free"]),
    ],
)
def test_a_number_is_alerted(happen: Any, at: datetime, expected: list[str], line: Line) -> None:
    happen(line)
    alerts.review(now=at)
    assert causes() == expected


def test_one_alert_per_line_and_cause_that_closes_itself(line: Line) -> None:
    other = make.make_line()
    for each in (line, other):
        change(each, seen="flagged")
    for minute in range(3):
        alerts.review(now=NOW + timedelta(minutes=minute))
    assert Alert.objects.count() == 2
    change(line, seen="healthy")
    alerts.review(now=NOW + timedelta(minutes=3))
    assert Alert.objects.open().get().line_id == other.id
    assert Alert.objects.get(line=line).closed_at == NOW + timedelta(minutes=3)
    told = Event.objects.filter(subject_id=str(line.id)).order_by("number").values_list("type", flat=True)
    assert list(told) == ["line.alert_opened", "line.alert_closed"]


def test_it_is_told_by_mail_when_it_opens_and_when_it_is_over(line: Line, settings: Any) -> None:
    settings.ALERT_EMAILS = ["olga@example.com"]
    change(line, seen="flagged")
    alerts.review(now=NOW)
    alerts.send_due(now=NOW)
    change(line, seen="healthy")
    alerts.review(now=NOW)
    alerts.send_due(now=NOW)
    subjects = [sent.subject.split(" is flagged")[0] for sent in mail.outbox]
    assert subjects == [f"[Cordboard] {line}", f"[Cordboard] Over: {line}"]
    assert f"/console/lines/{line.id}/" in mail.outbox[0].body


def test_a_signed_webhook_is_tried_again_until_it_is_taken(line: Line, settings: Any) -> None:
    settings.INTERNAL_HOSTS = ["127.0.0.0/8"]
    settings.ALERT_WEBHOOK_SECRET = SECRET
    statuses = iter([500, 204])
    with endpoint(lambda request: next(statuses)) as there:
        settings.ALERT_WEBHOOK_URL = there.url
        change(line, seen="flagged")
        alerts.review(now=NOW)
        for seconds in (0, 29, 30):
            alerts.send_due(now=NOW + timedelta(seconds=seconds))
    first, second = there.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    told: Any = Webhook(SECRET).verify(second.body, second.headers)
    assert (told["type"], told["data"]["cause"], told["data"]["line"]["address"]) == (
        "alert.opened",
        "flagged",
        line.address,
    )
    assert AlertNotice.objects.get().state == "sent"


def test_an_address_inside_is_refused_and_given_up_in_the_end(line: Line, settings: Any) -> None:
    settings.ALERT_WEBHOOK_URL, settings.ALERT_WEBHOOK_SECRET = "https://127.0.0.1/hook", SECRET
    change(line, seen="flagged")
    alerts.review(now=NOW)
    for day in range(7):
        alerts.send_due(now=NOW + timedelta(days=day))
    notice = AlertNotice.objects.get()
    assert (notice.state, notice.attempts) == ("given_up", 6)


def test_a_mute_keeps_quiet_and_what_is_still_wrong_is_told_when_it_ends(line: Line, settings: Any) -> None:
    settings.ALERT_EMAILS = ["olga@example.com"]
    now = timezone.now()
    alerts.mute(make.operator(), line, until=now + timedelta(hours=1), reason="We know.")
    change(line, seen="flagged")
    for minutes in (0, 59, 61):
        alerts.review(now=now + timedelta(minutes=minutes))
        alerts.send_due(now=now + timedelta(minutes=minutes))
        assert len(mail.outbox) == (minutes > 60)


def test_what_nobody_heard_of_is_not_told_to_be_over(line: Line, settings: Any) -> None:
    settings.ALERT_EMAILS = ["olga@example.com"]
    now = timezone.now()
    alerts.mute(make.operator(), line, until=now + timedelta(hours=1), reason="We know.")
    change(line, seen="flagged")
    alerts.review(now=now)
    change(line, seen="healthy")
    alerts.review(now=now + timedelta(hours=2))
    alerts.send_due(now=now + timedelta(hours=2))
    assert mail.outbox == []


@pytest.mark.parametrize("days", [-1, 31])
def test_a_mute_always_ends(days: int, line: Line) -> None:
    with pytest.raises(Invalid):
        alerts.mute(make.operator(), line, until=timezone.now() + timedelta(days=days), reason="")


def test_acknowledging_says_who_is_at_it(line: Line) -> None:
    change(line, seen="flagged")
    alerts.review(now=NOW)
    alert = alerts.acknowledge(make.operator(), Alert.objects.get())
    assert alert.acknowledged_by == make.operator().frozen()
    assert alert.closed_at is None
