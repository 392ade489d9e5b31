"""The age of evidence by elapsed time, independent of steps of the wall clock.

A clock that is set from 1970 to today, or a year ahead and back, makes nothing older. While the program runs, the
monotonic clock shows every step. Over a restart a step back is certain, too. A long step ahead may mean a machine that
was off or a wrong clock, so it counts only after the program ran for some hours without a correction.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

from edge.types import NS_PER_S

HOUR_NS = 3600 * NS_PER_S
LEAST_STEP_NS = HOUR_NS
"""Smaller steps are ignored: at most an hour's worth of evidence is deleted early."""
MAX_OFF_NS = 48 * HOUR_NS
"""A machine may have been off for this long: a shorter absence counts at once."""
CONFIRM_NS = 6 * HOUR_NS
"""How long the program must run before a longer absence counts: time servers answer sooner."""
REACH_NS = 31 * 24 * HOUR_NS
"""What is dated so long before an era or after it may belong to it: a step is noticed later, small ones never, the last
minutes of a run may not be on the disk, and an event may have begun long before the clock that dates it. So things may
stay longer, never shorter."""
MOST_ERAS = 32
_FOREVER_NS = 1 << 62

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ClockEra:
    """A span of wall time without a step, from ``begin_ns`` to ``end_ns``, before the clock stepped by ``step_ns``."""

    begin_ns: int
    end_ns: int
    step_ns: int
    is_sure: bool = True


class AgeClock:
    """The eras of a machine's wall clock. ``saved`` is the result of `dump` in an earlier run, None for the first.

    Pure: `note` sets the time. ValueError, TypeError or KeyError for a ``saved`` that `dump` did not make.
    """

    def __init__(self, wall_ns: int, mono_ns: int, saved: str | None = None) -> None:
        self._eras: list[ClockEra] = []
        self._begin_ns = -_FOREVER_NS
        self._ran_ns = 0
        self._wall_ns, self._mono_ns = wall_ns, mono_ns
        if saved is not None:
            self._resume(json.loads(saved), wall_ns)

    def note(self, wall_ns: int, mono_ns: int) -> bool:
        """Set the time of both clocks; whether the wall clock stepped since the last call."""
        passed_ns = mono_ns - self._mono_ns
        expected_ns = self._wall_ns + passed_ns
        stepped = abs(wall_ns - expected_ns) > LEAST_STEP_NS
        if stepped:
            self._eras = [replace(era, is_sure=True) for era in self._eras]
            self._close(expected_ns, wall_ns, is_sure=True)
        self._wall_ns, self._mono_ns = wall_ns, mono_ns
        self._ran_ns += passed_ns
        if self._ran_ns >= CONFIRM_NS:
            self._eras = [era if era.is_sure else replace(era, step_ns=0, is_sure=True) for era in self._eras]
        return stepped

    def older_than(self, age_ns: int) -> list[Span]:
        """The spans (from, before) of wall time that are older than ``age_ns``, in order, without overlaps."""
        return [(lo, min(hi, before)) for lo, hi, before in self._limits(age_ns) if lo < min(hi, before)]

    def dump(self) -> str:
        """The whole state, to be passed as ``saved``."""
        eras = [asdict(era) for era in self._eras]
        return json.dumps({"eras": eras, "begin_ns": self._begin_ns, "wall_ns": self._wall_ns})

    def _resume(self, saved: dict[str, object], wall_ns: int) -> None:
        eras = saved["eras"]
        if not isinstance(eras, list):
            raise TypeError("eras are no list")
        self._eras = [ClockEra(**era) for era in eras]
        self._begin_ns, last_ns = int(str(saved["begin_ns"])), int(str(saved["wall_ns"]))
        if wall_ns < last_ns - LEAST_STEP_NS:
            self._close(last_ns, wall_ns, is_sure=True)
        elif wall_ns > last_ns + MAX_OFF_NS:
            self._close(last_ns, wall_ns, is_sure=False)

    def _close(self, end_ns: int, next_ns: int, *, is_sure: bool) -> None:
        self._eras = [*self._eras, ClockEra(self._begin_ns, end_ns, next_ns - end_ns, is_sure)][-MOST_ERAS:]
        self._begin_ns = next_ns
        self._ran_ns = 0

    def _limits(self, age_ns: int) -> list[tuple[int, int, int]]:
        """(from, to, before): wall times from..to may lie in the same eras, and those before ``before`` are too old for
        each of them."""
        eras = [*self._eras, ClockEra(self._begin_ns, self._wall_ns, 0)]
        reach = [(era.begin_ns - REACH_NS, era.end_ns + REACH_NS) for era in eras]
        before = [self._wall_ns - age_ns - sum(era.step_ns for era in eras[i:]) for i in range(len(eras))]
        edges = sorted({-_FOREVER_NS, _FOREVER_NS, *(t for span in reach for t in span if abs(t) < _FOREVER_NS)})
        limits = []
        for lo, hi in pairwise(edges):
            inside = [before[i] for i, (begin, end) in enumerate(reach) if begin <= lo and hi <= end]
            limits.append((lo, hi, min(inside or before)))
        return limits


def is_in_spans(t_ns: int, spans: Sequence[Span]) -> bool:
    """Whether a time is in one of the spans (from, before)."""
    return any(lo <= t_ns < hi for lo, hi in spans)
