"""What a number means: the thresholds of contract/lines.md 7.2, and what is not judged at all."""

from datetime import UTC, datetime, timedelta

import pytest

from lines.health.signals import Level, Signal, delivery_time, inbound_silence, judged, percentile, share, worst

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GOOD, WATCH, DEGRADED, STOP, UNKNOWN = Level.GOOD, Level.WATCH, Level.DEGRADED, Level.STOP, Level.UNKNOWN


@pytest.mark.parametrize(
    ("name", "ladder"),
    [
        ("proof_of_life", [(120, GOOD), (121, WATCH)]),
        ("failed_probes", [(0, GOOD), (1, WATCH), (3, DEGRADED), (5, STOP)]),
        ("send_success", [(0.98, GOOD), (0.979, WATCH), (0.949, DEGRADED), (0.849, STOP)]),
        ("errors_in_a_row", [(2, GOOD), (3, WATCH), (5, DEGRADED), (7, STOP)]),
        ("unconfirmed", [(0.09, GOOD), (0.1, WATCH), (0.2, DEGRADED), (0.5, STOP)]),
        ("hand_over_time", [(5, GOOD), (6, WATCH), (21, DEGRADED)]),
        ("inbound_delay", [(60, GOOD), (61, WATCH), (301, DEGRADED)]),
        ("callback_gap", [(0, GOOD), (1, WATCH), (3, DEGRADED)]),
        ("downgrades", [(0.01, GOOD), (0.02, WATCH), (0.05, DEGRADED), (0.15, STOP)]),
        ("queue_age", [(30, GOOD), (31, WATCH), (121, DEGRADED), (601, STOP)]),
        ("load", [(0.69, GOOD), (0.7, WATCH), (0.8, DEGRADED), (1, STOP)]),
        ("new_contacts", [(0.69, GOOD), (0.7, WATCH), (0.8, DEGRADED), (1, STOP)]),
        ("replies", [(0.4, GOOD), (0.39, WATCH), (0.29, DEGRADED), (0.14, STOP)]),
        ("out_per_in", [(2, GOOD), (2.1, WATCH), (3.1, DEGRADED)]),
        ("volume", [(4_999, GOOD), (5_000, WATCH), (7_000, DEGRADED)]),
        ("opt_outs", [(0.004, GOOD), (0.005, WATCH), (0.01, DEGRADED), (0.025, STOP)]),
        ("clock", [(4, GOOD), (5, WATCH), (30, DEGRADED)]),
        ("refused_callbacks", [(0, GOOD), (1, WATCH), (5, DEGRADED)]),
    ],
)
def test_each_number_has_its_ladder(name: str, ladder: list[tuple[float, Level]]) -> None:
    assert [(value, judged(name, value, 1000, at=NOW).level) for value, _ in ladder] == ladder


@pytest.mark.parametrize(
    ("signal", "level"),
    [
        (judged("send_success", None, 0, at=NOW), UNKNOWN),
        (share("send_success", 0, 19, at=NOW), UNKNOWN),
        (share("send_success", 0, 20, at=NOW), STOP),
        (share("unconfirmed", 9, 9, at=NOW), UNKNOWN),
        (share("unconfirmed", 10, 10, at=NOW), STOP),
        (judged("clock", None, 0, at=NOW), UNKNOWN),
    ],
)
def test_what_rests_on_too_little_is_unknown(signal: Signal, level: Level) -> None:
    assert signal.level is level


def test_a_rate_over_few_samples_still_shows_its_counts() -> None:
    assert share("send_success", 3, 4, at=NOW).detail == "3 of 4"


@pytest.mark.parametrize(
    ("p95", "sample", "usual", "level"),
    [
        (29, 10, None, GOOD),
        (40, 10, None, WATCH),
        (61, 10, None, DEGRADED),
        (61, 9, None, UNKNOWN),
        (100, 10, 40.0, WATCH),  # this line is always slow
        (121, 10, 40.0, DEGRADED),
        (59, 10, 2.0, WATCH),  # three times its own, and still within a minute
    ],
)
def test_deliveries_are_compared_with_the_lines_own(p95: float, sample: int, usual: float | None, level: Level) -> None:
    assert delivery_time(p95, sample, usual=usual, at=NOW).level is level


@pytest.mark.parametrize(
    ("hours", "usual_hours", "delivered", "level"),
    [
        (3, 2, 5, GOOD),
        (5, 2, 5, WATCH),
        (8, 2, 5, DEGRADED),
        (8, 2, 0, UNKNOWN),  # nothing went out, so nobody answers
        (2, 0.5, 5, WATCH),  # four times its own, but no six hours
        (8, 0, 5, UNKNOWN),  # never heard anything
    ],
)
def test_silence_is_compared_with_the_usual(hours: float, usual_hours: float, delivered: int, level: Level) -> None:
    gap = timedelta(hours=usual_hours)
    signal = inbound_silence(timedelta(hours=hours), usual_gap=gap, delivered_since=delivered, at=NOW)
    assert signal.level is level


def test_an_old_measurement_says_nothing_of_now() -> None:
    signal = judged("clock", 1, 1, at=NOW)
    assert [signal.at(NOW + timedelta(minutes=minutes)).level for minutes in (3, 4)] == [GOOD, UNKNOWN]


def test_a_signal_survives_being_stored() -> None:
    signal = share("send_success", 19, 20, at=NOW)
    assert Signal.of("send_success", signal.stored()) == signal


def test_the_worst_of_several_leaves_out_what_is_unknown() -> None:
    signals = [judged("clock", value, 1, at=NOW) for value in (None, 1, 6)]
    assert (worst(signals), worst(signals[:1])) == (WATCH, UNKNOWN)


@pytest.mark.parametrize(
    ("samples", "p95"), [([], None), ([4], 4), ([1, 2], 1.95), (range(101), 95)], ids=["none", "one", "two", "many"]
)
def test_the_percentile_lies_between_samples(samples: list[float], p95: float | None) -> None:
    assert percentile(samples, 0.95) == pytest.approx(p95)
