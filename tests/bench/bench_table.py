"""Figures of repeated rounds, and the Markdown table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure over all rounds; ``goal`` is a bound (`<= 1.10`, `>= 20`) or empty."""

    name: str
    values: Sequence[float]
    unit: str = ""
    goal: str = ""
    note: str = ""

    @property
    def value(self) -> float:
        """The median over the rounds that measured it; NaN where none did."""
        known = [value for value in self.values if not isnan(value)]
        return median(known) if known else float("nan")

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one or without a value."""
        if not self.goal or isnan(self.value):
            return None
        sign, bound = self.goal.split()[:2]
        return self.value <= float(bound) if sign == "<=" else self.value >= float(bound)


@dataclass(frozen=True, slots=True)
class Table:
    """Figures in the order they were measured."""

    figures: list[Figure] = field(default_factory=list)

    def add(self, *figures: Figure) -> None:
        """Add figures and print each as it comes."""
        for figure in figures:
            self.figures.append(figure)
            print(row(figure), flush=True)

    def markdown(self) -> str:
        """The table."""
        head = ["| figure | median | range | goal | |", "|---|---|---|---|---|"]
        return "\n".join([*head, *map(row, self.figures)]) + "\n"


def row(figure: Figure) -> str:
    """One line of the table."""
    known = sorted(value for value in figure.values if not isnan(value))
    shown = f"{number(figure.value)} {figure.unit}".strip() if known else "not measured"
    span = f"{number(known[0])} - {number(known[-1])}" if len(known) > 1 else ""
    verdict = {None: "", True: "met", False: "**missed**"}[figure.met]
    remark = "; ".join(part for part in (verdict, figure.note) if part)
    return f"| {figure.name} | {shown} | {span} | {figure.goal} | {remark} |"


def number(value: float) -> str:
    """Three significant digits, without exponents."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return (
        f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.4f}"
    )


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round; rounds of one pair run one after the other."""
    return [a / b for a, b in zip(above, below, strict=True)]
