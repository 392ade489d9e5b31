"""Breaks of a container's media clock, seen over both of its streams."""

from __future__ import annotations

from enum import Enum

from edge.types import NS_PER_S, Stream

JUMP_NS = NS_PER_S // 2
_STALE_NS = NS_PER_S
_SPARSE = 3  # steps of a slow stream that may pass before a step counts as a jump


class PtsContinuity(Enum):
    """What the next pts of a stream means."""

    NEXT = "next"
    FIRST = "first"
    """The stream's first one in this epoch."""
    JUMP = "jump"
    """More than half a second from where it should be, either way: a new epoch begins with it."""
    STALE = "stale"
    """What is left of the former epoch, after the other stream has jumped already."""
    BACKWARD = "backward"
    """Not after the one before, but not far enough back for a jump."""


class EpochTracker:
    """Follows the pts of picture and sound. When one stream jumps, the other one's jump belongs to the same break."""

    def __init__(self) -> None:
        self._last: dict[Stream, int] = {}
        self._next: dict[Stream, int] = {}
        self._old: dict[Stream, int] = {}
        self._stale_ns = 0
        self.origin_ns: int | None = None
        self.end_ns: int | None = None
        self.step_ns = 0

    def classify(self, stream: Stream, pts_ns: int, length_ns: int) -> PtsContinuity:
        """Judge and follow one frame or block that starts at ``pts_ns`` and should last ``length_ns``."""
        if stream not in self._next:
            if self._is_stale(stream, pts_ns, length_ns):
                return PtsContinuity.STALE
            self._follow(stream, pts_ns, length_ns)
            return PtsContinuity.FIRST
        if self._jumps(stream, pts_ns, length_ns):
            self._old = {s: t for s, t in self._next.items() if s is not stream}
            self._next, self._last = {}, {}
            self._stale_ns = 0
            self.origin_ns = None
            self._follow(stream, pts_ns, length_ns)
            return PtsContinuity.JUMP
        step_ns = pts_ns - self._last[stream]
        if step_ns <= 0:
            return PtsContinuity.BACKWARD
        self.step_ns = step_ns
        self._follow(stream, pts_ns, length_ns)
        return PtsContinuity.NEXT

    def is_continuous(self, stream: Stream, pts_ns: int, length_ns: int) -> bool:
        """Whether `classify` would find it in the epoch that there is already: neither the stream's first nor a
        jump."""
        return stream in self._next and not self._jumps(stream, pts_ns, length_ns)

    def expected_ns(self, stream: Stream) -> int:
        """Where a frame or block without pts belongs."""
        return self._next.get(stream, self.origin_ns or 0)

    def _jumps(self, stream: Stream, pts_ns: int, length_ns: int) -> bool:
        return abs(pts_ns - self._next[stream]) > max(JUMP_NS, _SPARSE * length_ns)

    def _is_stale(self, stream: Stream, pts_ns: int, length_ns: int) -> bool:
        old_ns = self._old.get(stream)
        if old_ns is None or self.origin_ns is None or abs(pts_ns - old_ns) > JUMP_NS:
            return False
        if abs(pts_ns - self.origin_ns) <= JUMP_NS or self._stale_ns >= _STALE_NS:
            return False
        self._old[stream] = pts_ns + length_ns
        self._stale_ns += length_ns
        return True

    def _follow(self, stream: Stream, pts_ns: int, length_ns: int) -> None:
        self._last[stream] = pts_ns
        self._next[stream] = pts_ns + length_ns
        self.origin_ns = pts_ns if self.origin_ns is None else self.origin_ns
        self.end_ns = self._next[stream] if self.end_ns is None else max(self.end_ns, self._next[stream])
