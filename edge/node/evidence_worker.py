"""Keeps evidence of events while the node runs, on the evidence thread and the describer thread.

`observe` is called on the engine thread and only queues; `run` is the evidence thread's loop, `run_describer` the
describer's. Neither delays an alert, and a failing disk stops nothing but these two.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from edge.clock import Clock
from edge.config import Config, LoadedConfig
from edge.config.models import EvidenceConfig
from edge.detect.thresholds import EffectiveThreshold
from edge.errors import EdgeError, InputError
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.traces import TraceStore
from edge.evidence.captioner import Captioner
from edge.evidence.clips.packet_ring import PacketRing
from edge.evidence.digest import Digest, as_json
from edge.evidence.recorder import Recorder
from edge.evidence.snapshot import PictureSource
from edge.metrics import Metrics
from edge.pipeline import StepResult
from edge.publish.commands import MarkEvent, TakeSnapshot
from edge.publish.facade import EventPublisher
from edge.types import Event, EvidenceFiles

log = logging.getLogger(__name__)
EVIDENCE_DIR = "evidence"


class EvidenceWorker:
    """Evidence of one node, in ``data_dir/evidence``. `trouble` reports errors of that folder's disk."""

    TURN_S = 0.25
    NICE = 10
    CLOSING_S = 5.0

    def __init__(
        self,
        recorder: Recorder,
        store: EventStore,
        traces: TraceStore,
        publisher: EventPublisher,
        metrics: Metrics,
        *,
        describer: Captioner | None = None,
        enter: dict[tuple[str, str], float] | None = None,
    ) -> None:
        """``enter`` is where the recorder reads the thresholds in force from; see `open`."""
        self.store, self.traces, self.describer = store, traces, describer
        self.folder = store.folder
        self.closing_s = self.CLOSING_S
        self._recorder, self._publisher, self._metrics = recorder, publisher, metrics
        self._failed = ""
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._enter = {} if enter is None else enter

    @classmethod
    def open(
        cls,
        loaded: LoadedConfig,
        settings: EvidenceConfig,
        packet_rings: Mapping[str, PacketRing],
        picture: PictureSource,
        publisher: EventPublisher,
        clock: Clock,
        metrics: Metrics,
        model: str,
    ) -> EvidenceWorker:
        """The evidence that the configuration describes."""
        folder = loaded.resolve(loaded.config.node.data_dir) / EVIDENCE_DIR
        store, traces = EventStore(folder, clock), TraceStore(folder, clock)
        enter: dict[tuple[str, str], float] = {}

        def publish_digest(digest: Digest) -> None:
            publisher.publish_digest(as_json(digest))
            log.info("digest of %s: %s", digest.day, digest.text)

        recorder = Recorder(
            loaded.config,
            settings,
            store,
            traces,
            packet_rings,
            clock,
            metrics,
            model,
            live=picture,
            enter=lambda camera, label: enter.get((camera, label)),
            on_digest=publish_digest,
            on_recorded=publisher.recorded,
        )
        spec = loaded.config.describer
        describer = Captioner(spec, clock, metrics, loaded.resolve) if spec is not None else None
        return cls(recorder, store, traces, publisher, metrics, describer=describer, enter=enter)

    def submit(self, work: Callable[[], None]) -> None:
        """Have ``work`` done on the evidence thread, soon."""
        self._requests.put(work)

    def observe(self, step: StepResult) -> None:
        """Queue the result of a step; never blocks."""
        with self._metrics.stage("evidence"):
            self._recorder.observe(step.scores, step.rules, step.events)

    def observe_resumed(self, events: Sequence[Event]) -> None:
        """Queue events of an earlier run that have no row, or that were still open and have been ended now."""
        self._recorder.observe((), (), events)

    def set_thresholds(self, thresholds: Iterable[EffectiveThreshold]) -> None:
        """Set the thresholds in force: scores that come near them are near misses."""
        now = {(one.camera, one.label): one.enter for one in thresholds if one.enabled}
        self._enter.update(now)
        for key in self._enter.keys() - now.keys():
            del self._enter[key]

    def reconfigure(self, config: Config) -> None:
        """Apply what can change live, soon."""
        if config.evidence is not None:
            self.submit(partial(self._recorder.reconfigure, config, config.evidence))

    def mark(self, command: MarkEvent, by: str) -> str:
        """Mark an event, from any thread; a sentence on what was done. InputError when there is no such event."""
        event_id = command.event
        if event_id is None:
            newest = self.store.newest(command.camera or "", command.label)
            if newest is None:
                raise InputError(f"{command.camera}: no event is kept that could be marked")
            event_id = newest.id
        record = self.store.mark(event_id, command.verdict, by=by, note=command.note)
        result = "no longer marked" if record.mark is None else f"marked {record.mark.verdict}"
        return f"{record.label} at {record.camera} ({record.id}) is {result}"

    def snapshot(self, command: TakeSnapshot, answer: Callable[[str | None], None]) -> None:
        """Publish a new picture of a camera, soon; ``answer`` is called with None, or with the reason why not."""
        self.submit(partial(self._take_snapshot, command.camera, answer))

    @property
    def trouble(self) -> str:
        """What is wrong with the evidence, as a sentence; empty when all is well."""
        return self.store.trouble or self._failed

    def run(self, cancel: threading.Event) -> None:
        """The evidence thread's loop; queued work is written before it ends."""
        with contextlib.suppress(OSError):  # encoding clips must not slow down scoring and alerting
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self.NICE)
        while not cancel.is_set():
            self.step()
            cancel.wait(self.TURN_S)
        self.finish()

    def step(self) -> None:
        """One turn of the evidence thread: what was submitted, then what is due."""
        while not self._requests.empty():
            self._run_guarded(self._requests.get())
        self._run_guarded(lambda: self._publish(self._recorder.step()))

    def finish(self) -> None:
        """Write what waits, for at most ``closing_s``."""
        self._run_guarded(lambda: self._publish(self._recorder.close(self.closing_s)))

    def _run_guarded(self, work: Callable[[], None]) -> None:
        """Do ``work``. Errors of the disk or of media are counted and logged once; the next work goes on."""
        try:
            work()
        except (EdgeError, OSError) as error:
            self._metrics.drops.labels("evidence", "refused").inc()
            log.log(logging.DEBUG if str(error) == self._failed else logging.WARNING, "evidence: %s", error)
            self._failed = str(error)
        else:
            self._failed = ""

    def close(self) -> None:
        """Close the files, after the threads and all readers have ended."""
        self.traces.close()
        self.store.close()

    def run_describer(self, cancel: threading.Event) -> None:
        """The describer thread's loop."""
        describer = self.describer
        while describer is not None and not cancel.is_set():
            self._run_guarded(lambda: self._caption(describer.step()))
            cancel.wait(describer.wait_s)

    def _caption(self, described: Sequence[EvidenceFiles]) -> None:
        for kept in described:
            self.store.caption(kept.event_id, kept.caption)
            self._publisher.publish_evidence(kept)

    def _publish(self, kept: Sequence[EvidenceFiles]) -> None:
        for files in kept:
            picture = self._snapshot_of(files)
            self._publisher.publish_evidence(files, picture)
            if self.describer is not None and picture is not None:
                self.describer.enqueue(files, picture)

    def _snapshot_of(self, kept: EvidenceFiles) -> bytes | None:
        path = kept.files.get("snapshot")
        try:
            return (self.folder / path).read_bytes() if path is not None else None
        except OSError:
            return None  # retention has deleted it

    def _take_snapshot(self, camera: str, answer: Callable[[str | None], None]) -> None:
        try:
            picture = self._recorder.picture_of(camera)
        except EdgeError as error:
            answer(str(error))
            return
        if picture is None:
            answer(f"{camera}: there is no picture now")
            return
        self._publisher.publish_snapshot(camera, picture)
        answer(None)
