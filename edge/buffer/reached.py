"""When a stream had come how far. Not thread-safe; the owner holds its lock."""

from __future__ import annotations

from collections import deque

_MOST = 128


class WatermarkLog:
    """What each arrival completed: media up to so much.

    The newest 128 arrivals are known; what came before them counts as completed by the oldest of these.
    """

    __slots__ = ("_marks", "_upto_ns")

    def __init__(self) -> None:
        self._marks: deque[tuple[int, int]] = deque(maxlen=_MOST)
        self._upto_ns: int | None = None

    def add(self, upto_ns: int, arrival_ns: int) -> None:
        """What arrived at ``arrival_ns`` completed the media up to ``upto_ns``; less than before changes nothing."""
        if self._upto_ns is None or upto_ns > self._upto_ns:
            self._upto_ns = upto_ns
            self._marks.append((upto_ns, arrival_ns))

    def arrival_ns(self, upto_ns: int) -> int | None:
        """The arrival that completed the media up to ``upto_ns``; None while there is none."""
        arrival: int | None = None
        for reached_ns, arrival_ns in reversed(self._marks):
            if reached_ns < upto_ns:
                break
            arrival = arrival_ns
        return arrival
