"""Thresholds over HTTP: those in force, score traces, near misses, and previews of other thresholds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edge.config.sources import NAME
from edge.detect.thresholds import EffectiveThreshold
from edge.errors import EdgeError, InputError
from edge.evidence.archive.records import EventQuery
from edge.tune.preview import preview_threshold
from edge.types import F32, nanoseconds, seconds
from edge.web.backend import NodeBackend
from edge.web.dependencies import (
    LABEL,
    RESPONSES,
    BackendDep,
    CameraName,
    LabelName,
    LabelQuery,
    Since,
    StateDep,
    StoreDep,
    TracesDep,
    UnixTime,
    span_ns,
)
from edge.web.responses import DoneResponse, ThresholdResponse
from edge.web.serializers import finite, number, threshold_response

router = APIRouter(prefix="/api", responses=RESPONSES, tags=["thresholds"])
LONGEST_S = 8 * 86400.0
MOST_SHOWN = 500
Level = Annotated[float, Query(gt=0, le=1, allow_inf_nan=False)]


class EnterRequest(BaseModel):
    """A new enter threshold; null goes back to the configured one."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    enter: Annotated[float, Field(gt=0, le=1)] | None


@dataclass(frozen=True, slots=True)
class TraceResponse:
    """The scores of one label: the highest and the lowest in each of equal parts of the span; null without windows.
    ``labels`` are those with scores in the span."""

    since_s: float
    until_s: float
    high: list[float | None]
    low: list[float | None]
    labels: list[str]


@dataclass(frozen=True, slots=True)
class PreviewEventResponse:
    """One event that a threshold would have made."""

    begin_s: float
    end_s: float
    peak: float


@dataclass(frozen=True, slots=True)
class PreviewResponse:
    """The events that a threshold would have given in a span: their ``total``, and the first 500.

    ``held_back`` counts by reason what would have been above the threshold without an event.
    """

    enter: float
    leave: float
    total: int
    covered_s: float
    events: list[PreviewEventResponse]
    held_back: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NearMissResponse:
    """A near miss: a score that stayed below ``enter``, the threshold of that time; ``thumbnail`` may be None."""

    camera: str
    label: str
    at_s: float
    value: float
    enter: float
    thumbnail: str | None


@router.get("/near-misses")
def near_misses(
    store: StoreDep,
    camera: Annotated[str | None, Query(pattern=NAME)] = None,
    label: Annotated[str | None, Query(pattern=LABEL)] = None,
    since: Since = None,
    until: Since = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 24,
) -> list[NearMissResponse]:
    """Near misses, newest first."""
    query = EventQuery(
        cameras=(camera,) if camera else (),
        labels=(label,) if label else (),
        since_ns=None if since is None else nanoseconds(since),
        until_ns=None if until is None else nanoseconds(until),
        limit=limit,
    )
    return [
        NearMissResponse(
            camera=one.camera,
            label=one.label,
            at_s=seconds(one.wall_ns),
            value=number(one.value),
            enter=number(one.enter),
            thumbnail=f"/api/near-misses/{one.number}/thumbnail.jpg" if one.thumbnail else None,
        )
        for one in store.near_misses(query)
    ]


@router.get("/near-misses/{near_miss}/thumbnail.jpg", response_class=Response)
def near_miss_thumbnail(store: StoreDep, near_miss: Annotated[int, Path(ge=1, le=2**62)]) -> Response:
    """The picture at its highest score, masked and blurred as snapshots are."""
    jpeg = store.near_miss_thumbnail(near_miss)
    if jpeg is None:
        raise HTTPException(404, "there is no picture of this moment; it may have been removed with age")
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/thresholds")
def thresholds(box: BackendDep) -> list[ThresholdResponse]:
    """All thresholds in force, with the origin of each value."""
    return [threshold_response(one) for one in box.thresholds()]


@router.put("/cameras/{camera}/thresholds/{label}")
def set_threshold(box: BackendDep, camera: CameraName, label: LabelName, request: EnterRequest) -> DoneResponse:
    """Like the MQTT command: in force at once and kept over restarts."""
    _in_force(box, camera, label)
    try:
        box.set_threshold(camera, label, request.enter)
    except InputError as error:
        raise HTTPException(409, str(error)) from error
    except EdgeError as error:
        raise HTTPException(503, str(error)) from error
    back = "follows the configuration again" if request.enter is None else f"is {request.enter:g} from now on"
    return DoneResponse(f"{camera}: the threshold of {label} {back}")


@router.get("/cameras/{camera}/trace")
def trace(
    shared: StateDep,
    traces: TracesDep,
    camera: CameraName,
    label: LabelQuery,
    since: UnixTime,
    until: UnixTime,
    points: Annotated[int, Query(ge=2, le=4000)] = 1200,
) -> TraceResponse:
    """The values that were compared with the threshold of a label, in ``points`` parts."""
    since_ns, until_ns = span_ns(since, until, LONGEST_S)
    kept = shared.trace(traces, camera, label, since_ns, until_ns)
    high: list[float | None] = [None] * points
    low = high
    if kept.names and len(kept.times_ns):
        high, low = _parts(kept.times_ns, kept.values[:, 0], since_ns, until_ns, points)
    return TraceResponse(since, until, high, low, list(kept.labels))


@router.get("/cameras/{camera}/preview")
def get_preview(
    box: BackendDep,
    shared: StateDep,
    traces: TracesDep,
    camera: CameraName,
    label: LabelQuery,
    since: UnixTime,
    until: UnixTime,
    enter: Level,
    leave: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
) -> PreviewResponse:
    """The events that there would have been; ``leave`` is two thirds of ``enter`` unless given, as for the command."""
    since_ns, until_ns = span_ns(since, until, LONGEST_S)
    rule = _in_force(box, camera, label)
    lower = round(enter * 2 / 3, 4) if leave is None else min(leave, enter)
    kept = shared.trace(traces, camera, label, since_ns, until_ns)
    if not kept.names:
        return PreviewResponse(enter, lower, 0, 0.0, [])
    found = preview_threshold(kept, label, replace(rule.limits, enter=enter, leave=lower))
    events = [
        PreviewEventResponse(seconds(e.begin_ns), seconds(e.end_ns), number(e.peak)) for e in found.events[:MOST_SHOWN]
    ]
    held = {reason.value: count for reason, count in found.held.items()}
    return PreviewResponse(enter, lower, len(found.events), _covered_s(kept.times_ns, kept.values[:, 0]), events, held)


def _in_force(box: NodeBackend, camera: str, label: str) -> EffectiveThreshold:
    for one in box.thresholds():
        if (one.camera, one.label) == (camera, label):
            return one
    raise HTTPException(404, f"{camera} has no threshold of {label!r}")


def _covered_s(times_ns: NDArray[np.int64], column: F32) -> float:
    """For how long there were scores, without gaps longer than five seconds."""
    there = times_ns[np.isfinite(column)]
    steps = np.diff(there) / 1e9
    return round(float(steps[steps <= 5.0].sum()), 1)


def _parts(
    times_ns: NDArray[np.int64], column: F32, since_ns: int, until_ns: int, points: int
) -> tuple[list[float | None], list[float | None]]:
    """Highest and lowest in each of ``points`` equal parts."""
    there = np.isfinite(column)
    part = ((times_ns[there] - since_ns) * points // (until_ns - since_ns)).clip(0, points - 1)
    high, low = np.full(points, -np.inf), np.full(points, np.inf)
    np.maximum.at(high, part, column[there])
    np.minimum.at(low, part, column[there])
    return [finite(float(v), 3) for v in high], [finite(float(v), 3) for v in low]
