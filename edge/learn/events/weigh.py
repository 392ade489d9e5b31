"""How much each source is to be believed: weights that make held-out probabilities come true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.taught import SILENT_PROBABILITY
from edge.detect.taught_features import AUDIO, MODALITY, VIDEO
from edge.detect.taught_head import MODALITY_CASES, SourceReliability, softmax_against_none
from edge.learn.events.fit import lbfgs

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
    """One clip's windows: evidence by source [n,K], and whether sound was heard and a picture seen in each [n]."""

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
