"""Multiple-instance softmax regression: a clip's label means only that the event occurs somewhere in it.

Also fits the reliability of each source: weights that calibrate held-out probabilities. Numpy alone, no randomness: the
same clips give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.taught import MODALITY_CASES, SILENT_PROBABILITY, LinearProbe, SourceReliability, softmax_against_none
from edge.detect.taught_features import AUDIO, MODALITY, VIDEO
from edge.types import F32

F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
PRIOR_WEIGHTS: Final[Mapping[str, float]] = {
    "sound": 0.3,
    "kinds": 0.1,
    "known_heard": 0.5,
    "picture": 0.15,
    "movement": 0.25,
    "known_seen": 1.0,
}
"""What a source's weight is drawn to; few clips leave it there."""
_MIN_START: Final = 0.05  # where a weight that is drawn to 0 starts from
_STEP: Final = 1e-4


@dataclass(frozen=True, slots=True)
class ClipEvidence:
    """One clip's windows: evidence by source [n,K], and whether each window has sound and a picture [n]."""

    evidence: Mapping[str, F64]
    has_sound: Bool
    has_picture: Bool


def cases_of(names: Sequence[str]) -> tuple[str, ...]:
    """The cases that sources of these names can make."""
    there = {MODALITY[name] for name in names}
    return MODALITY_CASES if len(there) == 2 else tuple(there)


def clip_probabilities(clip: ClipEvidence, reliability: SourceReliability, mode: str) -> F64:
    """A clip's highest probability of each label [K], from what ``mode`` (one of `MODALITY_CASES`) leaves; NaN if
    nothing."""
    one = _StackedClips([clip])
    found, any_there = one.clip_maxima(reliability, mode)
    return np.asarray(np.where(any_there[:, None], found, np.nan)[0])


def window_probabilities(clip: ClipEvidence, reliability: SourceReliability) -> F64:
    """A clip's probabilities window by window [n,K]."""
    return _StackedClips([clip]).windows(reliability, "both")


def fit_reliability(
    clips: Sequence[ClipEvidence], columns: NDArray[np.int64], names: Sequence[str], share: float = 1.0
) -> SourceReliability:
    """Weights (at least 0) by case and an offset, so that over clips, each also with a modality left out, the highest
    probability of a label is as often right as it says; drawn a little to trusting every source the same.

    ``share``: clips of one group tell much the same, so each clip counts as this much of one. Without clips of column 0
    nothing says how rare the labels are, and the offset stays 0.
    """
    stack = _StackedClips(clips)
    target = np.zeros((len(clips), next(iter(clips[0].evidence.values())).shape[1]))
    target[columns > 0, columns[columns > 0] - 1] = 1
    cases = cases_of(names)
    slots = [(case, name) for case in cases for name in names if case in ("both", MODALITY[name])]
    trust = np.array([PRIOR_WEIGHTS[name] for _, name in slots])
    start = np.append(np.sqrt(np.maximum(trust, _MIN_START)), 0.0)
    has_none = bool((columns == 0).any())

    def unpack(packed: F64) -> SourceReliability:
        weight: dict[str, dict[str, float]] = {case: {} for case in cases}
        for (case, name), v in zip(slots, packed, strict=False):
            weight[case][name] = float(v * v)
        return SourceReliability(weight, float(packed[-1]) if has_none else 0.0)

    def loss(packed: F64) -> float:
        reliability = unpack(packed)
        pull = target.shape[1] * float(((packed[:-1] ** 2 - trust) ** 2).sum() + 0.1 * packed[-1] ** 2)
        return share * stack.loss(reliability, target, cases) + pull

    def objective(packed: F64) -> tuple[float, F64]:
        here = loss(packed)
        there = [loss(packed + _STEP * unit) for unit in np.eye(len(packed))]
        return here, (np.array(there) - here) / _STEP

    return unpack(lbfgs(objective, start, 40, 1e-5))


class _StackedClips:
    """Many clips' windows under one another."""

    def __init__(self, clips: Sequence[ClipEvidence]) -> None:
        self.names = list(clips[0].evidence)
        self.evidence = {name: np.concatenate([c.evidence[name] for c in clips]) for name in self.names}
        self.has_sound = np.concatenate([c.has_sound for c in clips])
        self.has_picture = np.concatenate([c.has_picture for c in clips])
        self.starts = np.cumsum([0, *(len(c.has_sound) for c in clips)])[:-1]

    def clip_maxima(self, reliability: SourceReliability, mode: str) -> tuple[F64, Bool]:
        """Highest probabilities of each clip [N,K] and whether anything was there [N]."""
        best = np.maximum.reduceat(self.windows(reliability, mode), self.starts, 0)
        has_modality = (self.has_sound & (mode != VIDEO)) | (self.has_picture & (mode != AUDIO))
        return best, np.asarray(np.logical_or.reduceat(has_modality, self.starts), np.bool_)

    def windows(self, reliability: SourceReliability, mode: str) -> F64:
        """Probabilities of each window; close to 0 where nothing is there."""
        heard = self.has_sound & (mode != VIDEO)
        seen = self.has_picture & (mode != AUDIO)
        shape = next(iter(self.evidence.values())).shape
        values = np.full(shape, SILENT_PROBABILITY)
        for case, rows in (("both", heard & seen), (AUDIO, heard & ~seen), (VIDEO, seen & ~heard)):
            weights = reliability.weight.get(case)
            if weights is None or not rows.any():
                continue
            logits = reliability.logits(case, {name: self.evidence[name][rows] for name in weights})
            values[rows] = softmax_against_none(logits)
        return values

    def loss(self, reliability: SourceReliability, wanted: F64, cases: Sequence[str]) -> float:
        """Log-loss of every label, summed over clips and cases."""
        total = 0.0
        for case in cases:
            p, there = self.clip_maxima(reliability, case)
            p = np.clip(p, 1e-5, 1 - 1e-5)
            each = -(wanted * np.log(p) + (1 - wanted) * np.log1p(-p)).sum(1)
            total += float(each[there].sum())
        return total


Objective = Callable[[F64], tuple[float, F64]]

_SPREAD: Final = 1e-2  # added to a feature's spread, so that what hardly varies is not blown up
_HISTORY: Final = 10
_ARMIJO: Final = 1e-4


@dataclass(frozen=True, slots=True)
class RegressionSettings:
    """How a source is learned: ``ridge`` is the penalty on squared weights, per bag."""

    ridge: float
    iterations: int = 120


@dataclass(frozen=True, slots=True)
class ClipBags:
    """Clips as bags of windows: ``rows`` f32[N,d], the first row of each bag, and the column 0..K of each bag."""

    rows: F32
    starts: NDArray[np.int64]
    columns: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Windows of each bag."""
        return np.asarray(np.diff(np.append(self.starts, len(self.rows))), np.int64)


def bags_of(clips: Sequence[F32], columns: Sequence[int]) -> ClipBags:
    """Each clip's windows [n,d], n > 0, and its column."""
    starts = np.cumsum([0, *(len(c) for c in clips)])[:-1]
    return ClipBags(np.concatenate(clips).astype(np.float32), starts, np.asarray(columns, np.int64))


def fit_source(bags: ClipBags, labels: int, blocks: Sequence[int], recipe: RegressionSettings) -> LinearProbe:
    """A `LinearProbe` for ``labels`` labels; ``blocks`` are the lengths of parts of a row that count the same.

    Labels without a bag stay neutral (no evidence either way). Without bags of column 0, "none of them" is the average
    label: what resembles none of them more than the others.
    """
    mean = bags.rows.mean(0)
    scale = 1.0 / (bags.rows.std(0) + _SPREAD) / np.sqrt(np.repeat(blocks, blocks) * len(blocks))
    there = np.unique(bags.columns)
    position = {int(column): n for n, column in enumerate(there)}
    inner = np.array([position[int(c)] for c in bags.columns])
    x = np.asarray((bags.rows - mean) * scale, np.float32)
    weights, bias = _fit_softmax(x, bags, inner, len(there), recipe)
    full, offsets = np.zeros((x.shape[1], labels + 1)), np.zeros(labels + 1)
    full[:, there], offsets[there] = weights, bias
    if 0 not in position:
        full[:, 0], offsets[0] = weights.mean(1), bias.mean()
    for column in set(range(1, labels + 1)) - set(position):
        full[:, column], offsets[column] = full[:, 0], offsets[0]
    return LinearProbe(
        mean.astype(np.float32), scale.astype(np.float32), full.astype(np.float32), offsets.astype(np.float32)
    )


def _fit_softmax(
    x: F32, bags: ClipBags, inner: NDArray[np.int64], classes: int, recipe: RegressionSettings
) -> tuple[F64, F64]:
    """Softmax regression over bags: a bag's score of a class is the log of the mean exp over its windows, which lies
    between mean and maximum. Every class counts the same in all; weights [d,C] and bias [C]."""
    d, counts = x.shape[1], bags.counts
    of_row = np.repeat(np.arange(len(counts)), counts)
    wanted = np.eye(classes)[inner]
    share = len(inner) / classes / np.bincount(inner, minlength=classes)[inner]

    def objective(packed: F64) -> tuple[float, F64]:
        weights, bias = packed[: d * classes].reshape(d, classes), packed[d * classes :]
        z = (x @ weights.astype(np.float32)).astype(np.float64) + bias
        top = np.maximum.reduceat(z, bags.starts)
        e = np.exp(z - top[of_row])
        total = np.add.reduceat(e, bags.starts)
        pooled = top + np.log(total / counts[:, None])
        pooled -= pooled.max(1, keepdims=True)
        p = np.exp(pooled)
        p /= p.sum(1, keepdims=True)
        loss = -float((share * np.log((p * wanted).sum(1) + 1e-12)).sum())
        loss += 0.5 * recipe.ridge * float((weights**2).sum())
        back = ((p - wanted) * share[:, None] / total)[of_row] * e
        grad = (x.T @ back.astype(np.float32)).astype(np.float64) + recipe.ridge * weights
        return loss, np.concatenate([grad.ravel(), back.sum(0)])

    found = lbfgs(objective, np.zeros(d * classes + classes), recipe.iterations)
    return found[: d * classes].reshape(d, classes), found[d * classes :]


def lbfgs(objective: Objective, start: F64, iterations: int, tolerance: float = 1e-6) -> F64:
    """L-BFGS with Armijo backtracking (Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 3.1)."""
    x = start
    value, grad = objective(x)
    steps: list[F64] = []
    turns: list[F64] = []
    for _ in range(iterations):
        direction = -_two_loop_direction(grad, steps, turns)
        slope = float(grad @ direction)
        if slope >= 0:
            steps, turns = [], []
            direction, slope = -grad, -float(grad @ grad)
        step, new_value, new_grad = _line_search(objective, x, value, direction, slope)
        if step == 0.0:
            break
        moved, turned = step * direction, new_grad - grad
        if moved @ turned > 1e-12:
            steps, turns = [*steps, moved][-_HISTORY:], [*turns, turned][-_HISTORY:]
        gained = value - new_value
        x, value, grad = x + moved, new_value, new_grad
        if gained < tolerance * max(1.0, abs(value)):
            break
    return x


def _two_loop_direction(grad: F64, steps: Sequence[F64], turns: Sequence[F64]) -> F64:
    q = grad.copy()
    kept = []
    for s, y in zip(reversed(steps), reversed(turns), strict=True):
        a = float(s @ q) / float(s @ y)
        kept.append(a)
        q -= a * y
    if steps:
        q *= float(steps[-1] @ turns[-1]) / float(turns[-1] @ turns[-1])
    else:
        q /= max(1.0, float(np.linalg.norm(grad)))
    for s, y, a in zip(steps, turns, reversed(kept), strict=True):
        q += s * (a - float(y @ q) / float(s @ y))
    return np.asarray(q)


def _line_search(objective: Objective, x: F64, value: float, direction: F64, slope: float) -> tuple[float, float, F64]:
    """A step that lowers the value enough, with the value and gradient there; 0 when there is none."""
    step = 1.0
    for _ in range(30):
        new_value, new_grad = objective(x + step * direction)
        if new_value <= value + _ARMIJO * step * slope:
            return step, new_value, new_grad
        step *= 0.5
    return 0.0, value, direction
