"""Recordings and traces for the tests of tuning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from media_times import at

from edge.pipeline import StepResult
from edge.replay import ReplayStep
from edge.status import CameraStatus, SourceState, StreamStatus
from edge.tune.labels import LabelledSpan
from edge.tune.offline_detector import OfflineDetector
from edge.tune.sweep import TunedRecording
from edge.types import Box, Contribution, Scores

HOP_NS = 500_000_000
NOTHING = np.zeros(0, np.float32)


def window(k: int, values: dict[str, float], camera: str = "a", **other: object) -> Scores:
    t = (k + 1) * HOP_NS
    fields: dict[str, object] = {
        "contribution": {name: Contribution(0.1, value, 0.0) for name, value in values.items()},
        "embedding": NOTHING,
        "boxes": (Box("dog", 0.51, 0.1, 0.2, 0.3, 0.4),) if k % 2 else (),
        "tags": {"Bark": 0.25, "Speech": 0.5} if k % 3 else {},
        "coverage": 1.0,
        "video_ok": False,
        "audio_ok": True,
        "model": "fused 0",
    }
    return Scores(camera, k, t, at(t), values=values, **{**fields, **other})  # type: ignore[arg-type]


def facts(now_ns: int, camera: str = "a") -> CameraStatus:
    video = StreamStatus(None, 5.0, 101.5, 0.0, 0.0, None)
    return CameraStatus(camera, now_ns, SourceState.UP, "", video, None, None, {"late": 1})


def moments(values: Iterable[float | None], label: str = "dog_bark", camera: str = "a") -> list[ReplayStep]:
    """One window a hop; None where the microphone heard nothing that counts."""
    made = []
    for k, value in enumerate(values):
        scores = window(k, {label: value or 0.0}, camera, audio_ok=value is not None)
        made.append(ReplayStep((k + 1) * HOP_NS, StepResult([scores])))
    return made


def recording(
    judge: OfflineDetector, values: Sequence[float | None], spans: Sequence[LabelledSpan] = (), name: str = "a"
) -> TunedRecording:
    steps = moments(values)
    return TunedRecording(Path(f"{name}.wav"), "a", judge.detect(steps, "a"), tuple(spans), lambda: steps)


def barks(length: int, at: Sequence[int], value: float = 0.9, floor: float = 0.05) -> list[float | None]:
    """A trace of ``length`` windows with 2 s at ``value`` from each of ``at``."""
    made: list[float | None] = [floor] * length
    for k in at:
        made[k : k + 4] = [value] * 4
    return made
