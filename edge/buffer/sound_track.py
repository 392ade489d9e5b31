"""Sound by media time: places chunks on a ring of samples, epoch after epoch."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from edge.buffer.rings import AudioRing
from edge.types import F32, NS_PER_MS, NS_PER_S

_TOLERANCE_NS = 10 * NS_PER_MS
_EPOCHS = 4


@dataclass(slots=True)
class _EpochSegment:
    """Where an epoch's sound lies on the ring."""

    epoch: int
    base: int
    base_pts_ns: int
    end: int | None = None


class AudioTrack:
    """The newest sound of one source. A chunk that fits the count of samples within 10 ms continues without a seam."""

    def __init__(self, rate_hz: int, capacity: int) -> None:
        self._rate_hz = rate_hz
        self.ring = AudioRing(capacity)
        self._segments: deque[_EpochSegment] = deque(maxlen=_EPOCHS)
        self._lock = threading.Lock()

    def push(self, epoch: int, pts_ns: int, samples: F32) -> int:
        """Add f32[n]; the pts where the sound known so far ends. Samples before the newest one are left out."""
        part = self._segments[-1] if self._segments else None
        if part is None or part.epoch != epoch:
            if part is not None:
                part.end = self.ring.next
            part = _EpochSegment(epoch, self.ring.next, pts_ns)
            with self._lock:
                self._segments.append(part)
        position = self._position(part, pts_ns)
        if abs(position - self.ring.next) <= self._rate_hz * _TOLERANCE_NS // NS_PER_S:
            position = self.ring.next
        self.ring.push(position, samples)
        return part.base_pts_ns + (self.ring.next - part.base) * NS_PER_S // self._rate_hz

    def read(self, epoch: int, end_ns: int, out: F32) -> float:
        """Fill f32[n] with the sound that ends at pts ``end_ns``, zeros where missing; the share that was there."""
        part = self._segment(epoch)
        if part is None:
            out[:] = 0.0
            return 0.0
        start = self._position(part, end_ns) - len(out)
        end = part.end if part.end is not None else self.ring.next
        return self.ring.read(start, out, part.base, end)

    def would_overwrite(self, epoch: int, needed_from_ns: int, n: int) -> bool:
        """Whether ``n`` more samples would overwrite sound of ``epoch`` at or after pts ``needed_from_ns``."""
        floor = self.ring.next + n - self.ring.capacity
        part = self._segment(epoch)
        if part is None:
            return bool(self._segments) and self._segments[-1].epoch > epoch and self._segments[0].base < floor
        return floor > max(part.base, self._position(part, needed_from_ns))

    def _segment(self, epoch: int) -> _EpochSegment | None:
        with self._lock:
            return next((p for p in self._segments if p.epoch == epoch), None)

    def _position(self, part: _EpochSegment, pts_ns: int) -> int:
        return part.base + round((pts_ns - part.base_pts_ns) * self._rate_hz / NS_PER_S)
