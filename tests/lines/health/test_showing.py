"""What people are shown of lines: who comes first and why, how old each number is, and the bands."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.actor import Role
from lines import health
from lines.health import showing
from lines.health.measuring import measure
from lines.health.showing import Stretch, band, pool
from lines.health.states import Shown
from lines.models import Alert, Line, LineEvent, LineReading
from tests import make
from tests.lines.health.traffic import NOW, ago, failed, hour, human, sent

pytestmark = pytest.mark.django_db

OLGA = make.operator()


def looked_at(line: Line, **minutes: float) -> Line:
    Line.objects.filter(pk=line.pk).update(proof_of_life_at=ago(**minutes or {"minutes": 1}))
    LineReading.objects.create(line=line, state="healthy", at=ago(**minutes or {"minutes": 1}))
    return line


def change(line: Line, column: str, before: str, after: str, *, reason: str = "", **at: float) -> None:
    LineEvent.objects.create(
        line=line, column=column, before=before, after=after, reason=reason, actor={}, at=ago(**at)
    )


def test_the_line_that_needs_somebody_most_comes_first(router: Line) -> None:
    worst_first = [
        make.make_line(seen="flagged", seen_reasons=["wrong_sender"]),
        make.make_line(seen="down", seen_reasons=["signed_out"]),
        make.make_line(seen="unknown"),
        make.make_line(seen="degraded", kind="router"),
        make.make_line(seen="degraded"),
        make.make_line(allowance="at_cap"),
        make.make_line(wanted="paused"),
        make.make_line(wanted="draining"),
        router,
    ]
    for line in worst_first:
        looked_at(line)
    make.make_line(wanted="retired")
    rows = pool(OLGA, now=NOW)
    assert [row.line.address for row in rows] == [line.address for line in worst_first]
    assert showing.at_risk(rows) == 5
    assert showing.counts(rows)[Shown.DEGRADED] == 2


def test_a_reason_is_a_sentence_with_its_number_and_its_age(line: Line) -> None:
    looked_at(line)
    for minute in range(1, 8):
        failed(line, at=ago(minutes=minute))
    measure(now=ago(minutes=1))
    health.see(line, seen="down", reasons=["errors_in_a_row"])
    row = showing.one(OLGA, line, now=NOW)
    (reason,) = row.reasons
    assert reason.number
    assert (reason.words, reason.number.text, reason.at) == ("Seven sends failed in a row.", "7", ago(minutes=1))
    assert row.incident
    assert row.incident.cause == "errors_in_a_row"


def test_a_rate_over_few_shows_its_counts_and_what_is_old_is_unknown(line: Line) -> None:
    looked_at(line)
    sent(line, at=ago(minutes=20))
    measure(now=ago(minutes=1))
    numbers = showing.one(OLGA, line, now=NOW).numbers
    assert [numbers[name].text for name in ("send_success", "delivery_time", "volume")] == ["1 of 1", "unknown", "1"]
    numbers = showing.one(OLGA, line, now=NOW + timedelta(minutes=5)).numbers
    assert [numbers[name].text for name in ("send_success", "volume")] == ["1 of 1", "unknown"]


def test_a_line_that_nobody_looked_at_is_unknown_not_active(line: Line) -> None:
    looked_at(line, minutes=4)
    row = showing.one(OLGA, line, now=NOW)
    assert (row.word, [reason.code for reason in row.reasons]) == (Shown.UNKNOWN, ["unproved"])


def test_what_is_only_watched_is_told_beside_the_reasons(line: Line) -> None:
    looked_at(line)
    for minute in range(1, 4):
        failed(line, at=ago(minutes=minute))
    measure(now=NOW)
    assert [watched.words for watched in showing.one(OLGA, line, now=NOW).watching] == ["Errors in a row: 3"]


@pytest.mark.parametrize(
    ("today", "before", "word"),
    [
        ({"accepted": 80, "failed": 20}, {"accepted": 300}, "worse"),
        ({"accepted": 100}, {"accepted": 240, "failed": 60}, "better"),
        ({"accepted": 100}, {"accepted": 300}, "same"),
        ({"accepted": 10}, {"accepted": 300}, "unknown"),
        ({"accepted": 100, "downgraded": 10}, {"accepted": 300}, "worse"),
    ],
)
def test_the_trend_compares_a_day_with_the_week(
    today: dict[str, int], before: dict[str, int], word: str, line: Line
) -> None:
    hour(line, hours_ago=2, **today)
    hour(line, hours_ago=48, **before)
    assert showing.one(OLGA, line, now=NOW).trend.word == word


def test_a_band_covers_its_span_with_the_words_as_they_were(line: Line) -> None:
    Line.objects.filter(pk=line.pk).update(created_at=ago(days=30), seen="degraded")
    line.refresh_from_db()
    looked_at(line)
    change(line, "seen", "healthy", "down", reason="signed_out", days=2)
    change(line, "seen", "down", "degraded", reason="recovering", hours=20)
    change(line, "wanted", "in_service", "paused", reason="a look", hours=10)
    change(line, "wanted", "paused", "in_service", hours=8)
    change(line, "allowance", "open", "at_cap", hours=6)
    assert band(line, span="24h", now=NOW) == [
        Stretch(Shown.DOWN, ago(hours=24), ago(hours=20), ""),
        Stretch(Shown.DEGRADED, ago(hours=20), ago(hours=10), "recovering"),
        Stretch(Shown.PAUSED, ago(hours=10), ago(hours=8), "a look"),
        Stretch(Shown.DEGRADED, ago(hours=8), NOW, ""),
    ]
    week = band(line, span="7d", now=NOW)
    assert [stretch.word for stretch in week][:2] == [Shown.ACTIVE, Shown.DOWN]
    assert sum(stretch.share_of(timedelta(days=7)) for stretch in week) == pytest.approx(1)
    assert showing.history(line, span="24h", now=NOW)[0].after == "at_cap"


def test_a_band_begins_with_the_line_and_ends_unknown_when_nobody_looks(line: Line) -> None:
    Line.objects.filter(pk=line.pk).update(created_at=ago(hours=2))
    line.refresh_from_db()
    looked_at(line, hours=1)
    line.refresh_from_db()
    assert [(stretch.word, stretch.begins) for stretch in band(line, span="90d", now=NOW)] == [
        (Shown.ACTIVE, ago(hours=2)),
        (Shown.UNKNOWN, ago(minutes=57)),
    ]


def test_sparks_have_equal_steps(line: Line) -> None:
    hour(line, hours_ago=0, outbound=5, failed=2)
    hour(line, hours_ago=3, outbound=7, downgraded=1)
    drawn = showing.sparks([line.id], now=NOW)[line.id]
    assert (len(drawn.outbound), drawn.outbound[-4:], drawn.failed[-1], drawn.downgraded[-4]) == (
        24,
        [7, 0, 0, 5],
        2,
        1,
    )
    assert len(showing.sparks([line.id], span="7d", now=NOW)[line.id].outbound) == 28


def test_errors_are_counted_by_code(line: Line) -> None:
    for number in range(3):
        failed(line, human(number % 2), at=ago(minutes=number + 1))
    (error,) = showing.errors(line, span="24h", now=NOW)
    assert (error.code, error.times, error.humans, error.last_at) == ("boom", 3, 2, ago(minutes=1))


def test_neighbours_share_what_may_fail(line: Line) -> None:
    Line.objects.filter(pk=line.pk).update(domain="mac-1")
    line.refresh_from_db()
    near = make.make_line(domain="mac-1")
    far = make.make_line(account=make.make_account("another"))
    assert showing.neighbours(line) == {"account": [near.address], "domain": [near.address]}
    assert showing.neighbours(far) == {"account": []}


def test_tenants_see_their_own_dedicated_lines_alone(line: Line, router: Line) -> None:
    organization = make.make_organization()
    own = make.make_line(kind="dedicated", organization=organization)
    actor = make.admin_of(organization, role=Role.ADMIN)
    assert [row.line for row in pool(actor)] == [own]
    with pytest.raises(Line.DoesNotExist):
        showing.one(actor, line)
    Alert.objects.create(line=line, cause="down", words="A line is down.")
    assert showing.open_alerts(actor) == []


def test_the_pool_costs_the_same_for_many_lines(line: Line) -> None:
    with CaptureQueriesContext(connection) as few:
        pool(OLGA, now=NOW)
    for _ in range(5):
        sent(looked_at(make.make_line()), at=ago(minutes=5))
    measure(now=NOW)
    with CaptureQueriesContext(connection) as many:
        pool(OLGA, now=NOW)
    assert len(many) == len(few) <= 9
