"""The normal model of one camera: feature points for each part, and the rarity of distances from them.

`NormalTrainer` learns one from recordings and measures rarity on recordings that were held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.anomaly.density import LEAST_SAMPLES, MAX_DISTANCE, FeatureBank, RarityScale
from edge.detect.anomaly.features import AnomalyPart, FeaturePoints, anomaly_parts, extract_features
from edge.errors import InputError
from edge.types import F32, Scores

HALF: Final = 3.0
"""Rarity (one window in a thousand quiet ones) at which the value is one half."""
_SECOND: Final = 0.5  # weight of the second rarest part: parts are not independent
_NEIGHBOUR: Final = 0.07  # of the canvas: cells whose middles are nearer, either way, support each other
F64 = NDArray[np.float64]
FOLDS: Final = 4
MAX_WINDOWS: Final = 16_384
"""Windows to keep; from longer recordings every second, fourth, ... window is learned."""


@dataclass(frozen=True, slots=True)
class PartAnomaly:
    """The rarity of one part in a window, with its farthest point, the point's place and distance."""

    part: str
    modality: str
    rarity: float
    distance: float
    point: F32
    place: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PartDistances:
    """The distance of each part of a window from what is normal, and the index of its farthest point (-1: none)."""

    distances: Mapping[str, float]
    farthest: Mapping[str, int]


class NormalModel:
    """The parts of one camera's normal model. Not used before `is_known`; learns from quiet windows."""

    def __init__(self) -> None:
        self._kinds: tuple[AnomalyPart, ...] = ()
        self._banks: dict[str, FeatureBank] = {}
        self._rarities: dict[str, RarityScale] = {}
        self._stored: dict[str, tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]] = {}
        self.windows = 0
        """The number of learned windows."""

    @property
    def is_known(self) -> bool:
        """Whether any part has enough values for a rarity."""
        return any(rarity.is_known for rarity in self._rarities.values()) or bool(self._stored)

    def bank(self, part: str) -> FeatureBank:
        """The points of one part."""
        return self._banks[part]

    def features(self, scores: Scores) -> Mapping[str, FeaturePoints]:
        """The feature points of a window."""
        self._prepare(scores)
        return extract_features(scores, self._kinds)

    def distances(self, views: Mapping[str, FeaturePoints]) -> PartDistances:
        """The distance of the window from what is normal."""
        found = {kind.name: self._farthest(kind, views[kind.name]) for kind in self._kinds if kind.name in views}
        return PartDistances({n: d for n, (d, _) in found.items()}, {n: i for n, (_, i) in found.items()})

    def assess(self, views: Mapping[str, FeaturePoints], strange: PartDistances) -> list[PartAnomaly]:
        """The anomaly of each part with enough values, the rarest first."""
        found = []
        for kind in self._kinds:
            name = kind.name
            if name not in strange.distances or not self._rarities[name].is_known:
                continue
            distance, i = strange.distances[name], strange.farthest[name]
            view = views[name]
            point = view.points[i] if i >= 0 else np.zeros(kind.size, np.float32)
            place = (float(view.places[i, 0]), float(view.places[i, 1])) if i >= 0 else (0.5, 0.5)
            rarity = max(self._rarities[name].rarity(distance) - kind.doubt, 0.0)
            found.append(PartAnomaly(name, kind.modality, rarity, distance, point, place))
        return sorted(found, key=lambda one: -one.rarity)

    def add(self, views: Mapping[str, FeaturePoints]) -> None:
        """Learn a quiet window's points."""
        self.windows += 1
        for name, view in views.items():
            self._banks[name].add(view.learned)

    def add_distances(self, strange: PartDistances) -> None:
        """Learn the distances of a quiet window whose points were not learned."""
        for name, distance in strange.distances.items():
            self._rarities[name].add(distance)

    def decay(self, share: float) -> None:
        """Forget slowly: multiply all counts by ``share``."""
        for bank in self._banks.values():
            bank.decay(share)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All learned arrays, named ``<part>/<array>``; `restored` takes them with `facts`."""
        out: dict[str, NDArray[Any]] = {}
        for name, bank in self._banks.items():
            out |= {f"{name}/{key}": array for key, array in bank.arrays().items()}
            out[f"{name}/distances"] = self._rarities[name].values.astype(np.float32)
        for name, (arrays, _) in self._stored.items():
            out |= {f"{name}/{key}": array for key, array in arrays.items()}
        return out

    def facts(self) -> dict[str, Any]:
        """The plain numbers that belong to `arrays`."""
        parts = {name: {"grain": b.grain, "seen": self._rarities[name].count} for name, b in self._banks.items()}
        return {"windows": self.windows, "parts": {**parts, **{n: dict(f) for n, (_, f) in self._stored.items()}}}

    @classmethod
    def restored(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> NormalModel:
        """The model from `arrays` and `facts`; KeyError, TypeError or ValueError when they are damaged."""
        normal = cls()
        normal.windows = int(facts["windows"])
        for name, own in facts["parts"].items():
            held = {key: arrays[f"{name}/{key}"] for key in ("points", "counts", "distances")}
            normal._stored[name] = (held, {"grain": float(own["grain"]), "seen": int(own["seen"])})
        return normal

    def _prepare(self, scores: Scores) -> None:
        """Create the parts from the first window, which shows the model's outputs."""
        if self._kinds:
            return
        self._kinds = anomaly_parts(scores)
        for kind in self._kinds:
            bank, rarity = FeatureBank(kind.size, kind.capacity, kind.grain), RarityScale()
            arrays, facts = self._stored.pop(kind.name, (None, None))
            if arrays is not None and facts is not None:
                bank.restore(arrays, facts["grain"])
                rarity.restore(arrays["distances"].astype(np.float64), facts["seen"])
            self._banks[kind.name], self._rarities[kind.name] = bank, rarity

    def _farthest(self, kind: AnomalyPart, view: FeaturePoints) -> tuple[float, int]:
        """Distance and index of the point that, with its neighbours, is farthest from normal; 0 and -1 for none."""
        if not len(view.points):
            return 0.0, -1
        distances = self._banks[kind.name].distances(view.points) * view.confidence
        if kind.support > 1:
            distances = _supported(distances, view.places, kind.support)
        i = int(distances.argmax())
        return float(min(distances[i], MAX_DISTANCE)), i


def total(found: Iterable[PartAnomaly]) -> float:
    """The rarity of a window: that of its rarest part plus half of the second rarest."""
    rarities = sorted((one.rarity for one in found), reverse=True)
    return float(np.dot(rarities[:2], (1.0, _SECOND)[: len(rarities)])) if rarities else 0.0


def value_of(rarity: float) -> float:
    """A rarity as a value in [0, 1): one half at `HALF`, 0.1 at a third of it, 0.9 at three times it."""
    square = (rarity / HALF) ** 2
    return square / (1 + square)


def _supported(distances: F32, places: F32, support: int) -> F32:
    """For each point the ``support``-th largest distance among it and its neighbours; 0 when there are too few."""
    apart = np.abs(places[:, None] - places[None]).max(2)
    around = np.where(apart < _NEIGHBOUR, distances[None], 0.0)
    if len(distances) < support:
        return np.zeros_like(distances)
    return np.asarray(np.minimum(np.sort(around, axis=1)[:, -support], distances), np.float32)


@dataclass(frozen=True, slots=True)
class FittedNormal:
    """A normal model, and the value of each of its windows while that window was held out."""

    normal: NormalModel
    held_out: F64


class NormalTrainer:
    """Collects the feature points of all recordings, in bounded memory."""

    def __init__(self) -> None:
        self._normal = NormalModel()
        self._views: list[tuple[int, int, Mapping[str, FeaturePoints]]] = []
        self._count = 0
        self._example: Scores | None = None
        self.stride = 1
        """One of this many windows is kept."""

    def add(self, recording: int, scores: Scores) -> bool:
        """Add a window of recording number ``recording``; whether it was kept."""
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
        """The indexes of the kept windows, counted over all recordings."""
        return [number for number, _, _ in self._views]

    def fit(self, on_round: Callable[[], None] = lambda: None) -> FittedNormal:
        """Learn the kept windows; ``on_round`` is called after each of five rounds. InputError when there are too
        few."""
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
    """The fold of each window: whole recordings, or stretches of time when there are few recordings."""
    names = sorted(set(recordings))
    if len(names) >= FOLDS:
        return np.array([names.index(one) % FOLDS for one in recordings], np.int64)
    return np.arange(len(recordings)) * FOLDS // len(recordings)
