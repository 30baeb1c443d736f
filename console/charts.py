"""Small charts as SVG: where the bars stand and how high; drawing is the templates'."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 100, 24
# Fewer bars than these leave room at the end rather than grow into blocks.
FEWEST = 14


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what it counts, in words, how much of it is bad, and where a click leads (a filter of the list)."""

    label: str
    value: int
    bad: int = 0
    url: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A bar with its place in the drawing; heights in the drawing's units."""

    bar: Bar
    x: float
    width: float
    y: float
    height: float
    bad_y: float
    bad_height: float


def drawn(bars: Sequence[Bar], *, gap: float = 0.22) -> list[Drawn]:
    """The bars side by side, many over the whole width; something is never drawn as nothing."""
    most = max((bar.value for bar in bars), default=0)
    step = WIDTH / max(FEWEST, len(bars))
    return [_drawn(bar, number * step, step * (1 - gap), most) for number, bar in enumerate(bars)]


def _drawn(bar: Bar, x: float, width: float, most: int) -> Drawn:
    height = _height(bar.value, most)
    bad = min(height, _height(bar.bad, most))
    return Drawn(bar, round(x, 2), round(width, 2), round(HEIGHT - height, 2), height, round(HEIGHT - bad, 2), bad)


def _height(value: int, most: int) -> float:
    return round(max(1.0, HEIGHT * value / most), 2) if value else 0.0


def line_through(values: Sequence[float]) -> str:
    """The points of a spark line over the whole width, the least at the bottom."""
    if len(values) < 2:
        return f"0,{HEIGHT / 2} {WIDTH},{HEIGHT / 2}"
    least, most = min(0.0, *values), max(values)
    spread = (most - least) or 1
    step = WIDTH / (len(values) - 1)
    return " ".join(
        f"{round(number * step, 2)},{round(HEIGHT - 1 - (HEIGHT - 2) * (value - least) / spread, 2)}"
        for number, value in enumerate(values)
    )
