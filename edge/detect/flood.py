"""Never more than so many events an hour of one name and camera: what is beyond is held back and counted."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from edge.types import NS_PER_S

if TYPE_CHECKING:
    from edge.detect.hysteresis import Sample

HOUR_NS = 3600 * NS_PER_S


def elapsed_ns(earlier: Sample, later: Sample) -> int:
    """Media time between two samples; local time where the media clock broke in between."""
    if later.media.is_on(earlier.media):
        return later.media.since(earlier.media)
    return later.t_ns - earlier.t_ns


class Flood:
    """The begins of the last hour, and how many were held back since the last one that was sent."""

    __slots__ = ("_begins", "_held")

    def __init__(self) -> None:
        self._begins: deque[Sample] = deque()
        self._held = 0

    def has_room(self, begin: Sample, most: int) -> bool:
        """Whether an event that begins with ``begin`` may be sent."""
        while self._begins and elapsed_ns(self._begins[0], begin) >= HOUR_NS:
            self._begins.popleft()
        return len(self._begins) < most

    def send(self, begin: Sample) -> int:
        """Note that it was sent; how many were held back before it."""
        self._begins.append(begin)
        held, self._held = self._held, 0
        return held

    def hold(self) -> None:
        """Note that one was held back."""
        self._held += 1

    def release(self) -> None:
        """The one that was held back last is not: it lasted until there was room."""
        self._held -= 1
