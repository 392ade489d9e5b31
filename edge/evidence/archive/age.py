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
        """(from, to, before): wall times from..to are one era, and those before ``before`` are too old."""
        eras = [*self._eras, ClockEra(self._begin_ns, self._wall_ns, 0)]
        before = [self._wall_ns - age_ns - sum(era.step_ns for era in eras[i:]) for i in range(len(eras))]
        edges = sorted({-_FOREVER_NS, _FOREVER_NS, *(t for era in eras for t in (era.begin_ns, era.end_ns))})
        limits = []
        for lo, hi in pairwise(edges):
            inside = [i for i, era in enumerate(eras) if era.begin_ns <= lo and hi <= era.end_ns]
            limits.append((lo, hi, before[inside[-1]] if inside else min(before)))
        return limits


def is_in_spans(t_ns: int, spans: Sequence[Span]) -> bool:
    """Whether a time is in one of the spans (from, before)."""
    return any(lo <= t_ns < hi for lo, hi in spans)
