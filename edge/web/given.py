"""What requests may give: names, times and the box that answers."""

from __future__ import annotations

from datetime import datetime, timezone, tzinfo
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Depends, HTTPException, Path, Query, Request

from edge.config.sources import NAME
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.traces import TraceStore
from edge.types import NS_PER_S, nanoseconds
from edge.web.answers import ErrorResponse
from edge.web.box import NodeBackend
from edge.web.rooms import AppState

MOST_S = 9_000_000_000.0  # Unix seconds that fit 64 bits of nanoseconds
EVENT_ID = r"^[A-Za-z0-9_-]{1,64}$"
LABEL = r"^[a-z][a-z0-9_]{0,63}$"

RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": text}
    for status, text in {
        400: "Not understood",
        401: "Log in first",
        403: "Not from there",
        404: "There is no such thing",
        409: "The configuration does not allow it",
        413: "Too long",
        422: "A value is wrong",
        429: "Too often",
        503: "Not now",
    }.items()
}


def _state(request: Request) -> AppState:
    rooms: AppState = request.app.state.rooms
    return rooms


def _box(rooms: Annotated[AppState, Depends(_state)]) -> NodeBackend:
    return rooms.backend


def _camera(
    box: Annotated[NodeBackend, Depends(_box)], camera: Annotated[str, Path(pattern=NAME, max_length=64)]
) -> str:
    if camera not in box.loaded.config.cameras:
        raise HTTPException(404, f"there is no camera {camera!r}; there is: {', '.join(box.loaded.config.cameras)}")
    return camera


def _store(box: Annotated[NodeBackend, Depends(_box)]) -> EventStore:
    if box.store is None:
        raise HTTPException(404, "no events are kept here: `evidence` is switched off in config.yaml")
    return box.store


def _traces(box: Annotated[NodeBackend, Depends(_box)]) -> TraceStore:
    if box.traces is None:
        raise HTTPException(404, "no scores are kept here: `evidence` is switched off in config.yaml")
    return box.traces


StateDep = Annotated[AppState, Depends(_state)]
BackendDep = Annotated[NodeBackend, Depends(_box)]
CameraName = Annotated[str, Depends(_camera)]
StoreDep = Annotated[EventStore, Depends(_store)]
TracesDep = Annotated[TraceStore, Depends(_traces)]
EventId = Annotated[str, Path(pattern=EVENT_ID)]
PlaceName = Annotated[str, Path(pattern=NAME, max_length=64)]
LabelName = Annotated[str, Path(pattern=LABEL)]
LabelQuery = Annotated[str, Query(pattern=LABEL)]
Since = Annotated[float | None, Query(ge=0, le=MOST_S, allow_inf_nan=False, description="Unix seconds")]
UnixTime = Annotated[float, Query(ge=0, le=MOST_S, allow_inf_nan=False, description="Unix seconds")]


def local_timezone(box: NodeBackend) -> tzinfo:
    """The hours that people at the box read."""
    name = box.loaded.config.location.timezone
    if name is not None:
        return ZoneInfo(name)
    now = datetime.fromtimestamp(box.clock.wall_ns() // NS_PER_S, timezone.utc)
    return now.astimezone().tzinfo or timezone.utc


def span_ns(since: float, until: float, longest_s: float) -> tuple[int, int]:
    """A span in ns; 409 when it is empty or too long."""
    if not 0 < until - since <= longest_s:
        raise HTTPException(409, f"until must be after since, by at most {longest_s / 86400:g} days")
    return nanoseconds(since), nanoseconds(until)
