"""Metrics of evaluation, each with its definition: precision, ROC, calibration, intervals. No files, no model.

scikit-learn (the extra `learn`) is imported by the functions that use it, so that the module loads without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError

F64 = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]

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
    """Scores from ``low`` to ``high``: their number, their share of the total weight (0..1), and their weighted mean
    beside the weighted share of positives."""

    low: float
    high: float
    count: int
    weight: float
    mean: float
    share: float


def average_precision(scores: F64, truth: BoolArray) -> float:
    """Area under precision over recall, step-wise (Manning et al. 2008, 8.4); 0 without positives.

    ``scores`` and ``truth`` [n]. Among equal scores the negatives rank first, so that a constant score gains nothing.
    """
    if not truth.any():
        return 0.0
    ranks = np.empty(len(scores), np.int64)
    ranks[np.lexsort((~truth, scores))] = np.arange(len(scores))
    return float(scikit_metrics().average_precision_score(truth, ranks))


def drawn_average_precisions(scores: F64, truth: BoolArray, draws: int, seed: int = 1) -> F64:
    """`average_precision` of that many draws of n with replacement; draws without positives or negatives are left out.

    The same of every ``scores`` [n] with one ``truth`` [n] and seed, so that they can be compared pair by pair.
    """
    rng, n = np.random.default_rng(seed), len(truth)
    drawn = np.stack([rng.integers(0, n, n) for _ in range(draws)])
    order = np.lexsort((truth, -scores))  # best first, among equal scores the negatives
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    shown = truth[order][np.sort(place[drawn], axis=1)]
    shown = shown[shown.any(1) & ~shown.all(1)]
    hits = shown.cumsum(1)
    return np.asarray((hits / np.arange(1, n + 1) * shown).sum(1) / hits[:, -1], np.float64)


def roc_auc(scores: F64, truth: BoolArray) -> float:
    """The chance that a positive scores above a negative, ties half; NaN without both (Mann & Whitney 1947)."""
    if not truth.any() or truth.all():
        return float("nan")
    return float(scikit_metrics().roc_auc_score(truth, scores))


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


def reliability_bins(
    p: Floats, truth: Floats | BoolArray, weights: Floats | None = None, bins: int = CALIBRATION_BINS
) -> list[ReliabilityBin]:
    """Equal-width bins of probability; those without weight are left out. All arrays [n]; ``weights`` default to 1."""
    which = np.minimum((p * bins).astype(int), bins - 1)
    scores, positive = np.asarray(p, np.float64), np.asarray(truth, np.float64)
    weight = np.ones(len(p)) if weights is None else np.asarray(weights, np.float64)
    total, found = float(weight.sum()), []
    for k in range(bins):
        inside = which == k
        own = float(weight[inside].sum())
        if own > 0:
            mean, share = (float((weight[inside] * x[inside]).sum()) / own for x in (scores, positive))
            found.append(ReliabilityBin(k / bins, (k + 1) / bins, int(inside.sum()), own / total, mean, share))
    return found


def expected_calibration_error(
    p: Floats, truth: Floats | BoolArray, weights: Floats | None = None, bins: int = CALIBRATION_BINS
) -> float:
    """Sum over `reliability_bins` of (share of the weight in the bin) x |mean score - share of positives|; NaN without
    any weight (Naeini et al. 2015, Guo et al. 2017)."""
    found = reliability_bins(p, truth, weights, bins)
    return sum(b.weight * abs(b.mean - b.share) for b in found) if found else float("nan")


def scikit_metrics() -> Any:
    """The module `sklearn.metrics`; InputError where the extra `learn` is not installed."""
    try:
        from sklearn import metrics
    except ImportError as error:
        raise InputError("evaluation needs the extra `learn` (scikit-learn): `scripts/setup learn`") from error
    return metrics
