"""The goals that were set before anything was measured, and by how much each is met or missed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge.learn.evaluation.metrics import Interval


@dataclass(frozen=True, slots=True)
class Bar:
    """A goal: ``least`` or ``most`` of a figure."""

    name: str
    figure: str
    bound: float
    is_most: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured of a bar; NaN: nothing was."""

    bar: Bar
    value: float
    note: str = ""

    @property
    def margin(self) -> float:
        """How far beyond the bar, negative when missed; NaN where nothing was measured."""
        return (self.bar.bound - self.value) if self.bar.is_most else (self.value - self.bar.bound)

    @property
    def is_met(self) -> bool | None:
        """None where nothing was measured."""
        return None if math.isnan(self.margin) else self.margin >= 0


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a protocol of what is learned; ``bar`` names the goal that it answers, if any."""

    setting: str
    figure: str
    value: float
    note: str = ""
    bar: str = ""


BARS: Final = (
    Bar("esc10", "ESC-10 from examples, accuracy over its five folds", 0.95),
    Bar("esc50_5s", "ESC-50 part from names alone, 5 s, accuracy", 0.80),
    Bar("esc50_2s", "ESC-50 part from names alone, 2 s windows, accuracy", 0.78),
    Bar("yamnet", "sound events: mean average precision above YAMNet's, low end of its 95 % interval", 0.0),
    Bar("ped2_raw", "UCSD Ped2 frame AUC, one threshold for all clips", 0.97),
    Bar("ped2_normalised", "UCSD Ped2 frame AUC, each clip scaled to 0..1", 0.99),
    Bar("fight", "surveillance fights: average precision, fused above picture only", 0.03),
    Bar("fire", "fire photographs, average precision", 0.85),
    Bar("ece", "expected calibration error by recording, mean over labels, unseen sources", 0.05, is_most=True),
    Bar("compute", "CPU time over the bare loop of separate nets", 1.0, is_most=True),
)


def verdicts(measured: Mapping[str, tuple[float, str]]) -> list[Verdict]:
    """Every bar with what was measured, by the bar's name: value and a note."""
    return [Verdict(bar, *measured.get(bar.name, (math.nan, "not measured"))) for bar in BARS]


def learned_figures(learned: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    """Bars whose figures come from the protocols of what is learned: those with a name of a bar."""
    names = {bar.name for bar in BARS}
    found = {}
    for lot in learned.values():
        for line in lot.get("lines", ()):
            if line.get("bar") in names:
                found[line["bar"]] = (float(line["value"]), str(line.get("note", "")))
    return found


def rows_of(found: Sequence[Verdict]) -> list[list[str]]:
    """Cells of the summary table."""
    said = {True: "met", False: "**missed**", None: "not measured"}
    rows = []
    for v in found:
        bound = f"{'<=' if v.bar.is_most else '>='} {v.bar.bound:g}"
        value = "" if math.isnan(v.value) else f"{v.value:.3f}"
        margin = "" if math.isnan(v.margin) else f"{v.margin:+.3f}"
        rows.append(
            [v.bar.figure, bound, value, margin, said[v.is_met], "" if v.is_met is None and not v.note else v.note]
        )
    return rows


def shown(x: Interval) -> str:
    """A figure and its interval; a dash where there is none."""
    if math.isnan(x.value):
        return "–"
    return f"{x.value:.3f}" if math.isnan(x.low) else f"{x.value:.3f} [{x.low:.2f}, {x.high:.2f}]"


def number(x: float, digits: int = 2) -> str:
    """A dash for NaN."""
    return "–" if math.isnan(x) else f"{x:.{digits}f}"
