"""From readings to a state, with hysteresis; from three columns to the one word."""

from datetime import UTC, datetime, timedelta

import pytest

from lines.health import causes
from lines.health.causes import CAUSES, cause_of, of_probe, of_signals
from lines.health.signals import RULES, judged, share
from lines.health.states import Shown, Standing, permits, public_word, shown
from lines.models import Line

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def read(standing: Standing, *rounds: str, every: timedelta = MINUTE) -> list[str]:
    """The states after each reading; a round names its causes, separated by spaces."""
    seen = []
    for number, codes in enumerate(rounds):
        standing = standing.after([cause_of(code) for code in codes.split()], now=START + number * every)
        seen.append(standing.seen)
    return seen


@pytest.mark.parametrize(
    ("before", "rounds", "after"),
    [
        # Worse after two readings in a row, not after one, and not after two apart.
        ("healthy", ["helper_lost"], ["healthy"]),
        ("healthy", ["helper_lost", "helper_lost"], ["healthy", "degraded"]),
        ("healthy", ["helper_lost", "", "helper_lost"], ["healthy"] * 3),
        ("healthy", ["offline", "offline"], ["healthy", "down"]),
        ("degraded", ["unconfirmed clock"] * 2, ["degraded", "flagged"]),
        # Worse at once.
        ("healthy", ["wrong_sender"], ["flagged"]),
        ("healthy", ["signed_out"], ["down"]),
        ("healthy", ["flagged"], ["flagged"]),
        ("healthy", ["blocked"], ["flagged"]),
        ("degraded", ["errors_in_a_row"], ["down"]),
        ("healthy", ["unproved"], ["unknown"]),
        # What is known to be bad outweighs not knowing.
        ("degraded", ["unproved clock"], ["degraded"]),
        ("down", ["unproved"], ["down"]),
        # Not knowing is no illness: one reading ends it.
        ("unknown", [""], ["healthy"]),
        ("unknown", ["clock"], ["degraded"]),
        # Better after three and five minutes without a cause.
        ("degraded", ["", "", ""], ["healthy"] * 0 + ["degraded", "degraded", "healthy"]),
        # A flag stays, whatever is read.
        ("flagged", [""] * 10, ["flagged"] * 10),
        ("flagged", ["signed_out"], ["flagged"]),
    ],
)
def test_a_state_follows_its_readings(before: str, rounds: list[str], after: list[str]) -> None:
    assert read(Standing(before, codes=("clock",) if before == "degraded" else ()), *rounds) == after


def test_better_takes_three_readings_and_five_minutes() -> None:
    assert read(Standing("degraded"), "clock", *[""] * 6) == ["degraded"] * 5 + ["healthy"] * 2
    assert read(Standing("degraded"), "clock", *[""] * 4, every=5 * MINUTE) == ["degraded"] * 3 + ["healthy"] * 2


@pytest.mark.parametrize(
    ("code", "soon"), [("line_down", "degraded"), ("signed_out", "degraded"), ("errors_in_a_row", "down")]
)
def test_what_a_probe_proves_over_lets_texts_flow_at_once(code: str, soon: str) -> None:
    standing = Standing("down", codes=(code,), troubled_at=START - MINUTE)
    after = standing.after([], now=START)
    assert after.seen == soon
    for number in range(5):
        after = after.after([], now=START + number * MINUTE)
    assert after.seen == "healthy"


def test_a_trouble_not_long_ago_is_not_forgotten_by_not_knowing() -> None:
    standing = Standing("unknown", codes=("unproved", "clock"), troubled_at=START - MINUTE)
    assert standing.after([], now=START).codes == ("recovering",)
    assert standing.after([], now=START + 5 * MINUTE).seen == "healthy"


@pytest.mark.parametrize(
    ("state", "codes", "seen"),
    [
        ("healthy", [], "healthy"),
        ("down", ["offline"], "down"),
        ("down", ["no_answer"], "down"),
        ("down", ["unauthorized"], "down"),
        ("down", ["some_new_word"], "down"),
        ("flagged", [], "flagged"),
        ("degraded", ["helper_disconnected"], "degraded"),
        ("unknown", [], "unknown"),
        ("healthy", ["alias_lost"], "flagged"),
    ],
)
def test_a_probe_is_read_by_its_state_and_its_words(state: str, codes: list[str], seen: str) -> None:
    assert causes.worst_seen(of_probe(state, codes)) == seen


def test_numbers_are_causes_only_when_they_are_bad() -> None:
    signals = [
        judged("clock", 31, 1, at=START),
        judged("hand_over_time", 6, 50, at=START),
        share("send_success", 80, 100, at=START),
        judged("load", 2, 1, at=START),
    ]
    assert [(cause.code, cause.seen) for cause in of_signals(signals, flowing=True)] == [
        ("clock", "degraded"),
        ("send_success", "down"),
    ]
    assert [cause.code for cause in of_signals(signals, flowing=False)] == ["clock"]


def test_every_number_that_can_be_bad_has_its_cause() -> None:
    assert {name for name in RULES if name not in causes.NOT_ILLNESS} <= set(CAUSES)


@pytest.mark.parametrize(
    ("wanted", "seen", "allowance", "word"),
    [
        ("provisioning", "healthy", "open", Shown.PROVISIONING),
        ("in_service", "healthy", "open", Shown.ACTIVE),
        ("in_service", "healthy", "at_cap", Shown.LIMITED),
        ("in_service", "healthy", "slowed", Shown.LIMITED),
        ("in_service", "degraded", "at_cap", Shown.DEGRADED),
        ("in_service", "unknown", "open", Shown.UNKNOWN),
        ("in_service", "down", "open", Shown.DOWN),
        ("in_service", "flagged", "open", Shown.QUARANTINED),
        ("draining", "healthy", "open", Shown.DRAINING),
        ("draining", "degraded", "open", Shown.DRAINING),
        ("draining", "down", "open", Shown.DOWN),
        ("paused", "healthy", "open", Shown.PAUSED),
        ("paused", "flagged", "open", Shown.PAUSED),
        ("retired", "healthy", "open", Shown.RETIRED),
    ],
)
def test_the_word_is_derived_from_three_columns(wanted: str, seen: str, allowance: str, word: Shown) -> None:
    assert shown(wanted=wanted, seen=seen, allowance=allowance) is word


def test_the_words_hold_a_queue_as_the_line_does() -> None:
    for wanted in Line.Wanted:
        for seen in Line.Seen:
            held = Line(wanted=wanted, seen=seen).holds_queue
            assert (permits(shown(wanted=wanted, seen=seen)).pace == 0) is held, (wanted, seen)


def test_the_public_word_says_whether_texts_flow() -> None:
    paused = {Shown.PROVISIONING, Shown.PAUSED, Shown.QUARANTINED, Shown.DOWN, Shown.RETIRED}
    assert {word for word in Shown if public_word(word) == "paused"} == paused
