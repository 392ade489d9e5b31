"""The background distribution of a site's scores, and thresholds for a rate of false alarms. Numpy, no threads.

For every label the highest score of each quiet minute is taken, and the largest of these maxima are kept. Their tail is
a generalised Pareto distribution (peaks over threshold; Pickands 1975), fitted by probability-weighted moments (Hosking
& Wallis 1987) in log-odds, where scores near 1 are not compressed. The rate is no quota: days as quiet as the observed
ones give that many false alarms on average, and quieter days give none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.engine.manifest import Label, Modality
from edge.errors import InputError
from edge.profile import ProfilePart
from edge.types import NS_PER_S, Scores

F64 = NDArray[np.float64]

MINUTE_NS: Final = 60 * NS_PER_S
MINUTES_A_DAY: Final = 1440
MAX_MAXIMA: Final = 256
"""Maxima kept for each label and generation; bounds the memory."""
GENERATION_MINUTES: Final = 14 * MINUTES_A_DAY
"""Minutes after which the newer generation becomes the older one, and the older one is dropped."""
LEAST_MINUTES: Final = 180
LEAST_COVERAGE: Final = 0.5
"""Share of a minute that must have been scored for it to count."""
MAX_EXTRAPOLATION: Final = 10.0
"""The time per false alarm may be at most this many times the observed time."""
_TAIL, _LEAST_TAIL, _MOST_TAIL = 0.1, 20, 128
_SHAPES = (-0.5, 0.4)
_LEAST_SCALE = 0.02
_EDGE = 1e-6
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class GeneralisedPareto:
    """Excesses over a level as a generalised Pareto distribution: P(Y > y) = (1 + shape y / scale)^(-1 / shape)."""

    shape: float
    scale: float

    def excess(self, odds: float) -> float:
        """The y that is exceeded with probability 1 / ``odds``; 0 for odds of at most 1."""
        if odds <= 1:
            return 0.0
        if abs(self.shape) < 1e-6:
            return self.scale * float(np.log(odds))
        return self.scale / self.shape * float(odds**self.shape - 1)


def fit_pareto(excesses: F64) -> GeneralisedPareto:
    """Probability-weighted moments of ``excesses`` [n >= 2], none negative (Hosking & Wallis 1987).

    Plotting positions are theirs, (i - 0.35) / n. The shape is kept within -0.5 and 0.4, where the estimate is good.
    """
    y = np.sort(np.asarray(excesses, np.float64))
    position = (np.arange(1, len(y) + 1) - 0.35) / len(y)
    mean, weighted = float(y.mean()), float(((1 - position) * y).mean())
    if mean <= 0:
        return GeneralisedPareto(0.0, _LEAST_SCALE)
    shape = 2 - mean / max(mean - 2 * weighted, 1e-12)
    shape = min(max(shape, _SHAPES[0]), _SHAPES[1])
    return GeneralisedPareto(shape, max(mean * (1 - shape), _LEAST_SCALE))


class BackgroundDistribution:
    """What the scores of ``labels`` reach while nothing happens, over all cameras of a site.

    A minute of a camera counts for a label when no event of another label was open in it and at least half of it was
    scored. Events of the label itself count: they are the alarms whose rate is controlled, so this suits labels that
    are rare at the site. Windows without the label's modalities do not count: without a microphone there is no quiet
    time for a scream.
    """

    def __init__(self, labels: Iterable[Label], hop_s: float) -> None:
        self._modalities: dict[str, frozenset[Modality]] = {x.name: frozenset(x.modalities) for x in labels}
        self._least_windows = LEAST_COVERAGE * 60 / hop_s
        self._minutes: dict[str, _RunningMinute] = {}
        self._maxima = {name: _LabelMaxima() for name in self._modalities}

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that are tracked."""
        return tuple(self._modalities)

    def observe(self, scores: Scores, open_labels: Collection[str] = ()) -> None:
        """Add one window; ``open_labels``: the labels of the scene's events that are open on its camera."""
        number = scores.t_end_ns // MINUTE_NS
        minute = self._minutes.get(scores.camera)
        if minute is None or minute.number != number:
            self._close(minute)
            minute = self._minutes[scores.camera] = _RunningMinute(number)
        minute.open_labels.update(open_labels)
        for name, modalities in self._modalities.items():
            value = scores.values.get(name)
            if value is not None and _is_observable(modalities, name, scores):
                highest, windows = minute.maxima.get(name, (0.0, 0))
                minute.maxima[name] = (max(highest, value), windows + 1)

    def minutes(self, label: str) -> int:
        """The number of quiet minutes of ``label`` so far."""
        maxima = self._maxima[label]
        return maxima.newer.minutes + maxima.older.minutes

    def threshold(self, label: str, per_day: float) -> float | None:
        """The score that quiet time reaches ``per_day`` times per day and camera, 0..1.

        None when the observed time is too short: less than three hours, or less than a tenth of the time per false
        alarm. InputError for an unknown label or a rate that is not above 0. Consecutive quiet minutes count one by
        one, so long false alarms make the threshold too high rather than too low.
        """
        if label not in self._maxima:
            raise InputError(f"no quiet time is kept of {label!r}; there is: {', '.join(self._maxima) or 'nothing'}")
        if not per_day > 0:
            raise InputError(f"{per_day:g} false alarms a day: give a number above 0, such as 0.2 for one in five days")
        n, rate = self.minutes(label), min(per_day / MINUTES_A_DAY, 1.0)
        if n < LEAST_MINUTES or n * rate * MAX_EXTRAPOLATION < 1:
            return None
        maxima = self._maxima[label].highest()
        tail = min(len(maxima) - 1, _MOST_TAIL, max(_LEAST_TAIL, round(_TAIL * n)))
        level = float(maxima[tail])
        if rate * n >= tail:
            return float(_probability(maxima[min(len(maxima) - 1, round(rate * n))]))
        z = level + fit_pareto(maxima[:tail] - level).excess(tail / n / rate)
        return float(_probability(z))

    def thresholds(self, rates: Mapping[str, float]) -> dict[str, float]:
        """`threshold` of every label of ``rates`` (false alarms per day) with enough observed time."""
        found = {label: self.threshold(label, rate) for label, rate in rates.items() if label in self._maxima}
        return {label: value for label, value in found.items() if value is not None}

    def to_part(self) -> ProfilePart:
        """The profile's part `null`, without unfinished minutes."""
        names = list(self._modalities)
        generations = [(maxima.newer, maxima.older) for maxima in self._maxima.values()]
        arrays = {
            "minutes": np.array([[g.minutes for g in pair] for pair in generations], np.int64).reshape(-1, 2),
            "counts": np.array([[len(g.highest) for g in pair] for pair in generations], np.int64).reshape(-1, 2),
            "highest": np.concatenate([g.highest for pair in generations for g in pair] or [np.zeros(0)]),
        }
        return ProfilePart(arrays, {"schema": _SCHEMA, "labels": names})

    @classmethod
    def from_part(cls, labels: Iterable[Label], hop_s: float, part: ProfilePart) -> BackgroundDistribution:
        """A distribution that goes on from ``part``, without labels that are no longer tracked. InputError if
        unreadable."""
        quiet = cls(labels, hop_s)
        quiet._take(part.arrays, part.facts)
        return quiet

    def _take(self, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        try:
            if facts["schema"] != _SCHEMA:
                raise ValueError(f"schema {facts['schema']}, not {_SCHEMA}")  # noqa: TRY301
            counts = np.asarray(arrays["counts"], np.int64).reshape(-1, 2)
            minutes = np.asarray(arrays["minutes"], np.int64).reshape(-1, 2)
            parts = np.split(np.asarray(arrays["highest"], np.float64), np.cumsum(counts.ravel())[:-1])
            for k, name in enumerate(facts["labels"]):
                if name in self._maxima:
                    newer, older = (_Generation(int(minutes[k, g]), parts[2 * k + g][:MAX_MAXIMA]) for g in (0, 1))
                    self._maxima[name] = _LabelMaxima(newer, older)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise InputError(f"the part `null` of the profile cannot be read ({error}); learn it again") from error

    def _close(self, minute: _RunningMinute | None) -> None:
        if minute is None:
            return
        for name, (highest, windows) in minute.maxima.items():
            if windows >= self._least_windows and minute.open_labels <= {name}:
                self._maxima[name].add(_log_odds(highest))


@dataclass(slots=True)
class _RunningMinute:
    number: int
    open_labels: set[str] = field(default_factory=set)
    maxima: dict[str, tuple[float, int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Generation:
    minutes: int = 0
    highest: F64 = field(default_factory=lambda: np.zeros(0))  # log-odds, descending, at most KEPT


@dataclass(slots=True)
class _LabelMaxima:
    newer: _Generation = field(default_factory=_Generation)
    older: _Generation = field(default_factory=_Generation)

    def add(self, z: float) -> None:
        if self.newer.minutes >= GENERATION_MINUTES:
            self.older, self.newer = self.newer, _Generation()
        self.newer.minutes += 1
        kept = self.newer.highest
        if len(kept) < MAX_MAXIMA or z > kept[-1]:
            self.newer.highest = np.insert(kept, np.searchsorted(-kept, -z, side="right"), z)[:MAX_MAXIMA]

    def highest(self) -> F64:
        """The largest maxima of both generations, descending: as many as are complete."""
        full = [g.highest[-1] for g in (self.newer, self.older) if len(g.highest) < g.minutes]
        both = np.sort(np.concatenate([self.newer.highest, self.older.highest]))[::-1]
        return both[both >= max(full)] if full else both


def _is_observable(modalities: frozenset[Modality], name: str, scores: Scores) -> bool:
    if ("video" in modalities and scores.video_ok) or ("audio" in modalities and scores.audio_ok):
        return True
    contribution = scores.contribution.get(name)
    return "sensors" in modalities and contribution is not None and contribution.sensors != 0.0


def _log_odds(p: float) -> float:
    p = min(max(p, _EDGE), 1 - _EDGE)
    return float(np.log(p / (1 - p)))


def _probability(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))
