"""Parameters and shared state of requests: names, times, the backend, access, and values cached for all viewers."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from functools import partial
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
from fastapi import Depends, HTTPException, Path, Query, Request
from numpy.typing import NDArray

from edge.config.sources import NAME
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.traces import TraceStore
from edge.evidence.digest import Digest
from edge.types import F32, NS_PER_S, nanoseconds
from edge.web.access import Authenticator
from edge.web.backend import NodeBackend
from edge.web.live_media import JpegCache, LiveSpectrogram
from edge.web.responses import ErrorResponse

READ_SPAN_NS = 6 * 3600 * NS_PER_S
MOST_S = 9_000_000_000.0  # Unix seconds that fit 64 bits of nanoseconds
EVENT_ID = r"^[A-Za-z0-9_-]{1,64}$"
LABEL = r"^[a-z][a-z0-9_]{0,63}$"
EventId = Annotated[str, Path(pattern=EVENT_ID)]
PlaceName = Annotated[str, Path(pattern=NAME, max_length=64)]
LabelName = Annotated[str, Path(pattern=LABEL)]
LabelQuery = Annotated[str, Query(pattern=LABEL)]
Since = Annotated[float | None, Query(ge=0, le=MOST_S, allow_inf_nan=False, description="Unix seconds")]
UnixTime = Annotated[float, Query(ge=0, le=MOST_S, allow_inf_nan=False, description="Unix seconds")]


@dataclass(frozen=True, slots=True)
class LabelTrace:
    """One label's part of a trace: ``values`` f32[n,1], or [0,0] without ``names`` when there are none. ``labels`` are
    all labels with scores in the trace."""

    times_ns: NDArray[np.int64]
    names: tuple[str, ...]
    values: F32
    labels: tuple[str, ...]


class AppState:
    """One application's shared parts."""

    MOST_STREAMS = 8
    CACHE_NS = 20 * NS_PER_S

    def __init__(self, box: NodeBackend, access: Authenticator) -> None:
        self.backend, self.authenticator = box, access
        self.drawing = threading.Lock()  # changes of drawings are made one after the other
        self.searching = threading.Lock()  # there is one text model
        self.streams = 0  # open MJPEG streams; used only on the event loop
        self._jpeg_caches: dict[str, JpegCache] = {}
        self._spectrograms: dict[str, LiveSpectrogram] = {}
        self._traces: OrderedDict[tuple[str, str, int, int], tuple[int, LabelTrace]] = OrderedDict()
        self._digest: tuple[tuple[int, int], int, Digest] | None = None
        self._lock = threading.Lock()

    @property
    def cached_traces(self) -> list[LabelTrace]:
        """What is remembered of traces that were read."""
        return [trace for _, trace in self._traces.values()]

    def jpeg_cache(self, camera: str) -> JpegCache:
        """The cache of the camera's encoded picture."""
        with self._lock:
            if camera not in self._jpeg_caches:
                self._jpeg_caches[camera] = JpegCache(partial(self.backend.live_frame, camera))
            return self._jpeg_caches[camera]

    def spectrogram(self, camera: str) -> LiveSpectrogram:
        """The live spectrogram of the camera."""
        with self._lock:
            if camera not in self._spectrograms:
                self._spectrograms[camera] = LiveSpectrogram(
                    partial(self.backend.sound, camera), self.backend.sound_rate_hz
                )
            return self._spectrograms[camera]

    def trace(self, traces: TraceStore, camera: str, label: str, since_ns: int, until_ns: int) -> LabelTrace:
        """The kept scores of a label; read again after 20 s, so that dragging a threshold does not read the disk."""
        key, now_ns = (camera, label, since_ns, until_ns), self.backend.clock.mono_ns()
        with self._lock:
            held = self._traces.get(key)
        if held is not None and now_ns - held[0] < self.CACHE_NS:
            return held[1]
        trace = _of_label(traces, camera, label, since_ns, until_ns)
        with self._lock:
            self._traces[key] = now_ns, trace
            while len(self._traces) > 2:
                self._traces.popitem(last=False)
        return trace

    def digest(self, since_ns: int, until_ns: int, make: Callable[[], Digest]) -> Digest:
        """The digest of a span; made again after 20 s, so that its text and pictures belong together."""
        now_ns, held = self.backend.clock.mono_ns(), self._digest
        if held is not None and held[0] == (since_ns, until_ns) and now_ns - held[1] < self.CACHE_NS:
            return held[2]
        made = make()
        self._digest = (since_ns, until_ns), now_ns, made
        return made


def _of_label(traces: TraceStore, camera: str, label: str, since_ns: int, until_ns: int) -> LabelTrace:
    """A label's column of a span, some hours at a time: eight days of all labels are hundreds of megabytes."""
    labels: dict[str, None] = {}
    times, columns = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for begin_ns in range(since_ns, until_ns, READ_SPAN_NS):
        part = traces.read(camera, begin_ns, min(begin_ns + READ_SPAN_NS, until_ns))
        there = np.flatnonzero(np.isfinite(part.values).any(axis=0))
        labels.update(dict.fromkeys(part.names[i] for i in there))
        if label in part.names:
            times.append(part.times_ns)
            columns.append(part.values[:, part.names.index(label)].copy())
    names = (label,) if len(columns) > 1 else ()
    values = np.concatenate(columns)[:, None] if names else np.zeros((0, 0), np.float32)
    return LabelTrace(np.concatenate(times), names, values, tuple(labels))


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
    shared: AppState = request.app.state.shared
    return shared


def _box(shared: Annotated[AppState, Depends(_state)]) -> NodeBackend:
    return shared.backend


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


def local_timezone(box: NodeBackend) -> tzinfo:
    """The time zone of the node."""
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
