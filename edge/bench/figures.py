"""Figures of repeated rounds with their goals, and the Markdown tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from math import isnan, nan
from statistics import median
from typing import Any


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
        return median(known) if known else nan

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one or without a value."""
        if not self.goal or isnan(self.value):
            return None
        sign, bound = self.goal.split()[:2]
        return self.value <= float(bound) if sign == "<=" else self.value >= float(bound)


@dataclass(frozen=True, slots=True)
class FigureTable:
    """Figures in the order they were measured."""

    figures: list[Figure] = field(default_factory=list)

    def add(self, *figures: Figure) -> None:
        """Add figures."""
        self.figures.extend(figures)

    def markdown(self) -> str:
        """The table."""
        return markdown_table(
            ["figure", "median", "range", "goal", ""], [figure_cells(figure) for figure in self.figures]
        )

    def as_json(self) -> list[dict[str, Any]]:
        """For programs; what was not measured is null."""
        return [
            {**asdict(f), "values": list(f.values), "value": none_for_nan(f.value), "met": f.met} for f in self.figures
        ]


def figure_cells(figure: Figure) -> list[str]:
    """One line of the table."""
    known = sorted(value for value in figure.values if not isnan(value))
    shown = f"{format_number(figure.value)} {figure.unit}".strip() if known else "not measured"
    span = f"{format_number(known[0])} - {format_number(known[-1])}" if len(known) > 1 else ""
    verdict = {None: "", True: "met", False: "**missed**"}[figure.met]
    return [figure.name, shown, span, figure.goal, "; ".join(part for part in (verdict, figure.note) if part)]


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; floats with three significant digits, NaN and None as empty cells."""
    lines = [head, ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def format_number(value: float) -> str:
    """Three significant digits, without exponents."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return (
        f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.4f}"
    )


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round; rounds of one pair run one after the other."""
    return [a / b if b else nan for a, b in zip(above, below, strict=True)]


def quantile(values: Sequence[float], q: float) -> float:
    """The value below which a share ``q`` lies (nearest rank); NaN of nothing."""
    known = sorted(values)
    return known[min(len(known) - 1, int(q * len(known)))] if known else nan


def none_for_nan(value: float) -> float | None:
    """None for NaN, which JSON does not have."""
    return None if isnan(value) else value


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    return format_number(value) if isinstance(value, float) else str(value)
