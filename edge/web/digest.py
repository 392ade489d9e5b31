"""The digest of a span over HTTP: counts for each camera, notable events, and storyboards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from edge.clock import iso8601
from edge.evidence.archive.records import SearchHit
from edge.evidence.archive.store import EventStore
from edge.evidence.digest import Digest, make_digest
from edge.web.backend import NodeBackend
from edge.web.dependencies import (
    RESPONSES,
    AppState,
    BackendDep,
    CameraName,
    StateDep,
    StoreDep,
    UnixTime,
    local_timezone,
    span_ns,
)
from edge.web.responses import EventResponse
from edge.web.serializers import event_response

router = APIRouter(prefix="/api/digest", responses=RESPONSES, tags=["digest"])
LONGEST_S = 8 * 86400.0
JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "The sheet"}}


@dataclass(frozen=True, slots=True)
class LabelSummaryResponse:
    """One label on one camera: how often, when, and how users marked it."""

    camera: str
    label: str
    kind: str
    count: int
    first: str
    last: str
    peak: float
    marked_true: int
    marked_false: int


@dataclass(frozen=True, slots=True)
class DigestResponse:
    """The events that began in a span; ``storyboards`` by camera, if it has pictures."""

    text: str
    happened: list[LabelSummaryResponse]
    notable: list[EventResponse]
    storyboards: dict[str, str]


@router.get("")
def get_digest(box: BackendDep, shared: StateDep, store: StoreDep, since: UnixTime, until: UnixTime) -> DigestResponse:
    """The digest between two times, at most eight days apart."""
    made = _made(box, shared, store, since, until)
    happened = [
        LabelSummaryResponse(
            h.camera,
            h.label,
            h.kind.value,
            h.count,
            iso8601(h.first_ns),
            iso8601(h.last_ns),
            round(h.peak, 3),
            h.marked_true,
            h.marked_false,
        )
        for h in made.happened
    ]
    urls = {c: f"/api/digest/{c}/storyboard.jpg?since={since!r}&until={until!r}" for c in made.storyboards}
    return DigestResponse(made.text, happened, [event_response(SearchHit(r, 0.0)) for r in made.notable], urls)


@router.get("/{camera}/storyboard.jpg", response_class=Response, responses=JPEG)
def get_storyboard(
    box: BackendDep, shared: StateDep, store: StoreDep, camera: CameraName, since: UnixTime, until: UnixTime
) -> Response:
    """The storyboard of one camera's most notable events."""
    made = _made(box, shared, store, since, until)
    if camera not in made.storyboards:
        raise HTTPException(404, f"there are no pictures of {camera!r} from then")
    return Response(made.storyboards[camera], media_type="image/jpeg")


def _made(box: NodeBackend, shared: AppState, store: EventStore, since: float, until: float) -> Digest:
    since_ns, until_ns = span_ns(since, until, LONGEST_S)
    return shared.digest(since_ns, until_ns, lambda: make_digest(store, since_ns, until_ns, (), local_timezone(box)))
