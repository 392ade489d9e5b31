"""Measured health of cameras, their streams and sensors, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


class SourceState(str, Enum):
    """What a source is doing."""

    CONNECTING = "connecting"
    UP = "up"
    LOST = "lost"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """Measured health of one elementary stream at one moment; None where nothing was measured yet.

    ``level`` is mean luma (0..255) for video and the loudest recent dBFS for audio; ``quiet_s`` says for how long
    the stream has been dark (video) or below the silence level (audio), ``frozen_s`` for how long nothing changed.
    """

    age_s: float | None
    rate_hz: float
    level: float | None
    quiet_s: float
    frozen_s: float
    drift_ppm: float | None


@dataclass(frozen=True, slots=True)
class SensorStatus:
    """The newest reading of one configured sensor, ``age_s`` old; both None before the first. ``is_stale``: too old to
    be looked at, as ``stale_s`` says."""

    name: str
    unit: str
    value: float | None
    age_s: float | None
    is_stale: bool


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """Measured health of one camera at ``now_ns``; ``video`` or ``audio`` is None where it is not expected.

    ``av_offset_s`` is sound minus picture, measured on flashes that come with a bang; None until one was seen.
    ``hop_s`` is how far apart the windows are that are looked at; ``is_thinned``: further than the model would have it.
    ``sensors`` are those that are configured.
    """

    camera: str
    now_ns: int
    state: SourceState
    detail: str
    video: StreamStatus | None
    audio: StreamStatus | None
    av_offset_s: float | None
    drops: Mapping[str, int]
    hop_s: float = 0.0
    is_thinned: bool = False
    sensors: Sequence[SensorStatus] = ()
