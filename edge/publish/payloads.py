"""The published JSON objects as types; `edge.publish.schema` derives docs/schema/ from them. Pure.

UTF-8, snake_case, times in ISO 8601 UTC with milliseconds, a ``schema`` number in each. Keys are only added.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from edge.clock import iso8601
from edge.status import CameraStatus, HeldBack, StreamStatus
from edge.types import Box, Contribution, Event, Message, Scores, seconds

SCHEMA: Literal[1] = 1
SchemaVersion = Literal[1]


@dataclass(frozen=True, slots=True)
class BoxPayload:
    """One object in the picture; corners in 0..1 of the camera's picture."""

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class ContributionPayload:
    """What each modality added to the label's logit; negative where it spoke against."""

    video: float
    audio: float
    sensors: float


@dataclass(frozen=True, slots=True)
class EvidenceLinks:
    """Where what is kept of an event will be: URLs, or paths where web.base_url is not set; null where nothing will be.

    They hold from the first message on; the files follow within seconds, a clip when the event has ended.
    """

    page: str | None = None
    clip: str | None = None
    snapshot: str | None = None
    thumbnail: str | None = None
    spectrogram: str | None = None


@dataclass(frozen=True, slots=True)
class EventPayload:
    """One phase of one event. ``id`` and ``seq`` together name the message: a repeated pair is a repeated delivery.

    ``duration_s`` and ``end`` are null until the event ended. ``why`` is one sentence for people.
    """

    schema: SchemaVersion
    id: str
    seq: int
    phase: Literal["begin", "update", "end"]
    kind: Literal["event", "health"]
    site: str
    node: str
    camera: str
    label: str
    severity: str
    begin: str
    end: str | None
    duration_s: float | None
    score: float
    peak: float
    threshold: float
    why: str
    contribution: ContributionPayload | None
    boxes: list[BoxPayload]
    tags: dict[str, float]
    model: str
    zones: list[str]
    evidence: EvidenceLinks


@dataclass(frozen=True, slots=True)
class ScorePayload:
    """All scores of one camera at one moment, at most once a second."""

    schema: SchemaVersion
    camera: str
    time: str
    scores: dict[str, float]
    coverage: float
    model: str


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
class HeldLabelPayload:
    """Why a label has no event although its score is above its threshold, and how often in the last hour.

    ``reason`` is null, as is ``since``, where nothing is held back now; ``this_hour`` counts by reason what was over
    without an event of its own.
    """

    reason: str | None
    since: str | None
    score: float | None
    enter: float
    this_hour: dict[str, int]


@dataclass(frozen=True, slots=True)
class HeldBackPayload:
    """What one camera's limits and rules hold back. ``this_hour`` counts what a limit on how often held back in the
    last hour (`most_per_hour`, `cooldown_s`); ``labels`` has every reason."""

    schema: SchemaVersion
    camera: str
    this_hour: int
    labels: dict[str, HeldLabelPayload]


@dataclass(frozen=True, slots=True)
class CameraPayload:
    """Measured health of one camera; ``video`` or ``audio`` is null where it is not expected.

    ``hop_s``: every how many seconds it is looked at, more than the model's own while the box cannot keep up.
    ``sensors``: by name. ``held_back``: how many a limit on how often held back in the last hour, by label.
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


@dataclass(frozen=True, slots=True)
class ThresholdPayload:
    """The thresholds in force for one label and where the upper one came from."""

    enter: float
    leave: float
    origin: str


@dataclass(frozen=True, slots=True)
class ThresholdsPayload:
    """What is in force for one camera."""

    schema: SchemaVersion
    camera: str
    armed: bool
    labels: dict[str, ThresholdPayload]


@dataclass(frozen=True, slots=True)
class ReplyPayload:
    """The answer to a command. ``correlation`` repeats the command's correlation data (or its ``id``) as text."""

    schema: SchemaVersion
    ok: bool
    topic: str
    reason: str
    correlation: str | None
    time: str


def event_payload(
    event: Event, site: str, node: str, model: str, seq: int = 0, evidence: EvidenceLinks | None = None
) -> dict[str, Any]:
    """The object published on ``<camera>/event``; ``seq`` counts the event's phases from 0."""
    end_ns = None if event.end_ns is None else event.wall_begin_ns + event.end_ns - event.begin_ns
    payload = EventPayload(
        schema=SCHEMA,
        id=event.id,
        seq=seq,
        phase=event.phase.value,
        kind=event.kind.value,
        site=site,
        node=node,
        camera=event.camera,
        label=event.label,
        severity=event.severity,
        begin=iso8601(event.wall_begin_ns),
        end=None if end_ns is None else iso8601(end_ns),
        duration_s=None if event.end_ns is None else round(seconds(event.end_ns - event.begin_ns), 3),
        score=_round(event.score),
        peak=_round(event.peak),
        threshold=_round(event.threshold),
        why=event.why,
        contribution=_contribution(event.contribution),
        boxes=[_box(box) for box in event.boxes],
        tags={name: _round(value) for name, value in event.tags},
        model=model,
        zones=list(event.zones),
        evidence=evidence or EvidenceLinks(),
    )
    return asdict(payload)


def score_payload(scores: Scores, wall_ns: int) -> dict[str, Any]:
    """The object published on ``<camera>/score``."""
    values = {label: _round(value) for label, value in scores.values.items()}
    payload = ScorePayload(SCHEMA, scores.camera, iso8601(wall_ns), values, _round(scores.coverage), scores.model)
    return {
        field.name: getattr(payload, field.name) for field in fields(payload)
    }  # flat: `asdict` would copy every number


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


def held_back_payload(camera: str, held: Sequence[HeldBack]) -> dict[str, Any]:
    """The object published on ``<camera>/held_back``, from that camera's part of ``held``."""
    own = [one for one in held if one.camera == camera]
    total = sum(one.limited for one in own)
    return asdict(HeldBackPayload(SCHEMA, camera, total, {one.label: _held(one) for one in own}))


def thresholds_payload(camera: str, armed: bool, labels: Mapping[str, ThresholdPayload]) -> dict[str, Any]:
    """The object published on ``<camera>/thresholds``."""
    return asdict(ThresholdsPayload(SCHEMA, camera, armed, dict(labels)))


def to_json(payload: Mapping[str, Any]) -> bytes:
    """A payload as UTF-8 JSON. ValueError for a number that JSON does not have (NaN, infinity)."""
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def json_message(
    topic: str, payload: Mapping[str, Any], *, qos: int = 1, retain: bool = False, key: str = ""
) -> Message:
    """A payload as a message."""
    return Message(topic, to_json(payload), qos, retain, key)


def _round(value: float) -> float:
    return round(float(value), 4) if math.isfinite(value) else 0.0


def _maybe(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 4)


def _contribution(c: Contribution | None) -> ContributionPayload | None:
    return None if c is None else ContributionPayload(_round(c.video), _round(c.audio), _round(c.sensors))


def _box(b: Box) -> BoxPayload:
    return BoxPayload(b.label, _round(b.score), _round(b.x1), _round(b.y1), _round(b.x2), _round(b.y2))


def _camera(f: CameraStatus, held_back: dict[str, int]) -> CameraPayload:
    return CameraPayload(
        state=f.state.value,
        detail=f.detail,
        video=_stream(f.video),
        audio=_stream(f.audio),
        av_offset_s=_maybe(f.av_offset_s),
        drops=dict(f.drops),
        hop_s=f.hop_s,
        sensors={s.name: SensorPayload(_maybe(s.value), s.unit, _maybe(s.age_s), s.is_stale) for s in f.sensors},
        held_back=held_back,
    )


def _held(one: HeldBack) -> HeldLabelPayload:
    this_hour = {reason.value: count for reason, count in one.this_hour.items()}
    if one.reason is None:
        return HeldLabelPayload(None, None, None, _round(one.enter), this_hour)
    since = iso8601(one.since_wall_ns)
    return HeldLabelPayload(one.reason.value, since, _round(one.score), _round(one.enter), this_hour)


def _stream(s: StreamStatus | None) -> StreamPayload | None:
    if s is None:
        return None
    return StreamPayload(
        _maybe(s.age_s), _round(s.rate_hz), _maybe(s.level), _round(s.quiet_s), _round(s.frozen_s), _maybe(s.drift_ppm)
    )
