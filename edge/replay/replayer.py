"""Runs recordings through the pipeline, on one thread, under a virtual clock that follows the media.

A second thread decodes ahead, bounded; its items are processed in order, so that the result is the same each time.
"""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from edge.buffer.camera import CameraBuffer
from edge.capture.base import MediaSource, SourceOptions
from edge.capture.registry import open_source
from edge.clock import VirtualClock
from edge.config import Config
from edge.config.sources import FileSourceConfig
from edge.detect.background import BackgroundDistribution
from edge.detect.derived import DeriverChain
from edge.detect.detector import Detector
from edge.engine.model import Model
from edge.metrics import Metrics
from edge.pipeline import Pipeline, StepResult
from edge.types import U8, Event, Frame, MediaItem, Phase, Scores, seconds

DECODE_THREADS = 2
"""Threads that decode a recording's pictures, beside the thread that processes them."""
PREFETCHED_ITEMS = 48
"""Items decoded ahead: two to three seconds of a recording with sound."""
_PUT_TIMEOUT_S = 0.2


class ReplayListener(Protocol):
    """Gets the results of a recording, in the order of its media."""

    def on_scores(self, scores: Scores) -> None:
        """One window was scored."""
        ...

    def on_event(self, event: Event) -> None:
        """One phase of one event."""
        ...


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """The summary of one recording."""

    windows: int
    events: int
    media_s: float


@dataclass(frozen=True, slots=True)
class ReplayStep:
    """One step, and the virtual clock's monotonic time at it."""

    now_ns: int
    step: StepResult


def camera_name(path: Path) -> str:
    """A recording's name as a camera's: letters, digits, - and _."""
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", path.stem).strip("_-")[:64] or "recording"


class Replay:
    """Runs recordings one after another through one opened model; each starts from a clean state.

    ``wall_start_ns`` is the Unix time at which every recording is taken to start; ``derivers`` add labels to the
    model's; ``background`` is the quiet time that thresholds by false alarms a day follow from. ``camera`` is the
    configuration's camera whose recordings they are, with its zones and masks; otherwise each is a camera by its name.
    """

    def __init__(
        self,
        config: Config,
        model: Model,
        wall_start_ns: int = 0,
        derivers: DeriverChain | None = None,
        background: BackgroundDistribution | None = None,
        camera: str | None = None,
    ) -> None:
        self._config = config
        self._camera = camera
        self._model = model
        self._derivers = derivers or DeriverChain()
        self._background = background
        self._manifest = model.manifest.with_labels(self._derivers.labels)
        self._wall_start_ns = wall_start_ns
        self._metrics = Metrics()

    def run(self, path: Path, listener: ReplayListener) -> ReplaySummary:
        """Replay one recording; MediaError when it cannot be read."""
        tally = _CountingListener(listener)
        for moment in self.steps(path):
            for scores in moment.step.scores:
                tally.on_scores(scores)
            for event in moment.step.events:
                tally.on_event(event)
        return ReplaySummary(tally.windows, tally.events, seconds(tally.last_ns))

    def steps(self, path: Path) -> Iterator[ReplayStep]:
        """The steps of one recording; the last has the events that its end ended. MediaError when it cannot be read."""
        clock = VirtualClock(self._wall_start_ns)
        name = self._camera or camera_name(path)
        spec = self._config.cameras.get(name)
        options = SourceOptions(spec.privacy_masks if spec is not None else (), threads=DECODE_THREADS)
        geometry = self._model.manifest.geometry
        file = FileSourceConfig(type="file", path=path.absolute(), pace="fast")
        decode_clock = VirtualClock(self._wall_start_ns)  # items read ahead are stamped by their own time
        source = open_source(name, file, geometry, decode_clock, self._metrics, Path(), options)
        buffer = CameraBuffer(name, geometry, clock, self._config.windows, self._config.health, self._metrics)
        detector = Detector(self._config, self._manifest, clock, cameras=[name])
        if self._background is not None:
            detector.learn(self._background.thresholds(detector.rates()))
        self._model.reset(name)
        self._derivers.forget(name)
        pipeline = Pipeline(
            self._model, detector, {name: buffer}, clock, self._metrics, {name: False}, derivers=self._derivers
        )
        with closing(PrefetchingReader(source).items()) as items:
            for item in items:
                buffer.expect(video=source.has_video, audio=source.has_audio)
                clock.advance_to(item.arrival_ns)
                buffer.push(item)
                yield from _run_due(pipeline, clock)
        buffer.finish()
        yield from _run_due(pipeline, clock)
        yield ReplayStep(clock.mono_ns(), StepResult(events=pipeline.finish("end of recording")))


class _CountingListener:
    """Counts on the way to the listener."""

    def __init__(self, listener: ReplayListener) -> None:
        self._listener = listener
        self.windows = 0
        self.events = 0
        self.last_ns = 0

    def on_scores(self, scores: Scores) -> None:
        self.windows += 1
        self.last_ns = scores.media_end.position_ns
        self._listener.on_scores(scores)

    def on_event(self, event: Event) -> None:
        self.events += event.phase is Phase.BEGIN
        self._listener.on_event(event)


def _run_due(pipeline: Pipeline, clock: VirtualClock) -> Iterator[ReplayStep]:
    while pipeline.has_due():
        yield ReplayStep(clock.mono_ns(), pipeline.step())


class _EndOfItems:
    """The last item of the thread: the end, or the error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class PrefetchingReader:
    """The items of ``source``, read on another thread. A frame's pixels are valid until the next item, as always."""

    def __init__(self, source: MediaSource, most: int = PREFETCHED_ITEMS) -> None:
        self._source = source
        self._queue: queue.Queue[MediaItem | _EndOfItems] = queue.Queue(most)
        self._stop = threading.Event()
        # One picture is written while ``most`` wait and one is processed.
        self._pixels: list[U8] = []
        self._n_pixels = most + 2
        self._turn = 0

    def items(self) -> Generator[MediaItem, None, None]:
        """All items in order; an error of the source is raised here, after the items before it."""
        thread = threading.Thread(target=self._read, name="decode", daemon=True)
        thread.start()
        try:
            while not isinstance(item := self._queue.get(), _EndOfItems):
                yield item
            if item.error is not None:
                raise item.error
        finally:
            self._stop.set()
            self._source.close()
            thread.join()

    def _read(self) -> None:
        try:
            with closing(self._source.items()) as items:
                for item in items:
                    if not self._put(self._copy(item) if isinstance(item, Frame) else item):
                        return
        except BaseException as error:  # noqa: BLE001 - raised again where the items are read
            self._put(_EndOfItems(error))
        else:
            self._put(_EndOfItems())

    def _copy(self, frame: Frame) -> Frame:
        """The frame with a copy of its pixels."""
        if len(self._pixels) < self._n_pixels:
            self._pixels.append(np.empty_like(frame.image))
        pixels = self._pixels[self._turn % self._n_pixels]
        if pixels.shape != frame.image.shape:
            pixels = self._pixels[self._turn % self._n_pixels] = np.empty_like(frame.image)
        self._turn += 1
        np.copyto(pixels, frame.image)
        return replace(frame, image=pixels)

    def _put(self, item: MediaItem | _EndOfItems) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_PUT_TIMEOUT_S)
            except queue.Full:
                continue
            return True
        return False
