"""Kept events over HTTP: list and search, one event, its files, and its mark."""

from __future__ import annotations

import mimetypes
import os
import stat
from datetime import datetime, tzinfo
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from edge.config.sources import NAME
from edge.errors import InputError
from edge.events.search import EventSearch, SearchResult
from edge.evidence.archive.records import EventQuery as Wanted
from edge.evidence.archive.records import EventRecord, FileKind, SearchHit
from edge.evidence.archive.store import EventStore
from edge.types import NS_PER_S, EventKind, nanoseconds
from edge.web.backend import NodeBackend
from edge.web.dependencies import (
    LABEL,
    RESPONSES,
    AppState,
    BackendDep,
    EventId,
    Since,
    StateDep,
    StoreDep,
    local_timezone,
)
from edge.web.responses import EventResponse, EventsResponse
from edge.web.serializers import event_response

router = APIRouter(prefix="/api/events", responses=RESPONSES, tags=["events"])
Names = Annotated[list[Annotated[str, Field(pattern=NAME)]], Query(max_length=64)]
Labels = Annotated[list[Annotated[str, Field(pattern=LABEL)]], Query(max_length=64)]
Cursor = Annotated[
    str | None, Query(pattern=r"^([0-9]{1,18}|[1-8][0-9]{18})$", description="`next` of the page before")
]


class MarkRequest(BaseModel):
    """A user's verdict on an event; null removes it."""

    model_config = ConfigDict(extra="forbid")

    verdict: Literal["true", "false"] | None
    note: Annotated[str, Field(max_length=500)] = ""


@router.get("")
def list_events(
    box: BackendDep,
    shared: StateDep,
    store: StoreDep,
    text: Annotated[str, Query(max_length=200, description="what to search for, in words")] = "",
    camera: Names = [],  # noqa: B006 - FastAPI copies defaults
    label: Labels = [],  # noqa: B006
    zone: Names = [],  # noqa: B006
    kind: Literal["event", "health"] | None = None,
    since: Since = None,
    until: Since = None,
    marked: Literal["true", "false", "none"] | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Cursor = None,
) -> EventsResponse:
    """Events, newest first; with a text, best first."""
    narrowed = Wanted(
        cameras=tuple(camera),
        labels=tuple(label),
        zones=tuple(zone),
        kinds=(EventKind(kind),) if kind else (),
        since_ns=None if since is None else nanoseconds(since),
        until_ns=None if until is None else nanoseconds(until),
        marked=marked,
        limit=limit,
        before_ns=None if before is None else int(before),
    )
    words = text.replace("\0", " ").strip()
    answer = _searched(box, shared, store, words, narrowed) if words else SearchResult(store.find(narrowed), narrowed)
    found = answer.hits
    is_more = len(found) == limit and not answer.query.text
    search_text = _understood(answer, local_timezone(box)) if words else ""
    following = str(found[-1].record.begin_ns) if is_more else None
    return EventsResponse([event_response(one) for one in found], following, search_text)


@router.get("/{event_id}")
def get_event(store: StoreDep, event_id: EventId) -> EventResponse:
    """One event with all its details."""
    return event_response(SearchHit(_record(store, event_id), 0.0))


@router.post("/{event_id}/mark")
def mark_event(store: StoreDep, event_id: EventId, mark: MarkRequest, request: Request) -> EventResponse:
    """Mark an event as correct (true), or as a false alarm (false)."""
    _record(store, event_id)
    note = "".join(c if c.isprintable() else " " for c in mark.note).strip()
    try:
        record = store.mark(event_id, mark.verdict, by=f"page:{request.state.user}", note=note)
    except InputError as error:
        raise HTTPException(404, str(error)) from error
    return event_response(SearchHit(record, 0.0))


@router.get("/{event_id}/clip.mp4", response_class=FileResponse)
def clip(box: BackendDep, store: StoreDep, event_id: EventId, download: bool = False) -> FileResponse:
    """The clip; HTTP ranges are supported."""
    return _file(box, store, event_id, "clip", download)


@router.get("/{event_id}/snapshot.jpg", response_class=FileResponse)
def snapshot(box: BackendDep, store: StoreDep, event_id: EventId, download: bool = False) -> FileResponse:
    """The picture of the event's strongest moment."""
    return _file(box, store, event_id, "snapshot", download)


@router.get("/{event_id}/thumbnail.jpg", response_class=FileResponse)
def thumbnail(box: BackendDep, store: StoreDep, event_id: EventId, download: bool = False) -> FileResponse:
    """The thumbnail of the snapshot."""
    return _file(box, store, event_id, "thumbnail", download)


@router.get("/{event_id}/spectrogram.png", response_class=FileResponse)
def spectrogram(box: BackendDep, store: StoreDep, event_id: EventId, download: bool = False) -> FileResponse:
    """The spectrogram of the clip's sound."""
    return _file(box, store, event_id, "spectrogram", download)


def _searched(box: NodeBackend, shared: AppState, store: EventStore, words: str, narrowed: Wanted) -> SearchResult:
    config = box.loaded.config
    zones = {zone for camera in config.cameras.values() for zone in camera.zones}
    with shared.searching:
        search = EventSearch(
            store,
            local_timezone(box),
            cameras=config.cameras,
            zones=zones,
            labels=box.labels(),
            meaning=box.sentence_embedder(),
        )
        return search.find(words, box.clock.wall_ns(), narrowed)


def _understood(answer: SearchResult, tz: tzinfo) -> str:
    """How a search was understood, so that users see why an event is missing."""
    query = answer.query
    names = [*query.labels, *query.cameras, *query.zones]
    parts = [", ".join(name.replace("_", " ") for name in names)] if names else []
    for word, ns in (("from", query.since_ns), ("until", query.until_ns)):
        if ns is not None:
            parts.append(f"{word} {datetime.fromtimestamp(ns // NS_PER_S, tz):%a %d %b %H:%M}")
    if query.text:
        parts.append(f"in words: {query.text}")
    description = f"Looked for {'; '.join(parts)}." if parts else ""
    return f"{description} {answer.notice.capitalize()}.".strip() if answer.notice else description


def _record(store: EventStore, event_id: str) -> EventRecord:
    record = store.get(event_id)
    if record is None:
        raise HTTPException(404, f"there is no event {event_id!r}; it may have been removed with age")
    return record


def _file(box: BackendDep, store: EventStore, event_id: str, kind: FileKind, download: bool) -> FileResponse:
    """A kept file, if it is in the evidence folder and still exists."""
    record = _record(store, event_id)
    file = record.files.get(kind)
    folder = box.evidence.resolve()
    path = (folder / file.path).resolve() if file is not None else folder
    if file is None or not path.is_relative_to(folder):
        raise HTTPException(404, f"event {event_id!r} has no {kind}")
    try:
        found = os.stat(path)
    except OSError as error:
        raise HTTPException(404, f"the {kind} of event {event_id!r} is no longer kept") from error
    if not stat.S_ISREG(found.st_mode):
        raise HTTPException(404, f"event {event_id!r} has no {kind}")
    name = f"{record.camera}-{record.label}-{event_id}{path.suffix}" if download else None
    return FileResponse(path, media_type=mimetypes.guess_type(path.name)[0], filename=name, stat_result=found)
