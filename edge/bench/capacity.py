"""From two looks at the daemon to how many cameras a box holds, and what ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

USABLE = 0.9
"""Of the processors' time and of free memory: above this, what comes unevenly comes late."""

DECODING = ("decode", "scale", "sound", "gather")
MODEL = ("gate", "vision", "audio", "fusion", "model")
ENGINE = (*MODEL, "detect")


@dataclass(frozen=True, slots=True)
class CameraLoad:
    """What ``cameras`` cost together: CPU-ms a second in all, of the engine's thread and of decoding, and memory."""

    cameras: int
    cpu_ms: float
    engine_ms: float
    decoding_ms: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """``cameras`` fit; ``limit`` is what ends it; ``bounds`` how many would fit by each limit alone."""

    cameras: int
    limit: str
    bounds: Mapping[str, float]


def camera_load(cameras: int, stages: Mapping[str, float], rss_mb: float) -> CameraLoad:
    """From CPU-ms per camera-second by stage."""
    engine = sum(stages.get(stage, 0.0) for stage in ENGINE)
    decoding = sum(stages.get(stage, 0.0) for stage in DECODING)
    return CameraLoad(cameras, cameras * sum(stages.values()), cameras * engine, cameras * decoding, rss_mb)


def capacity(few: CameraLoad, more: CameraLoad, cores: int, free_mb: float, engine_threads: int = 1) -> Capacity:
    """How many cameras like these fit, by straight lines through two looks.

    ``free_mb`` is what the box has without the daemon; the model runs on ``engine_threads`` threads.
    """
    bounds = {
        "processor": _cameras_within(few.cpu_ms, more.cpu_ms, few, more, USABLE * 1000 * cores),
        "engine": _cameras_within(few.engine_ms, more.engine_ms, few, more, USABLE * 1000 * min(cores, engine_threads)),
        "memory": _cameras_within(few.rss_mb, more.rss_mb, few, more, USABLE * free_mb),
    }
    first = min(bounds, key=lambda name: bounds[name])
    if first == "processor":
        limit = "the model" if more.engine_ms >= more.decoding_ms else "decoding"
    else:
        limit = {"engine": "the model, on its one thread", "memory": "memory"}[first]
    if first == "engine" and engine_threads > 1:
        limit = "the model"
    return Capacity(max(0, int(bounds[first])), limit, bounds)


def _cameras_within(at_few: float, at_more: float, few: CameraLoad, more: CameraLoad, room: float) -> float:
    """Cameras until ``room`` is full; a cost that does not grow is taken to be all the cameras'."""
    slope = (at_more - at_few) / (more.cameras - few.cameras) if more.cameras != few.cameras else 0.0
    if slope <= 0.25 * at_more / more.cameras:  # noise of short looks, not a camera that costs next to nothing
        return room * more.cameras / at_more if at_more > 0 else float("inf")
    return (room - (at_more - slope * more.cameras)) / slope
