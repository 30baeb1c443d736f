"""From causes to a state, with hysteresis, and from three columns to the one word that is shown (7.3).

What the operator *wants*, what we *see* and what the allowance *permits* are kept apart; the word is derived.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from lines.health.causes import (
    CAUSES,
    DEGRADED,
    DOWN,
    FLAGGED,
    HEALTHY,
    UNKNOWN,
    Cause,
    cause_of,
    severity,
    worst_seen,
)

# Worse after two readings in a row, but for what is worse at once; better after three and a calm.
READINGS_TO_WORSEN = 2
READINGS_TO_RECOVER = 3
CALM = timedelta(minutes=5)

_RECOVERING = CAUSES["recovering"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is seen of a line, and what the next reading needs to know of the ones before.

    `worse` and `better` count readings in a row that would change the state; `troubled_at` is the last reading with
    any cause at all.
    """

    seen: str
    codes: tuple[str, ...] = ()
    worse: int = 0
    better: int = 0
    troubled_at: datetime | None = None

    def after(self, causes: Sequence[Cause], *, now: datetime, calm: timedelta = CALM) -> Self:
        """What is seen after one more reading.

        A flagged line leaves that state only by an operator, whatever is read of it.
        """
        target = worst_seen(causes)
        codes = tuple(dict.fromkeys(cause.code for cause in causes))
        troubled_at = now if causes else self.troubled_at
        read = replace(self, troubled_at=troubled_at)
        if self.seen == FLAGGED:
            return replace(read, codes=codes if target == FLAGGED else self.codes, worse=0, better=0)
        if self.seen == target:
            return replace(read, codes=codes, worse=0, better=0)
        if self.seen == UNKNOWN:
            return self._known_again(read, target, codes, now=now, calm=calm)
        if target == UNKNOWN and self.seen == DOWN:
            return read
        if target == UNKNOWN or severity(causes) > severity([cause_of("", seen=self.seen)]):
            return self._worse(read, target, causes, codes)
        return self._better(read, target, codes, now=now, calm=calm)

    def _known_again(self, read: Self, target: str, codes: tuple[str, ...], *, now: datetime, calm: timedelta) -> Self:
        """Not knowing is no illness: the first reading ends it, but a trouble not long ago is not forgotten."""
        if target == HEALTHY and self.troubled_at and self.codes != ("unproved",) and now - self.troubled_at < calm:
            return replace(read, seen=DEGRADED, codes=(_RECOVERING.code,), worse=0, better=1)
        return replace(read, seen=target, codes=codes, worse=0, better=0)

    def _worse(self, read: Self, target: str, causes: Sequence[Cause], codes: tuple[str, ...]) -> Self:
        at_once = any(cause.at_once for cause in causes if cause.seen == target)
        count = self.worse + 1
        if at_once or count >= READINGS_TO_WORSEN:
            return replace(read, seen=target, codes=codes, worse=0, better=0)
        return replace(read, worse=count, better=0)

    def _better(self, read: Self, target: str, codes: tuple[str, ...], *, now: datetime, calm: timedelta) -> Self:
        count = self.better + 1
        is_calm = self.troubled_at is None or now - self.troubled_at >= calm
        if count >= READINGS_TO_RECOVER and (is_calm or target != HEALTHY):
            return replace(read, seen=target, codes=codes, worse=0, better=0)
        if self.seen == DOWN and all(cause_of(code).leaves_by_probe for code in self.codes):
            # What was down is proved over: texts flow again, and new humans wait for the calm.
            return replace(read, seen=DEGRADED, codes=codes or (_RECOVERING.code,), worse=0, better=count)
        return replace(read, worse=0, better=count)


class Shown(StrEnum):
    """The word that is shown of a line."""

    PROVISIONING = "provisioning"
    ACTIVE = "active"
    LIMITED = "limited"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"
    DRAINING = "draining"
    PAUSED = "paused"
    QUARANTINED = "quarantined"
    DOWN = "down"
    RETIRED = "retired"


# The word of the line that needs somebody most comes first.
BY_RISK = (
    Shown.QUARANTINED,
    Shown.DOWN,
    Shown.UNKNOWN,
    Shown.DEGRADED,
    Shown.LIMITED,
    Shown.PAUSED,
    Shown.DRAINING,
    Shown.PROVISIONING,
    Shown.ACTIVE,
    Shown.RETIRED,
)
NEEDS_SOMEBODY = frozenset({Shown.QUARANTINED, Shown.DOWN, Shown.UNKNOWN, Shown.DEGRADED})


_BY_SEEN = {
    FLAGGED: Shown.QUARANTINED,
    DOWN: Shown.DOWN,
    DEGRADED: Shown.DEGRADED,
    UNKNOWN: Shown.UNKNOWN,
}


def shown(*, wanted: str, seen: str, allowance: str = "open") -> Shown:
    """The one word for the three columns. What is wrong is said even of a line that is being drained."""
    if wanted in {"provisioning", "retired", "paused"}:
        return Shown(wanted)
    if seen in {FLAGGED, DOWN}:
        return _BY_SEEN[seen]
    if wanted == "draining":
        return Shown.DRAINING
    if seen != HEALTHY:
        return _BY_SEEN[seen]
    return Shown.ACTIVE if allowance == "open" else Shown.LIMITED


@dataclass(frozen=True, slots=True)
class Permits:
    """What a line does in a state: routes inbound, sends answers at a share of its pace, takes new humans."""

    inbound: bool
    pace: float
    new: str
    words: str


_PERMITS = {
    Shown.PROVISIONING: Permits(False, 0, "no", "Not in service yet."),
    Shown.ACTIVE: Permits(True, 1, "yes", "Carries everything."),
    Shown.LIMITED: Permits(True, 1, "no", "Answers known humans; new ones wait for the allowance."),
    Shown.DEGRADED: Permits(True, 0.5, "last resort", "Answers at half its pace; new humans only as a last resort."),
    Shown.UNKNOWN: Permits(True, 1, "no", "Nothing proves how it is; texts flow, new humans wait."),
    Shown.DRAINING: Permits(True, 1, "no", "Answers known humans; takes no new ones."),
    Shown.PAUSED: Permits(True, 0, "no", "What humans write arrives; answers are held."),
    Shown.QUARANTINED: Permits(True, 0, "no", "What humans write arrives; nothing leaves until an operator clears it."),
    Shown.DOWN: Permits(True, 0, "no", "Answers are held; what comes in meanwhile is found later."),
    Shown.RETIRED: Permits(False, 0, "no", "Out of service for good; its pairs stay reserved."),
}


def permits(word: Shown) -> Permits:
    """What a line in that state may do."""
    return _PERMITS[word]


def public_word(word: Shown) -> str:
    """The one word of the public API: `active` while texts flow, else `paused`."""
    return "active" if permits(word).pace else "paused"
