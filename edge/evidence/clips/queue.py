"""Clips of events on their way to the disk: one is written at a time, a few steps a turn; surplus ones are given up.

Used on the evidence thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from edge.clock import Clock
from edge.errors import EdgeError
from edge.evidence.archive.records import EvidenceFile, FileKind
from edge.evidence.clips.cutter import ClipCutter, ClipJob
from edge.evidence.failure_log import FailureLog
from edge.evidence.pending_event import TOO_MANY_CLIPS, ClipBacklog, ClipMargins, PendingEvent
from edge.evidence.recent_windows import RecentWindows
from edge.metrics import Metrics
from edge.types import NS_PER_MS, EvidenceFiles

log = logging.getLogger(__name__)


class EvidenceIndex(Protocol):
    """Notes with an event what is kept of it, or why something is not; what there is of it then."""

    def attach(self, pending: PendingEvent, made: Mapping[FileKind, EvidenceFile]) -> list[EvidenceFiles]:
        """Files that were written."""
        ...

    def note_missing(self, pending: PendingEvent, kind: FileKind, reason: str) -> list[EvidenceFiles]:
        """A file that is not kept."""
        ...


class ClipQueue:
    """Writes the clips of pending events, the next by priority. ``windows_of`` gives a camera's recent windows."""

    TURN_NS = 250 * NS_PER_MS

    def __init__(
        self,
        cutter: ClipCutter,
        index: EvidenceIndex,
        windows_of: Callable[[str], RecentWindows],
        failures: FailureLog,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._cutter, self._index, self._windows_of = cutter, index, windows_of
        self._failures, self._clock, self._metrics = failures, clock, metrics
        self._cutting: tuple[PendingEvent, ClipJob] | None = None

    def step(self, pending_events: Iterable[PendingEvent], margins: ClipMargins) -> list[EvidenceFiles]:
        """Go on with the clip that is being written, or begin the next that is due; give up surplus clips."""
        now_ns = self._clock.mono_ns()
        backlog = ClipBacklog.of(pending_events)
        kept = [one for pending in backlog.surplus(margins, now_ns) for one in self._give_up(pending)]
        if self._cutting is None:
            waiting = (pending for pending in backlog.waiting if not pending.has_clip_begun)
            due = next((pending for pending in waiting if self._is_due(pending, margins, now_ns)), None)
            if due is None:
                return kept
            self._begin(due)
        return [*kept, *self._continue()]

    def finish(self, pending_events: Iterable[PendingEvent], until_ns: int) -> list[EvidenceFiles]:
        """Write clips of what media there is until ``until_ns``; what is not written by then is noted as missing."""
        waiting = [pending for pending in pending_events if pending.has_media and not pending.has_clip_begun]
        kept: list[EvidenceFiles] = []
        while self._clock.mono_ns() < until_ns and (self._cutting is not None or waiting):
            if self._cutting is None:
                self._begin(waiting.pop(0))
            kept += self._continue()
        if self._cutting is not None:
            waiting.append(self._cutting[0])
            self._cutting[1].close()
            self._cutting = None
        for pending in waiting:
            event = pending.event
            self._metrics.drops.labels(event.camera, "evidence_clip").inc()
            log.warning("%s: no time was left for the clip of %s (event %s)", event.camera, event.label, event.id)
            kept += self._index.note_missing(pending, "clip", "the program stopped before its clip was written")
        return kept

    def _give_up(self, pending: PendingEvent) -> list[EvidenceFiles]:
        """Give up the clip of an event; its row and picture stay."""
        pending.has_clip_begun = True
        self._metrics.drops.labels(pending.event.camera, "evidence_shed").inc()
        return self._index.note_missing(pending, "clip", TOO_MANY_CLIPS)

    def _is_due(self, pending: PendingEvent, margins: ClipMargins, now_ns: int) -> bool:
        newest = self._windows_of(pending.event.camera).newest
        return pending.is_due(margins, now_ns, newest, self._cutter.newest_media(pending))

    def _begin(self, pending: PendingEvent) -> None:
        pending.has_clip_begun = True
        self._cutting = (pending, self._cutter.steps(pending, self._windows_of(pending.event.camera)))

    def _continue(self) -> list[EvidenceFiles]:
        if self._cutting is None:
            return []
        pending, job = self._cutting
        made: dict[FileKind, EvidenceFile] = {}
        until_ns = self._clock.mono_ns() + self.TURN_NS
        try:
            for file in job:
                if file is not None:
                    made[file[0]] = file[1]
                if self._clock.mono_ns() >= until_ns:
                    break
            else:
                self._cutting = None
                self._failures.succeeded("clip")
        except (EdgeError, OSError) as error:
            self._cutting = None
            self._failures.failed(pending.event.camera, "clip", error)
            return [
                *self._index.attach(pending, made),
                *self._index.note_missing(pending, "clip", str(error)),
            ]
        return self._index.attach(pending, made)
