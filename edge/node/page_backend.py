"""The running node as the page sees it (`edge.web.backend.Box`): what is there now, and what people may change.

`observe` is called on the engine thread and only notes; `poll` on the thread for files carries out what the page
asked to be written. Everything else is called by the web server's threads, which wait for the engine or that thread at
most `RESULT_TIMEOUT_S`.
"""

from __future__ import annotations

import logging
import queue
import shutil
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from edge import __version__
from edge.buffer.camera import CameraBuffer
from edge.clock import Clock
from edge.config import Config, LoadedConfig, parse, save_drawn
from edge.config.load import FILE, read_drawn
from edge.detect.explain import clear_boxes
from edge.detect.rules import custom_labels
from edge.detect.thresholds import EffectiveThreshold
from edge.detect.validation import validate
from edge.engine.manifest import Manifest, ModelFolder
from edge.errors import ConfigError, InputError, SinkError
from edge.events.search import SentenceEmbedder, open_embedder
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.traces import TraceStore
from edge.evidence.privacy import blur_boxes
from edge.node.engine_loop import EngineLoop
from edge.node.inputs import without_letterbox
from edge.node.live_state import LiveAudio
from edge.pipeline import Pipeline, StepResult
from edge.publish.commands import CommandOrigin, SetArmed, SetThreshold
from edge.publish.facade import EventPublisher
from edge.status import CameraStatus, HeldBack
from edge.types import F32, NS_PER_S, Box, Event, Phase, Scores, nanoseconds, seconds
from edge.web.backend import LiveFrame, LiveSamples, LiveScores, NodeFacts
from edge.web.hub import Hub

log = logging.getLogger(__name__)
RESULT_TIMEOUT_S = 5.0
RECENT_S = 180
FRESH_NS = 2 * NS_PER_S
BLUR_NS = 3 * NS_PER_S // 2  # boxes this much older than the picture are blurred in it too
_T = TypeVar("_T")


class PageBackend:
    """See the module. ``running`` is the configuration in force, ``reload`` reads it again and says what was done
    (thread for files), ``deliver`` takes the events that a command ended (engine thread), ``wake`` rouses that thread,
    ``manifest`` is the model's with what is derived but without the events of one's own."""

    def __init__(
        self,
        loaded: LoadedConfig,
        folder: ModelFolder,
        manifest: Manifest,
        clock: Clock,
        *,
        running: Callable[[], Config],
        buffers: Mapping[str, CameraBuffer],
        scorer: EngineLoop,
        publisher: EventPublisher,
        store: EventStore | None,
        traces: TraceStore | None,
        reload: Callable[[], str],
        deliver: Callable[[StepResult], None],
        publish_thresholds: Callable[[Sequence[EffectiveThreshold]], None],
        runtime: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        self._loaded, self._folder, self._manifest, self.clock = loaded, folder, manifest, clock
        self._running, self._buffers, self._scorer, self._publisher = running, buffers, scorer, publisher
        self.store, self.traces = store, traces
        self._reload, self._deliver, self._publish = reload, deliver, publish_thresholds
        self._runtime, self._wake = runtime, wake
        self._data = loaded.resolve(loaded.config.node.data_dir)
        self.evidence: Path = self._data / "evidence"
        self.hub = Hub()
        self.sound_rate_hz = manifest.geometry.audio.rate_hz
        self._started_ns = clock.mono_ns()
        most = round(RECENT_S / manifest.geometry.hop_s)
        self._recent: dict[str, deque[LiveScores]] = {name: deque(maxlen=most) for name in buffers}
        self._scored: dict[str, deque[Scores]] = {name: deque(maxlen=4) for name in buffers}
        audio = manifest.geometry.audio
        self._live_sound = {
            name: LiveAudio(buffer.newest_sound, audio.rate_hz, nanoseconds(audio.window_s), clock)
            for name, buffer in buffers.items()
        }
        self._open: dict[str, Event] = {}
        self._facts: tuple[CameraStatus, ...] = ()
        self._held: tuple[HeldBack, ...] = ()
        self._file_jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thresholds: tuple[int, list[EffectiveThreshold]] | None = None
        self._meaning: SentenceEmbedder | None = None
        self._meaning_is_open = False
        self._lock = threading.Lock()

    @property
    def loaded(self) -> LoadedConfig:
        """The configuration in force."""
        return replace(self._loaded, config=self._running())

    def observe(self, step: StepResult) -> None:
        """Note what a step brought forth and tell whoever looks; on the engine thread, never blocks."""
        shift_ns = self.clock.wall_ns() - self.clock.mono_ns()
        for scores, rules in zip(step.scores, step.rules, strict=False):
            self._note_scores(scores, rules.values, scores.t_end_ns + shift_ns)
        for event in step.events:
            if event.phase is Phase.END:
                self._open.pop(event.id, None)
            else:
                self._open[event.id] = event
            self.hub.publish("event", lambda event=event: event)  # type: ignore[misc]
        if step.statuses:
            self._facts = tuple(step.statuses)
            self.hub.publish("facts", lambda: self._facts, key="facts")
            held_back = tuple(step.held_back)
            if held_back != self._held:
                self._held = held_back
                self.hub.publish("held_back", lambda: held_back, key="held_back")

    def poll(self) -> None:
        """Carry out what the page asked to be written."""
        while not self._file_jobs.empty():
            self._file_jobs.get()()

    def labels(self) -> Sequence[str]:
        """Of the model, of what is derived, and of one's own rules."""
        rule_events = custom_labels(self._running(), self._manifest)
        return tuple(dict.fromkeys([*self._manifest.label_names, *(label.name for label in rule_events)]))

    def node(self) -> NodeFacts:
        """The node's own health."""
        publisher = self._publisher
        broker = publisher.trouble or ("connected" if publisher.connected else "not connected yet")
        return NodeFacts(
            version=__version__,
            model=f"{self._manifest.name} {self._manifest.version}",
            runtime=self._runtime(),
            uptime_s=round(seconds(self.clock.mono_ns() - self._started_ns), 1),
            disk_free_bytes=self._disk_free(),
            outbox_messages=publisher.depth,
            broker=broker if self._running().mqtt is not None else "none configured",
        )

    def facts(self) -> Sequence[CameraStatus]:
        """Every camera's health, as measured last."""
        return self._facts

    def open_events(self) -> Sequence[Event]:
        """Events that have begun and not ended."""
        return tuple(self._open.copy().values())

    def recent_scores(self, camera: str) -> Sequence[LiveScores]:
        """The last three minutes, oldest first."""
        return tuple(self._recent[camera].copy())

    def live_frame(self, camera: str) -> LiveFrame | None:
        """The newest picture; where there are boxes, the one that they were found in. Where something is to be blurred,
        always one that was looked at: before that nobody knows what is in it."""
        evidence = self._running().evidence
        classes = evidence.blur if evidence is not None else ()
        scored = tuple(self._scored[camera].copy())
        newest = scored[-1] if scored else None
        boxes = clear_boxes(newest.boxes) if newest is not None else ()
        scored_at = newest.picture if newest is not None else None
        copy = self._buffers[camera].newest_picture(scored_at) if scored_at is not None and (classes or boxes) else None
        if copy is not None and newest is not None and copy.taken_at == scored_at:
            shown = without_letterbox(copy.image, copy.content)
            if classes:
                shown = blur_boxes(shown, _recent_boxes(scored, newest), classes)
            return LiveFrame(copy.number, shown, boxes)
        if classes:
            return None
        copy = self._buffers[camera].newest_picture()
        return LiveFrame(copy.number, without_letterbox(copy.image, copy.content)) if copy is not None else None

    def sound(self, camera: str, out: F32) -> int:
        """Fill f32[n] with the newest sound; the samples heard so far."""
        return self._buffers[camera].newest_sound(out)

    def live_audio(self, camera: str, after: int) -> LiveSamples:
        """The newest sound for people: none where none may be kept, and no speech where that may not."""
        evidence = self._running().evidence
        if evidence is not None and not evidence.audio:
            raise InputError("evidence.audio is false in config.yaml: the sound is analysed and let out nowhere")
        return self._live_sound[camera].samples_after(after, speech=evidence is not None and evidence.speech)

    def held_back(self) -> Sequence[HeldBack]:
        """As it was a second ago at most."""
        return self._held

    def thresholds(self) -> Sequence[EffectiveThreshold]:
        """All thresholds in force, two seconds old at most; older ones while the engine is too busy to say."""
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
        return {camera: self._publisher.is_armed(camera) for camera in self._buffers}

    def set_threshold(self, camera: str, label: str, enter: float | None) -> None:
        """As the MQTT command; InputError when it cannot be."""

        def work(pipeline: Pipeline) -> None:
            pipeline.set_threshold(camera, label, enter)
            self._publisher.accept(SetThreshold(camera, label, enter, CommandOrigin("")))
            self._publish(pipeline.thresholds())

        self._run_on_engine(work)
        self._changed()

    def set_armed(self, camera: str, armed: bool) -> None:
        """As the MQTT command."""

        def work(pipeline: Pipeline) -> None:
            self._deliver(StepResult(events=pipeline.set_armed(camera, armed)))
            self._publisher.accept(SetArmed(camera, armed, CommandOrigin("")))
            self._publish(pipeline.thresholds())

        self._run_on_engine(work)
        self._changed()

    def drawn(self) -> Mapping[str, Any]:
        """What was drawn so far."""
        return read_drawn(self._data / FILE)

    def draw(self, drawn: Mapping[str, Any]) -> str:
        """Keep what was drawn if the configuration and the model take it, and have it in force at once."""
        result = self._run_on_files(lambda: self._draw(drawn))
        self._changed()
        return result

    def sentence_embedder(self) -> SentenceEmbedder | None:
        """What sentences mean; opened with the first search."""
        with self._lock:
            if not self._meaning_is_open:
                self._meaning_is_open = True
                self._meaning = open_embedder(self._folder)
            return self._meaning

    def _note_scores(self, scores: Scores, values: Mapping[str, float | None], wall_ns: int) -> None:
        moment = LiveScores(scores.camera, wall_ns, values, clear_boxes(scores.boxes))
        self._recent[scores.camera].append(moment)
        self._scored[scores.camera].append(scores)
        self._live_sound[scores.camera].observe(scores)
        self.hub.publish("scores", lambda: moment, key=scores.camera)

    def _draw(self, drawn: Mapping[str, Any]) -> str:
        path = self._loaded.path
        try:
            requested = parse(path.read_text(encoding="utf-8"), path, drawn=drawn)
        except OSError as error:
            raise SinkError(f"{path}: cannot be read ({error.strerror})") from error
        faults = validate(requested.config, self._manifest)
        if faults:
            raise ConfigError([requested.fault(key, message) for key, message in faults])
        save_drawn(self._loaded, drawn)
        return self._reload()

    def _disk_free(self) -> int:
        """Free bytes; 0 where the disk does not say."""
        try:
            return shutil.disk_usage(self._data).free
        except OSError:
            return 0

    def _changed(self) -> None:
        self._thresholds = None
        self.hub.publish("changed", dict, key="changed")

    def _run_on_engine(self, work: Callable[[Pipeline], _T]) -> _T:
        order: _CrossThreadCall[_T] = _CrossThreadCall()
        self._scorer.submit(lambda pipeline: order.run(lambda: work(pipeline)))
        return order.result()

    def _run_on_files(self, work: Callable[[], _T]) -> _T:
        order: _CrossThreadCall[_T] = _CrossThreadCall()
        self._file_jobs.put(lambda: order.run(work))
        self._wake()
        return order.result()


class _CrossThreadCall(Generic[_T]):
    """Something asked of another thread. Its errors are the asker's to hear: no page ends the node."""

    def __init__(self) -> None:
        self._future: Future[_T] = Future()

    def run(self, work: Callable[[], _T]) -> None:
        """On the other thread; nothing happens when nobody waits any more."""
        if not self._future.set_running_or_notify_cancel():
            return
        try:
            self._future.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised again by `answer`
            self._future.set_exception(error)

    def result(self) -> _T:
        """What came of it; SinkError when it takes too long."""
        try:
            return self._future.result(RESULT_TIMEOUT_S)
        except (FutureTimeout, TimeoutError):
            self._future.cancel()
            raise SinkError("the node is busy; try again in a moment") from None


def _recent_boxes(scored: Sequence[Scores], newest: Scores) -> list[Box]:
    """The newest boxes, and those shortly before: what moved is blurred where it was and where it is."""
    return [
        box
        for scores in scored
        if scores.media_end.is_on(newest.media_end) and newest.media_end.since(scores.media_end) <= BLUR_NS
        for box in scores.boxes
    ]
