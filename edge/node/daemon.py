"""`edge run`: start order, signals, watchdog, live reload, and shutdown in order.

The main thread supervises; see `inputs` (capture threads), `scorer` (the engine thread) and `outputs` (the publisher's
thread and the broker's).
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from edge import __version__, notify
from edge.clock import Clock, SystemClock
from edge.config import Loaded, load
from edge.detect.thresholds import check
from edge.engine.manifest import ModelFolder, find_folder, load_folder
from edge.errors import ConfigError
from edge.metrics import Metrics
from edge.node.assembly import open_pipeline
from edge.node.crew import Crew
from edge.node.folder import DataFolder
from edge.node.inputs import Inputs
from edge.node.outputs import Outputs
from edge.node.reload import FileWatch, merge_live
from edge.node.scorer import Scorer
from edge.types import NS_PER_S, seconds

log = logging.getLogger(__name__)

JOIN_CAPTURE_S = 5.0
JOIN_ENGINE_S = 10.0
DRAIN_S = 3.0
STUCK_S = 10.0  # an engine thread that did not turn for this long is not reported alive to systemd


def run(path: Path) -> int:
    """Run the daemon until SIGTERM or SIGINT, or until every recording has ended; its exit code."""
    loaded = load(path)
    folder = load_folder(find_folder(loaded.config.model.name))
    faults = check(loaded.config, folder.manifest)
    if faults:
        raise ConfigError([loaded.fault(key, message) for key, message in faults])
    with DataFolder(loaded.resolve(loaded.config.node.data_dir)) as data:
        return Daemon(loaded, folder, data.path, SystemClock()).run()


class Daemon:
    """One node, from start to exit code."""

    def __init__(self, loaded: Loaded, folder: ModelFolder, data: Path, clock: Clock) -> None:
        self._loaded = loaded
        self._clock = clock
        self._metrics = Metrics()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._reload = threading.Event()
        self._crew = Crew(clock, self._wake.set)
        self._inputs = Inputs(loaded, folder.manifest.geometry, clock, self._metrics)
        self._outputs = Outputs(loaded, folder.manifest, data, clock, self._metrics, self._inputs.on_message)
        self._scorer = Scorer(
            lambda: open_pipeline(loaded.config, folder, self._inputs, self._outputs, clock, self._metrics),
            self._outputs,
            clock,
        )
        self._watch = FileWatch(loaded.path)

    def run(self) -> int:
        """Start, supervise, stop; 0, or 1 when a thread failed."""
        with ExitStack() as stack:
            self._handle_signals(stack)
            log.info("edge %s: %s, starting", __version__, self._loaded.config.topic_root)
            self._start()
            while not self._stop.is_set() and self._crew.failure is None:
                self._turn()
            return self._shut_down()

    def _start(self) -> None:
        notify.status("opening the model")
        self._outputs.open()
        self._crew.start("engine", self._scorer.run)
        while not self._scorer.ready.is_set() and not self._stop.is_set() and self._crew.failure is None:
            self._clock.wait(self._scorer.ready, 0.2)
        if not self._scorer.ready.is_set():
            return
        self._outputs.start(self._crew, self._answer)
        self._inputs.start(self._crew, self._scorer.wake)
        notify.ready(self._inputs.summary())
        log.info("ready: %s", self._inputs.summary())

    def _turn(self) -> None:
        self._clock.wait(self._wake, 0.5)
        self._wake.clear()
        if seconds(self._clock.mono_ns() - self._scorer.last_turn_ns) < STUCK_S:
            notify.watchdog()
        notify.status(self._inputs.summary())
        if self._reload.is_set() or self._watch.changed():
            self._reload.clear()
            self._reload_config()
        if self._inputs.all_ended() and self._scorer.idle.is_set():
            log.info("every recording has ended")
            self._stop.set()
