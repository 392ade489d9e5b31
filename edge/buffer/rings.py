"""Preallocated rings for pictures and sound: one writer, one reader, copy in and copy out.

A lock guards the index; pixels and samples are copied outside it. What the writer overwrote during a read is found
afterwards and counted as missing (`torn`). `AudioTrack` places chunks of sound on a ring by media time, one epoch
after the other.
"""

from __future__ import annotations

import mmap
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.media_time import MediaTime
from edge.types import F32, NS_PER_MS, NS_PER_S, U8, Rect

_TOLERANCE_NS = 10 * NS_PER_MS
_EPOCHS = 4


@dataclass(frozen=True, slots=True)
class NewestPicture:
    """When the newest picture of a window was taken, and where the camera's own picture lies on the canvas."""

    pts_ns: int
    content: Rect


@dataclass(frozen=True, slots=True)
class GatheredPictures:
    """The pictures of a window: which of them are there, the newest, and a number for each (-1 without one). The same
    number is the same picture, also where it stands for later ones."""

    ok: tuple[bool, ...]
    newest: NewestPicture | None
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RingPicture:
    """A copy of one picture u8[H,W,3] of the ring: when it was taken, and where the camera's own picture lies on it.
    ``number`` counts all pictures ever pushed."""

    number: int
    taken_at: MediaTime
    image: U8
    content: Rect


class FrameRing:
    """The last ``capacity`` pictures u8[height,width,3], found by epoch and pts.

    A picture that stands for several (`repeat`) is stored once. Places that no picture lies in need no memory until
    they are used, and give it back with `trim`.
    """

    def __init__(self, capacity: int, height: int, width: int) -> None:
        self._stride = -(-height * width * 3 // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, capacity * self._stride)
        self._pixels: list[U8] = [
            np.frombuffer(self._memory, np.uint8, height * width * 3, i * self._stride).reshape(height, width, 3)
            for i in range(capacity)
        ]
        self._lock = threading.Lock()
        self._capacity = capacity
        self._stamp = [-1] * capacity  # which push a slot holds; -1 while it is written
        self._place = list(range(capacity))  # where a slot's pixels lie
        self._number = [-1] * capacity  # which push brought them
        self._epoch = [0] * capacity
        self._pts_ns = [0] * capacity
        self._content: list[Rect] = [(0.0, 0.0, 1.0, 1.0)] * capacity
        self._pushed = 0
        self.torn = 0

    def push(self, epoch: int, pts_ns: int, image: U8, content: Rect) -> None:
        """Copy a picture in, over the oldest one."""
        slot = self._pushed % self._capacity
        with self._lock:
            self._stamp[slot] = -1
            place = self._free_place(slot)
        self._pixels[place][...] = image
        with self._lock:
            self._number[slot] = self._pushed
            self._write(slot, place, epoch, pts_ns, content)

    def repeat(self, epoch: int, pts_ns: int) -> None:
        """Add the newest picture once more, at another time; nothing without one."""
        with self._lock:
            last = (self._pushed - 1) % self._capacity
            if self._pushed:
                slot = self._pushed % self._capacity
                self._number[slot] = self._number[last]
                self._write(slot, self._place[last], epoch, pts_ns, self._content[last])

    def trim(self) -> None:
        """Give back the memory of places that no picture lies in."""
        with self._lock:
            used = {self._place[slot] for slot in range(self._capacity) if self._stamp[slot] >= 0}
            for place in set(range(self._capacity)) - used:
                self._memory.madvise(mmap.MADV_DONTNEED, place * self._stride, self._stride)

    def _write(self, slot: int, place: int, epoch: int, pts_ns: int, content: Rect) -> None:
        self._place[slot] = place
        self._epoch[slot], self._pts_ns[slot], self._content[slot] = epoch, pts_ns, content
        self._stamp[slot] = self._pushed
        self._pushed += 1

    def _free_place(self, slot: int) -> int:
        """A place for ``slot`` that no other slot's pixels lie in."""
        used = {self._place[other] for other in range(self._capacity) if other != slot and self._stamp[other] >= 0}
        place = self._place[slot]
        return place if place not in used else next(i for i in range(self._capacity) if i not in used)

    def next_overwritten(self) -> tuple[int, int] | None:
        """Epoch and pts of the picture that the next push overwrites; None while there is room."""
        with self._lock:
            if self._pushed < self._capacity:
                return None
            slot = self._pushed % self._capacity
            return self._epoch[slot], self._pts_ns[slot]

    def newest(self, up_to: MediaTime | None = None) -> RingPicture | None:
        """The newest picture, or the newest of the epoch at or before ``up_to``; None when the ring has none."""
        with self._lock:
            if up_to is None:
                push = self._pushed - 1
            else:
                _, push = self._newest_in(up_to.epoch, -(1 << 62), up_to.pts_ns)
            slot = push % self._capacity
            if push < 0 or self._stamp[slot] != push:
                return None
            taken, content = MediaTime(self._epoch[slot], self._pts_ns[slot]), self._content[slot]
            place = self._place[slot]
        image = self._pixels[place].copy()
        with self._lock:
            return RingPicture(push, taken, image, content) if self._stamp[slot] == push else None

    def gather(self, epoch: int, spans: Sequence[tuple[int, int]], out: U8) -> GatheredPictures:
        """Copy the newest picture of each span (after, up to] into ``out[i]``."""
        slots, places, numbers = self._find(epoch, spans)
        newest: NewestPicture | None = None
        for i, (slot, _) in enumerate(slots):
            if slot >= 0:
                out[i] = self._pixels[places[i]]
        ok = [slot >= 0 for slot, _ in slots]
        with self._lock:
            for i, (slot, stamp) in enumerate(slots):
                if slot >= 0 and self._stamp[slot] != stamp:
                    ok[i] = False
                    self.torn += 1
                elif slot >= 0:
                    newest = NewestPicture(self._pts_ns[slot], self._content[slot])
        return GatheredPictures(tuple(ok), newest, tuple(numbers))

    def _find(self, epoch: int, spans: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
        """For each span the newest picture's slot and push, -1 without one; where their pixels lie, and numbers."""
        with self._lock:
            found = [self._newest_in(epoch, after_ns, up_to_ns) for after_ns, up_to_ns in spans]
            numbers = [self._number[slot] if slot >= 0 else -1 for slot, _ in found]
            return found, [self._place[slot] for slot, _ in found], numbers

    def _newest_in(self, epoch: int, after_ns: int, up_to_ns: int) -> tuple[int, int]:
        for push in range(self._pushed - 1, max(-1, self._pushed - 1 - self._capacity), -1):
            slot = push % self._capacity
            if self._stamp[slot] == push and self._epoch[slot] == epoch and after_ns < self._pts_ns[slot] <= up_to_ns:
                return slot, push
        return -1, -1


class AudioRing:
    """The last ``capacity`` samples on an endless axis of positions; positions never pushed count as missing."""

    def __init__(self, capacity: int) -> None:
        self._samples: F32 = np.zeros(capacity, np.float32)
        self._capacity = capacity
        self._lock = threading.Lock()
        self._holes: deque[tuple[int, int]] = deque()
        self._floor = 0  # positions before it may be overwritten
        self._next = 0
        self.torn = 0

    @property
    def capacity(self) -> int:
        """Samples that fit."""
        return self._capacity

    @property
    def next(self) -> int:
        """The position after the newest sample."""
        return self._next

    def newest(self, out: F32) -> int:
        """Fill f32[n] with the newest samples, zeros where missing; the position after them."""
        end = self._next
        self.read(end - len(out), out, 0, end)
        return end

    def push(self, position: int, samples: F32) -> int:
        """Copy in f32[n] from ``position`` on, without what overlaps older samples; how many were written."""
        start = max(position, self._next)
        samples = samples[start - position :]
        end = start + len(samples)
        if not len(samples):
            return 0
        with self._lock:
            if start > self._next:
                self._holes.append((self._next, start))
            self._floor = max(self._floor, end - self._capacity)
            while self._holes and self._holes[0][1] <= self._floor:
                self._holes.popleft()
        kept = samples[-self._capacity :]
        at = (end - len(kept)) % self._capacity
        head = min(len(kept), self._capacity - at)
        self._samples[at : at + head] = kept[:head]
        self._samples[: len(kept) - head] = kept[head:]
        with self._lock:
            self._next = end
        return len(samples)

    def read(self, start: int, out: F32, first: int, end: int) -> float:
        """Fill f32[n] with the samples from ``start`` on, of those in [first, end); missing ones are zeros.

        Returns the share that was there, 0..1.
        """
        n = len(out)
        with self._lock:
            low = max(start, first, self._floor)
            high = min(start + n, end, self._next)
            holes = [hole for hole in self._holes if hole[0] < high and hole[1] > low]
        if high <= low:
            out[:] = 0.0
            return 0.0
        self._copy(low, high, out[low - start : high - start])
        with self._lock:
            safe = min(high, max(low, self._floor))
        if safe > low:
            self.torn += 1
        out[: safe - start] = 0.0
        out[high - start :] = 0.0
        missing = n - (high - safe)
        for hole_start, hole_end in holes:
            a, b = max(hole_start, safe), min(hole_end, high)
            if b > a:
                out[a - start : b - start] = 0.0
                missing += b - a
        return (n - missing) / n

    def _copy(self, low: int, high: int, out: F32) -> None:
        at = low % self._capacity
        head = min(high - low, self._capacity - at)
        out[:head] = self._samples[at : at + head]
        out[head:] = self._samples[: high - low - head]


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
        """Add f32[n], without samples before the newest one; the pts at which the sound now ends."""
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
