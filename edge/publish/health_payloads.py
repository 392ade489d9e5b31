"""The payload of the health topic: a node, its load, and its cameras. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from edge.clock import iso8601
from edge.publish.payloads import SCHEMA, SchemaVersion, rounded, rounded_or_none
from edge.status import CameraStatus, HeldBack, StreamStatus


@dataclass(frozen=True, slots=True)
class StreamPayload:
    """Measured health of a picture or sound stream; null where nothing was measured yet."""

    age_s: float | None
    rate_hz: float
    level: float | None
    quiet_s: float
    frozen_s: float
    drift_ppm: float | None


@dataclass(frozen=True, slots=True)
class SensorPayload:
    """The newest reading of a configured sensor; null before the first. A stale one is not looked at any more."""

    value: float | None
    unit: str
    age_s: float | None
    stale: bool


@dataclass(frozen=True, slots=True)
class DecodingPayload:
    """Which of a camera's pictures are decoded: ``quiet``: key pictures alone; ``waking``: those that were kept, after
    the fact; ``awake``: all; ``limited``: key pictures alone although something happens, because the box is behind.

    ``reason`` is why it is awake or last was, ``text`` the same for people. ``key_pictures_s``: the distance of key
    pictures. ``every``: of a quiet camera every so many-th key picture is looked at.
    """

    state: Literal["quiet", "waking", "awake", "limited"]
    reason: str
    text: str
    key_pictures_s: float | None
    every: int


@dataclass(frozen=True, slots=True)
class CameraPayload:
    """Measured health of one camera; ``video`` or ``audio`` is null where it is not expected.

    ``hop_s``: every how many seconds it is looked at, more than the model's own while the box cannot keep up.
    ``sensors``: by name. ``held_back``: how many a limit on how often held back in the last hour, by label.
    ``decoding`` is null where every picture is decoded because the source or the configuration leaves no choice.
    """

    state: Literal["connecting", "up", "lost", "ended"]
    detail: str
    video: StreamPayload | None
    audio: StreamPayload | None
    av_offset_s: float | None
    drops: dict[str, int]
    hop_s: float
    sensors: dict[str, SensorPayload] = field(default_factory=dict)
    held_back: dict[str, int] = field(default_factory=dict)
    decoding: DecodingPayload | None = None


@dataclass(frozen=True, slots=True)
class LoadPayload:
    """Shares 0..1 of what the box can do, over the last seconds: of the processor's time, and of the time of what runs
    the model. What is left of the larger one is the room for more."""

    processor: float
    engine: float


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a node says of itself."""

    version: str
    model: str
    runtime: str
    uptime_s: float
    disk_free_bytes: int | None = None
    outbox_messages: int = 0
    details: dict[str, str] = field(default_factory=dict)
    load: LoadPayload | None = None


@dataclass(frozen=True, slots=True)
class HealthPayload:
    """The node and its cameras. ``held_back``: how many a limit on how often held back in the last hour, of all
    cameras."""

    schema: SchemaVersion
    site: str
    node: str
    time: str
    info: NodeInfo
    cameras: dict[str, CameraPayload]
    held_back: int = 0


def health_payload(
    site: str, node: str, wall_ns: int, info: NodeInfo, facts: Sequence[CameraStatus], held: Sequence[HeldBack] = ()
) -> dict[str, Any]:
    """The object published on ``health``."""
    limited: dict[str, dict[str, int]] = {f.camera: {} for f in facts}
    for one in held:
        if one.limited and one.camera in limited:
            limited[one.camera][one.label] = one.limited
    cameras = {f.camera: _camera(f, limited[f.camera]) for f in facts}
    total = sum(count for labels in limited.values() for count in labels.values())
    return asdict(HealthPayload(SCHEMA, site, node, iso8601(wall_ns), info, cameras, total))


def _camera(f: CameraStatus, held_back: dict[str, int]) -> CameraPayload:
    return CameraPayload(
        state=f.state.value,
        detail=f.detail,
        video=_stream(f.video),
        audio=_stream(f.audio),
        av_offset_s=rounded_or_none(f.av_offset_s),
        drops=dict(f.drops),
        hop_s=f.hop_s,
        sensors={
            s.name: SensorPayload(rounded_or_none(s.value), s.unit, rounded_or_none(s.age_s), s.is_stale)
            for s in f.sensors
        },
        held_back=held_back,
        decoding=_decoding(f),
    )


def _decoding(f: CameraStatus) -> DecodingPayload | None:
    status = f.decode
    if status is None:
        return None
    reason = status.reason
    return DecodingPayload(status.state.value, reason.value, reason.text, rounded_or_none(status.group_s), f.key_stride)


def _stream(s: StreamStatus | None) -> StreamPayload | None:
    if s is None:
        return None
    return StreamPayload(
        rounded_or_none(s.age_s),
        rounded(s.rate_hz),
        rounded_or_none(s.level),
        rounded(s.quiet_s),
        rounded(s.frozen_s),
        rounded_or_none(s.drift_ppm),
    )
