"""Keeps evidence: rows, snapshots, clips, score traces and near misses; runs retention and the daily digest.

Starts no thread: `observe` (engine thread) only queues, `step` (evidence thread) does what is due and returns soon.
Errors of the disk or a decoder are logged once and counted, and that evidence is left out; events go on.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge.clock import Clock
from edge.config import Config
from edge.config.models import EvidenceConfig
from edge.errors import EdgeError, MediaError
from edge.evidence.archive.records import EvidenceFile, FileKind, StoredNearMiss
from edge.evidence.archive.retention import Retention
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.traces import TraceStore
from edge.evidence.clips.cutter import PAD_NS, ClipCutter
from edge.evidence.clips.packet_ring import PacketRing
from edge.evidence.clips.queue import ClipQueue
from edge.evidence.digest import Digest, DigestSchedule
from edge.evidence.failure_log import FailureLog
from edge.evidence.near_misses import EnterThreshold, NearMiss, NearMissQueue
from edge.evidence.pending_event import (
    ClipBacklog,
    ClipMargins,
    PendingEvent,
    by_priority,
    with_begin_reason,
)
from edge.evidence.recent_windows import RecentWindow, RecentWindows
from edge.evidence.snapshot import PictureSource, SnapshotTaker, encode_jpeg, room_or_raise, thumbnail
from edge.files import remove_partial
from edge.metrics import Metrics
from edge.types import NS_PER_MS, NS_PER_S, Event, EvidenceFiles, Phase, RuleValues, Scores, nanoseconds

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _StepRecord:
    """The result of one step, ready to be recorded."""

    windows: tuple[RecentWindow, ...]
    rules: tuple[RuleValues, ...]
    events: tuple[Event, ...]


class Recorder:
    """Evidence of all cameras in the folder of ``store``; ``model`` is the name and version of the running model.

    ``live`` returns a picture when a camera's packet ring has none; ``enter`` the thresholds in force (without it
    there are no near misses). ``on_digest`` is called with the day's digest, ``on_recorded`` with the phases whose
    rows are on disk. ``window_s`` is the length of a window's sound.
    """

    MOST_WAITING = 10_000
    TURN_NS = 250 * NS_PER_MS
    SWEEP_NS = 60 * NS_PER_S

    def __init__(
        self,
        config: Config,
        settings: EvidenceConfig,
        store: EventStore,
        traces: TraceStore,
        packet_rings: Mapping[str, PacketRing],
        clock: Clock,
        metrics: Metrics,
        model: str,
        *,
        live: PictureSource | None = None,
        enter: EnterThreshold | None = None,
        on_digest: Callable[[Digest], None] | None = None,
        on_recorded: Callable[[Sequence[Event]], None] = lambda _events: None,
        window_s: float = 2.0,
    ) -> None:
        self._store = store
        self._traces = traces
        self._rings = dict(packet_rings)
        self._clock = clock
        self._metrics = metrics
        self._model = model
        self._lock = threading.Lock()
        self._waiting: deque[_StepRecord] = deque()
        self._windows: dict[str, RecentWindows] = {}
        self._pending: dict[str, PendingEvent] = {}
        self._failures = FailureLog(metrics)
        self._near_misses = None if enter is None else NearMissQueue(enter, self._keep_near_miss)
        self._on_recorded = on_recorded
        self._unrecorded: list[Event] = []
        self._snapshots = SnapshotTaker(config, settings, self._rings, live)
        self._cutter = ClipCutter(config, settings, store, self._rings, nanoseconds(window_s))
        self._clips = ClipQueue(self._cutter, self, self._windows_of, self._failures, clock, metrics)
        self._daily = DigestSchedule(store, clock, on_digest)
        self._retention = Retention(settings, store, store.folder, clock)
        self.reconfigure(config, settings)
        self._sweep_due_ns = clock.mono_ns()
        left = remove_partial(store.folder)
        if left:
            log.info("%s: removed %d files that were being written when the last run ended", store.folder, left)

    @property
    def pending(self) -> int:
        """Events that still wait for their end or for files."""
        return len(self._pending)

    def reconfigure(self, config: Config, settings: EvidenceConfig) -> None:
        """Apply new settings; on the thread that calls `step`."""
        self._config, self._settings = config, settings
        self._margins = ClipMargins.of(settings)
        self._snapshots.reconfigure(config, settings)
        self._cutter.reconfigure(config, settings)
        self._daily.reconfigure(config, settings)
        self._retention.reconfigure(settings)
        self._pending = {
            key: pending for key, pending in self._pending.items() if pending.event.camera in config.cameras
        }

    def observe(self, scores: Sequence[Scores], rules: Sequence[RuleValues], events: Sequence[Event]) -> None:
        """Queue the result of a step; never blocks. Windows are dropped and counted when full, events never."""
        by_rule = rules if len(rules) == len(scores) else [None] * len(scores)
        windows = tuple(RecentWindow.of(one, rule) for one, rule in zip(scores, by_rule, strict=True))
        with self._lock:
            if len(self._waiting) >= self.MOST_WAITING:
                for one in scores:
                    self._metrics.drops.labels(one.camera, "evidence_queue").inc()
                windows, rules = (), ()
            if windows or rules or events:
                self._waiting.append(_StepRecord(windows, tuple(rules), tuple(events)))

    def step(self) -> list[EvidenceFiles]:
        """Do what is due, for about half a second; the evidence that was kept. Never raises for the disk or media.

        All rows are written first, then pictures and clips while there is time.
        """
        with self._store.batch():
            while (record := self._next()) is not None:
                self._take(record)
        self._report_recorded()
        kept = self._pictures()
        kept += self._clips.step(self._pending.values(), self._margins)
        if self._near_misses is not None:
            self._near_misses.step(self._clock, self.TURN_NS)
        self._hold()
        self._maintain()
        return kept

    def picture_of(self, camera: str) -> bytes | None:
        """The current picture of ``camera`` as a JPEG, masked and blurred; on the thread that calls `step`. MediaError
        when it cannot be read."""
        windows = self._windows_of(camera)
        picture = self._snapshots.picture(camera, windows.newest, windows) if windows.newest is not None else None
        return encode_jpeg(picture) if picture is not None else None

    def close(self, limit_s: float = 5.0) -> list[EvidenceFiles]:
        """Write what waits, for at most ``limit_s``: rows, pictures, and clips as far as there is media. The store
        stays open."""
        until_ns = self._clock.mono_ns() + nanoseconds(limit_s)
        kept = self.step()
        return [*kept, *self._clips.finish(self._pending.values(), until_ns)]

    def attach(self, pending: PendingEvent, made: Mapping[FileKind, EvidenceFile]) -> list[EvidenceFiles]:
        """Note with an event files that were written; what there is of it now."""
        for kind, file in made.items():
            pending.files[kind] = file
            self._store.attach(pending.event.id, kind, file)
            pending.missing.pop(kind, None)
        return [pending.to_kept()] if made else []

    def note_missing(self, pending: PendingEvent, kind: FileKind, reason: str) -> list[EvidenceFiles]:
        """Note with an event why a file is not kept."""
        pending.missing[kind] = reason
        self._store.note_missing(pending.event.id, kind, reason)
        return [pending.to_kept()]

    def _next(self) -> _StepRecord | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def _take(self, record: _StepRecord) -> None:
        for window in record.windows:
            self._windows_of(window.camera).add(window)
            for pending in self._pending.values():
                pending.observe(window)
        for rule in record.rules:
            self._traces.append(rule, self._wall_ns(rule.t_end_ns))
        for event in record.events:
            self._event(event)
        if self._near_misses is not None and self._settings.candidates:
            for window in (one for one in record.windows if one.camera in self._config.cameras):
                open_labels = {c.event.label for c in self._pending.values() if c.event.camera == window.camera}
                self._near_misses.observe(window, open_labels)

    def _event(self, event: Event) -> None:
        pending = self._pending.get(event.id)
        if pending is None and event.phase is Phase.BEGIN and event.camera in self._config.cameras:
            windows = self._windows_of(event.camera)
            best = (
                windows.strongest(event.label, event.media_begin) if event.media_begin is not None else windows.newest
            )
            pending = self._pending[event.id] = PendingEvent(event, best)
        if pending is not None:
            pending.event = event
        meaning = (
            pending.best.meaning if pending is not None and pending.has_media and pending.best is not None else None
        )
        before = self._store.get_if_readable(event.id) if event.phase is Phase.END else None
        self._store.put(with_begin_reason(event, before), self._model, meaning)
        self._unrecorded.append(event)

    def _report_recorded(self) -> None:
        """Report the phases whose rows are on disk; the others wait, the newest of each event."""
        if self._store.held:
            self._unrecorded = list({event.id: event for event in self._unrecorded}.values())[-self.MOST_WAITING :]
        elif self._unrecorded:
            self._on_recorded(self._unrecorded)
            self._unrecorded = []

    def _pictures(self) -> list[EvidenceFiles]:
        """The pictures of all pending events, by priority, while the turn lasts."""
        kept: list[EvidenceFiles] = []
        until_ns = self._clock.mono_ns() + self.TURN_NS
        with self._store.batch():
            for pending in by_priority(self._pending.values()):
                if self._clock.mono_ns() >= until_ns:
                    break
                kept += self._picture(pending)
        return kept

    def _picture(self, pending: PendingEvent) -> list[EvidenceFiles]:
        """The picture of an event, the first at once and a better one at its end; closes events that need no clip."""
        event, kept = pending.event, []
        is_first = pending.shown is None and not pending.has_tried_picture
        if is_first or pending.wants_picture():
            pending.has_tried_picture, pending.shown = True, pending.best
            try:
                kept = self._take_snapshot(pending)
                self._failures.succeeded("picture")
            except (EdgeError, OSError) as error:
                self._failures.failed(event.camera, "picture", error)
                kept = self.note_missing(pending, "snapshot", str(error)) if is_first else []
        if not pending.has_media or (pending.has_clip_begun and pending.is_over):
            del self._pending[event.id]
        return kept

    def _take_snapshot(self, pending: PendingEvent) -> list[EvidenceFiles]:
        event = pending.event
        windows = self._windows_of(event.camera)
        picture = self._snapshots.picture(event.camera, pending.best, windows) if pending.best is not None else None
        if picture is None:
            if pending.best is not None and pending.best.has_picture:
                raise MediaError("the picture of that moment is not there any more")
            return []
        folder = self._store.folder_of(event)
        room_or_raise(self._store.room_for(picture.size // 4), folder)
        return self.attach(pending, self._snapshots.save(folder, self._store.folder, event, pending.best, picture))

    def _keep_near_miss(self, near: NearMiss) -> None:
        """Keep a near miss, with a thumbnail when there is a picture."""
        camera, picture = near.window.camera, None
        if camera not in self._config.cameras:
            return
        try:
            picture = self._snapshots.picture(camera, near.window, self._windows_of(camera))
        except EdgeError as error:
            self._failures.failed(camera, "picture", error)
        small = thumbnail(picture) if picture is not None else b""
        wall_ns = self._wall_ns(near.window.t_end_ns)
        self._store.add_near_miss(StoredNearMiss(camera, near.label, wall_ns, near.value, near.enter, small))

    def _hold(self) -> None:
        """Make the packet rings keep what pending clips need."""
        since_ns = ClipBacklog.of(self._pending.values()).since_ns(self._margins)
        for camera, ring in self._rings.items():
            ring.hold(since_ns[camera] - PAD_NS if camera in since_ns else None)

    def _maintain(self) -> None:
        """Run retention once a minute, and the digest once a day."""
        now_ns = self._clock.mono_ns()
        self._retention.watch_clock()
        if now_ns >= self._sweep_due_ns:
            self._sweep_due_ns = now_ns + self.SWEEP_NS
            self._retention.sweep()
        try:
            self._daily.run_if_due()
        except EdgeError as error:
            log.warning("the day's digest: %s", error)

    def _windows_of(self, camera: str) -> RecentWindows:
        keep_ns = self._margins.before_ns + self._margins.after_ns + self._margins.longest_ns + 30 * NS_PER_S
        return self._windows.setdefault(camera, RecentWindows(keep_ns))

    def _wall_ns(self, t_ns: int) -> int:
        return self._clock.wall_ns() - (self._clock.mono_ns() - t_ns)
