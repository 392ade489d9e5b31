"""Converts the node's values to the API's answers, with numbers that JSON allows and readable times. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edge.clock import iso8601
from edge.demand import DecodeState
from edge.detect.thresholds import EffectiveThreshold
from edge.evidence.archive.records import EventRecord, SearchHit
from edge.status import CameraStatus, HeldBack, StreamStatus
from edge.types import Box, Contribution, Event, seconds
from edge.web.backend import LiveScores, NodeLoad
from edge.web.responses import (
    BoxResponse,
    CameraHealthResponse,
    ContributionResponse,
    EventResponse,
    FileLinkResponse,
    HeldBackResponse,
    LoadResponse,
    MarkResponse,
    SensorResponse,
    StreamResponse,
    ThresholdResponse,
)


def finite(value: float | None, digits: int = 4) -> float | None:
    """A number for JSON; None for NaN, infinity or None."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def number(value: float) -> float:
    """A number for JSON; 0 for NaN or infinity."""
    return finite(value) or 0.0


def event_response(found: SearchHit) -> EventResponse:
    """A kept event for the API."""
    r = found.record
    mark = None if r.mark is None else MarkResponse(r.mark.verdict, r.mark.by, iso8601(r.mark.wall_ns), r.mark.note)
    return EventResponse(
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
        boxes=[_box_response(box) for box in r.boxes],
        tags={name: number(value) for name, value in r.tags},
        model=r.model,
        caption=r.caption,
        mark=mark,
        files=_files(r),
        missing=dict(r.missing),
        score=number(found.score),
    )


def threshold_response(e: EffectiveThreshold) -> ThresholdResponse:
    """The values in force for the API."""
    return ThresholdResponse(
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
        limit=e.limit.value,
    )


def camera_health_response(f: CameraStatus) -> CameraHealthResponse:
    """A camera's health for the API."""
    return CameraHealthResponse(
        f.camera,
        f.state.value,
        f.detail,
        _stream(f.video),
        _stream(f.audio),
        finite(f.av_offset_s),
        dict(f.drops),
        [SensorResponse(s.name, s.unit, finite(s.value), finite(s.age_s, 1), s.is_stale) for s in f.sensors],
        _pictures(f),
    )


def load_response(load: NodeLoad | None) -> LoadResponse | None:
    """What the box is busy with, for the API."""
    if load is None:
        return None
    return LoadResponse(load.processor, load.engine, round(1.0 - max(load.processor, load.engine), 3))


def _pictures(f: CameraStatus) -> str:
    if f.decode is None:
        return ""
    if f.decode.state is DecodeState.LIMITED:
        return f"key pictures alone, because the box is busy, although {f.decode.reason.text}"
    if f.decode.state is not DecodeState.QUIET:
        return f"all are decoded: {f.decode.reason.text}"
    return "key pictures alone" if f.key_stride == 1 else f"one of {f.key_stride} key pictures alone: the box is busy"


def held_back_response(one: HeldBack) -> HeldBackResponse:
    """A held-back label for the API."""
    this_hour = {reason.value: count for reason, count in one.this_hour.items()}
    enter = number(one.enter)
    if one.reason is None:
        return HeldBackResponse(one.camera, one.label, None, None, None, enter, this_hour, one.limited)
    since_s = round(seconds(one.since_wall_ns), 3)
    return HeldBackResponse(
        one.camera, one.label, one.reason.value, since_s, number(one.score), enter, this_hour, one.limited
    )


def live_event(event: Event) -> dict[str, Any]:
    """A phase of an event for the live stream."""
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


def live_scores(moment: LiveScores) -> dict[str, Any]:
    """Scores for the live stream."""
    return {
        "camera": moment.camera,
        "time_s": round(seconds(moment.wall_ns), 3),
        "values": {name: finite(value, 3) for name, value in moment.values.items()},
        "boxes": live_boxes(moment.boxes),
    }


def live_boxes(boxes: Sequence[Box]) -> list[dict[str, Any]]:
    """Boxes for the page."""
    return [
        {"label": b.label, "score": finite(b.score, 2), "at": [finite(v, 3) for v in (b.x1, b.y1, b.x2, b.y2)]}
        for b in boxes
    ]


def _files(record: EventRecord) -> dict[str, FileLinkResponse]:
    names = {"clip": "clip.mp4", "snapshot": "snapshot.jpg", "thumbnail": "thumbnail.jpg"}
    names["spectrogram"] = "spectrogram.png"
    return {
        kind: FileLinkResponse(f"/api/events/{record.id}/{names[kind]}", file.size, _file_facts(file.facts))
        for kind, file in record.files.items()
        if kind in names
    }


def _file_facts(facts: Mapping[str, float | str]) -> dict[str, float | str]:
    return {name: value if isinstance(value, str) else number(value) for name, value in facts.items()}


def _shares(c: Contribution | None) -> ContributionResponse | None:
    return None if c is None else ContributionResponse(number(c.video), number(c.audio), number(c.sensors))


def _box_response(b: Box) -> BoxResponse:
    return BoxResponse(b.label, number(b.score), number(b.x1), number(b.y1), number(b.x2), number(b.y2))


def _stream(s: StreamStatus | None) -> StreamResponse | None:
    if s is None:
        return None
    return StreamResponse(
        finite(s.age_s, 2),
        number(s.rate_hz),
        finite(s.level, 1),
        number(s.quiet_s),
        number(s.frozen_s),
        finite(s.drift_ppm, 1),
    )
