"""Which waiting clip is written next, and which are given up when there are too many. Pure.

A clip that waits holds packets in memory. What matters more comes first; of equals, what began first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from edge.evidence.archive.records import SEVERITIES
from edge.evidence.case import ClipMargins, PendingEvent
from edge.types import NS_PER_S

MOST_OF_A_CAMERA = 8
OVERDUE_NS = 180 * NS_PER_S
TOO_MANY_CLIPS = (
    f"too many events at once: at most {MOST_OF_A_CAMERA} clips of a camera wait to be written, for "
    f"{OVERDUE_NS // NS_PER_S} s at most; the ones that matter less are left out"
)


@dataclass(frozen=True, slots=True)
class ClipBacklog:
    """The clips of ``cases`` that wait, the next one first."""

    waiting: tuple[PendingEvent, ...]

    @classmethod
    def of(cls, cases: Iterable[PendingEvent]) -> ClipBacklog:
        """All that have media and were not begun yet."""
        return cls(tuple(by_priority(c for c in cases if c.has_media and not c.has_clip_begun)))

    def since_ns(self, reach: ClipMargins) -> dict[str, int]:
        """By camera: the local time from which on its packets are needed."""
        needed: dict[str, int] = {}
        for case in self.waiting:
            camera, begin_ns = case.event.camera, case.local_ns(case.span(reach)[0])
            needed[camera] = min(begin_ns, needed.get(camera, begin_ns))
        return needed

    def surplus(self, reach: ClipMargins, now_ns: int) -> list[PendingEvent]:
        """Those to give up: beyond the most of a camera, or due for too long."""
        counted: Counter[str] = Counter()
        found = []
        for case in self.waiting:
            counted[case.event.camera] += 1
            is_late = now_ns - case.local_ns(case.span(reach)[1]) > OVERDUE_NS
            if is_late or counted[case.event.camera] > MOST_OF_A_CAMERA:
                found.append(case)
        return found


def by_priority(cases: Iterable[PendingEvent]) -> list[PendingEvent]:
    """What matters more first; of equals, what began first."""
    return sorted(cases, key=_order)


def _order(case: PendingEvent) -> tuple[int, int, str]:
    severity = case.event.severity
    rank = SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
    return -rank, case.event.begin_ns, case.event.id
