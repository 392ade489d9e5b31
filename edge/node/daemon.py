"""`edge run`: start order, signals, watchdog, live reload, and shutdown in order.

The main thread supervises and touches no file; see `inputs` (capture threads), `scorer` (the engine thread), `outputs`
(the publisher's threads and the broker's) and `filework` (what reads and writes files for others).
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path
from types import FrameType

from edge import __version__, notify
from edge.assemble import assemble, learned
from edge.clock import Clock, SystemClock
from edge.config import Loaded, load
from edge.detect.derived import Derivers
from edge.detect.detector import Detector
from edge.detect.rules import rule_labels
from edge.detect.thresholds import check
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.engine.model import Model
from edge.errors import ConfigError, EdgeError, InputError
from edge.metrics import Metrics
from edge.node.crew import Crew
from edge.node.filework import FileWork
from edge.node.folder import hold
from edge.node.inputs import Inputs
from edge.node.keeping import Keeping
from edge.node.learning import Learning
from edge.node.orders import Orders
from edge.node.outputs import Outputs
from edge.node.reload import FileWatch
from edge.node.scorer import Opened, Scorer
from edge.node.window import Window
from edge.pipeline import Pipeline
from edge.publish.commands import SetArmed
from edge.types import NS_PER_S
from edge.web.serve import Server

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
STUCK_NS = 10 * NS_PER_S  # an engine thread that has not turned for this long is not reported alive
EXIT_OK, EXIT_FAULT, EXIT_INTERRUPTED = 0, 1, 130


def run(path: Path) -> int:
    """Run the daemon until SIGTERM or SIGINT, or until every recording has ended; its exit code."""
    loaded = load(path)
    folder = load_folder(find_folder(loaded.config.model.name))
    version, clock = learned(loaded, folder), SystemClock()
    data_dir = loaded.resolve(loaded.config.node.data_dir)
    with hold(data_dir):
        files = FileWork(data_dir, clock)
        learning = Learning(data_dir, folder.manifest, loaded.config.anomaly, version, clock, files.later)
        derivers = assemble(loaded, folder, version, learning.normal)
        manifest = folder.manifest.plus(derivers.labels)
        faults = check(loaded.config, manifest)
        if faults:
            raise ConfigError([loaded.fault(key, message) for key, message in faults])
        learning.watch(manifest.labels)
        return Daemon(loaded, folder, clock, derivers, learning, files).run()


def outcome(failure: BaseException | None, *, has_begun: bool) -> int:
    """The exit code. What was expected to go wrong is raised, for `edge.cli` to tell; but once a node has begun, a
    fault is no longer what a person wrote, whatever its type: it is tried again."""
    if failure is None:
        log.info("stopped")
        return EXIT_OK
    if isinstance(failure, EdgeError) and not (has_begun and isinstance(failure, InputError)):
        raise failure
    log.info("stopped after a fault")
    return EXIT_FAULT


class Daemon:
    """One node, from start to exit code."""

    def __init__(
        self,
        loaded: Loaded,
        folder: ModelFolder,
        clock: Clock,
        derivers: Derivers,
        learning: Learning,
        files: FileWork,
    ) -> None:
        self._files = files
        self._loaded = loaded
        self._folder = folder
        self._derivers = derivers
        self._learning = learning
        self._manifest = folder.manifest.plus(self._derivers.labels)
        self._clock = clock
        self._metrics = Metrics()
        self._wake, self._stop, self._reload = threading.Event(), threading.Event(), threading.Event()
        self._crew = Crew(clock, self._wake.set)
        self._inputs = Inputs(loaded, folder.manifest.geometry, clock, self._metrics)
        labels = [label.name for label in (*self._manifest.labels, *rule_labels(loaded.config, self._manifest))]
        inputs = self._inputs
        self._outputs = Outputs(
            loaded,
            self._manifest,
            labels,
            clock,
            self._metrics,
            inputs.sensor_topics,
            inputs.on_sensor,
            files.free_bytes,
        )
        self._keeping = self._open_keeping()
        self._scorer = Scorer(self._open_pipeline, self._outputs, clock)
        self._orders = Orders(loaded, self._manifest, self._scorer, self._outputs, self._keeping, files.later)
        self._window: Window | None
        self._server: Server | None
        self._window, self._server = self._open_page()
        self._watch = FileWatch(loaded.path)
        files.regular.append(self._look_at_files)
        self._told = ""
        self._status_due_ns = 0

    def run(self) -> int:
        """Start, supervise, stop; 0, or 1 when a thread failed."""
        self._handle_signals()
        log.info("edge %s starts: %s", __version__, self._loaded.config.topic_root)
        notify.status("opening the model")
        has_begun = False
        try:
            self._start()
            has_begun = True
            while not self._stopping:
                self._turn()
        except Exception as error:  # noqa: BLE001 - noted as any thread's, and told by its exit code
            self._crew.fail(threading.current_thread().name, error)
        self._shut_down()
        return outcome(self._failure, has_begun=has_begun)

    def _start(self) -> None:
        """The model first, then what is fed by it; nothing more where that is stopped or fails."""
        self._crew.start("files", self._files.run)
        self._crew.start("engine", self._scorer.run)
        while not self._stopping and not self._scorer.ready.wait(TURN_S):
            pass
        if self._stopping:
            return
        self._outputs.publisher.start()
        if self._keeping is not None:
            self._crew.start("evidence", self._keeping.run)
            self._crew.start("describer", self._keeping.describe)
        if self._server is not None:
            self._server.start()
        self._inputs.start(self._crew, self._scorer.wake.set)
        notify.ready(self._status())
        log.info("ready: %s", self._status())

    @property
    def _stopping(self) -> bool:
        return self._stop.is_set() or self._failure is not None

    @property
    def _failure(self) -> BaseException | None:
        page = self._server.fault if self._server is not None else None
        return self._crew.failure or self._outputs.publisher.fault or page

    def _turn(self) -> None:
        """One look around, a few times a second."""
        self._clock.wait(self._wake, TURN_S)
        self._wake.clear()
        if self._clock.mono_ns() - self._scorer.last_turn_ns < STUCK_NS:
            notify.watchdog()
        self._tell_status()
        self._orders.poll()
        if self._inputs.all_ended() and self._scorer.idle.is_set():
            log.info("every recording has ended")
            self._stop.set()

    def _tell_status(self) -> None:
        """Now and then, and only what changed."""
        now_ns = self._clock.mono_ns()
        if now_ns < self._status_due_ns:
            return
        self._status_due_ns = now_ns + STATUS_EVERY_NS
        status = self._status()
        if status != self._told:
            self._told = status
            notify.status(status)

    def _look_at_files(self) -> None:
        """On the thread for files: what the page asked to be written, and a changed configuration."""
        if self._window is not None:
            self._window.poll()
        if self._reload.is_set() or self._watch.changed():
            self._reload.clear()
            self._reload_config()

    def _reload_config(self) -> None:
        notify.reloading(self._clock)
        try:
            log.info("%s", self._orders.reload())
        except EdgeError as error:
            log.warning("not reloaded, the running configuration stays: %s", error)
        notify.ready(self._status())

    def _shut_down(self) -> None:
        """Capture, then the engine (open events end), then the outbox; what was in it stays if time is short."""
        notify.stopping()
        self._inputs.close()
        for name in self._crew.stop("capture:", JOIN_CAPTURE_S):
            log.warning("%s does not stop; it ends with the process", name)
        self._crew.stop("engine", JOIN_ENGINE_S)
        if self._server is not None:
            self._server.stop()
        if self._crew.stop("files", JOIN_FILES_S):
            log.warning("the disk does not answer: what was learned last is not saved")
        self._close_keeping()
        self._outputs.close(DRAIN_S)

    def _close_keeping(self) -> None:
        """What waits is written; after recordings, which nobody stopped, with all the time that it takes."""
        if self._keeping is None:
            return
        if self._inputs.all_ended():
            self._keeping.closing_s = CLIPS_OF_RECORDINGS_S
        late = self._crew.stop("evidence", self._keeping.closing_s + JOIN_EVIDENCE_S)
        self._crew.stop("describer", JOIN_DESCRIBER_S)
        if late:
            log.warning("evidence is still being written; what is missing then is told at the next start")
        else:
            self._keeping.close()

    def _open_keeping(self) -> Keeping | None:
        """The evidence of this node; None where nothing is kept."""
        loaded, inputs = self._loaded, self._inputs
        if loaded.config.evidence is None:
            return None
        model = f"{self._manifest.name} {self._manifest.version}"
        publisher = self._outputs.publisher
        keeping = Keeping(
            loaded, loaded.config.evidence, inputs.tapes, inputs.picture, publisher, self._clock, self._metrics, model
        )
        self._outputs.followers.append(keeping.observe)
        self._outputs.troubles["evidence"] = lambda: keeping.trouble
        return keeping

    def _open_page(self) -> tuple[Window, Server] | tuple[None, None]:
        """The page, not started; nothing where none is configured."""
        loaded = self._loaded
        if loaded.config.web is None:
            return None, None
        window = Window(
            loaded,
            self._folder,
            self._manifest,
            self._clock,
            running=lambda: self._orders.running,
            buffers=self._inputs.buffers,
            scorer=self._scorer,
            publisher=self._outputs.publisher,
            store=self._keeping.store if self._keeping is not None else None,
            traces=self._keeping.traces if self._keeping is not None else None,
            reload=self._orders.reload,
            deliver=self._outputs.deliver,
            publish_thresholds=self._orders.tell_thresholds,
            runtime=lambda: self._outputs.runtime,
            wake=self._files.wake,
        )
        self._outputs.followers.append(window.observe)
        return window, Server(window, loaded.config.web)

    def _open_pipeline(self) -> Opened:
        """On the engine thread: the model proves itself, and what an earlier run left open is ended."""
        config = self._loaded.config
        model = Model.open(self._folder, config.model, len(config.cameras), self._metrics)
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
        if self._keeping is not None:
            self._keeping.resumed([*left, *ended])
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
            quiet=self._learning.quiet,
            learners=self._learning.learners,
            at_once=model.at_once,
        )
        self._orders.tell_thresholds(pipeline.thresholds())
        return Opened(pipeline, model.close, self._learning.keep)

    def _status(self) -> str:
        sources = f"sources: {self._inputs.summary()}"
        if self._keeping is not None and self._keeping.trouble:
            sources += f"; evidence: {self._keeping.trouble}"
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
