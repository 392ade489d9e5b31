"""USB and CSI cameras through OpenCV: a V4L2 device, or a GStreamer pipeline."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterator
from typing import Any, Protocol

import numpy as np

from edge.capture.base import DEFAULT_OPTIONS, PrivacyMask, SourceOptions
from edge.capture.packet_sink import JpegPacketFeed
from edge.capture.picture import FrameDecimator, content_rect, letterbox
from edge.clock import Clock
from edge.config.sources import V4l2SourceConfig
from edge.engine.manifest import Geometry
from edge.errors import SourceError
from edge.metrics import Metrics
from edge.types import NS_PER_MS, U8, Frame, LumaSample, MediaItem, Rect, seconds

_LUMA = np.array([0.114, 0.587, 0.299], np.float32)  # of B, G, R
_STALE_S = 5.0


class VideoCapture(Protocol):
    """The methods of ``cv2.VideoCapture`` that are used."""

    def read(self) -> tuple[bool, Any]: ...
    def get(self, prop: int) -> float: ...
    def set(self, prop: int, value: float) -> bool: ...
    def isOpened(self) -> bool: ...  # noqa: N802 - OpenCV's name
    def release(self) -> None: ...


class V4l2Camera:
    """A camera of this machine, without sound of its own."""

    def __init__(
        self,
        name: str,
        config: V4l2SourceConfig,
        geometry: Geometry,
        clock: Clock,
        metrics: Metrics,
        options: SourceOptions = DEFAULT_OPTIONS,
    ) -> None:
        self.name = name
        self.live = True
        self.has_video = False
        self.has_audio = False
        self._config = config
        self._g = geometry
        self._clock = clock
        self._mask = PrivacyMask(options.masks)
        self._feed = JpegPacketFeed(options.packet_sink) if options.packet_sink is not None else None
        self._frames = metrics.frames.labels(name)
        self._decode_s = metrics.decode_s.labels(name)
        self._stale = metrics.drops.labels(name, "stale")
        self._canvas: U8 = np.full((geometry.video.height, geometry.video.width, 3), geometry.video.pad, np.uint8)
        self._held: tuple[Any, int, int] | None = None
        self._closed = threading.Event()

    def items(self) -> Generator[MediaItem, None, None]:
        """Open and read until closed; SourceError when it cannot be opened, or stops delivering."""
        self._closed.clear()
        self._held = None
        capture = self._open()
        self.has_video = True
        try:
            yield from self._read(capture)
        finally:
            capture.release()

    def close(self) -> None:
        """Ask `items` to end with the next picture."""
        self._closed.set()

    def _read(self, capture: VideoCapture) -> Iterator[MediaItem]:
        decimator = FrameDecimator(self._g.frame_ns)
        chooser_is_new = True
        stamps = _FrameTimestamps()
        last_fresh_ns = self._clock.mono_ns()
        while not self._closed.is_set():
            ok, picture = capture.read()
            arrival_ns = self._clock.mono_ns()
            if not ok or picture is None:
                raise SourceError(f"{self._shown}: stopped delivering; is it still plugged in?")
            # An unplugged device returns its last pictures again, with success and the same time stamp.
            pts_ns = stamps.pts_ns(capture.get(0), arrival_ns)
            if pts_ns is None:
                self._stale.inc()
                if seconds(arrival_ns - last_fresh_ns) > _STALE_S:
                    raise SourceError(f"{self._shown}: gives the same picture over and over; plug it in again")
                continue
            last_fresh_ns = arrival_ns
            if chooser_is_new:
                decimator.restart(pts_ns)
                chooser_is_new = False
            yield from self._picture(picture, pts_ns, arrival_ns, decimator)

    def _picture(self, picture: Any, pts_ns: int, arrival_ns: int, decimator: FrameDecimator) -> Iterator[MediaItem]:
        self._frames.inc()
        if picture.ndim == 2:
            picture = np.repeat(picture[:, :, None], 3, axis=2)
        self._mask.apply(picture)
        if self._feed is not None:
            self._feed.push(picture, pts_ns, arrival_ns)
        luma = float((picture[::16, ::16].reshape(-1, 3) @ _LUMA).mean())
        take_held, take_now = decimator.choose(pts_ns)
        if take_held and self._held is not None:
            yield self._frame(*self._held)
        self._held = None if take_now else (picture, pts_ns, arrival_ns)
        if take_now:
            yield self._frame(picture, pts_ns, arrival_ns)
        yield LumaSample(pts_ns, arrival_ns, luma)

    def _frame(self, picture: Any, pts_ns: int, arrival_ns: int) -> Frame:
        started_ns = self._clock.mono_ns()
        content = self._scale(picture)
        self._decode_s.observe(seconds(self._clock.mono_ns() - started_ns))
        return Frame(pts_ns, arrival_ns, self._canvas, content)

    def _scale(self, picture: Any) -> Rect:
        import cv2

        v = self._g.video
        x, y, w, h = letterbox(picture.shape[1], picture.shape[0], v)
        small = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA)
        self._canvas[:] = v.pad
        cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=small)
        self._canvas[y : y + h, x : x + w] = small
        return content_rect(x, y, w, h, v)

    def _open(self) -> VideoCapture:
        import cv2

        c = self._config
        if c.pipeline is not None:
            if not has_gstreamer(cv2.getBuildInformation()):
                raise SourceError(
                    f"{self._shown}: this OpenCV was built without GStreamer (pip's is); use `device`, "
                    "or an OpenCV with GStreamer, such as JetPack's or Debian's python3-opencv"
                )
            capture: VideoCapture = cv2.VideoCapture(c.pipeline, cv2.CAP_GSTREAMER)
        else:
            assert c.device is not None
            device = int(c.device) if str(c.device).isdecimal() else c.device
            capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if not capture.isOpened():
            capture.release()
            raise SourceError(f"{self._shown}: cannot be opened; see `edge devices`, and is another program using it?")
        if c.pipeline is None:
            self._configure(capture)
        return capture

    def _configure(self, capture: VideoCapture) -> None:
        import cv2

        c = self._config
        if c.fourcc is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*c.fourcc))
        for prop, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, c.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, c.height),
            (cv2.CAP_PROP_FPS, c.fps),
        ):
            if value is not None:
                capture.set(prop, value)

    @property
    def _shown(self) -> str:
        return f"camera {self.name} ({self._config.device if self._config.pipeline is None else 'pipeline'})"


class _FrameTimestamps:
    """The driver's time stamps while they advance, else arrival."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._last_ms = 0.0
        self._advances = False

    def pts_ns(self, position_ms: float, arrival_ns: int) -> int | None:
        """``position_ms`` on an axis that starts at the first arrival; None for a repeated picture."""
        if self._first is None:
            self._first, self._last_ms = (position_ms, arrival_ns), position_ms
            return arrival_ns
        if position_ms > self._last_ms:
            self._advances, self._last_ms = True, position_ms
            return self._first[1] + round((position_ms - self._first[0]) * NS_PER_MS)
        return None if self._advances else arrival_ns


def has_gstreamer(build_information: str) -> bool:
    """Whether OpenCV's build information lists GStreamer."""
    return re.search(r"^\s*GStreamer:\s*YES", build_information, re.MULTILINE) is not None
