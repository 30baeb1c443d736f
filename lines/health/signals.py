"""What is measured of a line and what each number means: the table of contract/lines.md 7.2, as plain values.

A signal that is too old or rests on too few samples is *unknown*, and unknown is never shown as good.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Self

NOW = timedelta(minutes=15)
DAY = timedelta(hours=24)
WEEK = timedelta(days=7)

# Rates over fewer samples say more about chance than about the line; their counts are shown instead.
LEAST_SAMPLES = 20

# Measured once a minute; what was measured three rounds ago says nothing of now.
STALE_AFTER = timedelta(minutes=3)


class Level(StrEnum):
    """What a signal says, mildest first; `unknown` stands outside the order."""

    UNKNOWN = "unknown"
    GOOD = "good"
    WATCH = "watch"
    DEGRADED = "degraded"
    STOP = "stop"


_ORDER = [Level.GOOD, Level.WATCH, Level.DEGRADED, Level.STOP]


@dataclass(frozen=True, slots=True)
class Rule:
    """When a number is bad. `worse`: beyond the threshold (`above`), at it (`from`) or short of it (`below`).

    `unit` is one of share, seconds, count, ratio, times; `least` the samples below which nothing is judged.
    """

    name: str
    label: str
    unit: str
    window: timedelta
    worse: Literal["above", "from", "below"]
    watch: float | None = None
    degraded: float | None = None
    stop: float | None = None
    least: int = 1

    def level(self, value: float | None, sample: int) -> Level:
        """What the value says; unknown without one, or with too few samples."""
        if value is None or sample < self.least:
            return Level.UNKNOWN
        if self._is_beyond(value, self.stop):
            return Level.STOP
        if self._is_beyond(value, self.degraded):
            return Level.DEGRADED
        return Level.WATCH if self._is_beyond(value, self.watch) else Level.GOOD

    def _is_beyond(self, value: float, threshold: float | None) -> bool:
        if threshold is None:
            return False
        match self.worse:
            case "above":
                return value > threshold
            case "from":
                return value >= threshold
            case "below":
                return value < threshold


def _share(name: str, label: str, window: timedelta, worse: Any, *thresholds: float | None, **more: int) -> Rule:
    watch, degraded, stop = thresholds
    return Rule(name, label, "share", window, worse, watch, degraded, stop, **{"least": LEAST_SAMPLES, **more})


# The rows of the contract, in its order; those that are no number are readings of the probe (`causes.py`).
RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("proof_of_life", "Proof of life", "seconds", NOW, "above", 120),
        Rule("failed_probes", "Failed probes in a row", "count", NOW, "from", 1, 3, 5),
        _share("send_success", "Sends that succeed", DAY, "below", 0.98, 0.95, 0.85),
        Rule("errors_in_a_row", "Errors in a row", "count", DAY, "from", 3, 5, 7),
        _share("unconfirmed", "Humans not reached", DAY, "from", 0.10, 0.20, 0.50, least=10),
        Rule("delivery_time", "Delivery time, p95", "seconds", NOW, "above", 30, 60, least=10),
        Rule("hand_over_time", "Hand-over time, p95", "seconds", NOW, "above", 5, 20, least=5),
        Rule("inbound_delay", "Inbound delay, p95", "seconds", NOW, "above", 60, 300, least=3),
        Rule("callback_gap", "Found by the poll alone, per hour", "count", timedelta(hours=1), "from", 1, 3),
        Rule("inbound_silence", "Silence, against the usual", "times", WEEK, "from", 2, 4),
        _share("downgrades", "Downgraded to SMS", DAY, "from", 0.02, 0.05, 0.15),
        Rule("queue_age", "Oldest text that is due", "seconds", NOW, "above", 30, 120, 600, least=0),
        Rule("load", "Load", "share", DAY, "from", 0.70, 0.80, 1.0),
        Rule("new_contacts", "New-contact allowance used", "share", DAY, "from", 0.70, 0.80, 1.0),
        _share("replies", "Humans who answered", WEEK, "below", 0.40, 0.30, 0.15),
        Rule("out_per_in", "Texts out per text in", "ratio", WEEK, "above", 2, 3, least=LEAST_SAMPLES),
        Rule("volume", "Texts a day", "count", DAY, "from", 5_000, 7_000),
        _share("opt_outs", "Opt-outs", WEEK, "from", 0.005, 0.01, 0.025),
        Rule("clock", "Clock offset", "seconds", NOW, "from", 5, 30),
        Rule("refused_callbacks", "Refused callbacks, per hour", "count", timedelta(hours=1), "from", 1, 5),
    )
}

# A line is compared with itself: beyond three times its own median a delivery is slow, but never below a minute.
_SLOW_FACTOR = 3
_SLOW_LEAST = 60.0

# Quiet nights are no faults.
SILENCE_LEAST = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Signal:
    """One number about a line: how big, from how many samples, of which window, when measured, and what it says."""

    name: str
    value: float | None
    sample: int
    measured_at: datetime
    level: Level
    detail: str = ""

    @property
    def rule(self) -> Rule:
        return RULES[self.name]

    def at(self, now: datetime) -> Self:
        """The signal as it may be shown now: one that was measured too long ago is unknown."""
        if now - self.measured_at <= STALE_AFTER:
            return self
        return type(self)(self.name, self.value, self.sample, self.measured_at, Level.UNKNOWN, self.detail)

    def stored(self) -> dict[str, Any]:
        """The JSON that is kept of it."""
        return {
            "value": self.value,
            "sample": self.sample,
            "at": self.measured_at.isoformat(),
            "level": self.level.value,
            "detail": self.detail,
        }

    @classmethod
    def of(cls, name: str, stored: dict[str, Any]) -> Self:
        """The signal of what `stored` wrote."""
        at = datetime.fromisoformat(stored["at"])
        return cls(name, stored["value"], stored["sample"], at, Level(stored["level"]), stored.get("detail", ""))


def judged(name: str, value: float | None, sample: int, *, at: datetime, detail: str = "") -> Signal:
    """A number with its verdict from the table."""
    return Signal(name, value, sample, at, RULES[name].level(value, sample), detail)


def share(name: str, part: int, whole: int, *, at: datetime) -> Signal:
    """A rate of counts; they are its detail, for with few samples they are all there is to show."""
    return judged(name, part / whole if whole else None, whole, at=at, detail=f"{part:,} of {whole:,}")


def delivery_time(p95: float | None, sample: int, *, usual: float | None, at: datetime) -> Signal:
    """How long deliveries take, in seconds, against `usual`, the line's own median of seven days."""
    rule = RULES["delivery_time"]
    slow = max(_SLOW_LEAST, _SLOW_FACTOR * (usual or 0))
    level = rule.level(p95, sample)
    if level is Level.DEGRADED and p95 is not None and p95 <= slow:
        level = Level.WATCH
    detail = f"usually {usual:.0f} s" if usual is not None else ""
    return Signal("delivery_time", p95, sample, at, level, detail)


def inbound_silence(
    silent_for: timedelta | None, *, usual_gap: timedelta | None, delivered_since: int, at: datetime
) -> Signal:
    """How many times its usual longest gap a line has heard nothing.

    Judged only while something of ours was delivered since the last inbound: with nothing going out, nobody answers.
    """
    rule = RULES["inbound_silence"]
    if silent_for is None or not usual_gap or not delivered_since:
        return Signal("inbound_silence", None, delivered_since, at, Level.UNKNOWN)
    times = silent_for / usual_gap
    level = rule.level(times, delivered_since)
    if level is Level.DEGRADED and silent_for < SILENCE_LEAST:
        level = Level.WATCH
    return Signal("inbound_silence", times, delivered_since, at, level, f"usually {usual_gap.total_seconds():.0f} s")


def percentile(samples: Sequence[float], share_of: float) -> float | None:
    """The sample below which so large a share of them lies; None without samples."""
    if not samples:
        return None
    if len(samples) == 1:
        return samples[0]
    cuts = statistics.quantiles(samples, n=100, method="inclusive")
    return cuts[round(share_of * 100) - 1]


def worst(signals: Sequence[Signal]) -> Level:
    """The hardest verdict among them; unknown when all are."""
    known = [signal.level for signal in signals if signal.level is not Level.UNKNOWN]
    return max(known, key=_ORDER.index) if known else Level.UNKNOWN
