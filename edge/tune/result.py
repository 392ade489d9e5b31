"""The result of tuning, as one value for table, JSON and report; and its output in the terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.tune.labels import LabelledSpan
from edge.tune.offline_detector import DetectionResult, EventInterval
from edge.tune.suggest import LEAST_QUIET_S, ThresholdEffect, ThresholdSuggestion
from edge.tune.sweep import ThresholdSweep, TunedRecording, match_events


@dataclass(frozen=True)
class LabelTuning:
    """One label: its curves, and the suggested threshold."""

    sweep: ThresholdSweep
    suggestion: ThresholdSuggestion


@dataclass(frozen=True)
class TuningTimes:
    """How long the recordings last, how much of that was scored now, and the seconds that each part took."""

    media_s: float
    scored_s: float
    scoring_took_s: float
    deciding_took_s: float


@dataclass(frozen=True)
class TuningResult:
    """``after`` has the recordings judged under the suggestion, in the same order; ``unreadable`` were left out."""

    recordings: tuple[TunedRecording, ...]
    after: tuple[DetectionResult, ...]
    rows: tuple[LabelTuning, ...]
    per_day: float
    has_labels: bool
    diff: str
    remarks: tuple[str, ...]
    unreadable: tuple[str, ...]
    passed: TuningTimes


@dataclass(frozen=True)
class TuningMistake:
    """One missed span or one false event, under the suggestion; ``peak`` is the highest value around it."""

    path: Path
    label: str
    kind: str
    begin_s: float
    end_s: float
    peak: float
    why: str = ""


def worst_mistakes(outcome: TuningResult, label: str, most: int = 8) -> list[TuningMistake]:
    """The worst of a label: misses by the lowest value that was reached, then false events by the highest."""
    missed: list[TuningMistake] = []
    suggestion = next(row.suggestion for row in outcome.rows if row.sweep.label == label)
    enter = (suggestion.after or suggestion.before).enter
    false: list[TuningMistake] = []
    for recording, judged in zip(outcome.recordings, outcome.after, strict=True):
        spans, events = recording.spans_of(label), judged.intervals(label)
        matched = match_events(events, spans)
        missed += [_miss(recording, spans[i], enter) for i in matched.missed]
        false += [_false(recording, label, events[i]) for i in matched.false]
    missed.sort(key=lambda one: one.peak)
    false.sort(key=lambda one: -one.peak)
    return [*missed[:most], *false[:most]]


def _miss(recording: TunedRecording, span: LabelledSpan, enter: float) -> TuningMistake:
    trace = recording.judged.trace
    inside = (trace.media_s >= span.begin_s) & (trace.media_s <= span.end_s + 1)
    values = trace.column(span.label)[inside]
    known = values[~np.isnan(values)]
    peak = float(known.max()) if len(known) else 0.0
    why = "nothing there could tell" if not len(known) else "below enter"
    if peak >= enter:
        why = "high enough, but too short, cooling down, or too long beside what is labelled"
    return TuningMistake(recording.path, span.label, "missed", span.begin_s, span.end_s, peak, why)


def _false(recording: TunedRecording, label: str, event: EventInterval) -> TuningMistake:
    return TuningMistake(recording.path, label, "false", event.begin_s, event.end_s, event.peak)


def short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Names for a reader: the parts that differ."""
    if len({path.name for path in paths}) == len(set(paths)):
        return {path: path.name for path in paths}
    return {path: str(path) for path in paths}


HEAD = ("event", "enter", "suggested", "recall", "precision", "false a day", "found apart", "")


def as_table(outcome: TuningResult, out: Path) -> str:
    """A table for the terminal, the diff, and the path of the report."""
    notable = notable_rows(outcome)
    quiet = [row.sweep.label for row in outcome.rows if row not in notable]
    lines = columns([HEAD, *(_cells(row, outcome.has_labels) for row in notable)]) if notable else []
    if quiet:
        lines.append(f"nothing to say of {', '.join(quiet)}: no event, no label, too little quiet time")
    if not outcome.has_labels:
        lines.append("No labels were given: every event counts as false, and what would be missed is not known.")
    if any(row.suggestion.before.is_short for row in notable):
        lines.append(
            f"Less than {LEAST_QUIET_S / 3600:g} h is too short to tell how many come in a day: they are counted."
        )
    lines += outcome.remarks
    passed = outcome.passed
    count = len(outcome.recordings)
    lines += ["", f"{count} recording{'' if count == 1 else 's'}, {passed.media_s / 3600:.2f} h; {speed_text(outcome)}"]
    lines += ["", outcome.diff.rstrip() or "No change to config.yaml.", "", f"Report: {out / 'report.html'}"]
    return "\n".join(lines)


def as_json(outcome: TuningResult) -> str:
    """Everything that was measured, one object."""
    passed = outcome.passed
    return json.dumps(
        {
            "schema": 1,
            "false_alarms_per_day": outcome.per_day,
            "labelled": outcome.has_labels,
            "recordings": [str(r.path) for r in outcome.recordings],
            "media_s": round(passed.media_s, 3),
            "scored_s": round(passed.scored_s, 3),
            "scoring_took_s": round(passed.scoring_took_s, 3),
            "deciding_took_s": round(passed.deciding_took_s, 3),
            "events": {row.sweep.label: _entry(outcome, row) for row in outcome.rows},
            "diff": outcome.diff,
            "remarks": list(outcome.remarks),
            "unreadable": list(outcome.unreadable),
        },
        ensure_ascii=False,
        indent=1,
        allow_nan=False,
    )


def notable_rows(outcome: TuningResult) -> list[LabelTuning]:
    """The labels to show: first those that change, then those with labelled spans."""
    notable = [r for r in outcome.rows if r.suggestion.before.spans or r.suggestion.before.false or r.suggestion.after]
    return sorted(notable, key=lambda row: (row.suggestion.after is None, not row.suggestion.before.spans))


def speed_text(outcome: TuningResult) -> str:
    """How fast it was, as a phrase."""
    passed = outcome.passed
    deciding = f"decided in {passed.deciding_took_s:.1f} s"
    if not passed.scored_s:
        return f"scores were kept, {deciding}"
    return f"scored at {passed.scored_s / passed.scoring_took_s:.1f} times real time, {deciding}"


def arrow(before: str, after: str | None) -> str:
    """The value before and after."""
    return before if after is None or after == before else f"{before} → {after}"


def share(value: float | None) -> str:
    """A share as per cent."""
    return "–" if value is None else f"{100 * value:.0f} %"


def rate(value: float | None) -> str:
    """A rate, with as many digits as mean something."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def frequency(effect: ThresholdEffect) -> str:
    """False alarms per day, or their count when the time is too short for a rate."""
    return f"{effect.false} in {_length(effect.quiet_s)}" if effect.is_short else rate(effect.per_day)


def _length(length_s: float) -> str:
    return f"{length_s:.0f} s" if length_s < 120 else f"{length_s / 60:.0f} min"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal length as lines, each column as wide as its widest cell."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cells(row: LabelTuning, is_labelled: bool) -> tuple[str, ...]:
    s = row.suggestion
    before, after = s.before, s.after
    return (
        s.label,
        f"{before.enter:g}",
        f"{after.enter:g}" if after else "–",
        arrow(share(before.recall), share(after.recall) if after else None),
        arrow(share(before.precision), share(after.precision) if after else None) if is_labelled else "–",
        arrow(frequency(before), frequency(after) if after else None),
        f"{s.apart.found} of {s.apart.spans}" if s.apart else "–",
        s.remark,
    )


def _entry(outcome: TuningResult, row: LabelTuning) -> dict[str, Any]:
    s = row.suggestion
    return {
        "method": s.method,
        "before": _effect(s.before),
        "after": _effect(s.after),
        "apart": _effect(s.apart),
        "remark": s.remark,
        "exact": row.sweep.is_exact,
        "mistakes": [
            {
                "file": str(m.path),
                "kind": m.kind,
                "begin_s": m.begin_s,
                "end_s": m.end_s,
                "peak": round(m.peak, 4),
                "why": m.why,
            }
            for m in worst_mistakes(outcome, s.label)
        ],
    }


def _effect(effect: ThresholdEffect | None) -> dict[str, float | int | None] | None:
    if effect is None:
        return None
    measured = {
        "recall": effect.recall,
        "precision": effect.precision,
        "f1": effect.f1,
        "false_per_day": effect.per_day,
        "false_per_day_at_most": effect.at_most_per_day,
    }
    counted = {"spans": effect.spans, "found": effect.found, "false": effect.false}
    rounded = {name: None if value is None else round(value, 4) for name, value in measured.items()}
    return {"enter": effect.enter, **counted, "quiet_s": round(effect.quiet_s, 1), **rounded}
