"""A line's time as a drawing: the band of its states, what happened beneath, and its incidents, by share of the width.

Drawing is the templates'; a state is told by its pattern and its word, never by colour alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from console.pool import LOOKS
from lines.health.causes import cause_of
from lines.health.showing import Sparks, Stretch
from lines.health.signals import RULES
from lines.health.states import Shown
from lines.models import Incident, LineEvent, LineNote, Move

# A stretch narrower than this (in percent) has no room for its word.
NAMED_FROM = 7.0
# What lasts but a moment is still drawn.
LEAST_WIDTH = 0.35
_LANE = 18
# Beneath the band so many happenings are listed.
MOST_LISTED = 30

_TONES = {"healthy": "is-good", "in_service": "is-good", "open": "is-good", "down": "is-bad", "flagged": "is-bad"}
_WANTED = {
    "in_service": "Taken into service",
    "draining": "Drain begun",
    "paused": "Paused",
    "retired": "Retired",
    "provisioning": "Being set up",
}
_SEEN = {
    "healthy": "Healthy again",
    "degraded": "Degraded",
    "down": "Down",
    "flagged": "Flagged",
    "unknown": "Nothing proves how it is",
}
_ALLOWANCE = {"open": "New humans may be written to", "at_cap": "Allowance used up", "slowed": "Slowed"}


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the band: where it stands and how wide, in percent."""

    stretch: Stretch
    x: float
    width: float
    why: str

    @property
    def word(self) -> str:
        return self.stretch.word.value

    @property
    def label(self) -> str:
        return LOOKS[self.stretch.word].label

    @property
    def pattern(self) -> str:
        return LOOKS[self.stretch.word].pattern

    @property
    def lasted(self) -> timedelta:
        return self.stretch.ends - self.stretch.begins

    @property
    def is_named(self) -> bool:
        return self.width >= NAMED_FROM


@dataclass(frozen=True, slots=True)
class Share:
    """How long one word was shown in all: for the legend, which says the same as the band."""

    word: Shown
    lasted: timedelta

    @property
    def label(self) -> str:
        return LOOKS[self.word].label

    @property
    def pattern(self) -> str:
        return LOOKS[self.word].pattern


@dataclass(frozen=True, slots=True)
class Happening:
    """Something beneath the band. `key` names it in the address; `x` in percent."""

    key: str
    at: datetime
    words: str
    detail: str
    by: str
    tone: str
    readings: Sequence[str] = ()
    x: float = 0.0


@dataclass(frozen=True, slots=True)
class Shade:
    """An incident beneath the band: from where to where, in percent."""

    incident: Incident
    words: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Column:
    """What failed, or became SMS, in one step of the span; heights of the lane's."""

    x: float
    width: float
    y: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Scale:
    """The span that is drawn."""

    begins: datetime
    ends: datetime

    def x(self, moment: datetime) -> float:
        """Where a moment stands, in percent of the width."""
        share = (moment - self.begins) / (self.ends - self.begins)
        return round(100 * min(1.0, max(0.0, share)), 3)


def parts_of(stretches: Iterable[Stretch], scale: Scale) -> list[Part]:
    """The band, oldest first."""
    return [_part(stretch, scale) for stretch in stretches if stretch.ends > scale.begins]


def _part(stretch: Stretch, scale: Scale) -> Part:
    x = scale.x(stretch.begins)
    width = max(LEAST_WIDTH, scale.x(stretch.ends) - x)
    return Part(stretch, min(x, 100 - LEAST_WIDTH), round(width, 3), in_words(stretch.reason))


def shares_of(stretches: Iterable[Stretch]) -> list[Share]:
    """How long each word was shown, the one to worry about first."""
    lasted: dict[Shown, timedelta] = {}
    for stretch in stretches:
        lasted[stretch.word] = lasted.get(stretch.word, timedelta()) + stretch.ends - stretch.begins
    return [Share(word, lasted[word]) for word in LOOKS if word in lasted]


def shades_of(incidents: Iterable[Incident], scale: Scale) -> list[Shade]:
    """The incidents of the span."""
    shades = []
    for incident in incidents:
        x = scale.x(incident.opened_at)
        width = max(LEAST_WIDTH, scale.x(incident.closed_at or scale.ends) - x)
        words = cause_of(incident.cause, seen=incident.worst).words
        shades.append(Shade(incident, words, min(x, 100 - LEAST_WIDTH), round(width, 3)))
    return shades


def columns_of(sparks: Sparks, begins: datetime, grain: timedelta, scale: Scale) -> list[Column]:
    """Sends that failed and texts that became SMS, step by step: what lies under a state before it turns."""
    counts = [failed + downgraded for failed, downgraded in zip(sparks.failed, sparks.downgraded, strict=True)]
    most = max(counts, default=0)
    columns = []
    for step, count in enumerate(counts):
        if not count:
            continue
        x = scale.x(begins + step * grain)
        width = max(LEAST_WIDTH, (scale.x(begins + (step + 1) * grain) - x) * 0.8)
        height = round(max(2.0, _LANE * count / most), 2)
        title = f"{sparks.failed[step]} failed, {sparks.downgraded[step]} became SMS"
        columns.append(Column(x, round(width, 3), round(_LANE - height, 2), height, title))
    return columns


def happenings_of(
    scale: Scale, *, events: Iterable[LineEvent], notes: Iterable[LineNote] = (), moves: Iterable[Move] = ()
) -> list[Happening]:
    """What changed, was noted and was moved in the span, newest first."""
    found = [*map(_changed, events), *map(_noted, notes), *map(_moved, moves)]
    found = [happening for happening in found if happening.at >= scale.begins]
    found.sort(key=lambda happening: (happening.at, happening.key), reverse=True)
    return [replace(happening, x=scale.x(happening.at)) for happening in found]


def _changed(event: LineEvent) -> Happening:
    table = {"wanted": _WANTED, "seen": _SEEN, "allowance": _ALLOWANCE}[event.column]
    return Happening(
        key=f"e{event.pk}",
        at=event.at,
        words=table.get(event.after, event.after),
        detail=in_words(event.reason) if event.column == "seen" else event.reason,
        by=event.actor.get("label", ""),
        tone=_TONES.get(event.after, "is-held"),
        readings=[_reading(name, kept) for name, kept in event.readings.items()],
    )


def _reading(name: str, kept: Mapping[str, Any]) -> str:
    """A number as it was when something changed."""
    rule, value = RULES.get(name), kept.get("value")
    if rule is None or value is None:
        return f"{name} {value} ({kept.get('level')})"
    words = f"{value:.1%}" if rule.unit == "share" else f"{value:,.0f}"
    return f"{rule.label} {words} ({kept.get('level')})"


def _noted(note: LineNote) -> Happening:
    return Happening(f"n{note.pk}", note.at, "Note", note.text, note.actor.get("label", ""), "")


def _moved(move: Move) -> Happening:
    detail = f"{move.moved} of {move.total} have moved; {move.get_state_display().lower()}. {move.reason}"
    return Happening(
        f"m{move.pk}",
        move.created_at,
        "Humans move to other lines",
        detail,
        move.requested_by.get("label", ""),
        "is-held",
    )


def in_words(reason: str) -> str:
    """Codes of causes, as events keep them, in sentences; other words as they are."""
    codes = [code.strip() for code in reason.split(",")]
    if not reason or any(" " in code for code in codes):
        return reason[:1].upper() + reason[1:]
    if reason == "answers":
        return "It answers, and nothing speaks against it."
    return " ".join(cause_of(code).words for code in codes)
