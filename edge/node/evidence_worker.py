"""What is kept of events while the node runs: the evidence thread, and the describer's beside it.

`observe` is called on the engine thread and only queues; `run` is the evidence thread's loop, `describe` the
describer's. Neither is ever in an alert's way, and what the disk does to them stops nothing but themselves.
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
    """Evidence of one node, in ``data_dir/evidence``. What that folder's disk refuses is `trouble`."""

    TURN_S = 0.25
    NICE = 10
    CLOSING_S = 5.0

    def __init__(
        self,
        loaded: LoadedConfig,
        settings: EvidenceConfig,
        packet_rings: Mapping[str, PacketRing],
        picture: PictureSource,
        publisher: EventPublisher,
        clock: Clock,
        metrics: Metrics,
        model: str,
    ) -> None:
        self.folder = loaded.resolve(loaded.config.node.data_dir) / EVIDENCE_DIR
        self._publisher = publisher
        self._metrics = metrics
        self._failed = ""
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.closing_s = self.CLOSING_S
        self._enter: Mapping[tuple[str, str], float] = {}
        self.store = EventStore(self.folder, clock)
        self.traces = TraceStore(self.folder, clock)
        self._recorder = Recorder(
            loaded.config,
            settings,
            self.store,
            self.traces,
            packet_rings,
            clock,
            metrics,
            model,
            live=picture,
            enter=lambda camera, label: self._enter.get((camera, label)),
            on_digest=self._publish_digest,
            on_recorded=publisher.recorded,
        )
        spec = loaded.config.describer
        self.describer = Captioner(spec, clock, metrics, loaded.resolve) if spec is not None else None

    def observe(self, step: StepResult) -> None:
        """Take note of what a step brought forth; never blocks."""
        with self._metrics.stage("evidence"):
            self._recorder.observe(step.scores, step.rules, step.events)

    def observe_resumed(self, events: Sequence[Event]) -> None:
        """Take note of events that an earlier run left without a row, or open and that were ended now."""
        self._recorder.observe((), (), events)

    def set_thresholds(self, thresholds: Iterable[EffectiveThreshold]) -> None:
        """Take note of what is in force: what comes near it is a candidate."""
        self._enter = {(one.camera, one.label): one.enter for one in thresholds if one.enabled}

    def reconfigure(self, config: Config) -> None:
        """Take over what can change live, soon."""
        if config.evidence is not None:
            self._requests.put(partial(self._recorder.reconfigure, config, config.evidence))

    def mark(self, command: MarkEvent, by: str) -> str:
        """Judge an event, from any thread; a sentence on what was done. InputError when there is no such event."""
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
        """Publish a fresh picture of a camera, soon; ``answer`` is told None when it was, else why not."""
        self._requests.put(partial(self._take_snapshot, command.camera, answer))

    @property
    def trouble(self) -> str:
        """What is wrong with the evidence, as a sentence; empty when nothing is."""
        return self.store.trouble or self._failed

    def run(self, cancel: threading.Event) -> None:
        """The evidence thread's loop; what waits is written before it ends."""
        with contextlib.suppress(OSError):  # encoding clips comes after looking and alerting
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self.NICE)
        while not cancel.is_set():
            while not self._requests.empty():
                self._run_guarded(self._requests.get())
            self._run_guarded(lambda: self._publish(self._recorder.step()))
            cancel.wait(self.TURN_S)
        self._run_guarded(lambda: self._publish(self._recorder.close(self.closing_s)))

    def _run_guarded(self, work: Callable[[], None]) -> None:
        """Do ``work``; what the disk or media refuse is told once and counted, and the next piece of work goes on."""
        try:
            work()
        except (EdgeError, OSError) as error:
            self._metrics.drops.labels("evidence", "refused").inc()
            log.log(logging.DEBUG if str(error) == self._failed else logging.WARNING, "evidence: %s", error)
            self._failed = str(error)
        else:
            self._failed = ""

    def close(self) -> None:
        """Close the files, when the threads and all who read have ended."""
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
            return None  # retention was faster

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

    def _publish_digest(self, made: Digest) -> None:
        self._publisher.publish_digest(as_json(made))
        log.info("digest of %s: %s", made.day, made.text)
