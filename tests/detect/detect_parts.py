"""Scripts of scores and facts for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import media_times
import numpy as np

from edge.clock import VirtualClock
from edge.config import Config, parse
from edge.detect.detector import Detector
from edge.detect.thresholds import validate
from edge.engine.manifest import Manifest
from edge.status import CameraStatus, SourceState, StreamStatus
from edge.types import NS_PER_S, Box, Contribution, Event, Scores

HOP_NS = NS_PER_S // 2

MANIFEST = Manifest.model_validate(
    {
        "schema": 1,
        "name": "toy",
        "version": "1",
        "file": "toy.onnx",
        "sha256": "0" * 64,
        "licence": "Apache-2.0",
        "golden": {"file": "golden.npz", "sha256": "0" * 64, "atol": 1e-3, "rtol": 1e-3},
        "geometry": {
            "hop_s": 0.5,
            "video": {"fps": 4, "frames": 2, "width": 64, "height": 32},
            "audio": {"rate_hz": 8000, "window_s": 1.0},
            "sensors": [{"name": "temperature", "unit": "°C", "mean": 20, "std": 10}],
            "memory": {"tokens": 4, "dim": 8},
        },
        "labels": [
            {"name": "person", "modalities": ["video"], "enter": 0.6, "leave": 0.4, "min_s": 1.0},
            {"name": "glass_break", "modalities": ["audio", "sensors"], "enter": 0.6, "leave": 0.4, "min_s": 0.0},
            {"name": "fire", "modalities": ["video", "audio", "sensors"], "enter": 0.5, "leave": 0.3, "min_s": 2.0},
        ],
        "classes": ["person", "car"],
    }
)

YAML = "cameras: {gate: {source: {type: file, path: a.mp4}}, yard: {source: {type: file, path: b.mp4}}}\n"


PLACES = """
cameras:
  gate:
    source: {type: file, path: a.mp4}
    zones: {yard: [[0.5, 0], [1, 0], [1, 1], [0.5, 1]], path: [[0.7, 0], [1, 0], [1, 1], [0.7, 1]]}
    lines: {door: [[0.5, 1], [0.5, 0]]}
  hall: {source: {type: file, path: b.mp4}}
location: {timezone: UTC}
"""


def rules(events: str) -> Config:
    """A configuration with places and the given events, which fits the toy model."""
    made = parse(PLACES + events).config
    assert validate(made, MANIFEST) == []
    return made


def config(extra: str = "") -> Config:
    return parse(YAML + extra).config


def scores(t_s: float, values: Mapping[str, float], **changes: Any) -> Scores:
    """Scores of camera `gate` whose window ended at ``t_s``; sound and picture there, no sensors."""
    t_ns = round(t_s * NS_PER_S)
    given: dict[str, Any] = {
        "camera": "gate",
        "seq": t_ns // HOP_NS,
        "t_end_ns": t_ns,
        "media_end": media_times.at(t_ns + 7),
        "values": {"person": 0.0, "glass_break": 0.0, "fire": 0.0, **values},
        "contribution": {name: Contribution(0.2, 3.1, 0.0) for name in ("person", "glass_break", "fire")},
        "embedding": np.zeros(8, np.float32),
        "boxes": (Box("person", 0.9, 0.1, 0.1, 0.2, 0.5), Box("person", 0.8, 0.5, 0.1, 0.6, 0.5)),
        "tags": {"Shatter": 0.81, "Glass": 0.4},
        "coverage": 1.0,
        "video_ok": True,
        "audio_ok": True,
        "model": "toy 1",
    }
    return Scores(**{**given, **changes})


GOOD_VIDEO = StreamStatus(age_s=0.1, rate_hz=15, level=90, quiet_s=0, frozen_s=0, drift_ppm=3)
GOOD_AUDIO = StreamStatus(age_s=0.1, rate_hz=50, level=-30, quiet_s=0, frozen_s=0, drift_ppm=-4)


def facts(now_s: float, video: StreamStatus | None = GOOD_VIDEO, audio: StreamStatus | None = GOOD_AUDIO,
          state: SourceState = SourceState.UP, detail: str = "") -> CameraStatus:  # fmt: skip
    return CameraStatus("gate", round(now_s * NS_PER_S), state, detail, video, audio, None, {})


NIGHT_NS = 1_767_308_400 * NS_PER_S  # 2026-01-01 23:00 UTC


def at(x: float, y: float = 0.9, score: float = 0.9) -> Box:
    return Box("person", score, x - 0.04, y - 0.4, x + 0.04, y)


class Player:
    """Windows of camera `gate`, half a second apart."""

    def __init__(self, made: Config, wall_ns: int = NIGHT_NS) -> None:
        self.clock = VirtualClock(wall_ns)
        self.detector = Detector(made, MANIFEST, self.clock)
        self.n = 0

    def window(self, boxes: Iterable[Box] = (), **changes: Any) -> list[Event]:
        boxes = tuple(boxes)
        self.clock.advance_to(self.n * NS_PER_S // 2)
        values = {"person": 0.9 if boxes else 0.0, **changes.pop("values", {})}
        given_ = scores(self.n / 2, values, boxes=boxes, **changes)
        self.n += 1
        events = self.detector.scores(given_)
        self.seen = self.detector.rule_values(given_).values
        return events

    def walk(self, xs: Sequence[float], **changes: Any) -> list[Event]:
        return [event for x in xs for event in self.window([at(x)], **changes)]
