"""How often somebody may do something: a bucket of tokens a key, bounded in number."""

from __future__ import annotations

import threading
from collections import OrderedDict

from edge.types import seconds


class TokenBucket:
    """``burst`` at once, then ``per_s`` a second, for each key. Time is given; thread-safe."""

    MOST_KEYS = 1024

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, key: str, now_ns: int) -> bool:
        """Whether one is left, without taking it."""
        with self._lock:
            return self._now(key, now_ns) >= 1.0

    def take(self, key: str, now_ns: int) -> bool:
        """Take one; False when none was left."""
        with self._lock:
            left = self._now(key, now_ns)
            if left >= 1.0:
                left -= 1.0
                self._keep(key, left, now_ns)
                return True
            return False

    def _now(self, key: str, now_ns: int) -> float:
        left, at_ns = self._left.get(key, (self._burst, now_ns))
        return min(self._burst, left + seconds(max(0, now_ns - at_ns)) * self._per_s)

    def _keep(self, key: str, left: float, now_ns: int) -> None:
        self._left[key] = left, now_ns
        self._left.move_to_end(key)
        while len(self._left) > self.MOST_KEYS:
            self._left.popitem(last=False)
