"""Runs recordings through the pipeline, on one thread, under a virtual clock that follows the media.

A second thread decodes ahead, bounded; its items are processed in order, so that the result is the same each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from edge.buffer.camera import CameraBuffer
from edge.capture.base import SourceOptions
from edge.capture.registry import open_source
from edge.clock import VirtualClock
from edge.config import Config
from edge.config.sources import CameraConfig, FileSourceConfig
from edge.demand import PictureDemand
from edge.detect.background import BackgroundDistribution
from edge.detect.derived import DeriverChain
from edge.detect.detector import Detector
from edge.engine.model import Model
from edge.metrics import Metrics
from edge.pipeline import Pipeline, StepResult
from edge.replay.prefetch import PrefetchingReader
from edge.types import Event, Phase, Scores, seconds

DECODE_THREADS = 2
"""Threads that decode a recording's pictures, beside the thread that processes them."""


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
    ``decoding`` is which pictures are decoded; unless given, as the configuration has it for the camera, and on demand
    for recordings of no camera. Of ``stride`` windows one is scored, as on a box that has more cameras than it can
    look at.
    """

    def __init__(
        self,
        config: Config,
        model: Model,
        wall_start_ns: int = 0,
        derivers: DeriverChain | None = None,
        background: BackgroundDistribution | None = None,
        camera: str | None = None,
        decoding: Literal["on_demand", "all"] | None = None,
        stride: int = 1,
    ) -> None:
        self._config = config
        self._decoding, self._stride = decoding, stride
        self._camera = camera
        self._model = model
        self._derivers = derivers or DeriverChain()
        self._background = background
        self._manifest = model.manifest.with_labels(self._derivers.labels)
        self._wall_start_ns = wall_start_ns
        self._metrics = Metrics()

    @property
    def metrics(self) -> Metrics:
        """Counters of capture and buffers, over all recordings so far."""
        return self._metrics

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
        demand = PictureDemand() if self._is_on_demand(spec) else None
        options = SourceOptions(spec.privacy_masks if spec is not None else (), threads=DECODE_THREADS, demand=demand)
        geometry = self._model.manifest.geometry
        file = FileSourceConfig(type="file", path=path.absolute(), pace="fast")
        decode_clock = VirtualClock(self._wall_start_ns)  # items read ahead are stamped by their own time
        source = open_source(name, file, geometry, decode_clock, self._metrics, Path(), options)
        buffer = CameraBuffer(
            *(name, geometry, clock, self._config.windows, self._config.health, self._metrics), demand=demand
        )
        buffer.set_stride(self._stride)
        detector = Detector(self._config, self._manifest, clock, cameras=[name])
        detector.set_stride(name, self._stride)
        if self._background is not None:
            detector.learn(self._background.thresholds(detector.rates()))
        self._model.reset(name)
        self._derivers.forget(name)
        pipeline = Pipeline(
            self._model, detector, {name: buffer}, clock, self._metrics, {name: False}, derivers=self._derivers
        )
        with closing(PrefetchingReader(source, demand).items()) as items:
            for item in items:
                buffer.expect(video=source.has_video, audio=source.has_audio)
                clock.advance_to(item.arrival_ns)
                buffer.push(item)
                yield from _run_due(pipeline, clock)
        buffer.finish()
        yield from _run_due(pipeline, clock)
        yield ReplayStep(clock.mono_ns(), StepResult(events=pipeline.finish("end of recording")))

    def _is_on_demand(self, camera: CameraConfig | None) -> bool:
        if self._decoding is not None:
            return self._decoding == "on_demand"
        return camera is None or camera.decodes_on_demand


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
