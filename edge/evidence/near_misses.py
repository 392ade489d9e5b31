"""Near misses: rises of a score that ended below the threshold, kept for users who set thresholds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from edge.clock import Clock
from edge.evidence.recent_windows import RecentWindow
from edge.types import NS_PER_S

MOST_PER_HOUR = 4
LEAST_INTERVAL_NS = 60 * NS_PER_S
_HOUR_NS = 3600 * NS_PER_S
_FALLEN = 0.7  # of its highest value: then the rise is over

EnterThreshold = Callable[[str, str], float | None]
"""The threshold in force for a camera's label; None where there is none."""


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A rise of ``label`` that ended below ``enter``, and the window at its top."""

    window: RecentWindow
    label: str
    value: float
    enter: float


@dataclass(slots=True)
class _Rise:
    top: NearMiss
    became_event: bool


class NearMissDetector:
    """Follows the values of all labels. A rise that peaks between half of the threshold and the threshold is reported
    when it is over, at most four an hour for each label of a camera, a minute apart."""

    def __init__(self, enter: EnterThreshold) -> None:
        self._enter = enter
        self._rises: dict[tuple[str, str], _Rise] = {}
        self._reported_ns: dict[tuple[str, str], deque[int]] = {}

    def observe(self, window: RecentWindow, open_labels: Collection[str]) -> list[NearMiss]:
        """Near misses that end with this window; ``open_labels`` are the labels of the camera's open events."""
        over = (self._follow(window, label, value, label in open_labels) for label, value in window.values.items())
        return [near for near in over if near is not None]

    def _follow(self, window: RecentWindow, label: str, value: float | None, is_open: bool) -> NearMiss | None:
        key = (window.camera, label)
        rise = self._rises.get(key)
        enter = self._enter(window.camera, label)
        if rise is not None:
            rise.became_event |= is_open
        if value is not None and enter is not None and value >= enter / 2:
            if rise is None:
                self._rises[key] = _Rise(NearMiss(window, label, value, enter), is_open)
            elif value > rise.top.value:
                rise.top = NearMiss(window, label, value, enter)
            if rise is None or value >= rise.top.value * _FALLEN:
                return None
        if rise is None:
            return None
        del self._rises[key]
        is_near = not rise.became_event and rise.top.value < rise.top.enter
        return rise.top if is_near and self._may_report(key, window.t_end_ns) else None

    def _may_report(self, key: tuple[str, str], now_ns: int) -> bool:
        reported = self._reported_ns.setdefault(key, deque())
        while reported and reported[0] <= now_ns - _HOUR_NS:
            reported.popleft()
        if len(reported) >= MOST_PER_HOUR or (reported and now_ns - reported[-1] < LEAST_INTERVAL_NS):
            return False
        reported.append(now_ns)
        return True


class NearMissQueue:
    """Near misses that wait for the store. ``keep`` stores one; that costs a picture, so they are spread over turns."""

    MOST_WAITING = 50

    def __init__(self, enter: EnterThreshold, keep: Callable[[NearMiss], None]) -> None:
        self._detector = NearMissDetector(enter)
        self._keep = keep
        self._waiting: deque[NearMiss] = deque(maxlen=self.MOST_WAITING)

    def observe(self, window: RecentWindow, open_labels: Collection[str]) -> None:
        """Add a window; when too many near misses wait, the oldest is dropped."""
        self._waiting.extend(self._detector.observe(window, open_labels))

    def step(self, clock: Clock, turn_ns: int) -> None:
        """Keep waiting near misses for at most ``turn_ns``."""
        until_ns = clock.mono_ns() + turn_ns
        while self._waiting and clock.mono_ns() < until_ns:
            self._keep(self._waiting.popleft())
