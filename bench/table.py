"""A measured figure beside its yardstick and its goal, and the table they end up in."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """`ours` of one metric per round, held against `yardstick` (per round too; empty for an absolute goal).

    `must` and `moonshot` bound the median of the ratios, or of `ours` itself; `lower` turns them round.
    """

    metric: str
    unit: str
    ours: Sequence[float]
    must: float
    moonshot: float
    yardstick: Sequence[float] = ()
    against: str = ""
    lower: bool = False
    note: str = ""

    @property
    def value(self) -> float:
        """What the goal is about: the median ratio, or the median figure."""
        if not self.yardstick:
            return median(self.ours)
        return median(ours / theirs for ours, theirs in zip(self.ours, self.yardstick, strict=True))

    @property
    def holds(self) -> bool:
        return self._reaches(self.must)

    @property
    def verdict(self) -> str:
        if self._reaches(self.moonshot):
            return "moonshot"
        return "holds" if self.holds else "FALLS SHORT"

    @property
    def goal(self) -> str:
        return f"{'<=' if self.lower else '>='} {self.must:g}{' x' if self.yardstick else ''}"

    def as_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "unit": self.unit,
            "ours": _rounded(self.ours),
            "against": self.against or None,
            "yardstick": _rounded(self.yardstick),
            "value": round(self.value, 3),
            "goal": self.goal,
            "verdict": self.verdict,
            "note": self.note or None,
        }

    def _reaches(self, bound: float) -> bool:
        return self.value <= bound if self.lower else self.value >= bound


def print_table(figures: Sequence[Figure]) -> None:
    """Metric, ours, yardstick, ratio, goal, verdict; medians, with the spread of ours."""
    rows = [("metric", "ours", "spread", "yardstick", "ratio", "goal", "verdict")]
    for figure in figures:
        ratio = f"{figure.value:.2f}" if figure.yardstick else ""
        theirs = f"{figure.against} {median(figure.yardstick):,.0f}" if figure.yardstick else ""
        ours = f"{median(figure.ours):,.{0 if median(figure.ours) >= 100 else 1}f} {figure.unit}"
        spread = f"{min(figure.ours):,.0f} to {max(figure.ours):,.0f}"
        rows.append((figure.metric, ours, spread, theirs, ratio, figure.goal, figure.verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _rounded(figures: Sequence[float]) -> list[float]:
    return [round(figure, 1) for figure in figures]
