"""Counts a sound card's samples against the clock, to notice those that were lost without a word."""

from __future__ import annotations

from collections import deque

from edge.types import NS_PER_MS, NS_PER_S

_LOST_NS = 100 * NS_PER_MS
_LASTING_NS = NS_PER_S
_CREEP = 1000e-6  # a sound card's clock is never that far off


class SampleCounter:
    """pts by count, with jumps where samples were lost.

    Lateness is arrival minus the count's time. Jitter only adds to it, so its least value over the last second stands
    still (but for the card's drift) as long as nothing is lost; when it has risen by more than 0.1 s, that much is.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._position = 0
        self._recent: deque[tuple[int, int]] = deque()
        self._least_ns: int | None = None
        self._at_ns = 0

    def add(self, n: int, overwritten: int, arrival_ns: int) -> tuple[int, int]:
        """``n`` samples came, after ``overwritten`` known to be lost: all lost before them, and the first one's pts."""
        lost = overwritten
        self._position += overwritten
        late_ns = arrival_ns - self._time_ns(self._position + n)
        self._recent.append((arrival_ns, late_ns))
        while self._recent[0][0] < arrival_ns - _LASTING_NS:
            self._recent.popleft()
        lost += self._detect_loss(arrival_ns)
        pts_ns = self._time_ns(self._position)
        self._position += n
        return lost, pts_ns

    def _detect_loss(self, arrival_ns: int) -> int:
        now_ns = min(late for _, late in self._recent)
        if self._least_ns is None:
            self._least_ns, self._at_ns = now_ns, arrival_ns
        is_whole = arrival_ns - self._recent[0][0] >= _LASTING_NS * 3 // 4
        creep_ns = int((arrival_ns - self._at_ns) * _CREEP)
        self._at_ns = arrival_ns
        if is_whole and now_ns - self._least_ns > _LOST_NS:
            lost = (now_ns - self._least_ns) * self._rate_hz // NS_PER_S
            self._position += lost
            shift_ns = self._time_ns(lost)
            self._recent = deque((at, late - shift_ns) for at, late in self._recent)
            return lost
        self._least_ns = min(now_ns, self._least_ns + creep_ns)
        return 0

    def _time_ns(self, samples: int) -> int:
        return samples * NS_PER_S // self._rate_hz
