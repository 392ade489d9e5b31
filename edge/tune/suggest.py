"""Suggests thresholds from curves, or says what is missing. Pure.

With labels: among the thresholds whose false alarms per day are within the target, the one that finds most spans. If
several find as many, the one in force when it is among them, otherwise the nearest, moved a quarter into their range,
because one more recording could move its edge. Below half of the model's advice only if quiet time is long enough to
prove the rate. Without labels: from the background distribution (`edge.detect.background`), as learned live.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.detect.background import MINUTE_NS, BackgroundDistribution
from edge.engine.manifest import Label
from edge.media_time import MediaTime
from edge.tune.sweep import FALSE, FOUND, QUIET_S, SPANS, ThresholdSweep, TunedRecording, outside
from edge.types import NS_PER_S, Contribution, Scores

F64 = NDArray[np.float64]
LEAST_SPANS = 3
LEAST_QUIET_S = 3600.0
LEAST_RECORDINGS = 4
DAY_S = 86400.0
_DRAWS = 400
_INTO = 0.25
Method = Literal["labelled", "quiet", "none"]
_NOTHING = np.zeros(0, np.float32)
_ALL = Contribution(1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class ThresholdEffect:
    """The effect of one threshold over some recordings."""

    enter: float
    spans: int
    found: int
    false: int
    quiet_s: float

    @property
    def recall(self) -> float | None:
        """Share of spans found."""
        return self.found / self.spans if self.spans else None

    @property
    def precision(self) -> float | None:
        """Spans found, of these and the false events."""
        positives = self.found + self.false
        return self.found / positives if positives else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both."""
        both = 2 * self.found + self.false + (self.spans - self.found)
        return 2 * self.found / both if self.spans else None

    @property
    def is_short(self) -> bool:
        """Whether quiet time is too short for a rate per day."""
        return self.quiet_s < LEAST_QUIET_S

    @property
    def per_day(self) -> float | None:
        """False events per day of quiet time; None when that is too short."""
        return self.false / self.quiet_s * DAY_S if not self.is_short else None

    @property
    def at_most_per_day(self) -> float | None:
        """The rate that is not exceeded with 95 % certainty, if false events come by chance; None as above."""
        return poisson_upper(self.false) / self.quiet_s * DAY_S if not self.is_short else None


@dataclass(frozen=True, slots=True)
class ConfidenceBands:
    """Bootstrap by recording, 5th and 95th percentile [2,T] at every threshold; NaN where not defined."""

    recall: F64
    precision: F64
    per_day: F64


@dataclass(frozen=True, slots=True)
class ThresholdSuggestion:
    """A suggestion. ``after`` is None when nothing should change or too little is known: ``remark`` says which.

    ``apart``: the effect when each recording's threshold is chosen from the other recordings alone.
    """

    label: str
    method: Method
    before: ThresholdEffect
    after: ThresholdEffect | None
    apart: ThresholdEffect | None
    remark: str
    bands: ConfidenceBands | None


def suggest_by_labels(sweep: ThresholdSweep, target: float, floor: float = 0.0) -> ThresholdSuggestion:
    """The threshold for at most ``target`` false alarms per day, or what is missing for one.

    It is never below ``floor`` unless the rate is proven there with 95 % confidence.
    """
    total = sweep.counts.sum(axis=0)
    before = effect_at(sweep, total, sweep.current)
    missing = _missing(before)
    bands = _bands(sweep)
    if missing:
        return ThresholdSuggestion(sweep.label, "none", before, None, None, missing, bands)
    best, is_met = best_threshold(total, sweep.thresholds, sweep.current, target, floor)
    apart = _apart(sweep, target, floor) if len(sweep.counts) >= LEAST_RECORDINGS else None
    remark = "" if is_met else f"no threshold stays within {target:g} false alarms a day; this one has the fewest"
    after = effect_at(sweep, total, best) if best != sweep.current else None
    if after is None and is_met:
        remark = "as good as any within what was asked: leave it"
    return ThresholdSuggestion(sweep.label, "labelled", before, after, apart, remark, bands)


def suggest_by_background(
    sweep: ThresholdSweep, enter: float | None, target: float, minutes: int, least_minutes: int
) -> ThresholdSuggestion:
    """The threshold from quiet time (``enter`` is in the sweep), with its effect."""
    total = sweep.counts.sum(axis=0)
    before = effect_at(sweep, total, sweep.current)
    if enter is None:
        remark = f"{minutes} quiet minutes of at least {least_minutes} for {target:g} a day; recall needs labels"
        return ThresholdSuggestion(sweep.label, "none", before, None, None, remark, None)
    at = int(np.flatnonzero(sweep.thresholds == enter)[0])
    after = effect_at(sweep, total, at) if at != sweep.current else None
    remark = "from quiet time alone: what it would miss is not known without labels"
    return ThresholdSuggestion(sweep.label, "quiet", before, after, None, remark, None)


def best_threshold(counts: F64, thresholds: F64, current: int, target: float, floor: float = 0.0) -> tuple[int, bool]:
    """The best index of ``counts`` [T,4], and whether it meets the target."""
    bearable = target * counts[:, QUIET_S] / DAY_S + 1e-9
    is_shown = np.array([poisson_upper(int(count)) for count in counts[:, FALSE]]) <= bearable
    may_be = is_shown | (thresholds >= min(floor, float(thresholds[current])))
    allowed = may_be & (counts[:, FALSE] <= bearable)
    is_met = bool(allowed.any())
    if not is_met:
        allowed = may_be & (counts[:, FALSE] == counts[may_be, FALSE].min())
    found = np.where(allowed, counts[:, FOUND], -1)
    best = found == found.max()
    if best[current]:
        return current, is_met
    odds = np.log(thresholds / (1 - np.minimum(thresholds, 1 - 1e-6)))
    near = int(np.flatnonzero(best)[np.argmin(np.abs(odds[best] - odds[current]))])
    step = 1 if near > current else -1
    far = near
    while 0 <= far + step < len(best) and best[far + step]:
        far += step
    aim = odds[near] + _INTO * (odds[far] - odds[near])
    stretch = np.arange(min(near, far), max(near, far) + 1)
    return int(stretch[np.argmin(np.abs(odds[stretch] - aim))]), is_met


def effect_at(sweep: ThresholdSweep, counts: F64, at: int) -> ThresholdEffect:
    """``counts`` [T,4] at one threshold."""
    row = counts[at]
    return ThresholdEffect(
        float(sweep.thresholds[at]), int(row[SPANS]), int(row[FOUND]), int(row[FALSE]), float(row[QUIET_S])
    )


@lru_cache(maxsize=4096)
def poisson_upper(count: int) -> float:
    """The mean above which ``count`` or fewer would have a chance of less than 5 %."""
    low, high = 0.0, 20.0 + 3 * count
    for _ in range(60):
        middle = (low + high) / 2
        chance = sum(math.exp(k * math.log(middle) - middle - math.lgamma(k + 1)) for k in range(count + 1))
        low, high = (middle, high) if chance > 0.05 else (low, middle)
    return high


def _missing(before: ThresholdEffect) -> str:
    """What is missing for a suggestion."""
    few = []
    if before.spans < LEAST_SPANS:
        few.append(f"{before.spans} labelled events, at least {LEAST_SPANS} are needed")
    if before.quiet_s < LEAST_QUIET_S:
        few.append(f"{before.quiet_s / 60:.0f} min without it, at least {LEAST_QUIET_S / 60:.0f} are needed")
    return "too little: " + "; ".join(few) if few else ""


def _apart(sweep: ThresholdSweep, target: float, floor: float) -> ThresholdEffect:
    total = sweep.counts.sum(axis=0)
    rows = np.zeros(4)
    chosen = []
    for one in sweep.counts:
        at, _ = best_threshold(total - one, sweep.thresholds, sweep.current, target, floor)
        rows += one[at]
        chosen.append(sweep.thresholds[at])
    return ThresholdEffect(
        float(np.median(chosen)), int(rows[SPANS]), int(rows[FOUND]), int(rows[FALSE]), float(rows[QUIET_S])
    )


def _bands(sweep: ThresholdSweep) -> ConfidenceBands | None:
    count = len(sweep.counts)
    if count < LEAST_RECORDINGS:
        return None
    weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _DRAWS)
    drawn = np.tensordot(weights.astype(np.float64), sweep.counts, axes=1)  # [draws,T,4]
    spans, found, false, quiet = (drawn[:, :, k] for k in (SPANS, FOUND, FALSE, QUIET_S))
    return ConfidenceBands(
        _percentiles(found, spans), _percentiles(found, found + false), _percentiles(false, quiet / DAY_S)
    )


def _percentiles(part: F64, whole: F64) -> F64:
    """[2,T] of ``part / whole`` [draws,T] where that is defined in most draws."""
    ratio = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    defined = np.count_nonzero(~np.isnan(ratio), axis=0) > len(ratio) / 2
    out = np.full((2, ratio.shape[1]), np.nan)
    if defined.any():
        out[:, defined] = np.nanpercentile(ratio[:, defined], [5, 95], axis=0)
    return out


def background_thresholds(
    labels: Sequence[Label], hop_ns: int, recordings: Sequence[TunedRecording], per_day: float
) -> dict[str, tuple[float | None, int]]:
    """For every label the threshold for ``per_day`` false alarms (None: too little quiet time) and the minutes used.

    It uses the values of rules outside of labelled spans. As in live operation, minutes with another label's event do
    not count, and no threshold is below half of the model's advice.
    """
    quiet = BackgroundDistribution(labels, hop_ns / NS_PER_S)
    start_ns = 0
    for recording in recordings:
        start_ns = _observe(quiet, recording, start_ns)
    found = {}
    for label in labels:
        enter = quiet.threshold(label.name, per_day)
        least = label.enter / 2
        found[label.name] = (None if enter is None else round(max(enter, least), 3), quiet.minutes(label.name))
    return found


def _observe(quiet: BackgroundDistribution, recording: TunedRecording, start_ns: int) -> int:
    """Add one recording from ``start_ns`` on; where the next may begin."""
    trace = recording.judged.trace
    events = {name: recording.judged.intervals(name) for name in quiet.labels}
    media_s = trace.media_s
    values = trace.values.copy()
    for k, name in enumerate(trace.names):
        values[~outside(media_s, recording.spans_of(name)), k] = np.nan
    is_open = {name: ~outside_events(media_s, [(e.begin_s, e.end_s) for e in found]) for name, found in events.items()}
    last_ns = start_ns
    for i in range(len(trace.t_ns)):
        last_ns = start_ns + int(trace.t_ns[i] - trace.t_ns[0])
        there = {n: float(v) for n, v in zip(trace.names, values[i], strict=True) if v == v}  # noqa: PLR0124
        quiet.observe(
            Scores(
                camera="tune",
                seq=i,
                t_end_ns=last_ns,
                media_end=MediaTime(0, last_ns, last_ns),
                values=there,
                contribution=dict.fromkeys(there, _ALL),
                embedding=_NOTHING,
                boxes=(),
                tags={},
                coverage=1.0,
                video_ok=True,
                audio_ok=True,
                model="",
            ),
            [name for name in is_open if is_open[name][i]],
        )
    return (last_ns // MINUTE_NS + 1) * MINUTE_NS


def outside_events(media_s: np.ndarray, events: Sequence[tuple[float, float]]) -> np.ndarray:
    """Which windows [n] lie outside all events."""
    free = np.ones(len(media_s), bool)
    for begin_s, end_s in events:
        free &= (media_s < begin_s) | (media_s > end_s)
    return free
