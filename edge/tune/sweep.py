"""Threshold sweep: one label under many thresholds, with found, missed and false events of each recording. Pure.

The detector gives the values of the rule. When the hysteresis over them reproduces the detector's events at the
thresholds in force, it is used for all thresholds; otherwise the detector runs again at each of a coarser list.

An event finds a span when they overlap, with the span extended by ``TOLERANCE_BEFORE_S`` before and
``TOLERANCE_AFTER_S`` after: a window ends after its content began, and a sound stays in it for two seconds. Each span
counts once. An event that overlaps no span is false, and so is one that lasts more than ``MAX_OUTSIDE_S`` outside of
all spans. A further event on a found span is neither true nor false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.config import Config
from edge.config.rules import RuleConfig
from edge.detect.hysteresis import Hysteresis
from edge.detect.limits import EventLimits
from edge.replay import ReplayStep
from edge.tune.labels import LabelledSpan
from edge.tune.offline_detector import DetectionResult, EventInterval, OfflineDetector, RuleTrace, to_interval
from edge.tune.preview import end_steps
from edge.types import seconds

FINE_THRESHOLDS = (0.05, 0.075, *(round(0.1 + 0.025 * k, 3) for k in range(35)), 0.965, 0.98, 0.99, 0.995)
COARSE_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
SPANS, FOUND, FALSE, QUIET_S = range(4)
F64 = NDArray[np.float64]
TOLERANCE_BEFORE_S = 1.0
TOLERANCE_AFTER_S = 3.0
MAX_OUTSIDE_S = 30.0


@dataclass(frozen=True)
class TunedRecording:
    """One recording as it was judged under the configuration; ``spans`` are of all labels; ``moments`` anew."""

    path: Path
    camera: str
    judged: DetectionResult
    spans: tuple[LabelledSpan, ...]
    moments: Callable[[], Iterable[ReplayStep]]

    def spans_of(self, label: str) -> tuple[LabelledSpan, ...]:
        """The labelled spans of ``label``."""
        return tuple(span for span in self.spans if span.label == label)


@dataclass(frozen=True)
class ThresholdSweep:
    """``counts`` f64[R,T,4] of recordings and ``thresholds`` [T]: spans, found, false events, quiet seconds.

    ``current`` is the index of the threshold in force; ``is_exact``: by the hysteresis over the rule's own values.
    """

    label: str
    thresholds: F64
    counts: F64
    current: int
    is_exact: bool


def with_enter(config: Config, label: str, enter: float) -> Config:
    """``config`` with another enter for ``label``. A leave above it becomes two thirds of enter."""
    rule = config.events.get(label, RuleConfig())
    leave = rule.leave if rule.leave is None or rule.leave <= enter else None
    changed = rule.model_copy(update={"enter": enter, "leave": leave, "false_alarms_per_day": None})
    return config.model_copy(update={"events": {**config.events, label: changed}})


def event_intervals(trace: RuleTrace, label: str, limits: EventLimits, hop_ns: int) -> tuple[EventInterval, ...]:
    """The events of one rule under ``limits``, by the hysteresis over the rule's values."""
    column = trace.column(label)
    found = end_steps(trace.t_ns, trace.media, column, limits, Hysteresis(hop_ns))
    ended = [to_interval(s.media_begin, s.media_end, s.peak) for s in found]
    return tuple(sorted(ended, key=lambda one: one.begin_s))


def sweep_thresholds(
    judge: OfflineDetector, recordings: Sequence[TunedRecording], label: str, hop_ns: int, also: Sequence[float] = ()
) -> ThresholdSweep:
    """All thresholds of ``label``, and those of ``also``, over all recordings."""
    now = judge.limits(recordings[0].camera, label).enter
    is_exact = all(
        event_intervals(r.judged.trace, label, judge.limits(r.camera, label), hop_ns) == r.judged.intervals(label)
        for r in recordings
    )
    values = sorted({*(FINE_THRESHOLDS if is_exact else COARSE_THRESHOLDS), *also, now})
    thresholds = np.array(values)
    counts = np.zeros((len(recordings), len(values), 4))
    for t, enter in enumerate(values):
        other = judge if enter == now else judge.with_config(with_enter(judge.config, label, enter))
        for r, recording in enumerate(recordings):
            if enter == now:
                events = recording.judged.intervals(label)
            elif is_exact:
                events = event_intervals(recording.judged.trace, label, other.limits(recording.camera, label), hop_ns)
            else:
                events = other.detect(recording.moments(), recording.camera).intervals(label)
            counts[r, t, :3] = _count(events, recording.spans_of(label))
    counts[:, :, QUIET_S] = np.array([quiet_s(r, label, hop_ns) for r in recordings])[:, None]
    return ThresholdSweep(label, thresholds, counts, values.index(now), is_exact)


def quiet_s(recording: TunedRecording, label: str, hop_ns: int) -> float:
    """Seconds of a recording with values of ``label`` outside of its labelled spans."""
    trace = recording.judged.trace
    free = outside(trace.media_s, recording.spans_of(label))
    return float(np.count_nonzero(free & ~np.isnan(trace.column(label))) * seconds(hop_ns))


def _count(events: Sequence[EventInterval], spans: Sequence[LabelledSpan]) -> tuple[int, int, int]:
    matched = match_events(events, spans)
    return len(spans), matched.found, len(matched.false)


@dataclass(frozen=True, slots=True)
class MatchResult:
    """Indices: ``missed`` of spans, ``false`` of events; ``found`` counts spans."""

    found: int
    missed: tuple[int, ...]
    false: tuple[int, ...]


def match_events(events: Sequence[EventInterval], spans: Sequence[LabelledSpan]) -> MatchResult:
    """Events and spans of one label of one recording."""
    fit = [event for event in events if not is_false(event, spans)]
    hit = [any(overlap(event, span) for event in fit) for span in spans]
    false = [i for i, event in enumerate(events) if is_false(event, spans)]
    return MatchResult(sum(hit), tuple(i for i, there in enumerate(hit) if not there), tuple(false))


def is_false(event: EventInterval, spans: Sequence[LabelledSpan]) -> bool:
    """Whether the event overlaps no span, or lasts too long beside them."""
    near = sorted((s.begin_s - TOLERANCE_BEFORE_S, s.end_s + TOLERANCE_AFTER_S) for s in spans if overlap(event, s))
    outside_s, at_s = 0.0, event.begin_s
    for begin_s, end_s in near:
        outside_s += max(0.0, begin_s - at_s)
        at_s = max(at_s, end_s)
    return not near or outside_s + max(0.0, event.end_s - at_s) > MAX_OUTSIDE_S


def overlap(event: EventInterval, span: LabelledSpan) -> bool:
    """Whether the event finds the span."""
    return event.begin_s <= span.end_s + TOLERANCE_AFTER_S and event.end_s >= span.begin_s - TOLERANCE_BEFORE_S


def outside(media_s: NDArray[np.float64], spans: Sequence[LabelledSpan]) -> NDArray[np.bool_]:
    """Which windows [n] lie outside all spans and their slack."""
    free = np.ones(len(media_s), bool)
    for span in spans:
        free &= (media_s < span.begin_s - TOLERANCE_BEFORE_S) | (media_s > span.end_s + TOLERANCE_AFTER_S)
    return free
