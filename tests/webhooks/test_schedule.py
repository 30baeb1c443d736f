"""When a failed delivery is tried again."""

from datetime import UTC, datetime, timedelta

import pytest

from webhooks.schedule import LONGEST_RETRY_AFTER, SCHEDULE, Schedule, retry_after, wait_on

NOW = datetime(2026, 6, 9, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attempt", "wait"),
    [
        (1, timedelta(seconds=5)),
        (2, timedelta(minutes=1)),
        (3, timedelta(minutes=5)),
        (4, timedelta(minutes=30)),
        (5, timedelta(hours=2)),
        (6, timedelta(hours=5)),
        (7, timedelta(hours=8)),
        (8, timedelta(hours=10)),
        (9, timedelta(hours=12)),
        (10, timedelta(hours=14)),
        (11, timedelta(hours=14)),
        (12, timedelta(hours=14)),
        (13, timedelta(hours=15)),
        (14, None),
        (15, None),
    ],
)
def test_the_waits(attempt: int, wait: timedelta | None) -> None:
    assert SCHEDULE.wait_after(attempt, spread=0) == wait


def test_even_the_shortest_spread_lasts_75_hours_and_12_attempts() -> None:
    shortest = sum((SCHEDULE.wait_after(made, spread=-1) or timedelta() for made in range(1, 14)), timedelta())
    assert shortest > timedelta(hours=75)
    assert SCHEDULE.attempts >= 12


def test_the_jitter_stays_within_a_fifth() -> None:
    waits = [Schedule((100,), 0.2).wait_after(1) for _ in range(500)]
    assert min(waits) >= timedelta(seconds=80)
    assert max(waits) <= timedelta(seconds=120)
    assert len(set(waits)) > 400


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("0", timedelta(0)),
        (" 90 ", timedelta(seconds=90)),
        ("Tue, 09 Jun 2026 13:00:00 GMT", timedelta(hours=1)),
        ("Tue, 09 Jun 2020 13:00:00 GMT", timedelta(0)),
        ("Tue, 09 Jun 2099 13:00:00 GMT", LONGEST_RETRY_AFTER),
        ("999999999999", LONGEST_RETRY_AFTER),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("９９", None),
    ],
)
def test_what_retry_after_asks_for(value: str, wait: timedelta | None) -> None:
    assert retry_after(value, now=NOW) == wait


@pytest.mark.parametrize(
    ("age", "since_success", "wait"),
    [
        (timedelta(days=4), None, None),
        (timedelta(days=4), timedelta(hours=23), timedelta(hours=1)),
        (timedelta(days=4), timedelta(hours=25), None),
        (timedelta(days=15), timedelta(hours=1), None),
    ],
)
def test_an_endpoint_that_took_anything_of_late_is_tried_on(
    age: timedelta, since_success: timedelta | None, wait: timedelta | None
) -> None:
    last_success_at = None if since_success is None else NOW - since_success
    assert wait_on(created_at=NOW - age, last_success_at=last_success_at, now=NOW) == wait
