"""A camera's whole way with a model that reads numbers: source, buffer, pipeline, evidence. Real but for the model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from conformance.numbered import SIZE, THING, number_of, place_of
from scripted_model import ScriptedModel

from edge.buffer.camera import CameraBuffer
from edge.clock import VirtualClock
from edge.config import Config, parse
from edge.detect.detector import Detector
from edge.engine.manifest import Manifest
from edge.engine.model import ModelOutput
from edge.evidence.archive.records import EventQuery, EventRecord
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.traces import TraceStore
from edge.evidence.clips.packet_ring import PacketRing
from edge.evidence.recorder import Recorder
from edge.media_time import MediaTime
from edge.metrics import Metrics
from edge.node.inputs import without_letterbox
from edge.pipeline import Pipeline, StepResult
from edge.types import U8, Box, Contribution, Event, MediaItem, Phase, Scores, Window

MANIFEST = Manifest.model_validate(
    {
        "schema": 1,
        "name": "reader",
        "version": "1",
        "file": "none.onnx",
        "sha256": "0" * 64,
        "licence": "Apache-2.0",
        "golden": {"file": "golden.npz", "sha256": "0" * 64, "atol": 1e-3, "rtol": 1e-3},
        "geometry": {
            "hop_s": 0.5,
            "video": {"fps": 4, "frames": 2, "width": SIZE[0] // 2, "height": SIZE[1] // 2},
            "audio": {"rate_hz": 16000, "window_s": 1.0},
            "memory": {"tokens": 4, "dim": 8},
        },
        "labels": [{"name": "person", "modalities": ["video"], "enter": 0.6, "leave": 0.4, "min_s": 0.0}],
        "classes": ["person"],
    }
)
_NOTHING = np.zeros(1, np.float32)


class NumberReader(ScriptedModel):
    """Stands in for `Model`: says "person" while the newest picture's number is wanted, and boxes the thing where that
    picture has it. ``read`` is the number by the moment at which the picture was taken."""

    def __init__(self, wanted: Collection[int]) -> None:
        from sim import empty_batch

        self.manifest, self.max_batch = MANIFEST, 1
        self.batch = empty_batch(MANIFEST.geometry)
        self.read: dict[MediaTime, int] = {}
        self._wanted = wanted

    def score(self, windows: Sequence[Window]) -> ModelOutput:
        return ModelOutput([self._one(window) for window in windows])

    def _one(self, window: Window) -> Scores:
        there = [i for i, ok in enumerate(window.video_ok) if ok]
        number, boxes = None, ()
        if there and window.picture is not None:
            number = self.read[window.picture] = number_of(self.batch.frames[window.row, there[-1]])
            boxes = (box_of(number),)
        value = 0.9 if number in self._wanted else 0.1
        return Scores(
            *(window.camera, window.seq, window.t_end_ns, window.media_end, {"person": value}),
            {"person": Contribution(2.0, 0.0, 0.0)},
            *(_NOTHING, boxes, {}, window.coverage, bool(there), window.audio_ok > 0.05, "reader 1"),
            content=window.content,
            picture=window.picture,
        )


def box_of(number: int) -> Box:
    """The thing's box in 0..1 of picture ``number``."""
    (x, y), (width, height) = place_of(number), SIZE
    return Box("person", 0.9, x / width, y / height, (x + THING) / width, (y + THING) / height)


@dataclass
class Rig:
    """One camera under a virtual clock; `push` its items, then `finish`."""

    folder: Path
    wanted: Collection[int]
    evidence: Mapping[str, Any] = field(default_factory=dict)
    live: bool = False

    def __post_init__(self) -> None:
        settings = {"before_s": 2, "after_s": 1, "keep_free_gb": 0, "digest": None, **self.evidence}
        self.config: Config = parse(
            "cameras: {cam: {source: {type: file, path: x}}}\n"
            "events: {person: {enter: 0.6, leave: 0.4, min_s: 0, merge_s: 0, cooldown_s: 0}}\n"
        ).config.model_copy(update={"evidence": None})
        self.config = Config.model_validate({**self.config.model_dump(exclude_unset=True), "evidence": settings})
        assert self.config.evidence is not None
        self.clock, self.metrics = VirtualClock(1_790_000_000_000_000_000), Metrics()
        self.store, self.traces = EventStore(self.folder, self.clock), TraceStore(self.folder, self.clock)
        self.tape = PacketRing(settings["before_s"], 1 << 28)
        geometry = MANIFEST.geometry
        self.buffer = CameraBuffer(
            *("cam", geometry, self.clock, self.config.windows, self.config.health, self.metrics),
            live=self.live,
            on_epoch=self.tape.start_epoch,
        )
        self.model = NumberReader(self.wanted)
        self.pipeline = Pipeline(
            self.model,  # type: ignore[arg-type]
            Detector(self.config, MANIFEST, self.clock),
            {"cam": self.buffer},
            self.clock,
            self.metrics,
            {"cam": self.live},
        )
        self.recorder = Recorder(
            *(self.config, self.config.evidence, self.store, self.traces, {"cam": self.tape}, self.clock),
            *(self.metrics, "reader 1"),
            live=self.picture,
        )
        self.events: list[Event] = []
        self.shown: list[tuple[int, int]] = []

    def picture(self, _camera: str, taken: MediaTime | None) -> U8 | None:
        found = self.buffer.newest_picture(taken)
        if found is None or (taken is not None and found.taken_at != taken):
            return None
        return without_letterbox(found.image, found.content)

    def push(self, item: MediaItem) -> None:
        """One item of the source, all windows that came due, and what evidence makes of them."""
        self.clock.advance_to(item.arrival_ns)
        self.buffer.push(item)
        self.drain()

    def drain(self) -> None:
        while self.pipeline.has_due():
            self._take(self.pipeline.step())
        self.recorder.step()

    def finish(self) -> None:
        """The media is over: what waits is written."""
        self.buffer.finish()
        self.drain()
        self._take(StepResult(events=self.pipeline.finish("end of recording")))
        for _ in range(100):
            self.clock.advance(500_000_000)
            self.recorder.step()
        self.recorder.close()

    def close(self) -> None:
        self.traces.close()
        self.store.close()

    @property
    def records(self) -> list[EventRecord]:
        """Events as kept, oldest first."""
        return sorted((found.record for found in self.store.find(EventQuery())), key=lambda r: r.begin_ns)

    def begun(self, event_id: str) -> Event:
        return next(e for e in self.events if e.id == event_id and e.phase is Phase.BEGIN)

    def read_at(self, time: MediaTime) -> int:
        """The number of the picture that the window ending at ``time`` showed."""
        taken = max(t for t in self.model.read if t.is_on(time) and t.pts_ns <= time.pts_ns + 10_000_000)
        return self.model.read[taken]

    def image(self, record: EventRecord, kind: Any) -> np.ndarray:
        return cv2.cvtColor(cv2.imread(str(self.folder / record.files[kind].path)), cv2.COLOR_BGR2RGB)

    def _take(self, step: StepResult) -> None:
        for scores in step.scores:
            live = self.picture("cam", scores.picture) if scores.picture is not None else None
            if live is not None and scores.picture is not None:
                self.shown.append((number_of(live), self.model.read[scores.picture]))
        self.events += step.events
        self.recorder.observe(step.scores, step.rules, step.events)
