"""From answers to figures: precision, recall, false alarms, calibration and confusion of one label over recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.learn.evaluation.metrics import (
    Bin,
    Interval,
    alarm_peaks,
    average_precision,
    bootstrap,
    expected_calibration_error,
    recall_at_alarm_rate,
    reliability,
    roc_auc,
)
from edge.learn.evaluation.recordings import Answer
from edge.learn.evaluation.sets import Row, judged

HOP_S: Final = 0.5
FEWEST: Final = 4
"""Sources fewer of which give no interval: drawing them again says nothing."""
_NONE: Final = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class Scored:
    """A recording and what came out of it."""

    row: Row
    answer: Answer


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label over one lot of recordings.

    ``precision`` and ``auc`` are of each recording's highest score; NaN without positives or negatives. ``recall_hour``
    is recall at one false alarm an hour of the negatives (none where they last less), ``recall`` the share of
    recordings in which the event began as shipped, ``false_per_hour`` the events that began in the negatives.
    """

    label: str
    positives: int
    negatives: int
    hours: float
    precision: Interval
    auc: float
    recall_hour: float
    recall: float
    false_events: int

    @property
    def false_per_hour(self) -> float:
        """False events an hour of negatives."""
        return self.false_events / self.hours if self.hours else float("nan")


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities are from shares: recordings by their highest score, and window by window."""

    label: str
    recordings: int
    positives: int
    by_recording: float
    by_window: float
    bins: Sequence[Bin]


def figures(scored: Sequence[Scored], label: str, replicates: int = 400) -> LabelFigures:
    """`LabelFigures` of ``label`` over the recordings whose class says whether they hold it."""
    kept, truth = _judged(scored, label)
    peaks = np.array([one.answer.peak(label) for one in kept])
    negatives = [one for one, holds in zip(kept, truth, strict=True) if not holds]
    hours = sum(one.answer.media_s for one in negatives) / 3600
    alarms = [
        alarm_peaks(np.arange(len(c), dtype=np.float64) * HOP_S, c)
        for one in negatives
        if len(c := one.answer.column(label))
    ]
    both = bool(truth.any() and not truth.all())
    groups = [one.row.group for one in kept]
    draws = replicates if len(set(groups)) >= FEWEST else 0
    recall_hour, _ = recall_at_alarm_rate(peaks[truth], np.concatenate([*alarms, np.zeros(0)]), hours)
    began = np.array([any(b.label == label for b in one.answer.begun) for one in kept], bool)
    return LabelFigures(
        label=label,
        positives=int(truth.sum()),
        negatives=int((~truth).sum()),
        hours=hours,
        precision=bootstrap(average_precision, peaks, truth, groups, draws) if both else _NONE,
        auc=roc_auc(peaks, truth),
        recall_hour=recall_hour if negatives else float("nan"),
        recall=float(began[truth].mean()) if truth.any() else float("nan"),
        false_events=sum(b.label == label for one in negatives for b in one.answer.begun),
    )


def gain(scored: Sequence[Scored], other: Mapping[str, float], label: str, replicates: int = 400) -> Interval:
    """Average precision of ``label`` minus that of ``other``, a score by recording path, with an interval from the same
    draws of sources."""
    kept, truth = _judged([one for one in scored if str(one.row.path) in other], label)
    if not truth.any() or truth.all():
        return _NONE
    ours = np.array([one.answer.peak(label) for one in kept])
    theirs = np.array([other[str(one.row.path)] for one in kept])
    both = np.arange(len(kept)).astype(np.float64)

    def difference(index: np.ndarray, holds: np.ndarray) -> float:
        k = index.astype(int)
        return average_precision(ours[k], holds) - average_precision(theirs[k], holds)

    return bootstrap(difference, both, truth, [one.row.group for one in kept], replicates)


def calibration(
    scored: Sequence[Scored], label: str, active: Mapping[str, Sequence[tuple[float, float]]]
) -> Calibration | None:
    """Calibration of ``label``; None without both positives and negatives.

    Windows of recordings with the event count where ``active`` (by path, seconds from, to) says that it is going on in
    the window, and not at all where it says nothing; all windows of the others count as without it.
    """
    kept, truth = _judged(scored, label)
    if not truth.any() or truth.all():
        return None
    peaks = np.array([one.answer.peak(label) for one in kept])
    windows, holds = [], []
    for one, has in zip(kept, truth, strict=True):
        column = one.answer.column(label)
        if not has:
            windows.append(column)
            holds.append(np.zeros(len(column), bool))
        elif len(column) == len(one.answer.t_s):
            inside = _inside(one.answer.t_s, active.get(str(one.row.path), ()))
            windows.append(column[inside])
            holds.append(np.ones(int(inside.sum()), bool))
    p, y = np.concatenate(windows), np.concatenate(holds)
    by_recording = expected_calibration_error(peaks, truth)
    by_window = expected_calibration_error(p, y) if y.any() else float("nan")
    return Calibration(label, len(kept), int(truth.sum()), by_recording, by_window, reliability(peaks, truth))


def confusions(scored: Sequence[Scored], label: str, most: int = 3) -> list[tuple[str, int, int]]:
    """Classes whose recordings gave false events of ``label``: name, recordings with one, recordings; worst first."""
    kept, truth = _judged(scored, label)
    total: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for one, holds in zip(kept, truth, strict=True):
        if not holds:
            total[one.row.label] += 1
            false[one.row.label] += any(b.label == label for b in one.answer.begun)
    worst = sorted(((n, k, total[n]) for n, k in false.items() if k), key=lambda x: (-x[1], x[0]))
    return worst[:most]


def missed(scored: Sequence[Scored], label: str) -> list[tuple[str, float]]:
    """Recordings with ``label`` in which it never began: set and file name, and their highest score; lowest first."""
    kept, truth = _judged(scored, label)
    found = [
        (f"{one.row.set_name}/{one.row.path.name}", one.answer.peak(label))
        for one, holds in zip(kept, truth, strict=True)
        if holds and not any(b.label == label for b in one.answer.begun)
    ]
    return sorted(found, key=lambda x: x[1])


def _judged(scored: Sequence[Scored], label: str) -> tuple[list[Scored], np.ndarray]:
    which, truth = judged([one.row for one in scored], label)
    return [scored[k] for k in which], np.array(truth, bool)


def _inside(t_s: np.ndarray, spans: Sequence[tuple[float, float]], window_s: float = 2.0) -> np.ndarray:
    """Whether the event is going on in the last half second of each window or fills a quarter of it."""
    inside = np.zeros(len(t_s), bool)
    for begin, end in spans:
        overlap = np.minimum(t_s, end) - np.maximum(t_s - window_s, begin)
        inside |= overlap >= min(window_s / 4, max(end - begin, 1e-3) - 1e-9)
    return inside


def macro_gain(
    scored: Sequence[Scored], other: Mapping[str, Mapping[str, float]], labels: Sequence[str], replicates: int = 200
) -> tuple[Interval, Interval, Interval]:
    """Mean average precision over ``labels``: ours, that of ``other`` (scores by label and recording path), and ours
    minus theirs, with intervals from the same draws of sources."""
    kept = [one for one in scored if all(str(one.row.path) in other[label] for label in labels)]
    lots = []
    for label in labels:
        index, holds = judged([one.row for one in kept], label)
        ours = np.array([kept[k].answer.peak(label) for k in index])
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
    first, second, third = (Interval(float(found[0][k]), float(low[k]), float(high[k])) for k in range(3))
    return first, second, third


def precision_of(scored: Sequence[Scored], scores: Mapping[str, float], label: str) -> float:
    """Average precision of somebody else's ``scores`` by recording path; NaN without both positives and negatives."""
    kept, truth = _judged([one for one in scored if str(one.row.path) in scores], label)
    if not truth.any() or truth.all():
        return float("nan")
    return average_precision(np.array([scores[str(one.row.path)] for one in kept]), truth)
