"""What tuning came to, as one value that the table, the JSON and the report are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.tune.judge import DetectionResult, EventInterval
from edge.tune.labels import LabelledSpan
from edge.tune.match import match_events
from edge.tune.suggest import ThresholdSuggestion
from edge.tune.sweep import ThresholdSweep, TunedRecording


@dataclass(frozen=True)
class LabelTuning:
    """One label: its curves, and what is suggested."""

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
