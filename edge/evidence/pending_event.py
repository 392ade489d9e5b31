"""Pending events: what the clip of each spans, when it can be cut, and which clip is written next. Pure; no files.

A clip that waits holds packets in memory, so `ClipBacklog` gives up clips when there are too many. Higher severity
comes first; of equals, the event that began first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from edge.config.models import EvidenceConfig
from edge.evidence.archive.records import SEVERITIES, EventRecord, EvidenceFile, FileKind
from edge.evidence.recent_windows import RecentWindow
from edge.media_time import MediaSpan, MediaTime
from edge.types import NS_PER_S, Event, EvidenceFiles, Phase, nanoseconds

MEDIA_TIMEOUT_NS = 5 * NS_PER_S
"""How long to wait for media that does not come."""
_SLACK_NS = NS_PER_S // 4  # the last picture may end after the requested end, and its sound must have been scored
_BETTER = 0.02  # a later window must be stronger by this much for the picture to be taken again
MOST_OF_A_CAMERA = 8
OVERDUE_NS = 180 * NS_PER_S
TOO_MANY_CLIPS = (
    f"too many events at once: at most {MOST_OF_A_CAMERA} clips of a camera wait to be written, for "
    f"{OVERDUE_NS // NS_PER_S} s at most; the ones that matter less are left out"
)


@dataclass(frozen=True, slots=True)
class ClipMargins:
    """How far clips extend around an event."""

    before_ns: int
    after_ns: int
    longest_ns: int

    @classmethod
    def of(cls, settings: EvidenceConfig) -> ClipMargins:
        """As configured."""
        return cls(*(nanoseconds(s) for s in (settings.before_s, settings.after_s, settings.longest_s)))


@dataclass(slots=True)
class PendingEvent:
    """An event whose evidence is being gathered: ``event`` is its newest phase, ``best`` the window in which it was
    strongest, ``shown`` the window that its picture shows."""

    event: Event
    best: RecentWindow | None = None
    shown: RecentWindow | None = None
    has_tried_picture: bool = False
    has_clip_begun: bool = False
    files: dict[FileKind, EvidenceFile] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether the event has ended."""
        return self.event.phase is Phase.END

    @property
    def has_media(self) -> bool:
        """Whether it lies on the camera's media clock; health events do not."""
        return self.event.media_begin is not None

    @property
    def begin(self) -> MediaTime:
        """When it began; ValueError without `has_media`."""
        if self.event.media_begin is None:
            raise ValueError(f"event {self.event.id} lies on no media clock")
        return self.event.media_begin

    def to_kept(self) -> EvidenceFiles:
        """The files that are kept so far, and which are missing."""
        files: dict[str, str] = {kind: file.path for kind, file in self.files.items()}
        event = self.event
        return EvidenceFiles(
            event.id, event.camera, event.label, event.wall_begin_ns, files, missing=dict(self.missing)
        )

    def observe(self, window: RecentWindow) -> None:
        """Add a window of its camera."""
        if window.camera != self.event.camera or self.is_over:
            return
        if not self.has_media or not window.media_end.is_on(self.begin):
            return
        if self.best is None or _value(window, self.event.label) > _value(self.best, self.event.label):
            self.best = window

    def wants_picture(self) -> bool:
        """Whether there is a better window than the one shown: at once for the first, at the end for a later one."""
        if self.best is None or self.shown is self.best:
            return False
        if self.shown is None:
            return True
        label = self.event.label
        return self.is_over and _value(self.best, label) >= _value(self.shown, label) + _BETTER

    def span(self, margins: ClipMargins) -> MediaSpan:
        """The span of the clip: begins before the event, and is never longer than allowed."""
        begin = self.begin + -margins.before_ns
        longest = begin + max(margins.longest_ns, margins.before_ns + NS_PER_S)
        if not self.is_over:
            return begin, longest
        return begin, min(self.end + margins.after_ns, longest)

    def is_shortened(self, margins: ClipMargins) -> bool:
        """Whether the event lasts longer than its clip may."""
        return not self.is_over or self.end + margins.after_ns > self.span(margins)[1]

    def local_ns(self, time: MediaTime) -> int:
        """Local time of a media time near the event."""
        return self.event.begin_ns + time.since(self.begin)

    def is_due(self, margins: ClipMargins, now_ns: int, newest: RecentWindow | None, kept: MediaTime | None) -> bool:
        """Whether all media of the clip has arrived and was scored, or will not arrive.

        ``newest`` is the camera's last window, ``kept`` the end of its packet ring; None: not known.
        """
        if self.has_clip_begun or not self.has_media:
            return False
        end = self.span(margins)[1]
        if now_ns >= self.local_ns(end) + MEDIA_TIMEOUT_NS:
            return True
        if newest is None or not newest.media_end.is_on(end):
            return self.is_over
        end += _SLACK_NS
        return newest.media_end >= end and (kept is None or kept >= end)

    @property
    def end(self) -> MediaTime:
        """When it ended, as far as known; ValueError without `has_media`."""
        event = self.event
        if event.media_end is not None:
            return event.media_end
        return self.begin + max(0, (event.end_ns or event.begin_ns) - event.begin_ns)


def with_begin_reason(event: Event, before: EventRecord | None) -> Event:
    """An ended event with the ``why`` of its begin in front, as its row has it."""
    if before is None or event.why.startswith(before.why):
        return event
    return replace(event, why=f"{before.why}. {event.why}")


def _value(window: RecentWindow, label: str) -> float:
    return window.values.get(label) or 0.0


@dataclass(frozen=True, slots=True)
class ClipBacklog:
    """The clips of ``cases`` that wait, the next one first."""

    waiting: tuple[PendingEvent, ...]

    @classmethod
    def of(cls, pending_events: Iterable[PendingEvent]) -> ClipBacklog:
        """All that have media and whose clip has not begun."""
        return cls(tuple(by_priority(c for c in pending_events if c.has_media and not c.has_clip_begun)))

    def since_ns(self, margins: ClipMargins) -> dict[str, int]:
        """By camera: the local time from which its packets are needed."""
        needed: dict[str, int] = {}
        for pending in self.waiting:
            camera, begin_ns = pending.event.camera, pending.local_ns(pending.span(margins)[0])
            needed[camera] = min(begin_ns, needed.get(camera, begin_ns))
        return needed

    def surplus(self, margins: ClipMargins, now_ns: int) -> list[PendingEvent]:
        """Those to give up: beyond the most of a camera, or due for too long."""
        counted: Counter[str] = Counter()
        found = []
        for pending in self.waiting:
            counted[pending.event.camera] += 1
            is_late = now_ns - pending.local_ns(pending.span(margins)[1]) > OVERDUE_NS
            if is_late or counted[pending.event.camera] > MOST_OF_A_CAMERA:
                found.append(pending)
        return found


def by_priority(pending_events: Iterable[PendingEvent]) -> list[PendingEvent]:
    """Higher severity first; of equals, the one that began first."""
    return sorted(pending_events, key=_order)


def _order(pending: PendingEvent) -> tuple[int, int, str]:
    severity = pending.event.severity
    rank = SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
    return -rank, pending.event.begin_ns, pending.event.id
