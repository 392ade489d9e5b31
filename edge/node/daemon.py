"""`edge run`: start order, signals, watchdog, live reload, and shutdown in order.

The main thread supervises and touches no file; see `inputs` (capture threads), `engine_loop` (the engine thread),
`outputs` (threads of the publisher and the broker) and `files` (the thread that reads and writes files).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from edge import __version__, sd_notify
from edge.assemble import build_derivers, load_profile
from edge.clock import Clock, SystemClock
from edge.config import LoadedConfig, load
from edge.detect.derived import DeriverChain
from edge.detect.detector import Detector
from edge.detect.rules import custom_labels
from edge.detect.thresholds import validate
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.model import Model
from edge.errors import ConfigError, EdgeError, InputError
from edge.heap import limit_heap
from edge.metrics import Metrics
from edge.node.command_handler import CommandHandler, FileWatch
from edge.node.context import NodeContext
from edge.node.engine_loop import EngineLoop, OpenedPipeline
from edge.node.evidence_worker import EvidenceWorker
from edge.node.files import FileWorker, lock_data_dir
from edge.node.inputs import NodeInputs
from edge.node.outputs import NodeOutputs
from edge.node.page_backend import PageBackend
from edge.node.site_learner import SiteLearner
from edge.pipeline import Pipeline
from edge.profile import ProfileVersion
from edge.publish.commands import SetArmed
from edge.threads import SWITCH_S, ThreadGroup
from edge.types import NS_PER_S
from edge.web.serve import WebServer

log = logging.getLogger(__name__)

TURN_S = 0.25
JOIN_CAPTURE_S = 6.0
JOIN_ENGINE_S = 10.0
JOIN_FILES_S = 3.0
JOIN_EVIDENCE_S = 3.0
CLIPS_OF_RECORDINGS_S = 120.0
JOIN_DESCRIBER_S = 1.0
DRAIN_S = 3.0
STATUS_EVERY_NS = 2 * NS_PER_S
STUCK_NS = 10 * NS_PER_S  # without a turn of the engine thread for this long, the watchdog is not notified
EXIT_OK, EXIT_FAULT, EXIT_INTERRUPTED = 0, 1, 130


def run(path: Path, metrics: Metrics | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT, or until every recording has ended; its exit code.

    ``metrics`` are its own unless given: a benchmark's also time the stages.
    """
    sys.setswitchinterval(SWITCH_S)
    limit_heap()
    loaded = load(path)
    folder = load_folder(find_folder(loaded.config.model.name))
    version, clock = load_profile(loaded, folder), SystemClock()
    data_dir = loaded.resolve(loaded.config.node.data_dir)
    with lock_data_dir(data_dir):
        return assemble(loaded, folder, clock, version, metrics or Metrics()).run()


def assemble(
    loaded: LoadedConfig, folder: ModelFolder, clock: Clock, version: ProfileVersion | None, metrics: Metrics
) -> Daemon:
    """The node that the configuration describes, not started; ``version`` is the site's profile. Its data folder is the
    caller's to lock. ConfigError when the configuration does not fit the model."""
    data_dir = loaded.resolve(loaded.config.node.data_dir)
    files = FileWorker(data_dir, clock)
    learning = SiteLearner(data_dir, folder.manifest, loaded.config.anomaly, version, clock, files.submit)
    derivers = build_derivers(loaded, folder, version, learning.normal)
    manifest = folder.manifest.with_labels(derivers.labels)
    faults = validate(loaded.config, manifest)
    if faults:
        raise ConfigError([loaded.fault(key, message) for key, message in faults])
    learning.track_background(manifest.labels)
    return Daemon(loaded, folder, clock, derivers, learning, files, metrics)


def exit_code(failure: BaseException | None, *, has_begun: bool) -> int:
    """The exit code. Expected errors are raised, and `edge.cli` reports them. An InputError after the start is no user
    mistake, so it counts as a fault and the service is restarted."""
    if failure is None:
        log.info("stopped")
        return EXIT_OK
    if isinstance(failure, EdgeError) and not (has_begun and isinstance(failure, InputError)):
        raise failure
    log.info("stopped after a fault")
    return EXIT_FAULT


class Daemon:
    """One node, from start to exit code; ``context`` has its parts. `run` starts a thread for each of them."""

    def __init__(
        self,
        loaded: LoadedConfig,
        folder: ModelFolder,
        clock: Clock,
        derivers: DeriverChain,
        learner: SiteLearner,
        files: FileWorker,
        metrics: Metrics,
    ) -> None:
        self._files = files
        self._loaded = loaded
        self._folder = folder
        self._derivers = derivers
        self._learner = learner
        self._manifest = folder.manifest.with_labels(self._derivers.labels)
        self._clock = clock
        self._metrics = metrics
        self._wake, self._stop, self._reload = threading.Event(), threading.Event(), threading.Event()
        self._threads = ThreadGroup(clock, self._wake.set)
        self._inputs = NodeInputs(loaded, folder.manifest.geometry, clock, self._metrics)
        labels = [label.name for label in (*self._manifest.labels, *custom_labels(loaded.config, self._manifest))]
        inputs = self._inputs
        self._outputs = NodeOutputs(
            *(loaded, self._manifest, labels, clock, self._metrics),
            *(inputs.sensor_topics, inputs.on_sensor, files.free_bytes),
        )
        self._evidence = self._open_evidence()
        self._engine = EngineLoop(self._open_pipeline, self._outputs, clock)
        self.context = NodeContext(
            *(loaded, folder, self._manifest, clock, inputs.buffers),
            *(self._engine, self._outputs, self._evidence, files),
        )
        self.commands = CommandHandler(self.context)
        self._server = self._open_page()
        self._watch = FileWatch(loaded.path)
        files.every_turn.append(self._poll_files)
        self._published_status = ""
        self._status_due_ns = 0

    def run(self) -> int:
        """Start, supervise, stop; 0, or 1 when a thread failed."""
        self._handle_signals()
        log.info("edge %s starts: %s", __version__, self._loaded.config.topic_root)
        sd_notify.status("opening the model")
        has_begun = False
        try:
            self._start()
            has_begun = True
            while not self._stopping:
                self._supervise()
        except Exception as error:  # noqa: BLE001 - noted like any thread's failure; the exit code reports it
            self._threads.note_failure(threading.current_thread().name, error)
        self._shut_down()
        return exit_code(self._failure, has_begun=has_begun)

    def _start(self) -> None:
        """Open the model first, then start the rest; start nothing more when that is stopped or fails."""
        self._threads.start("files", self._files.run)
        self._threads.start("engine", self._engine.run)
        while not self._stopping and not self._engine.ready.wait(TURN_S):
            pass
        if self._stopping:
            return
        self._outputs.publisher.start()
        if self._evidence is not None:
            self._threads.start("evidence", self._evidence.run)
            self._threads.start("describer", self._evidence.run_describer)
        if self._server is not None:
            self._server.start()
        self._inputs.start(self._threads, self._engine.wake.set)
        sd_notify.ready(self._status())
        log.info("ready: %s", self._status())

    @property
    def _stopping(self) -> bool:
        return self._stop.is_set() or self._failure is not None

    @property
    def _failure(self) -> BaseException | None:
        page = self._server.fault if self._server is not None else None
        return self._threads.failure or self._outputs.publisher.fault or page

    def _supervise(self) -> None:
        """One turn of the main thread, a few times a second."""
        self._clock.wait(self._wake, TURN_S)
        self._wake.clear()
        if self._clock.mono_ns() - self._engine.last_turn_ns < STUCK_NS:
            sd_notify.watchdog()
        self._publish_status()
        self.commands.poll()
        if self._inputs.all_ended() and self._engine.idle.is_set():
            log.info("every recording has ended")
            self._stop.set()

    def _publish_status(self) -> None:
        """Every two seconds, if the status changed."""
        now_ns = self._clock.mono_ns()
        if now_ns < self._status_due_ns:
            return
        self._status_due_ns = now_ns + STATUS_EVERY_NS
        status = self._status()
        if status != self._published_status:
            self._published_status = status
            sd_notify.status(status)

    def _poll_files(self) -> None:
        """On the file worker's thread: notice a changed configuration."""
        if self._reload.is_set() or self._watch.changed():
            self._reload.clear()
            self._reload_config()

    def _reload_config(self) -> None:
        sd_notify.reloading(self._clock)
        try:
            log.info("%s", self.commands.reload())
        except EdgeError as error:
            log.warning("not reloaded, the running configuration stays: %s", error)
        sd_notify.ready(self._status())

    def _shut_down(self) -> None:
        """Stop capture, then the engine (open events end), then drain the outbox; what is left in it stays on disk."""
        sd_notify.stopping()
        self._inputs.close()
        for name in self._threads.stop("capture:", JOIN_CAPTURE_S):
            log.warning("%s does not stop; it ends with the process", name)
        self._inputs.close_workers()
        self._threads.stop("engine", JOIN_ENGINE_S)
        if self._server is not None:
            self._server.stop()
        if self._threads.stop("files", JOIN_FILES_S):
            log.warning("the disk does not answer: what was learned last is not saved")
        self._close_evidence()
        self._outputs.close(DRAIN_S)

    def _close_evidence(self) -> None:
        """Write what waits. After recordings have ended by themselves, wait as long as clips may take."""
        if self._evidence is None:
            return
        if self._inputs.all_ended():
            self._evidence.closing_s = CLIPS_OF_RECORDINGS_S
        late = self._threads.stop("evidence", self._evidence.closing_s + JOIN_EVIDENCE_S)
        self._threads.stop("describer", JOIN_DESCRIBER_S)
        if late:
            log.warning("evidence is still being written; the next start reports what is missing")
        else:
            self._evidence.close()

    def _open_evidence(self) -> EvidenceWorker | None:
        """The evidence worker; None when evidence is switched off."""
        loaded, inputs = self._loaded, self._inputs
        if loaded.config.evidence is None:
            return None
        model = f"{self._manifest.name} {self._manifest.version}"
        publisher = self._outputs.publisher
        worker = EvidenceWorker.open(
            loaded,
            loaded.config.evidence,
            inputs.packet_rings,
            inputs.picture,
            publisher,
            self._clock,
            self._metrics,
            model,
        )
        self._outputs.observers.append(worker.observe)
        self._outputs.problems["evidence"] = lambda: worker.trouble
        return worker

    def _open_page(self) -> WebServer | None:
        """The page, not started; None when none is configured."""
        web = self._loaded.config.web
        if web is None:
            return None
        page = PageBackend(self.context, self.commands)
        self._outputs.observers.append(page.observe)
        return WebServer(page, web)

    def _open_pipeline(self) -> OpenedPipeline:
        """On the engine thread: run the model's self-test, and end the events that an earlier run left open."""
        config = self._loaded.config
        model = Model.open(self._folder, config.model, len(config.cameras), self._metrics, self._clock)
        model.notify(self._engine.wake.set)
        self._outputs.runtime = str(model.info)
        detector = Detector(config, self._manifest, self._clock)
        for order in self._outputs.publisher.overrides():
            if isinstance(order, SetArmed):
                detector.set_armed(order.camera, order.on)
            else:
                detector.set_threshold(order.camera, order.label, order.value)
        left, ended = self._outputs.publisher.unrecorded, self._outputs.publisher.resume()
        for event in ended:
            log.info("%s end: %s", event.camera, event.why)
        if self._evidence is not None:
            self._evidence.observe_resumed([*left, *ended])
        inputs = self._inputs
        pipeline = Pipeline(
            model,
            detector,
            inputs.buffers,
            self._clock,
            self._metrics,
            inputs.live,
            state=inputs.state,
            derivers=self._derivers,
            background=self._learner.background,
            learners=self._learner.learners,
            max_rows=model.preferred_rows,
            workers_ns=inputs.workers_ns,
        )
        self.commands.publish_thresholds(pipeline.thresholds())
        return OpenedPipeline(pipeline, model.close, self._learner.save_if_due)

    def _status(self) -> str:
        sources = f"sources: {self._inputs.summary()}"
        if self._evidence is not None and self._evidence.trouble:
            sources += f"; evidence: {self._evidence.trouble}"
        if self._loaded.config.mqtt is None:
            return "; ".join(filter(None, (sources, self._outputs.publisher.disk_trouble)))
        publisher = self._outputs.publisher
        broker = publisher.trouble or ("broker connected" if publisher.connected else "broker not connected yet")
        waiting = f"{publisher.depth} message{'' if publisher.depth == 1 else 's'} waiting"
        return f"{sources}; {broker}; {waiting}"

    def _handle_signals(self) -> None:
        def stop(number: int, _frame: FrameType | None) -> None:
            if self._stop.is_set():
                os._exit(EXIT_INTERRUPTED)
            log.info("%s: stopping", signal.Signals(number).name)
            self._stop.set()
            self._wake.set()

        def reload(_number: int, _frame: FrameType | None) -> None:
            self._reload.set()
            self._files.wake()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)
