"""What can be made to go wrong on a line: a table of faults, how each is written, and when it strikes."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator.refusals import invalid

ONLINE, OFFLINE, SIGNED_OUT, FLAGGED = "online", "offline", "signed_out", "flagged"
STATES = (ONLINE, OFFLINE, SIGNED_OUT, FLAGGED)
LONGEST_WAIT = 600.0


@dataclass(frozen=True)
class Fault:
    """One kind of fault: its value when nobody set it, and how a value is read (raises `ValueError`)."""

    default: Any
    read: Callable[[Any], Any]
    strikes: bool = False


class Occurrence:
    """When a fault strikes: the next k times, every Nth time, or by chance from a seed.

    The same settings give the same run of strikes, also across a restart, for each draw is journaled.
    """

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value
        self._left: int | None = value.get("next")
        self._drawn = 0
        # Not for secrets: a run must be repeatable from its seed.
        self._chance = random.Random(value.get("seed", 0))  # noqa: S311

    def draw(self) -> bool:
        """Whether the fault strikes this time; counts the draw."""
        self._drawn += 1
        if self._left is not None:
            self._left -= 1
            return self._left >= 0
        if "every" in self.value:
            return bool(self._drawn % self.value["every"] == 0)
        return bool(self._chance.random() < self.value["probability"])

    @property
    def spent(self) -> bool:
        """Whether it can never strike again."""
        return self._left is not None and self._left <= 0

    def shown(self) -> dict[str, Any]:
        """The settings, with what is left of `next`."""
        if self._left is None:
            return self.value
        return {**self.value, "next": max(self._left, 0)}


@dataclass
class LineFaults:
    """The faults set on one line; what is not set has its default."""

    settings: dict[str, Any] = field(default_factory=dict)
    occurrences: dict[str, Occurrence] = field(default_factory=dict)

    def merge(self, patch: dict[str, Any]) -> None:
        """Set what `patch` names; None resets. The values must have been through `read_patch`."""
        for name, value in patch.items():
            self.settings.pop(name, None)
            self.occurrences.pop(name, None)
            if value is not None:
                self.settings[name] = value
                if FAULTS[name].strikes:
                    self.occurrences[name] = Occurrence(value)

    def value(self, name: str) -> Any:
        """The setting of one fault, or its default."""
        return self.settings.get(name, FAULTS[name].default)

    def may_strike(self, name: str) -> bool:
        """Whether a draw of this fault could change anything, now or later."""
        return name in self.occurrences and not self.occurrences[name].spent

    def shown(self) -> dict[str, Any]:
        """Every fault with its present value."""
        return {
            name: self.occurrences[name].shown() if name in self.occurrences else self.value(name) for name in FAULTS
        }


def read_patch(patch: dict[str, Any]) -> dict[str, Any]:
    """The checked form of a request to change faults; raises `Refusal` (422) naming what is wrong."""
    checked = {}
    for name, value in patch.items():
        if name not in FAULTS:
            raise invalid(f"There is no fault {name[:40]!r}; known are {', '.join(FAULTS)}.")
        try:
            checked[name] = None if value is None else FAULTS[name].read(value)
        except ValueError as wrong:
            raise invalid(f"{name}: {wrong}") from wrong
    return checked


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false.")
    return value


def _state(value: Any) -> str:
    if value not in STATES:
        raise ValueError(f"must be one of {', '.join(STATES)}.")
    return str(value)


def _whole(value: Any, *, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"must be a whole number from {least} to {most}.")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_WAIT:
        raise ValueError(f"seconds must be a number from 0 to {LONGEST_WAIT:.0f}.")
    return float(value)


def _copies(value: Any) -> int:
    return _whole(value, least=1, most=5)


def _span(value: Any) -> list[float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("must be [least, most] in seconds.")
    least, most = _seconds(value[0]), _seconds(value[1])
    if least > most:
        raise ValueError("the least must not be above the most.")
    return [least, most]


def _table(value: Any, *, known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or not set(value) <= known:
        raise ValueError(f"must be an object of {', '.join(sorted(known))}.")
    return value


def _when(value: dict[str, Any]) -> dict[str, Any]:
    if len({"next", "every", "probability"} & set(value)) != 1:
        raise ValueError("needs exactly one of next, every, probability.")
    if "next" in value:
        return {"next": _whole(value["next"], least=0, most=1_000_000)}
    if "every" in value:
        return {"every": _whole(value["every"], least=1, most=1_000_000)}
    return _by_chance(value)


def _by_chance(value: dict[str, Any]) -> dict[str, Any]:
    probability = value["probability"]
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise ValueError("probability must be a number from 0 to 1.")
    return {"probability": float(probability), "seed": _whole(value.get("seed", 0), least=0, most=2**53)}


_WHEN = {"next", "every", "probability", "seed"}


def _lost(value: Any) -> dict[str, Any]:
    return _when(_table(value, known=_WHEN))


def _hold(value: Any) -> dict[str, Any]:
    table = _table(value, known=_WHEN | {"seconds"})
    return {**_when(table), "seconds": _seconds(table.get("seconds"))}


def _hold_or_abandon(value: Any) -> dict[str, Any]:
    table = dict(_table(value, known=_WHEN | {"seconds", "abandon"}))
    abandon = _flag(table.pop("abandon", False))
    return {**_hold(table), "abandon": abandon}


def _refusal(value: Any) -> dict[str, Any]:
    table = _table(value, known=_WHEN | {"status", "code", "message", "retry_after"})
    after = table.get("retry_after")
    return {
        **_when(table),
        "status": _whole(table.get("status", 429), least=400, most=599),
        "code": _word(table.get("code", "rate_limited")),
        "message": _word(table.get("message", "Refused, as asked for.")),
        "retry_after": None if after is None else _seconds(after),
    }


def _word(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise ValueError("must be a text of 1 to 200 characters.")
    return value


def _offset(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 86_400:
        raise ValueError("must be a number of seconds, at most a day either way.")
    return float(value)


def _allowance(value: Any) -> dict[str, int]:
    table = _table(value, known={"hour", "day"})
    return {name: _whole(left, least=0, most=1_000_000) for name, left in table.items()}


# A new fault is one row here and one question where it strikes.
FAULTS: dict[str, Fault] = {
    "state": Fault(default=ONLINE, read=_state),
    "send_key": Fault(default=True, read=_flag),
    "lost_answer": Fault(default=None, read=_lost, strikes=True),
    "error_after": Fault(default=None, read=_lost, strikes=True),
    "refuse": Fault(default=None, read=_refusal, strikes=True),
    "hold_before": Fault(default=None, read=_hold_or_abandon, strikes=True),
    "hold_after": Fault(default=None, read=_hold, strikes=True),
    "callback_copies": Fault(default=1, read=_copies),
    "callback_delay": Fault(default=None, read=_span),
    "reorder": Fault(default=False, read=_flag),
    "dropped_callback": Fault(default=None, read=_lost, strikes=True),
    "deaf": Fault(default=False, read=_flag),
    "helper": Fault(default=True, read=_flag),
    "sends_from": Fault(default=None, read=_word),
    "clock_offset": Fault(default=0.0, read=_offset),
    "allowance": Fault(default=None, read=_allowance),
    "media_error": Fault(default=None, read=_lost, strikes=True),
}
