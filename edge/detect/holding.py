"""What is held back of one label of one camera: now and why, in the last hour, and since the last event was told.

A score at or above ``enter`` without an event begins a hold; it is over when an event is told after all, or when the
score stayed below ``leave`` for ``merge_ns``: then it is counted, under the reason that counted most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from edge.detect.rate_limit import EventLimits, ScoreSample, elapsed_ns
from edge.holds import HoldReason
from edge.types import NS_PER_S

MINUTE_NS = 60 * NS_PER_S
_RANK = {reason: rank for rank, reason in enumerate(HoldReason)}


@dataclass(frozen=True, slots=True)
class Hold:
    """Something is held back since local time ``since_ns``; ``score`` is the newest."""

    reason: HoldReason
    since_ns: int
    score: float


class HoldTracker:
    """Bounded: counts are kept by minute and reason."""

    __slots__ = ("_below_since", "_counted", "_minutes", "_since_event", "_t_ns", "enter", "ever", "now")

    def __init__(self) -> None:
        self.now: Hold | None = None
        self.enter = 0.0
        self.ever: Counter[HoldReason] = Counter()
        self._counted = HoldReason.WAITING
        self._below_since: ScoreSample | None = None
        self._t_ns = 0
        self._minutes: dict[tuple[int, HoldReason], int] = {}
        self._since_event: Counter[HoldReason] = Counter()

    def advance(self, sample: ScoreSample, limits: EventLimits, reason: HoldReason | None, *, is_open: bool) -> None:
        """Take in a window: why it made no event, None where it is below ``enter`` or an event is open."""
        if is_open:
            self.now = None
            if reason is not None:
                self._count(reason, sample.t_ns)
        elif reason is not None:
            self._hold(sample, limits, reason)
        elif self.now is not None:
            self._fall(sample, limits)

    def take_held(self) -> tuple[tuple[HoldReason, int], ...]:
        """An event is told: what limits held back since the last one, by reason."""
        held = tuple((reason, count) for reason, count in self._since_event.items() if reason.is_limit)
        self._since_event.clear()
        self.now = None
        return held

    def expire(self, now_ns: int, late_ns: int) -> None:
        """Nothing was seen for too long before ``now_ns``: it is over."""
        if self.now is not None and now_ns - self._t_ns > late_ns:
            self.end()

    def end(self) -> None:
        """What is held back now is over."""
        if self.now is not None:
            self.now = None
            self._count(self._counted, self._t_ns)

    def this_hour(self, now_ns: int) -> Mapping[HoldReason, int]:
        """How many were over without an event in the sixty minutes before local time ``now_ns``."""
        self._forget(now_ns)
        counts: Counter[HoldReason] = Counter()
        for (_, reason), count in self._minutes.items():
            counts[reason] += count
        return counts

    def _hold(self, sample: ScoreSample, limits: EventLimits, reason: HoldReason) -> None:
        score = sample.score or 0.0
        if self.now is None or self.now.reason is not reason:
            is_first = self.now is None
            self._counted = reason if is_first else max(self._counted, reason, key=_RANK.__getitem__)
            self.now = Hold(reason, sample.t_ns, score)
        else:
            self.now = Hold(reason, self.now.since_ns, score)
        self.enter, self._below_since, self._t_ns = limits.enter, None, sample.t_ns

    def _fall(self, sample: ScoreSample, limits: EventLimits) -> None:
        if sample.score is None:
            return
        self._t_ns = sample.t_ns
        if sample.score >= limits.leave:
            self._below_since = None
            return
        if self._below_since is None:
            self._below_since = sample
        if elapsed_ns(self._below_since, sample) >= limits.merge_ns:
            self.end()

    def _count(self, reason: HoldReason, t_ns: int) -> None:
        self._forget(t_ns)
        key = t_ns // MINUTE_NS, reason
        self._minutes[key] = self._minutes.get(key, 0) + 1
        self._since_event[reason] += 1
        self.ever[reason] += 1

    def _forget(self, now_ns: int) -> None:
        oldest = now_ns // MINUTE_NS - 60
        for key in [key for key in self._minutes if key[0] <= oldest]:
            del self._minutes[key]
