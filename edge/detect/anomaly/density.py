"""Banks of normal feature points in bounded memory, and the rarity of a distance from them. Pure numpy.

A point near a kept one adds to its count; another is kept itself (leader clustering, Hartigan 1975). When there are too
many, the grain gets coarser. The distance is that within which three points were observed (k nearest neighbours, as in
Reiss & Hoshen, "Attribute-based representations for accurate and interpretable video anomaly detection", 2022).

Rarity is minus the decimal logarithm of the probability of a distance in held-out quiet time: from the sample itself
within its range, beyond it from a generalised Pareto distribution over the highest tenth (peaks over threshold;
Pickands 1975), fitted as in `edge.detect.background`. Its shape is at least 0: nothing unseen is impossible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.background import GeneralisedPareto, fit_pareto
from edge.types import F32

F64 = NDArray[np.float64]
SAMPLE_SIZE: Final = 4096
HORIZON: Final = 400_000
"""Windows after which the sample has been replaced: about two and a half days of half seconds."""
LEAST_SAMPLES: Final = 40
"""Values that are needed for any rarity."""
_TAIL: Final = 0.1
_LEAST_TAIL: Final = 10
_REFIT: Final = 256
_MOST_SHAPE: Final = 0.3
_BEYOND: Final = 0.3  # share that counts of a rarity beyond one in all observed windows
LEAST_COUNT: Final = 3.0
"""How many points must have been observed within the distance."""
MAX_DISTANCE: Final = 50.0
"""The distance when nothing was ever observed."""
_COARSER: Final = 1.25
_FORGOTTEN: Final = 0.25


@dataclass(frozen=True, slots=True)
class _TailFit:
    sorted: F64
    rarity: F64
    level: float
    share: float
    unit: float
    tail: GeneralisedPareto


class RarityScale:
    """A bounded sample of values of quiet time; 0 for a window without the feature."""

    def __init__(self) -> None:
        self._values: F64 = np.zeros(0)
        self._count = 0
        self._fit: _TailFit | None = None
        self._stale = 0
        self._random = np.random.default_rng(0)

    @property
    def values(self) -> F64:
        """The sample."""
        return self._values

    @property
    def is_known(self) -> bool:
        """Whether there are enough values for a rarity."""
        return len(self._values) >= LEAST_SAMPLES

    def add(self, value: float) -> None:
        """Add the value of one quiet window; the sample stays bounded (Vitter's algorithm R)."""
        self._count = min(self._count + 1, HORIZON)
        self._stale += 1
        if len(self._values) < SAMPLE_SIZE:
            self._values = np.append(self._values, value)
            return
        place = int(self._random.integers(self._count))
        if place < SAMPLE_SIZE:
            self._values[place] = value

    def restore(self, values: F64, count: int) -> None:
        """Go on from a sample and the number of values that it represents."""
        self._values, self._count, self._fit = np.asarray(values, np.float64)[:SAMPLE_SIZE].copy(), count, None

    @property
    def count(self) -> int:
        """The number of values that the sample represents."""
        return self._count

    def rarity(self, value: float) -> float:
        """-log10 of the probability of ``value`` or more in a quiet window: unbounded; 0 for 0."""
        fit = self._fitted()
        if value <= 0:
            return 0.0
        if value <= fit.level:
            return float(np.interp(value, fit.sorted, fit.rarity))
        rarity = -np.log10(fit.share) + _rarity(fit.tail, (value - fit.level) / fit.unit)
        most_seen = float(np.log10(len(self._values)))
        return float(rarity if rarity < most_seen else most_seen + _BEYOND * (rarity - most_seen))

    def _fitted(self) -> _TailFit:
        if self._fit is None or self._stale >= _REFIT:
            self._fit, self._stale = _fit(self._values), 0
        return self._fit


def _fit(values: F64) -> _TailFit:
    ordered = np.sort(values)
    n = len(ordered)
    # The tail starts where a tenth lies above, or at the least value above 0.
    above = min(max(_LEAST_TAIL, round(_TAIL * n)), n - 1, max(int((ordered > 0).sum()) - 1, 1))
    level = float(ordered[n - 1 - above])
    excesses = ordered[n - above :] - level
    unit = max(float(excesses.mean()), 1e-3)
    tail = fit_pareto(excesses / unit)
    body = ordered[: n - above]
    rarity = -np.log10(1 - np.arange(len(body)) / n)
    tail = GeneralisedPareto(min(max(tail.shape, 0.0), _MOST_SHAPE), tail.scale)
    return _TailFit(body, rarity, level, (above + 1) / n, unit, tail)


def _rarity(tail: GeneralisedPareto, excess: float) -> float:
    if tail.shape < 1e-6:
        return float(excess / tail.scale / np.log(10))
    return float(np.log10(1 + tail.shape * excess / tail.scale) / tail.shape)


class FeatureBank:
    """At most ``capacity`` points of ``size`` numbers with their counts; points nearer than ``grain`` are merged."""

    def __init__(self, size: int, kept: int, grain: float) -> None:
        self.size, self.capacity, self.grain = size, kept, grain
        self._points: F32 = np.zeros((0, size), np.float32)
        self._counts: F64 = np.zeros(0)
        self._product: F32 = np.zeros((size + 1, 0), np.float32)

    def __len__(self) -> int:
        return len(self._points)

    @property
    def points(self) -> F32:
        """The kept points f32[m,size]."""
        return self._points

    @property
    def counts(self) -> F64:
        """The count of each of `points`, [m]."""
        return self._counts

    def distances(self, points: F32) -> F32:
        """The distance of each of ``points`` [n,size] within which three points were observed, 0 to `MAX_DISTANCE`."""
        if not len(points) or self._counts.sum() < LEAST_COUNT:
            return np.full(len(points), MAX_DISTANCE, np.float32)
        squares = self._partial_squares(points)
        k = min(int(LEAST_COUNT), len(self._points))
        nearest = np.argpartition(squares, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(squares, nearest, 1)
        order = np.argsort(near, axis=1)
        near, nearest = np.take_along_axis(near, order, 1), np.take_along_axis(nearest, order, 1)
        enough = np.cumsum(self._counts[nearest], axis=1) >= LEAST_COUNT - 1e-9
        first = np.where(enough.any(1), enough.argmax(1), k - 1)
        found = near[np.arange(len(points)), first] + (points**2).sum(1)
        return np.asarray(np.minimum(np.sqrt(np.maximum(found, 0)), MAX_DISTANCE), np.float32)

    def add(self, points: F32) -> None:
        """Add ``points`` [n,size] as normal."""
        if not len(points):
            return
        if len(self._points):
            squares = self._partial_squares(points)
            nearest = squares.argmin(1)
            alike = squares[np.arange(len(points)), nearest] + (points**2).sum(1) < self.grain**2
            np.add.at(self._counts, nearest[alike], 1.0)
            points = points[~alike]
        if len(points):
            self._add_leaders(points, np.ones(len(points)))
        while len(self._points) > self.capacity:
            self._coarser()

    def decay(self, share: float) -> None:
        """Multiply every count by ``share``; points with very low counts are dropped."""
        self._counts *= share
        keep = self._counts >= _FORGOTTEN
        self._set_points(self._points[keep], self._counts[keep])

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The arrays for `restore`, in half precision."""
        return {"points": self._points.astype(np.float16), "counts": self._counts.astype(np.float32)}

    def restore(self, arrays: Mapping[str, NDArray[Any]], grain: float) -> None:
        """Go on from the result of `arrays`; ValueError when the sizes do not fit."""
        points, counts = arrays["points"].astype(np.float32), arrays["counts"].astype(np.float64)
        if points.ndim != 2 or points.shape[1] != self.size or counts.shape != points.shape[:1]:
            raise ValueError(f"points of shape {points.shape}, wanted [n,{self.size}]")
        self.grain = grain
        self._set_points(points, counts)

    def _partial_squares(self, points: F32) -> F32:
        """Squared distances [n,m] less each point's own square, in one product."""
        ones = np.ones((len(points), 1), np.float32)
        return np.asarray(np.concatenate([points, ones], 1) @ self._product, np.float32)

    def _add_leaders(self, points: F32, counts: F64) -> None:
        """Keep ``points`` that are apart from each other; the first ones become leaders."""
        left = np.arange(len(points))
        leaders: list[int] = []
        tallies: list[float] = []
        while len(left):
            apart = ((points[left] - points[left[0]]) ** 2).sum(1) >= self.grain**2
            apart[0] = False
            leaders.append(int(left[0]))
            tallies.append(float(counts[left[~apart]].sum()))
            left = left[apart]
        self._set_points(np.concatenate([self._points, points[leaders]]), np.concatenate([self._counts, tallies]))

    def _coarser(self) -> None:
        self.grain *= _COARSER
        order = np.argsort(-self._counts, kind="stable")
        points, counts = self._points[order], self._counts[order]
        self._set_points(self._points[:0], self._counts[:0])
        self._add_leaders(points, counts)

    def _set_points(self, points: F32, counts: F64) -> None:
        self._points, self._counts = points, counts
        self._product = np.concatenate([-2 * points, (points**2).sum(1, keepdims=True)], 1).T
