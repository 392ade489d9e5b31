"""The running node behind the page (`edge.web.backend.NodeBackend`): its live state, and what users may change.

`observe` is called on the engine thread and only notes. Everything else is called by the web server's threads, which
wait for the engine thread or the file worker for at most `RESULT_TIMEOUT_S`.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from edge import __version__
from edge.config import LoadedConfig, parse, save_drawn
from edge.config.load import FILE, read_drawn
from edge.detect.rules import custom_labels
from edge.detect.thresholds import EffectiveThreshold
from edge.detect.validation import validate
from edge.errors import ConfigError, SinkError
from edge.events.search import SentenceEmbedder, open_embedder
from edge.node.command_handler import CommandHandler
from edge.node.context import NodeContext
from edge.node.live_state import LiveState
from edge.pipeline import Pipeline, StepResult
from edge.publish.commands import CommandOrigin, SetArmed, SetThreshold
from edge.status import CameraStatus, HeldBack
from edge.types import F32, NS_PER_S, Event, seconds
from edge.web.backend import LiveFrame, LiveSamples, LiveScores, NodeFacts
from edge.web.hub import Hub

RESULT_TIMEOUT_S = 5.0
FRESH_NS = 2 * NS_PER_S
_T = TypeVar("_T")


class PageBackend:
    """Serves the page from the parts in ``node``; ``commands`` holds the configuration in force and reloads it."""

    def __init__(self, node: NodeContext, commands: CommandHandler) -> None:
        self._node, self._commands = node, commands
        self.clock = node.clock
        self.store = node.evidence.store if node.evidence is not None else None
        self.traces = node.evidence.traces if node.evidence is not None else None
        self._data = node.loaded.resolve(node.loaded.config.node.data_dir)
        self.evidence: Path = self._data / "evidence"
        self.hub = Hub()
        self.sound_rate_hz = node.manifest.geometry.audio.rate_hz
        self._live = LiveState(node.buffers, node.manifest.geometry, node.clock, self.hub)
        self._started_ns = node.clock.mono_ns()
        self._thresholds: tuple[int, list[EffectiveThreshold]] | None = None
        self._meaning: SentenceEmbedder | None = None
        self._meaning_is_open = False
        self._lock = threading.Lock()

    @property
    def loaded(self) -> LoadedConfig:
        """The configuration in force."""
        return replace(self._node.loaded, config=self._commands.config)

    def observe(self, step: StepResult) -> None:
        """Note the result of a step and publish it to the page; on the engine thread, never blocks."""
        self._live.observe(step)

    def labels(self) -> Sequence[str]:
        """Labels of the model, derived labels, and events of rules."""
        manifest = self._node.manifest
        rule_events = custom_labels(self._commands.config, manifest)
        return tuple(dict.fromkeys([*manifest.label_names, *(label.name for label in rule_events)]))

    def node(self) -> NodeFacts:
        """The node's own health."""
        outputs, manifest = self._node.outputs, self._node.manifest
        publisher = outputs.publisher
        broker = publisher.trouble or ("connected" if publisher.connected else "not connected yet")
        return NodeFacts(
            version=__version__,
            model=f"{manifest.name} {manifest.version}",
            runtime=outputs.runtime,
            uptime_s=round(seconds(self.clock.mono_ns() - self._started_ns), 1),
            disk_free_bytes=self._disk_free(),
            outbox_messages=publisher.depth,
            broker=broker if self._commands.config.mqtt is not None else "none configured",
            details=outputs.details(),
            load=outputs.load,
        )

    def facts(self) -> Sequence[CameraStatus]:
        """Every camera's health, as last measured."""
        return self._live.status

    def open_events(self) -> Sequence[Event]:
        """Events that have begun and not ended."""
        return self._live.open_events()

    def recent_scores(self, camera: str) -> Sequence[LiveScores]:
        """The last three minutes, oldest first."""
        return self._live.recent_scores(camera)

    def live_frame(self, camera: str) -> LiveFrame | None:
        """The newest picture that may be shown; see `LiveState.frame`."""
        return self._live.frame(camera, self._commands.config.evidence)

    def sound(self, camera: str, out: F32) -> int:
        """Fill f32[n] with the newest sound; the position after its last sample."""
        return self._live.sound(camera, out)

    def live_audio(self, camera: str, after: int) -> LiveSamples:
        """The newest sound that may be heard; see `LiveState.audio`."""
        return self._live.audio(camera, after, self._commands.config.evidence)

    def held_back(self) -> Sequence[HeldBack]:
        """What is held back, at most a second old."""
        return self._live.held_back

    def thresholds(self) -> Sequence[EffectiveThreshold]:
        """All thresholds in force, at most two seconds old; older while the engine is too busy to answer."""
        held, now_ns = self._thresholds, self.clock.mono_ns()
        if held is not None and now_ns - held[0] < FRESH_NS:
            return held[1]
        try:
            limits = self._run_on_engine(lambda pipeline: pipeline.thresholds())
        except SinkError:
            if held is None:
                raise
            return held[1]
        self._thresholds = now_ns, limits
        return limits

    def armed(self) -> Mapping[str, bool]:
        """By camera: whether its events may begin."""
        return {camera: self._node.outputs.publisher.is_armed(camera) for camera in self._node.buffers}

    def set_threshold(self, camera: str, label: str, enter: float | None) -> None:
        """Like the MQTT command; InputError when the value or the label is not valid."""

        def work(pipeline: Pipeline) -> None:
            pipeline.set_threshold(camera, label, enter)
            self._node.outputs.publisher.accept(SetThreshold(camera, label, enter, CommandOrigin("")))
            self._commands.publish_thresholds(pipeline.thresholds())

        self._run_on_engine(work)
        self._changed()

    def set_armed(self, camera: str, armed: bool) -> None:
        """Like the MQTT command."""

        def work(pipeline: Pipeline) -> None:
            self._node.outputs.deliver(StepResult(events=pipeline.set_armed(camera, armed)))
            self._node.outputs.publisher.accept(SetArmed(camera, armed, CommandOrigin("")))
            self._commands.publish_thresholds(pipeline.thresholds())

        self._run_on_engine(work)
        self._changed()

    def drawn(self) -> Mapping[str, Any]:
        """The zones, lines and events that were drawn on the page."""
        return read_drawn(self._data / FILE)

    def draw(self, drawn: Mapping[str, Any]) -> str:
        """Save a drawing if the configuration with it is valid, and reload at once; a sentence on what was done."""
        result = self._run_on_files(lambda: self._draw(drawn))
        self._changed()
        return result

    def sentence_embedder(self) -> SentenceEmbedder | None:
        """Embeds sentences for the search; opened with the first search."""
        with self._lock:
            if not self._meaning_is_open:
                self._meaning_is_open = True
                self._meaning = open_embedder(self._node.folder)
            return self._meaning

    def _draw(self, drawn: Mapping[str, Any]) -> str:
        path = self._node.loaded.path
        try:
            requested = parse(path.read_text(encoding="utf-8"), path, drawn=drawn)
        except OSError as error:
            raise SinkError(f"{path}: cannot be read ({error.strerror})") from error
        faults = validate(requested.config, self._node.manifest)
        if faults:
            raise ConfigError([requested.fault(key, message) for key, message in faults])
        save_drawn(self._node.loaded, drawn)
        return self._commands.reload()

    def _disk_free(self) -> int:
        """Free bytes; 0 when the disk cannot be read."""
        try:
            return shutil.disk_usage(self._data).free
        except OSError:
            return 0

    def _changed(self) -> None:
        self._thresholds = None
        self.hub.publish("changed", dict, key="changed")

    def _run_on_engine(self, work: Callable[[Pipeline], _T]) -> _T:
        call: _CrossThreadCall[_T] = _CrossThreadCall()
        self._node.engine.submit(lambda pipeline: call.run(lambda: work(pipeline)))
        return call.result()

    def _run_on_files(self, work: Callable[[], _T]) -> _T:
        call: _CrossThreadCall[_T] = _CrossThreadCall()
        self._node.files.submit(lambda: call.run(work))
        return call.result()


class _CrossThreadCall(Generic[_T]):
    """A call that runs on another thread. Its errors are raised by `result`, so that no request ends the node."""

    def __init__(self) -> None:
        self._future: Future[_T] = Future()

    def run(self, work: Callable[[], _T]) -> None:
        """Run on the other thread; does nothing when the caller has given up."""
        if not self._future.set_running_or_notify_cancel():
            return
        try:
            self._future.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised again by `result`
            self._future.set_exception(error)

    def result(self) -> _T:
        """The result of the call, or its error; SinkError when it takes too long."""
        try:
            return self._future.result(RESULT_TIMEOUT_S)
        except (FutureTimeout, TimeoutError):
            self._future.cancel()
            raise SinkError("the node is busy; try again in a moment") from None
