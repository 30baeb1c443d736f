"""Measuring from the tables of lines alone: what each number is made of, and what a round costs."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from lines.health.measuring import first_callback_since, measure
from lines.health.signals import Level, Signal
from lines.models import Callback, Line, LineEvent, LineHealth, LineHour, LineReading, Route
from tests import make
from tests.lines.health.traffic import NOW, ago, failed, heard, hour, human, sent

pytestmark = pytest.mark.django_db


def measured(line: Line, name: str) -> Signal:
    return {signal.name: signal for signal in measure(now=NOW)[line.id]}[name]


def unknown_arrivals(line: Line) -> None:
    """Ten humans who had a delivery before, and six of whom have none of today's."""
    for number in range(10):
        sent(line, human(number), at=ago(hours=5))
        sent(line, human(number), at=ago(hours=1), delivered=1 if number < 4 else None)


def switched_off_phones(line: Line) -> None:
    """Ten humans whom nothing of ours has ever reached say nothing of the line."""
    for number in range(10):
        sent(line, human(number), at=ago(hours=1), delivered=None)


def still_on_their_way(line: Line) -> None:
    for number in range(10):
        sent(line, human(number), at=ago(hours=1))
        sent(line, human(number), at=ago(minutes=9), delivered=None)


def failures(count: int, *, of: int) -> Callable[[Line], None]:
    def happen(line: Line) -> None:
        for number in range(of):
            (failed if number < count else sent)(line, at=ago(minutes=of - number))

    return happen


def forgiven(line: Line) -> None:
    LineHealth.objects.create(line=line, counted_from=ago(minutes=30))
    for number in range(8):
        failed(line, at=ago(minutes=31 + number))
    sent(line, at=ago(minutes=5))


def found_late(line: Line) -> None:
    for number in range(3):
        heard(line, human(number), at=ago(minutes=number + 1), late=True)
    heard(line, at=ago(hours=2), late=True)


def slow(line: Line) -> None:
    for number in range(10):
        sent(line, at=ago(minutes=number + 1), delivered=90, took=30)


def slow_as_ever(line: Line) -> None:
    hour(line, hours_ago=30, accepted=10, delivered=10, delivery_p50=60)
    slow(line)


def silence(line: Line) -> None:
    """Texts every hour for a week, none today, and ours were delivered meanwhile."""
    for hours in range(9, 24 * 8):
        hour(line, hours_ago=hours, inbound=3)
    sent(line, at=ago(hours=1))


def waiting(line: Line) -> None:
    LineHealth.objects.create(line=line, queue_oldest_at=ago(minutes=3), queue_depth=4)


def crowd(line: Line) -> None:
    Line.objects.filter(pk=line.pk).update(capacity=10)
    for number in range(6):
        sent(line, human(number), at=ago(hours=2))
        heard(line, human(number + 3), at=ago(hours=1))


def opened_threads(line: Line) -> None:
    for number in range(20):
        sent(line, human(number), at=ago(hours=1), first_contact=True)
    for number in range(5):
        heard(line, human(number), at=ago(minutes=30))


def opt_outs(line: Line) -> None:
    for number in range(20):
        Route.objects.create(line=line, line_kind="pool", human=human(number), identity=make.make_identity())
    heard(line, at=ago(minutes=5), kind="opted_out")


def clock(line: Line) -> None:
    LineReading.objects.create(line=line, state="healthy", clock_offset=-40, at=ago(minutes=1))


@pytest.mark.parametrize(
    ("happen", "name", "level", "value"),
    [
        (failures(0, of=20), "send_success", Level.GOOD, 1),
        (failures(4, of=20), "send_success", Level.STOP, 0.8),
        (failures(2, of=10), "send_success", Level.UNKNOWN, 0.8),
        (failures(4, of=4), "errors_in_a_row", Level.WATCH, 4),
        (failures(4, of=5), "errors_in_a_row", Level.GOOD, 0),
        (forgiven, "errors_in_a_row", Level.GOOD, 0),
        (unknown_arrivals, "unconfirmed", Level.STOP, 0.6),
        (switched_off_phones, "unconfirmed", Level.UNKNOWN, None),
        (still_on_their_way, "unconfirmed", Level.GOOD, 0),
        (found_late, "callback_gap", Level.DEGRADED, 3),
        (slow, "delivery_time", Level.DEGRADED, 90),
        (slow, "hand_over_time", Level.DEGRADED, 30),
        (slow_as_ever, "delivery_time", Level.WATCH, 90),
        (silence, "inbound_silence", Level.DEGRADED, None),
        (waiting, "queue_age", Level.DEGRADED, 180),
        (crowd, "load", Level.DEGRADED, 0.9),
        (opened_threads, "replies", Level.DEGRADED, 0.25),
        (opt_outs, "opt_outs", Level.STOP, 1 / 21),
        (clock, "clock", Level.DEGRADED, 40),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_number_is_made_of_what_flowed(
    happen: Callable[[Line], None], name: str, level: Level, value: float | None, line: Line
) -> None:
    happen(line)
    signal = measured(line, name)
    assert signal.level is level
    if value is not None:
        assert signal.value == pytest.approx(value, rel=0.01)


def test_a_line_without_traffic_is_not_called_good(line: Line) -> None:
    known = {signal.name for signal in measure(now=NOW)[line.id] if signal.level is not Level.UNKNOWN}
    assert known == {
        *("errors_in_a_row", "volume", "callback_gap", "proof_of_life", "failed_probes", "queue_age", "load"),
        "refused_callbacks",
    }


def test_refused_callbacks_are_those_of_the_last_hour(line: Line) -> None:
    account = line.account
    for minutes, total in [(70, 3), (50, 10), (5, 12)]:
        account.callbacks_refused = total
        account.save()
        measure(now=ago(minutes=minutes))
    assert measured(line, "refused_callbacks").value == 9


def test_hours_are_kept_once_and_grow_with_late_reports(line: Line) -> None:
    dispatch = sent(line, at=ago(minutes=30), delivered=None)
    heard(line, at=ago(minutes=20))
    measure(now=NOW)
    type(dispatch).objects.filter(pk=dispatch.pk).update(delivered_at=ago(minutes=29))
    measure(now=NOW + timedelta(minutes=1))
    kept = LineHour.objects.get()
    assert (kept.outbound, kept.accepted, kept.delivered, kept.inbound) == (1, 1, 1, 1)


def test_whom_a_text_has_reached_can_be_reached(line: Line) -> None:
    connection_ = make.make_connection(line=line, human=human(1))
    sent(line, human(1), at=ago(minutes=30))
    measure(now=NOW)
    assert Route.objects.get(human=connection_.human).reached_at == NOW


def test_a_time_in_which_nobody_looked_is_kept_as_such(line: Line) -> None:
    for minutes in (60, 59, 20, 19):
        measure(now=ago(minutes=minutes))
    changes = LineEvent.objects.order_by("at").values_list("at", "before", "after", "reason")
    assert list(changes) == [
        (ago(minutes=56), "healthy", "unknown", "nobody looked"),
        (ago(minutes=20), "unknown", "healthy", "nobody looked"),
    ]


def test_lines_are_measured_apart(line: Line) -> None:
    other = make.make_line()
    for number in range(7):
        failed(other, at=ago(minutes=number + 1))
    found = {key: {s.name: s.value for s in signals} for key, signals in measure(now=NOW).items()}
    assert (found[line.id]["errors_in_a_row"], found[other.id]["errors_in_a_row"]) == (0, 7)


def test_a_round_costs_the_same_for_many_lines(line: Line) -> None:
    measure(now=NOW)
    with CaptureQueriesContext(connection) as few:
        measure(now=NOW)
    for _ in range(5):
        sent(make.make_line(), at=ago(minutes=5))
    with CaptureQueriesContext(connection) as many:
        measure(now=NOW)
    assert len(many) == len(few)


def test_the_first_callback_of_a_time_is_found_by_its_key(line: Line) -> None:
    keys = [heard(line, at=ago(minutes=minutes)).id for minutes in (50, 40, 30, 20)]
    assert [first_callback_since(ago(minutes=minutes)) for minutes in (60, 40, 39, 20)] == [
        *keys[:3],
        keys[3],
    ]
    assert first_callback_since(NOW) > keys[3]
    Callback.objects.all().delete()
    assert first_callback_since(NOW) <= 1
