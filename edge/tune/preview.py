"""Preview of a rule under other thresholds, from a score trace. Pure, and fast enough to drag a threshold.

It uses the same hysteresis as live operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.detect.hysteresis import EventStep, Hysteresis
from edge.detect.limits import EventLimits, ScoreSample
from edge.errors import InputError
from edge.media_time import MediaTime
from edge.status import HoldReason
from edge.types import NS_PER_S, Phase

HOP_NS = NS_PER_S // 2


class TraceLike(Protocol):
    """A trace: ``times_ns`` i64[n] ascending, ``names`` of k rules, ``values`` f32[n,k] with NaN for no value."""

    @property
    def times_ns(self) -> NDArray[np.int64]:
        """The windows' ends."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """The rules."""
        ...

    @property
    def values(self) -> NDArray[np.float32]:
        """The values that are compared with thresholds."""
        ...


@dataclass(frozen=True, slots=True)
class PreviewEvent:
    """One event that would have been: times as in the trace; one still open at the trace's end ends there."""

    begin_ns: int
    end_ns: int
    peak: float


@dataclass(frozen=True, slots=True)
class ThresholdPreview:
    """The events that there would have been, and how many would have been held back, by reason."""

    events: tuple[PreviewEvent, ...]
    held: Mapping[HoldReason, int]


def preview_threshold(trace: TraceLike, name: str, limits: EventLimits) -> ThresholdPreview:
    """The events of rule ``name`` under these limits; InputError for an unknown rule or contradictory limits.

    A trace has no objects and zones, so every further event counts as a repetition: live operation may report more.
    """
    if name not in trace.names:
        raise InputError(f"no trace of {name!r}; there is: {', '.join(trace.names) or 'nothing'}")
    is_ordered = 0 < limits.enter <= 1 and 0 <= limits.leave <= limits.enter
    if not is_ordered or min(limits.min_ns, limits.merge_ns, limits.cooldown_ns) < 0:
        raise InputError("limits: 0 < enter <= 1, 0 <= leave <= enter, and no negative times")
    column = np.asarray(trace.values, np.float64)[:, list(trace.names).index(name)]
    return preview_column(np.asarray(trace.times_ns, np.int64), column, limits, hop_ns_of(trace.times_ns))


def hop_ns_of(times_ns: NDArray[Any]) -> int:
    """The median distance of windows; half a second when there are fewer than two."""
    return int(np.median(np.diff(times_ns))) if len(times_ns) > 1 else HOP_NS


def preview_column(
    times_ns: NDArray[np.int64], column: NDArray[np.float64], limits: EventLimits, hop_ns: int
) -> ThresholdPreview:
    """The preview of one column [n] on an unbroken clock; NaN for no value."""
    media = [MediaTime(0, t_ns, t_ns) for t_ns in times_ns.tolist()]
    state = Hysteresis(hop_ns)
    found = [
        PreviewEvent(s.begin_ns, s.end_ns or s.begin_ns, s.peak)
        for s in end_steps(times_ns, media, column, limits, state)
    ]
    return ThresholdPreview(tuple(found), state.holding.ever)


def end_steps(
    t_ns: NDArray[np.int64],
    media: Sequence[MediaTime],
    column: NDArray[np.float64],
    limits: EventLimits,
    state: Hysteresis,
) -> Iterator[EventStep]:
    """The last phase of every event of one column [n] (NaN for no value) under fixed limits; ``state`` is new.

    Windows below ``leave`` while nothing is open, begun or held back change nothing and are skipped.
    """
    high = np.flatnonzero(column >= limits.enter)
    i = 0
    while (k := int(np.searchsorted(high, i))) < len(high):
        i, low_ns = int(high[k]), None
        while i < len(column):
            value, now_ns = float(column[i]), media[i].position_ns
            sample = ScoreSample(int(t_ns[i]), media[i], None if np.isnan(value) else value)
            yield from (step for step in state.advance(sample, limits) if step.phase is Phase.END)
            i += 1
            if value >= limits.leave:
                low_ns = None
            elif value < limits.leave:
                low_ns = now_ns if low_ns is None else low_ns
                if not state.is_open and now_ns - low_ns >= limits.merge_ns:
                    break
    yield from state.end("end of recording")
