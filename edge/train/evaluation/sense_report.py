"""What the trials of senses found: a table, and average precision over severity, written into a document.

The measured part of a document lies between two marks, so that what people wrote around it stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from edge.errors import InputError
from edge.files import atomic_write
from edge.train.evaluation.document import Block, PlotBlock, PlotPoint, TableBlock, line_plot, markdown, write_plots
from edge.train.evaluation.recordings import STREAM_SELECTIONS, StreamSelection
from edge.train.evaluation.sense_trials import SenseCondition, SenseTrial

BEGIN: Final = "<!-- measured by edge train senses: begin -->"
END: Final = "<!-- measured by edge train senses: end -->"
_HEAD: Final = ("label", "condition", "AP both / picture / sound", "both - better one [95 %]", "recall", "false")
_SERIES: Final[dict[StreamSelection, str]] = {"whole": "both senses", "picture": "picture", "sound": "sound"}
_FEWEST_SEVERITIES: Final = 3
"""Severities, 0 among them, from which there is a plot."""


def sense_table(trials: Sequence[SenseTrial], enters: Mapping[str, float]) -> TableBlock:
    """One row a condition; ``enters`` has each label's threshold."""
    return TableBlock(_HEAD, [_table_row(trial, enters[trial.condition.label]) for trial in trials])


def _table_row(trial: SenseTrial, enter: float) -> list[str]:
    gain, low, high = trial.gain()
    recall, false = (
        " / ".join(f"{trial.share(view, enter, shown=shown):.2f}" for view in STREAM_SELECTIONS)
        for shown in (True, False)
    )
    precision = " / ".join(f"{trial.precision(view):.3f}" for view in STREAM_SELECTIONS)
    condition = trial.condition
    return [condition.label, condition.name, precision, f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]", recall, false]


def severity_plots(trials: Sequence[SenseTrial]) -> list[PlotBlock]:
    """For each label and way of making worse with enough severities: average precision over severity, with 95 %
    intervals, of both senses and of each alone. All have the same axis."""
    found, lows = [], [1.0]
    for label in dict.fromkeys(trial.condition.label for trial in trials):
        for way in ("picture worse", "sound worse", "both worse"):
            curve = {
                severity: [PlotPoint(name, *trial.interval(view)) for view, name in _SERIES.items()]
                for trial in trials
                if trial.condition.label == label and (severity := _severity(trial.condition, way)) is not None
            }
            if len(curve) >= _FEWEST_SEVERITIES:
                found.append((label, way, sorted(curve.items())))
                lows += [point.low for points in curve.values() for point in points]
    floor = min(0.9, math.floor(10 * min(lows)) / 10)
    return [_severity_plot(label, way, rows, floor) for label, way, rows in found]


def _severity(condition: SenseCondition, way: str) -> float | None:
    """How much worse the condition makes things in this way alone; None where it is another way."""
    severities = {
        "picture worse": (condition.picture, condition.sound == 0),
        "sound worse": (condition.sound, condition.picture == 0),
        "both worse": (condition.picture, condition.picture == condition.sound),
    }
    severity, is_it = severities[way]
    return severity if is_it and not condition.unrelated else None


def _severity_plot(label: str, way: str, rows: Sequence[tuple[float, list[PlotPoint]]], floor: float) -> PlotBlock:
    caption = f"{label}, {way}: average precision over severity, of both senses, picture and sound, 95 % intervals"
    name = f"{label}-{way}".replace(" ", "-").replace("_", "-")
    return PlotBlock(name, caption, line_plot(rows, f"severity ({way})", f"average precision, {label}", floor))


def sense_blocks(trials: Sequence[SenseTrial], enters: Mapping[str, float]) -> list[Block]:
    """The measured part of the document: the table, then the plots."""
    return [sense_table(trials, enters), *severity_plots(trials)]


def check_document(out: Path) -> None:
    """InputError where ``out`` is there without the two marks: what people wrote in it would be lost."""
    if out.exists():
        _split(out)


def write_sense_report(blocks: Sequence[Block], out: Path) -> None:
    """Replace what is between the marks of ``out``, or make it; plots go to images/<name of out>/ beside it."""
    before, after = _split(out) if out.exists() else ("", "\n")
    images = write_plots(blocks, out)
    atomic_write(out, f"{before}{BEGIN}\n\n{markdown(blocks, images)}\n{END}{after}")


def _split(out: Path) -> tuple[str, str]:
    """What is before and after the measured part."""
    text = out.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{out}: has no part to write to; put the lines\n{BEGIN}\n{END}\nwhere the table goes")
    return before, after
