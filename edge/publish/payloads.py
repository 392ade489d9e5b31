"""The published JSON objects as types; `edge.publish.schema` derives docs/schema/ from them. Pure.

UTF-8, snake_case, times in ISO 8601 UTC with milliseconds, a ``schema`` number in each. Keys are only added.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from edge.clock import iso8601
from edge.status import HeldBack
from edge.types import Box, Contribution, Event, Message, Scores, seconds

log = logging.getLogger(__name__)

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
        score=rounded(event.score),
        peak=rounded(event.peak),
        threshold=rounded(event.threshold),
        why=event.why,
        contribution=_contribution(event.contribution),
        boxes=[_box(box) for box in event.boxes],
        tags={name: rounded(value) for name, value in event.tags},
        model=model,
        zones=list(event.zones),
        evidence=evidence or EvidenceLinks(),
    )
    return asdict(payload)


def score_payload(scores: Scores, wall_ns: int) -> dict[str, Any]:
    """The object published on ``<camera>/score``."""
    values = {label: rounded(value) for label, value in scores.values.items()}
    payload = ScorePayload(SCHEMA, scores.camera, iso8601(wall_ns), values, rounded(scores.coverage), scores.model)
    return {
        field.name: getattr(payload, field.name) for field in fields(payload)
    }  # flat: `asdict` would copy every number


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


def from_saved(value: bytes | None, default: Any) -> Any:
    """A value that was saved as JSON; ``default`` without one, or where a flipped bit has made it unreadable."""
    if value is None:
        return default
    try:
        return json.loads(value)
    except ValueError as error:
        log.warning("a saved value is damaged and left out (%s): %.80r", error, value)
        return default


def json_message(
    topic: str, payload: Mapping[str, Any], *, qos: int = 1, retain: bool = False, key: str = ""
) -> Message:
    """A payload as a message."""
    return Message(topic, to_json(payload), qos, retain, key)


def rounded(value: float) -> float:
    """To four digits; 0 where it is not finite."""
    return round(float(value), 4) if math.isfinite(value) else 0.0


def rounded_or_none(value: float | None) -> float | None:
    """To four digits; None where it is not finite."""
    return None if value is None or not math.isfinite(value) else round(float(value), 4)


def _contribution(c: Contribution | None) -> ContributionPayload | None:
    return None if c is None else ContributionPayload(rounded(c.video), rounded(c.audio), rounded(c.sensors))


def _box(b: Box) -> BoxPayload:
    return BoxPayload(b.label, rounded(b.score), rounded(b.x1), rounded(b.y1), rounded(b.x2), rounded(b.y2))


def _held(one: HeldBack) -> HeldLabelPayload:
    this_hour = {reason.value: count for reason, count in one.this_hour.items()}
    if one.reason is None:
        return HeldLabelPayload(None, None, None, rounded(one.enter), this_hour)
    since = iso8601(one.since_wall_ns)
    return HeldLabelPayload(one.reason.value, since, rounded(one.score), rounded(one.enter), this_hour)
