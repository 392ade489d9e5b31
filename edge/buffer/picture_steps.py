"""How far apart a source's pictures are, and up to where windows have theirs once one came."""

from __future__ import annotations

from edge.engine.manifest import Geometry
from edge.types import NS_PER_S


class FrameIntervalTracker:
    """Follows every decoded picture, also those that the model does not look at."""

    def __init__(self, geometry: Geometry) -> None:
        self._g = geometry
        self._last_ns: int | None = None
        self.interval_ns = 0
        """From one picture to the next, as last seen."""

    def add(self, pts_ns: int) -> None:
        """A picture was decoded."""
        if self._last_ns is not None and 0 < pts_ns - self._last_ns < NS_PER_S:
            self.interval_ns = pts_ns - self._last_ns
        self._last_ns = pts_ns

    def restart(self) -> None:
        """The media clock broke."""
        self._last_ns = None

    def complete_until_ns(self, pts_ns: int, first_ns: int) -> int:
        """Up to where windows have their pictures once the one at ``pts_ns`` came; the epoch's first lay at
        ``first_ns``.

        A source chooses one picture for each point of the model's grid, so with it that point is complete; not so when
        by the distance of the last pictures another one would still come before the point.
        """
        g = self._g
        point_ns = first_ns - (first_ns + g.slack_ns - pts_ns) // g.frame_ns * g.frame_ns
        step_ns = pts_ns - self._last_ns if self._last_ns is not None else 0
        if not 0 < step_ns < NS_PER_S:
            step_ns = self.interval_ns
        return max(pts_ns + g.slack_ns, min(point_ns, pts_ns + step_ns - g.slack_ns - 1))
