"""Media times for tests: a source's clock does not start at 0, and every epoch's starts elsewhere."""

from __future__ import annotations

from edge.media_time import MediaTime
from edge.types import NS_PER_S

START_NS = 95_000 * NS_PER_S


def at(t_ns: int, epoch: int = 0) -> MediaTime:
    """The moment ``t_ns`` into a recording."""
    return MediaTime(epoch, START_NS * (epoch + 1) + t_ns, t_ns)
