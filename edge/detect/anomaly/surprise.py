"""How rare a distance is among those of quiet time that was held out: minus the decimal logarithm of its probability.

Inside what was seen the sample itself says it; beyond, the tail does: a generalised Pareto distribution over the
highest tenth (peaks over threshold; Pickands 1975), fitted as in `edge.detect.null`. Its shape is not taken below 0:
what was never seen is never impossible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.null import GeneralisedPareto, fit_pareto

F64 = NDArray[np.float64]
SAMPLE_SIZE: Final = 4096
HORIZON: Final = 400_000
"""Windows over which the sample forgets: about two and a half days of half seconds."""
LEAST_SAMPLES: Final = 40
"""Values from which a rarity can be told at all."""
_TAIL: Final = 0.1
_LEAST_TAIL: Final = 10
_REFIT: Final = 256
_MOST_SHAPE: Final = 0.3
_BEYOND: Final = 0.3  # how far a rarity is believed that is beyond one in all the windows seen


@dataclass(frozen=True, slots=True)
class _TailFit:
    sorted: F64
    rarity: F64
    level: float
    share: float
    unit: float
    tail: GeneralisedPareto


class RarityScale:
    """A bounded sample of values of quiet time, 0 where there was nothing of the kind."""

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
        """Whether enough was seen to say how rare anything is."""
        return len(self._values) >= LEAST_SAMPLES

    def add(self, value: float) -> None:
        """Take in the value of one quiet window; the sample stays as large as it may be (Vitter's algorithm R)."""
        self._count = min(self._count + 1, HORIZON)
        self._stale += 1
        if len(self._values) < SAMPLE_SIZE:
            self._values = np.append(self._values, value)
            return
        place = int(self._random.integers(self._count))
        if place < SAMPLE_SIZE:
            self._values[place] = value

    def restore(self, values: F64, count: int) -> None:
        """Go on from a sample and how many it stands for."""
        self._values, self._count, self._fit = np.asarray(values, np.float64)[:SAMPLE_SIZE].copy(), count, None

    @property
    def count(self) -> int:
        """How many values the sample stands for."""
        return self._count

    def rarity(self, value: float) -> float:
        """-log10 of the probability of ``value`` or more in a quiet window: grows without end; 0 for 0."""
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
    # The tail starts where a tenth lies above, or where there was anything at all.
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
