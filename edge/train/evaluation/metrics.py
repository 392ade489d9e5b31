"""The figures of the report, each with its definition. Numpy alone; no files, no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CALIBRATION_BINS: Final = 10
ALARM_S: Final = 30.0
"""Two alarms of a label within one recording are two when they are this far apart: the detector's cooldown."""


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """A figure and the middle 95 % of its bootstrap replicates; NaN where it has none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Scores from ``low`` to ``high``: how many, their mean, and in what share the event was there."""

    low: float
    high: float
    count: int
    mean: float
    share: float


def average_precision(scores: F64, truth: BoolArray) -> float:
    """Area under precision over recall, step-wise, ties broken against us; 0 without positives."""
    order = np.lexsort((truth, -scores))
    hits = truth[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / max(1, hits.sum()))


def roc_auc(scores: F64, truth: BoolArray) -> float:
    """The chance that a positive scores above a negative, ties half; NaN without both (Mann & Whitney 1947)."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def bootstrap_interval(
    figure: Callable[[F64, BoolArray], float],
    scores: F64,
    truth: BoolArray,
    groups: Sequence[str],
    replicates: int = 400,
    seed: int = 1,
) -> ConfidenceInterval:
    """``figure`` with an interval from drawing whole groups (sources) with replacement; replicates that lack positives
    or negatives are drawn again, at most ten times each."""
    value = figure(scores, truth)
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(place == k) for k in range(len(names))]
    rng, found = np.random.default_rng(seed), []
    for _ in range(10 * replicates):
        drawn = np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])
        if truth[drawn].any() and not truth[drawn].all():
            found.append(figure(scores[drawn], truth[drawn]))
            if len(found) == replicates:
                break
    if not found:
        return ConfidenceInterval(value, float("nan"), float("nan"))
    low, high = np.quantile(found, [0.025, 0.975])
    return ConfidenceInterval(value, float(low), float(high))


def alarm_peaks(t_s: F64, scores: F64, apart_s: float = ALARM_S) -> F64:
    """The highest score of each stretch of ``apart_s`` of one recording: each is at most one alarm."""
    if not len(scores):
        return np.zeros(0)
    stretch = ((t_s - t_s[0]) / apart_s).astype(int)
    starts = np.flatnonzero(np.diff(stretch, prepend=-1))
    return np.maximum.reduceat(np.asarray(scores, np.float64), starts)


def recall_at_alarm_rate(positives: F64, alarms: F64, hours: float, per_hour: float = 1.0) -> tuple[float, float]:
    """Recall of ``positives`` (a score a recording) and the threshold at which ``alarms`` (`alarm_peaks` of recordings
    without the event) come at most ``per_hour`` times an hour of them. In less than an hour that is none."""
    allowed = int(per_hour * hours)
    ordered = np.sort(alarms)[::-1]
    threshold = float(ordered[allowed]) if allowed < len(ordered) else 0.0
    return float((positives > threshold).mean()) if len(positives) else float("nan"), threshold


def reliability_bins(p: F64, truth: BoolArray, bins: int = CALIBRATION_BINS) -> list[ReliabilityBin]:
    """Equal-width bins of probability; empty ones are left out."""
    which = np.minimum((p * bins).astype(int), bins - 1)
    return [
        ReliabilityBin(
            k / bins, (k + 1) / bins, int(inside.sum()), float(p[inside].mean()), float(truth[inside].mean())
        )
        for k in range(bins)
        if (inside := which == k).any()
    ]


def expected_calibration_error(p: F64, truth: BoolArray, bins: int = CALIBRATION_BINS) -> float:
    """Sum over equal-width bins of (share of all scores in the bin) x |mean score - share with the event|; NaN for
    nothing (Naeini et al. 2015, Guo et al. 2017)."""
    found = reliability_bins(p, truth, bins)
    total = sum(b.count for b in found)
    return sum(b.count * abs(b.mean - b.share) for b in found) / total if total else float("nan")
