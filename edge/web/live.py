"""Live state over HTTP: updates as server-sent events, pictures and sound of each camera."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from edge.status import CameraStatus, HeldBack
from edge.types import Event
from edge.web.backend import LiveScores, NodeBackend
from edge.web.dependencies import RESPONSES, AppState, BackendDep, CameraName, StateDep
from edge.web.hub import Subscriber
from edge.web.live_media import BANDS, COLUMNS_HZ, JpegCache, band_edges
from edge.web.serializers import camera_health_response, finite, held_back_response, live_boxes, live_event, live_scores

router = APIRouter(prefix="/api", responses=RESPONSES, tags=["live"])
HEARTBEAT_S = 5.0
PICTURES_HZ = 8
After = Annotated[int, Query(ge=-1, le=2**53, description="number of the newest one that is known already")]
JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}}, "description": "The newest picture"},
    204: {"description": "None newer"},
}

PCM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "16-bit samples, at the rate in X-Edge-Rate"},
}


@dataclass(frozen=True, slots=True)
class SoundResponse:
    """``columns``: base64 of u8[n, bands], low bands first, 0 is -100 and 255 is 0 dBFS; ``levels`` in dBFS [n]."""

    next: int
    columns_hz: int
    bands: int
    edges_hz: list[float]
    columns: str
    levels: list[float]


@dataclass(frozen=True, slots=True)
class RecentScoresResponse:
    """The last minutes of one camera: ``values`` by label, one for each of ``times_s`` (Unix seconds)."""

    times_s: list[float]
    values: dict[str, list[float | None]]


@router.get("/live", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def live(box: BackendDep) -> StreamingResponse:
    """Updates as server-sent events: hello, scores, event, facts, held_back, changed; after missed comes another hello.
    Ends when the node stops."""
    listener = box.hub.subscribe(asyncio.get_running_loop())
    if listener is None:
        raise HTTPException(503, "too many pages are open; close one")
    return StreamingResponse(
        _event_stream(box, listener), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


@router.get("/cameras/{camera}/picture.jpg", response_class=Response, responses=JPEG)
def picture(shared: StateDep, camera: CameraName, after: After | None = None) -> Response:
    """The newest picture at the model's size; 204 when it is the one numbered ``after``. `X-Edge-Boxes` has the boxes
    detected in this picture."""
    jpeg = shared.jpeg_cache(camera).newest()
    if after is not None and (jpeg is None or jpeg.number == after):
        return Response(status_code=204)
    if jpeg is None:
        raise HTTPException(404, f"there is no picture of {camera!r} yet")
    headers = {"x-edge-number": str(jpeg.number), "x-edge-boxes": json.dumps(live_boxes(jpeg.boxes))}
    return Response(jpeg.data, media_type="image/jpeg", headers=headers)


@router.get(
    "/cameras/{camera}/live.mjpeg",
    response_class=StreamingResponse,
    responses={200: {"content": {"multipart/x-mixed-replace": {}}}},
)
async def mjpeg_stream(shared: StateDep, camera: CameraName) -> StreamingResponse:
    """An endless stream of pictures, for programs that read MJPEG."""
    if shared.streams >= shared.MOST_STREAMS:
        raise HTTPException(503, "too many look at moving pictures; close one")
    shared.streams += 1
    frames = _pictures(shared, shared.jpeg_cache(camera))
    return StreamingResponse(frames, media_type="multipart/x-mixed-replace; boundary=picture")


@router.get("/cameras/{camera}/sound")
def sound(box: BackendDep, shared: StateDep, camera: CameraName, after: After = -1) -> SoundResponse:
    """Level and spectrogram columns since ``after``, at most those of the last four seconds."""
    columns_since = shared.spectrogram(camera).columns(after)
    edges = [round(float(edge), 1) for edge in band_edges(box.sound_rate_hz)]
    columns = base64.b64encode(columns_since.bands.tobytes()).decode()
    return SoundResponse(columns_since.next, COLUMNS_HZ, BANDS, edges, columns, list(columns_since.levels))


@router.get("/cameras/{camera}/sound.pcm", response_class=Response, responses=PCM)
def listen(box: BackendDep, camera: CameraName, after: After = -1) -> Response:
    """The sound from sample ``after`` on, at most two seconds: 16 bits, little-endian, mono. `X-Edge-Next` has the
    number for the next request. Without `evidence.speech` it is silent where somebody may speak, and seconds late."""
    if box.loaded.config.cameras[camera].microphone == "none":
        raise HTTPException(404, f"{camera!r} has no sound")
    audio = box.live_audio(camera, after)
    samples = np.round(audio.samples.clip(-1.0, 1.0) * 32767).astype("<i2")
    headers = {"x-edge-next": str(audio.next), "x-edge-rate": str(box.sound_rate_hz)}
    return Response(samples.tobytes(), media_type="application/octet-stream", headers=headers)


@router.get("/cameras/{camera}/recent")
def recent(box: BackendDep, camera: CameraName) -> RecentScoresResponse:
    """The values of the rules in the last minutes."""
    moments = box.recent_scores(camera)
    names = sorted({name for moment in moments for name in moment.values})
    values = {name: [finite(moment.values.get(name), 3) for moment in moments] for name in names}
    return RecentScoresResponse([round(moment.wall_ns / 1e9, 3) for moment in moments], values)


async def _event_stream(box: NodeBackend, listener: Subscriber) -> AsyncIterator[bytes]:
    missed = 0
    try:
        yield _packed("hello", _hello(box))
        while not listener.closed:
            news = await listener.take(HEARTBEAT_S)
            if not news:
                yield b": still here\n\n"
            for one in news:
                yield _packed(one.kind, _to_json(one.value))
            if listener.missed != missed:
                missed = listener.missed
                yield _packed("missed", {"missed": missed})
                yield _packed("hello", _hello(box))
    finally:
        box.hub.unsubscribe(listener)


async def _pictures(shared: AppState, cache: JpegCache) -> AsyncIterator[bytes]:
    shown = -1
    try:
        while not shared.backend.hub.is_closed:
            jpeg = await run_in_threadpool(cache.newest)
            if jpeg is not None and jpeg.number != shown:
                shown = jpeg.number
                head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg.data)}\r\n\r\n"
                yield head.encode() + jpeg.data + b"\r\n"
            await asyncio.sleep(1 / PICTURES_HZ)
    finally:
        shared.streams -= 1


def _hello(box: NodeBackend) -> dict[str, Any]:
    return {
        "open": [live_event(event) for event in box.open_events()],
        "facts": [asdict(camera_health_response(facts)) for facts in box.facts()],
        "armed": dict(box.armed()),
        "held_back": [asdict(held_back_response(one)) for one in box.held_back()],
    }


def _to_json(value: object) -> Any:
    if isinstance(value, LiveScores):
        return live_scores(value)
    if isinstance(value, Event):
        return live_event(value)
    if isinstance(value, (list, tuple)):
        return [_to_json(one) for one in value]
    if isinstance(value, CameraStatus):
        return asdict(camera_health_response(value))
    if isinstance(value, HeldBack):
        return asdict(held_back_response(value))
    return value


def _packed(kind: str, value: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
