"""Status as values: measured health of cameras, streams and sensors, and what is held back, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from edge.demand import DecodeStatus

AWAITS_TURN = "waits until other sources have connected"
"""The detail of a source that was not tried yet, because others connect first."""


class SourceState(str, Enum):
    """The state of a source."""

    CONNECTING = "connecting"
    UP = "up"
    LOST = "lost"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """Measured health of one elementary stream at one moment; None before the first measurement.

    ``level`` is mean luma (0..255) for video and the loudest recent dBFS for audio; ``quiet_s`` is how long the
    stream has been dark (video) or below the silence level (audio), ``frozen_s`` how long nothing has changed.
    """

    age_s: float | None
    rate_hz: float
    level: float | None
    quiet_s: float
    frozen_s: float
    drift_ppm: float | None


@dataclass(frozen=True, slots=True)
class SensorStatus:
    """The newest reading of one configured sensor, ``age_s`` old; both None before the first. ``is_stale``: older than
    ``stale_s``, so it is not used."""

    name: str
    unit: str
    value: float | None
    age_s: float | None
    is_stale: bool


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """Measured health of one camera at ``now_ns``; ``video`` or ``audio`` is None when it is not expected.

    ``av_offset_s`` is sound minus picture, measured on flashes with an onset; None before the first. ``hop_s`` is the
    time between scored windows; ``is_thinned``: longer than the model's hop, or the box decodes key pictures alone
    because it is behind. ``sensors`` are the configured ones.
    ``decode`` is which pictures are decoded, None where that is not on demand; ``key_stride``: of a quiet camera every
    so many-th key picture is looked at.
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
    decode: DecodeStatus | None = None
    key_stride: int = 1

    @property
    def awaits_turn(self) -> bool:
        """Whether the source was not tried yet, because others connect first."""
        return self.state is SourceState.CONNECTING and self.detail == AWAITS_TURN


class HoldReason(str, Enum):
    """Why a score at or above its threshold has no event of its own; later reasons count more.

    ``waiting``: it has not lasted for ``min_s`` or ``after_s``. ``merged``: it recurred within ``merge_s``, so it
    belongs to the open event. ``outside_zone``: no object is where the rule requires it. ``not_agreed``: picture and
    sound do not both support it. ``low_coverage``: there is too little picture or sound to decide.
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
        """Whether a rate limit held it back; else the rule did not hold."""
        return self in {HoldReason.COOLDOWN, HoldReason.RATE_LIMITED}


@dataclass(frozen=True, slots=True)
class HeldBack:
    """One label of one camera whose scores made no event, now or in the last hour.

    ``reason`` is None when nothing is held back now; else it applies since Unix time ``since_wall_ns``, with a
    ``score`` of at least ``enter``. ``this_hour`` counts by reason what ended without an event in the last hour.
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
