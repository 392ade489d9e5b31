"""The goals that were set before measuring, and by how much each is met or missed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge.train.evaluation.metrics import ConfidenceInterval


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal: ``least`` or ``most`` of a figure."""

    name: str
    figure: str
    bound: float
    is_most: bool = False


@dataclass(frozen=True, slots=True)
class GoalResult:
    """What was measured of a bar; NaN: nothing was."""

    goal: Goal
    value: float
    note: str = ""

    @property
    def margin(self) -> float:
        """How far beyond the bar, negative when missed; NaN where nothing was measured."""
        return (self.goal.bound - self.value) if self.goal.is_most else (self.value - self.goal.bound)

    @property
    def is_reached(self) -> bool | None:
        """None where nothing was measured."""
        return None if math.isnan(self.margin) else self.margin >= 0


@dataclass(frozen=True, slots=True)
class ProtocolFigure:
    """One figure of a protocol of what is learned; ``bar`` names the goal that it answers, if any."""

    setting: str
    figure: str
    value: float
    note: str = ""
    bar: str = ""


GOALS: Final = (
    Goal("esc10", "ESC-10 from examples, accuracy over its five folds", 0.95),
    Goal("esc50_5s", "ESC-50 part from names alone, 5 s, accuracy", 0.80),
    Goal("esc50_2s", "ESC-50 part from names alone, 2 s windows, accuracy", 0.78),
    Goal("yamnet", "sound events: mean average precision above YAMNet's, low end of its 95 % interval", 0.0),
    Goal("ped2_raw", "UCSD Ped2 frame AUC, one threshold for all clips", 0.97),
    Goal("ped2_normalised", "UCSD Ped2 frame AUC, each clip scaled to 0..1", 0.99),
    Goal("fight", "surveillance fights: average precision, fused above picture only", 0.03),
    Goal("fire", "fire photographs, average precision", 0.85),
    Goal("ece", "expected calibration error by recording, mean over labels, unseen sources", 0.05, is_most=True),
    Goal("compute", "CPU time over the bare loop of separate nets", 1.0, is_most=True),
)


def goal_results(measured: Mapping[str, tuple[float, str]]) -> list[GoalResult]:
    """Every bar with what was measured, by the bar's name: value and a note."""
    return [GoalResult(bar, *measured.get(bar.name, (math.nan, "not measured"))) for bar in GOALS]


def protocol_figures(learned: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    """Bars whose figures come from the protocols of what is learned: those with a name of a bar."""
    names = {bar.name for bar in GOALS}
    found = {}
    for lot in learned.values():
        for line in lot.get("lines", ()):
            if line.get("bar") in names:
                found[line["bar"]] = (float(line["value"]), str(line.get("note", "")))
    return found


def goal_rows(results: Sequence[GoalResult]) -> list[list[str]]:
    """Cells of the summary table."""
    status = {True: "met", False: "**missed**", None: "not measured"}
    rows = []
    for v in results:
        bound = f"{'<=' if v.goal.is_most else '>='} {v.goal.bound:g}"
        value = "" if math.isnan(v.value) else f"{v.value:.3f}"
        margin = "" if math.isnan(v.margin) else f"{v.margin:+.3f}"
        rows.append(
            [
                v.goal.figure,
                bound,
                value,
                margin,
                status[v.is_reached],
                "" if v.is_reached is None and not v.note else v.note,
            ]
        )
    return rows


def interval_text(x: ConfidenceInterval) -> str:
    """A figure and its interval; a dash where there is none."""
    if math.isnan(x.value):
        return "–"
    return f"{x.value:.3f}" if math.isnan(x.low) else f"{x.value:.3f} [{x.low:.2f}, {x.high:.2f}]"


def number_text(x: float, digits: int = 2) -> str:
    """A dash for NaN."""
    return "–" if math.isnan(x) else f"{x:.{digits}f}"
