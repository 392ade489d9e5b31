"""Measured health of cameras, their streams and sensors, as values.

What is held back: scores at or above their threshold that made no event, and why.
"""

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


class HoldReason(str, Enum):
    """Why a score at or above its threshold has no event of its own; in an order in which later ones count more.

    ``waiting``: it has not lasted for ``min_s`` or ``after_s``. ``merged``: it came again within ``merge_s``, so it is
    told with the open event. ``outside_zone``: nothing is where the rule wants it. ``not_agreed``: picture and sound
    do not both tell. ``low_coverage``: too little picture or sound is there to decide on.
    """

    MERGED = "merged"
    WAITING = "waiting"
    LOW_COVERAGE = "low_coverage"
    NOT_AGREED = "not_agreed"
    OUTSIDE_ZONE = "outside_zone"
    OUTSIDE_SCHEDULE = "outside_schedule"
    DISARMED = "disarmed"
    COOLDOWN = "cooldown"
    RATE_LIMITED = "rate_limited"

    @property
    def is_limit(self) -> bool:
        """Whether only a limit on how often stood in the way; else the rule did not hold."""
        return self in {HoldReason.COOLDOWN, HoldReason.RATE_LIMITED}


@dataclass(frozen=True, slots=True)
class HeldBack:
    """One label of one camera whose scores made no event, now or in the last hour.

    ``reason`` is None where nothing is held back now; else it holds since Unix time ``since_wall_ns``, with a ``score``
    of at least ``enter``. ``this_hour`` counts by reason what was over without an event in the last sixty minutes.
    """

    camera: str
    label: str
    enter: float
    this_hour: Mapping[HoldReason, int]
    reason: HoldReason | None = None
    since_wall_ns: int = 0
    score: float = 0.0

    @property
    def reasons(self) -> frozenset[HoldReason]:
        """Those of now and of the last hour."""
        return frozenset(self.this_hour) | (frozenset() if self.reason is None else {self.reason})

    @property
    def limited(self) -> int:
        """How many of the hour would have been events but for a limit on how often."""
        return sum(count for reason, count in self.this_hour.items() if reason.is_limit)
