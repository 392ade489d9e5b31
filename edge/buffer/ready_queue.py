"""Cameras whose windows are due, in the order in which they came due, so that they take fair turns.

A camera that has more windows due goes to the end: one whose windows come in a bunch does not hold up the others, and
a camera waits for at most one window of each of the others. Used by the thread that takes windows alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from edge.buffer.camera import CameraBuffer
from edge.types import NS_PER_MS

LATE_CHECK_NS: Final = 100 * NS_PER_MS
"""How often it is checked whether a camera's windows are late by the clock, which no media tells."""


class ReadyQueue:
    """The queue over ``buffers``. Finding nothing costs one flag a camera."""

    def __init__(self, buffers: Mapping[str, CameraBuffer]) -> None:
        self._buffers = buffers
        self._queue: deque[str] = deque()
        self._queued: set[str] = set()
        self._next_check_ns: int | None = None

    def collect(self, now_ns: int) -> int:
        """Queue the cameras that have news, or late windows; how many are queued now."""
        is_check = self._next_check_ns is None or now_ns >= self._next_check_ns
        if is_check:
            self._next_check_ns = now_ns + LATE_CHECK_NS
        for name, buffer in self._buffers.items():
            if name not in self._queued and (buffer.take_news() or (is_check and buffer.due(now_ns))):
                self.append(name)
        return len(self._queue)

    def pop(self) -> str:
        """Remove the camera whose turn it is; IndexError when none is queued."""
        name = self._queue.popleft()
        self._queued.remove(name)
        self._buffers[name].take_news()
        return name

    def append(self, name: str) -> None:
        """Queue a camera behind the others."""
        self._queue.append(name)
        self._queued.add(name)

    def has_due(self, now_ns: int) -> bool:
        """Whether a window is due; cameras in front that have none leave the queue."""
        self.collect(now_ns)
        while self._queue:
            name = self.pop()
            if self._buffers[name].due(now_ns):
                self._queue.appendleft(name)
                self._queued.add(name)
                return True
        return False
