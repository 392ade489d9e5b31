"""What a rule would have made of a stored trace under other thresholds: the page's preview. Pure, quick enough to drag.

The decisions are the hysteresis' own, the one that decides live.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.detect.hysteresis import Hysteresis, Limits, Sample, Step
from edge.errors import InputError
from edge.types import NS_PER_S, Phase, nanoseconds

HOP_NS = NS_PER_S // 2


class Values(Protocol):
    """A trace: ``times_ns`` i64[n] ascending, ``names`` of k rules, ``values`` f32[n,k] with NaN for nothing seen."""

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
        """What was held against the thresholds."""
        ...


@dataclass(frozen=True, slots=True)
class Previewed:
    """One event that would have been: times as in the trace; one still open at the trace's end ends there."""

    begin_ns: int
    end_ns: int
    peak: float


def preview(
    trace: Values,
    name: str,
    enter: float,
    leave: float,
    min_s: float,
    merge_s: float = 0.0,
    cooldown_s: float = 0.0,
    most_per_hour: int | None = None,  # noqa: ARG001
) -> list[Previewed]:
    """The events of rule ``name`` under these limits; InputError for an unknown rule or limits that cannot hold.

    ``merge_s`` and ``most_per_hour`` wait for the hysteresis to know them.
    """
    if name not in trace.names:
        raise InputError(f"no trace of {name!r}; there is: {', '.join(trace.names) or 'nothing'}")
    if not 0 < enter <= 1 or not 0 <= leave <= enter or min(min_s, merge_s, cooldown_s) < 0:
        raise InputError("limits: 0 < enter <= 1, 0 <= leave <= enter, and no negative times")
    limits = Limits(enter, leave, nanoseconds(min_s), nanoseconds(cooldown_s))
    column = np.asarray(trace.values, np.float64)[:, list(trace.names).index(name)]
    return decide(np.asarray(trace.times_ns, np.int64), column, limits, hop_ns_of(trace.times_ns))


def hop_ns_of(times_ns: NDArray[Any]) -> int:
    """The usual distance of two windows; half a second where there are fewer than two."""
    return int(np.median(np.diff(times_ns))) if len(times_ns) > 1 else HOP_NS


def decide(times_ns: NDArray[np.int64], column: NDArray[np.float64], limits: Limits, hop_ns: int) -> list[Previewed]:
    """The events of one column [n], NaN for what was not seen.

    What lies below ``enter`` while nothing is open or begun changes nothing, so those windows are passed over.
    """
    state = Hysteresis(hop_ns)
    found: list[Previewed] = []
    high = np.flatnonzero(column >= limits.enter)
    i = 0
    while (k := int(np.searchsorted(high, i))) < len(high):
        i = int(high[k])
        while i < len(column):
            value = float(column[i])
            t_ns = int(times_ns[i])
            steps = state.advance(Sample(t_ns, t_ns, 0, None if np.isnan(value) else value), limits)
            found += _ended(steps)
            i += 1
            if not state.is_open and value < limits.enter:
                break
    found += _ended(state.end("end of trace"))
    return found


def _ended(steps: Sequence[Step]) -> list[Previewed]:
    return [Previewed(s.begin_ns, s.end_ns, s.peak) for s in steps if s.phase is Phase.END and s.end_ns is not None]
