"""Metrics of one label over recordings: precision, recall, false alarms, calibration and confusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.train.evaluation.datasets import DatasetRow, labelled_rows
from edge.train.evaluation.metrics import (
    ConfidenceInterval,
    ReliabilityBin,
    alarm_peaks,
    average_precision,
    bootstrap_interval,
    expected_calibration_error,
    recall_at_alarm_rate,
    reliability_bins,
    roc_auc,
)
from edge.train.evaluation.recordings import RecordingResult
from edge.train.labels import HOP_S, WINDOW_S

MIN_GROUPS: Final = 4
"""With fewer sources there is no interval: resampling them means nothing."""
_NONE: Final = ConfidenceInterval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class ScoredRecording:
    """A recording and what came out of it."""

    row: DatasetRow
    result: RecordingResult


@dataclass(frozen=True, slots=True)
class LabelMetrics:
    """One label over a set of recordings.

    ``average_precision`` and ``auc`` are of each recording's highest score; NaN without positives or negatives.
    ``recall_hour`` is recall at one false alarm an hour of the negatives (none where they last less), ``recall`` the
    share of recordings in which the event began as shipped, ``false_per_hour`` the events that began in the negatives.
    """

    label: str
    positives: int
    negatives: int
    hours: float
    average_precision: ConfidenceInterval
    auc: float
    recall_hour: float
    recall: float
    false_events: int


@dataclass(frozen=True, slots=True)
class LabelCalibration:
    """How far probabilities are from shares: recordings by their highest score, and window by window."""

    label: str
    recordings: int
    positives: int
    by_recording: float
    by_window: float
    bins: Sequence[ReliabilityBin]


def measure_label(scored: Sequence[ScoredRecording], label: str, replicates: int = 400) -> LabelMetrics:
    """`LabelMetrics` of ``label`` over the recordings whose class settles whether they hold it."""
    kept, truth = _labelled(scored, label)
    peaks = np.array([one.result.peak(label) for one in kept])
    negatives = [one for one, holds in zip(kept, truth, strict=True) if not holds]
    hours = sum(one.result.media_s for one in negatives) / 3600
    alarms = [
        alarm_peaks(np.arange(len(c), dtype=np.float64) * HOP_S, c)
        for one in negatives
        if len(c := one.result.column(label))
    ]
    both = bool(truth.any() and not truth.all())
    groups = [one.row.group for one in kept]
    draws = replicates if len(set(groups)) >= MIN_GROUPS else 0
    recall_hour, _ = recall_at_alarm_rate(peaks[truth], np.concatenate([*alarms, np.zeros(0)]), hours)
    began = np.array([any(b.label == label for b in one.result.events) for one in kept], bool)
    return LabelMetrics(
        label=label,
        positives=int(truth.sum()),
        negatives=int((~truth).sum()),
        hours=hours,
        average_precision=bootstrap_interval(average_precision, peaks, truth, groups, draws) if both else _NONE,
        auc=roc_auc(peaks, truth),
        recall_hour=recall_hour if negatives else float("nan"),
        recall=float(began[truth].mean()) if truth.any() else float("nan"),
        false_events=sum(b.label == label for one in negatives for b in one.result.events),
    )


def average_precision_gain(
    scored: Sequence[ScoredRecording], other: Mapping[str, float], label: str, replicates: int = 400
) -> ConfidenceInterval:
    """Average precision of ``label`` minus that of ``other``, a score by recording path, with an interval from the same
    draws of sources."""
    kept, truth = _labelled([one for one in scored if str(one.row.path) in other], label)
    if not truth.any() or truth.all():
        return _NONE
    ours = np.array([one.result.peak(label) for one in kept])
    theirs = np.array([other[str(one.row.path)] for one in kept])
    both = np.arange(len(kept)).astype(np.float64)

    def difference(index: np.ndarray, holds: np.ndarray) -> float:
        k = index.astype(int)
        return average_precision(ours[k], holds) - average_precision(theirs[k], holds)

    return bootstrap_interval(difference, both, truth, [one.row.group for one in kept], replicates)


def label_calibration(
    scored: Sequence[ScoredRecording], label: str, active: Mapping[str, Sequence[tuple[float, float]]]
) -> LabelCalibration | None:
    """Calibration of ``label``; None without both positives and negatives.

    Windows of recordings with the event count where ``active`` (by path, seconds from, to) has it active in
    the window, and not at all where it has no span; all windows of the others count as without it.
    """
    kept, truth = _labelled(scored, label)
    if not truth.any() or truth.all():
        return None
    peaks = np.array([one.result.peak(label) for one in kept])
    windows, holds = [], []
    for one, has in zip(kept, truth, strict=True):
        column = one.result.column(label)
        if not has:
            windows.append(column)
            holds.append(np.zeros(len(column), bool))
        elif len(column) == len(one.result.t_s):
            inside = _active_windows(one.result.t_s, active.get(str(one.row.path), ()))
            windows.append(column[inside])
            holds.append(np.ones(int(inside.sum()), bool))
    p, y = np.concatenate(windows), np.concatenate(holds)
    by_recording = expected_calibration_error(peaks, truth)
    by_window = expected_calibration_error(p, y) if y.any() else float("nan")
    return LabelCalibration(label, len(kept), int(truth.sum()), by_recording, by_window, reliability_bins(peaks, truth))


def false_positive_classes(scored: Sequence[ScoredRecording], label: str, most: int = 3) -> list[tuple[str, int, int]]:
    """Classes whose recordings gave false events of ``label``: name, recordings with one, recordings; worst first."""
    kept, truth = _labelled(scored, label)
    total: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for one, holds in zip(kept, truth, strict=True):
        if not holds:
            total[one.row.label] += 1
            false[one.row.label] += any(b.label == label for b in one.result.events)
    worst = sorted(((n, k, total[n]) for n, k in false.items() if k), key=lambda x: (-x[1], x[0]))
    return worst[:most]


def missed_recordings(scored: Sequence[ScoredRecording], label: str) -> list[tuple[str, float]]:
    """Recordings with ``label`` in which it never began: set and file name, and their highest score; lowest first."""
    kept, truth = _labelled(scored, label)
    found = [
        (f"{one.row.set_name}/{one.row.path.name}", one.result.peak(label))
        for one, holds in zip(kept, truth, strict=True)
        if holds and not any(b.label == label for b in one.result.events)
    ]
    return sorted(found, key=lambda x: x[1])


def _labelled(scored: Sequence[ScoredRecording], label: str) -> tuple[list[ScoredRecording], np.ndarray]:
    which, truth = labelled_rows([one.row for one in scored], label)
    return [scored[k] for k in which], np.array(truth, bool)


def _active_windows(t_s: np.ndarray, spans: Sequence[tuple[float, float]], window_s: float = WINDOW_S) -> np.ndarray:
    """Whether the event is going on in the last half second of each window or fills a quarter of it."""
    inside = np.zeros(len(t_s), bool)
    for begin, end in spans:
        overlap = np.minimum(t_s, end) - np.maximum(t_s - window_s, begin)
        inside |= overlap >= min(window_s / 4, max(end - begin, 1e-3) - 1e-9)
    return inside


def macro_average_precision_gain(
    scored: Sequence[ScoredRecording],
    other: Mapping[str, Mapping[str, float]],
    labels: Sequence[str],
    replicates: int = 200,
) -> tuple[ConfidenceInterval, ConfidenceInterval, ConfidenceInterval]:
    """Mean average precision over ``labels``: ours, that of ``other`` (scores by label and recording path), and ours
    minus theirs, with intervals from the same draws of sources."""
    kept = [one for one in scored if all(str(one.row.path) in other[label] for label in labels)]
    lots = []
    for label in labels:
        index, holds = labelled_rows([one.row for one in kept], label)
        ours = np.array([kept[k].result.peak(label) for k in index])
        theirs = np.array([other[label][str(kept[k].row.path)] for k in index])
        lots.append((np.array(index), np.array(holds, bool), ours, theirs))
    names, place = np.unique([one.row.group for one in kept], return_inverse=True)
    rng, found = np.random.default_rng(1), []
    for replicate in range(replicates + 1):
        weight = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names)) if replicate else None
        pairs = []
        for which, truth, ours, theirs in lots:
            times = np.ones(len(which), int) if weight is None else weight[place[which]]
            drawn = np.repeat(np.arange(len(which)), times)
            if truth[drawn].any() and not truth[drawn].all():
                pairs.append([average_precision(s[drawn], truth[drawn]) for s in (ours, theirs)])
        mean = np.mean(pairs, 0) if pairs else np.full(2, np.nan)
        found.append([mean[0], mean[1], mean[0] - mean[1]])
    low, high = np.nanquantile(found[1:], [0.025, 0.975], axis=0)
    first, second, third = (ConfidenceInterval(float(found[0][k]), float(low[k]), float(high[k])) for k in range(3))
    return first, second, third


def average_precision_of(scored: Sequence[ScoredRecording], scores: Mapping[str, float], label: str) -> float:
    """Average precision of somebody else's ``scores`` by recording path; NaN without both positives and negatives."""
    kept, truth = _labelled([one for one in scored if str(one.row.path) in scores], label)
    if not truth.any() or truth.all():
        return float("nan")
    return average_precision(np.array([scores[str(one.row.path)] for one in kept]), truth)
