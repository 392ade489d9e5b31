"""What the API answers with, as types: OpenAPI is made from them. Times are ISO 8601 in UTC and, as ``..._s``, Unix
seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.clock import iso8601
from edge.detect.thresholds import Effective
from edge.evidence.records import Found, Record
from edge.types import Box, CameraFacts, Contribution, Event, StreamFacts, seconds
from edge.web.box import Moment


@dataclass(frozen=True, slots=True)
class Error:
    """Why it was not done, in a sentence."""

    error: str


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, in a sentence."""

    done: str


@dataclass(frozen=True, slots=True)
class SeenObject:
    """One object in the picture; corners in 0..1 of the camera's picture."""

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Shares:
    """What each modality added to the label's logit."""

    video: float
    audio: float
    sensors: float


@dataclass(frozen=True, slots=True)
class MarkAnswer:
    """What a person said of an event."""

    verdict: str
    by: str
    time: str
    note: str


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """One kept file and where to get it."""

    url: str
    size: int
    facts: dict[str, float | str]


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """One kept event. ``score`` is how well a search found it, 0 without one."""

    id: str
    camera: str
    kind: str
    label: str
    severity: str
    begin: str
    end: str | None
    begin_s: float
    end_s: float | None
    duration_s: float | None
    peak: float
    threshold: float
    why: str
    zones: list[str]
    contribution: Shares | None
    boxes: list[SeenObject]
    tags: dict[str, float]
    model: str
    caption: str
    mark: MarkAnswer | None
    files: dict[str, FileAnswer]
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class EventsAnswer:
    """A page of events; ``next`` is the ``before`` of the following page. ``understood``: how a search was read."""

    events: list[EventAnswer]
    next: str | None
    understood: str = ""


@dataclass(frozen=True, slots=True)
class ThresholdAnswer:
    """What holds for one camera and label; ``origins`` says where each value came from."""

    camera: str
    label: str
    enter: float
    leave: float
    min_s: float
    merge_s: float
    cooldown_s: float
    most_per_hour: int
    severity: str
    enabled: bool
    origins: dict[str, str]


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """Measured health of one stream; null where nothing was measured yet."""

    age_s: float | None
    rate_hz: float
    level: float | None
    quiet_s: float
    frozen_s: float
    drift_ppm: float | None


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """Measured health of one camera."""

    camera: str
    state: str
    detail: str
    video: StreamAnswer | None
    audio: StreamAnswer | None
    av_offset_s: float | None
    drops: dict[str, int]


@dataclass(frozen=True, slots=True)
class EvidenceAnswer:
    """What is kept: how many events, how many bytes, and the limits."""

    events: int
    bytes: int | None
    keep_days: float
    keep_gb: float


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """The node and its cameras."""

    id: str
    site: str
    time: str
    version: str
    model: str
    runtime: str
    uptime_s: float
    disk_free_bytes: int
    outbox_messages: int
    broker: str
    details: dict[str, str]
    evidence: EvidenceAnswer | None
    cameras: list[CameraHealth] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CameraAnswer:
    """One camera as it is configured."""

    name: str
    picture: bool
    sound: bool
    armed: bool
    zones: dict[str, list[tuple[float, float]]]
    lines: dict[str, list[tuple[float, float]]]
    masks: list[list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """Who this box is and what it looks at."""

    id: str
    site: str
    version: str
    model: str
    cameras: list[CameraAnswer]
    labels: list[str]
    zones: list[str]
    keeps_evidence: bool
    blurred: list[str]


def finite(value: float | None, digits: int = 4) -> float | None:
    """A number fit for JSON; None for what is none."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def number(value: float) -> float:
    """A number fit for JSON; 0 for what is none."""
    return finite(value) or 0.0


def event_answer(found: Found) -> EventAnswer:
    """A kept event as the API gives it."""
    r = found.record
    mark = None if r.mark is None else MarkAnswer(r.mark.verdict, r.mark.by, iso8601(r.mark.wall_ns), r.mark.note)
    return EventAnswer(
        id=r.id,
        camera=r.camera,
        kind=r.kind.value,
        label=r.label,
        severity=r.severity,
        begin=iso8601(r.begin_ns),
        end=None if r.end_ns is None else iso8601(r.end_ns),
        begin_s=round(seconds(r.begin_ns), 3),
        end_s=None if r.end_ns is None else round(seconds(r.end_ns), 3),
        duration_s=None if r.end_ns is None else round(seconds(r.end_ns - r.begin_ns), 3),
        peak=number(r.peak),
        threshold=number(r.threshold),
        why=r.why,
        zones=list(r.zones),
        contribution=_shares(r.contribution),
        boxes=[_seen(box) for box in r.boxes],
        tags={name: number(value) for name, value in r.tags},
        model=r.model,
        caption=r.caption,
        mark=mark,
        files=_files(r),
        score=number(found.score),
    )


def threshold_answer(e: Effective) -> ThresholdAnswer:
    """The values in force as the API gives them."""
    return ThresholdAnswer(
        camera=e.camera,
        label=e.label,
        enter=number(e.enter),
        leave=number(e.leave),
        min_s=e.min_s,
        merge_s=e.merge_s,
        cooldown_s=e.cooldown_s,
        most_per_hour=e.most_per_hour,
        severity=e.severity,
        enabled=e.enabled,
        origins={name: origin.value for name, origin in e.origins.items()},
    )


def camera_health(f: CameraFacts) -> CameraHealth:
    """A camera's facts as the API gives them."""
    return CameraHealth(
        f.camera,
        f.state.value,
        f.detail,
        _stream(f.video),
        _stream(f.audio),
        finite(f.av_offset_s),
        dict(f.drops),
    )


def told_event(event: Event) -> dict[str, Any]:
    """A phase of an event as the live stream tells it."""
    end_ns = None if event.end_ns is None else event.wall_begin_ns + event.end_ns - event.begin_ns
    return {
        "id": event.id,
        "camera": event.camera,
        "kind": event.kind.value,
        "label": event.label,
        "phase": event.phase.value,
        "severity": event.severity,
        "begin": iso8601(event.wall_begin_ns),
        "begin_s": round(seconds(event.wall_begin_ns), 3),
        "end": None if end_ns is None else iso8601(end_ns),
        "score": number(event.score),
        "peak": number(event.peak),
        "threshold": number(event.threshold),
        "why": event.why,
        "zones": list(event.zones),
    }


def told_moment(moment: Moment) -> dict[str, Any]:
    """Scores as the live stream tells them."""
    return {
        "camera": moment.camera,
        "time_s": round(seconds(moment.wall_ns), 3),
        "values": {name: finite(value, 3) for name, value in moment.values.items()},
        "boxes": [
            {"label": b.label, "score": finite(b.score, 2), "at": [finite(v, 3) for v in (b.x1, b.y1, b.x2, b.y2)]}
            for b in moment.boxes
        ],
    }


def _files(record: Record) -> dict[str, FileAnswer]:
    names = {"clip": "clip.mp4", "snapshot": "snapshot.jpg", "thumbnail": "thumbnail.jpg"}
    names["spectrogram"] = "spectrogram.png"
    return {
        kind: FileAnswer(f"/api/events/{record.id}/{names[kind]}", file.size, _told_facts(file.facts))
        for kind, file in record.files.items()
        if kind in names
    }


def _told_facts(facts: Mapping[str, float | str]) -> dict[str, float | str]:
    return {name: value if isinstance(value, str) else number(value) for name, value in facts.items()}


def _shares(c: Contribution | None) -> Shares | None:
    return None if c is None else Shares(number(c.video), number(c.audio), number(c.sensors))


def _seen(b: Box) -> SeenObject:
    return SeenObject(b.label, number(b.score), number(b.x1), number(b.y1), number(b.x2), number(b.y2))


def _stream(s: StreamFacts | None) -> StreamAnswer | None:
    if s is None:
        return None
    return StreamAnswer(
        finite(s.age_s, 2),
        number(s.rate_hz),
        finite(s.level, 1),
        number(s.quiet_s),
        number(s.frozen_s),
        finite(s.drift_ppm, 1),
    )
