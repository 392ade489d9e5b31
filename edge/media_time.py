"""Media time: moments on a source's own clock, the common axis of windows, events, packets and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True, order=True)
class MediaTime:
    """A moment on a source's own media clock: ``pts_ns`` as the source states it, within the unbroken ``epoch``.

    A clock may start anywhere (also below 0) and starts over with every epoch, so a pts without its epoch is ambiguous.
    Later moments are greater. ``position_ns`` is the length of all media before it, over all epochs: the position in a
    recording. It is for display, never for finding packets or pictures.
    """

    epoch: int
    pts_ns: int
    position_ns: int = field(default=0, compare=False)

    def __add__(self, ns: int) -> MediaTime:
        """The moment ``ns`` later on the same clock."""
        return MediaTime(self.epoch, self.pts_ns + ns, self.position_ns + ns)

    def since(self, earlier: MediaTime) -> int:
        """Nanoseconds from ``earlier`` to here; ValueError when the clock broke in between."""
        if self.epoch != earlier.epoch:
            raise ValueError(f"epochs {earlier.epoch} and {self.epoch} have no clock in common")
        return self.pts_ns - earlier.pts_ns

    def is_on(self, other: MediaTime) -> bool:
        """Whether both are on the same unbroken clock."""
        return self.epoch == other.epoch


MediaSpan: TypeAlias = tuple[MediaTime, MediaTime]
"""From a moment to a later one of the same epoch."""
