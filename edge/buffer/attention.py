"""How closely a camera is looked at, and the measured load that this follows from. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

STRIDES: Final = (1, 2, 4)
"""Every how many of the model's hops a camera is scored, and every how many key pictures a quiet one is looked at."""


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """Load over ``wall_s`` seconds: windows scored and skipped, and how long the engine was busy with them.

    ``processor`` is the share 0..1 of all cores' time that the process and its capture workers took; 0 where
    that is not known.
    """

    wall_s: float
    busy_s: float
    scored: int
    skipped: int
    processor: float = 0.0

    @property
    def engine(self) -> float:
        """Share 0..1 of the time in which the engine was busy."""
        return min(1.0, self.busy_s / self.wall_s) if self.wall_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Attention:
    """How closely a camera is looked at: every ``stride`` hops; while quiet, every ``key_stride`` key pictures;
    ``is_limited``: its key pictures alone are decoded while it moves, too."""

    stride: int = 1
    key_stride: int = 1
    is_limited: bool = False

    @property
    def level(self) -> tuple[int, bool]:
        """Greater with each step less."""
        return self.stride, self.is_limited

    def less(self, *, quiet: bool) -> Attention | None:
        """One step less, None when there is none; a ``quiet`` camera saves nothing by being limited."""
        is_longest = self.stride == STRIDES[-1]
        if self.stride == STRIDES[0] or (not is_longest and (self.is_limited or quiet)):
            return replace(self, stride=next_stride(self.stride))
        return None if self.is_limited or quiet else replace(self, is_limited=True)

    def more(self) -> Attention:
        """One step more."""
        if self.is_limited and self.stride <= STRIDES[1]:
            return replace(self, is_limited=False)
        return replace(self, stride=next_stride(self.stride, -1))


def next_stride(stride: int, by: int = 1) -> int:
    """The stride so many steps longer; IndexError beyond the longest."""
    return STRIDES[STRIDES.index(stride) + by]
