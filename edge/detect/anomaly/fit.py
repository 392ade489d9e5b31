"""Learning a normal from recordings at hand: how rare things are is measured on recordings that were held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.anomaly.normal import NormalModel, PartDistances, total, value_of
from edge.detect.anomaly.surprise import LEAST_SAMPLES
from edge.detect.anomaly.views import FeaturePoints
from edge.errors import InputError
from edge.types import Scores

F64 = NDArray[np.float64]
FOLDS: Final = 4
MAX_WINDOWS: Final = 16_384
"""Windows kept; of longer recordings every second, fourth, ... window is learned."""


@dataclass(frozen=True, slots=True)
class FittedNormal:
    """A normal, and the value of each window it was learned from as long as that window was held out."""

    normal: NormalModel
    held_out: F64


class NormalTrainer:
    """Gathers what the parts saw of all recordings, in bounded memory."""

    def __init__(self) -> None:
        self._normal = NormalModel()
        self._views: list[tuple[int, int, Mapping[str, FeaturePoints]]] = []
        self._count = 0
        self._example: Scores | None = None
        self.stride = 1
        """Of so many windows one is kept."""

    def add(self, recording: int, scores: Scores) -> bool:
        """Take in a window of the recording of that number; whether it was kept."""
        number = self._count
        self._count += 1
        self._example = scores if self._example is None else self._example
        if number % self.stride:
            return False
        self._views.append((number, recording, self._normal.features(scores)))
        if len(self._views) > MAX_WINDOWS:
            self.stride *= 2
            self._views = [one for one in self._views if one[0] % self.stride == 0]
        return True

    @property
    def numbers(self) -> list[int]:
        """Which windows are kept, counted over all recordings."""
        return [number for number, _, _ in self._views]

    def fit(self, on_round: Callable[[], None] = lambda: None) -> FittedNormal:
        """Learn them; ``on_round`` is called after each of five rounds. InputError when there are too few."""
        views = [view for _, _, view in self._views]
        if self._example is None or len(views) < LEAST_SAMPLES:
            raise InputError(
                f"{len(views)} windows are too few to learn what is normal: give at least "
                f"{LEAST_SAMPLES} (a minute is 120)"
            )
        fold_of = _folds([recording for _, recording, _ in self._views])
        held_out: list[PartDistances | None] = [None] * len(views)
        for fold in range(FOLDS):
            others = self._learned([v for v, f in zip(views, fold_of, strict=True) if f != fold])
            for i in np.flatnonzero(fold_of == fold).tolist():
                held_out[i] = others.distances(views[i])
            on_round()
        normal = self._learned(views)
        found = [one for one in held_out if one is not None]
        for one in found:
            normal.add_distances(one)
        on_round()
        values = [value_of(total(normal.assess(v, one))) for v, one in zip(views, found, strict=True)]
        return FittedNormal(normal, np.array(values))

    def _learned(self, views: Sequence[Mapping[str, FeaturePoints]]) -> NormalModel:
        normal = NormalModel()
        if self._example is not None:
            normal.features(self._example)
        for view in views:
            normal.add(view)
        return normal


def _folds(recordings: Sequence[int]) -> NDArray[np.int64]:
    """Which fold each window is held out with: whole recordings, or stretches of time where there are few."""
    names = sorted(set(recordings))
    if len(names) >= FOLDS:
        return np.array([names.index(one) % FOLDS for one in recordings], np.int64)
    return np.arange(len(recordings)) * FOLDS // len(recordings)
