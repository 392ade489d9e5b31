"""A GStreamer pipeline as a camera, for machines whose video unit only GStreamer reaches, such as a Jetson.

The pipeline decodes, and best also scales; samples of its appsinks become ``av`` frames. Runs on the capture thread.
GStreamer's Python binding (`gi`, PyGObject) belongs to the system's Python; a virtual environment of the same Python
version can use it.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import sysconfig
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edge.capture.base import DEFAULT_OPTIONS, PrivacyMask, SourceOptions
from edge.capture.normaliser import MediaNormaliser
from edge.capture.packet_sink import JpegPacketFeed
from edge.clock import Clock
from edge.config.sources import GstreamerSourceConfig
from edge.engine.manifest import Geometry
from edge.errors import SourceError
from edge.metrics import Metrics
from edge.types import NS_PER_MS, MediaItem, Stream, seconds

_WAIT_NS = 20 * NS_PER_MS  # sound is polled at least this often
_PICTURES = 4  # pictures that wait here before the pipeline blocks
_ADVICE = "try the pipeline with gst-launch-1.0, its appsinks replaced by fakesink"
_NAMESPACES = ("GLib", "Gst", "GstApp", "GstAudio", "GstVideo")
_SYSTEM = Path("/usr/lib/python3/dist-packages")
_MISSING = (
    "GStreamer's Python binding is missing: apt install python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 "
    "gstreamer1.0-plugins-good, and use the same Python version as the system's"
)
VIDEO_CAPS = "video/x-raw, format=(string){ NV12, I420 }"
AUDIO_CAPS = "audio/x-raw, format=(string)F32LE, layout=(string)interleaved"
_PIXELS = {"NV12": "nv12", "I420": "yuv420p"}
_FULL = {1: 2}  # GStreamer's 0..255 -> libav's full range


class GstreamerCamera:
    """A pipeline with ``appsink name=video`` (NV12 or I420), ``appsink name=audio`` (F32LE), or both.

    Times are the pipeline's running time. Error texts are GStreamer's short ones, without URLs: they may hold a
    password.
    """

    def __init__(
        self,
        name: str,
        config: GstreamerSourceConfig,
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
        self._clock = clock
        self._normaliser_args = (name, geometry, clock, metrics, options)
        self._feed = JpegPacketFeed(options.packet_sink) if options.packet_sink is not None else None
        self._mask = PrivacyMask(options.masks)
        self._closed = threading.Event()

    def items(self) -> Generator[MediaItem, None, None]:
        """Start the pipeline and read until closed; SourceError when it fails, ends, or delivers nothing."""
        self._closed.clear()
        ns = load_gstreamer()
        pipeline = self._parse(ns)
        try:
            sinks = self._sinks(ns, pipeline)
            self.has_video, self.has_audio = sinks[0] is not None, sinks[1] is not None
            pipeline.set_state(ns.Gst.State.PLAYING)
            yield from self._read(ns, pipeline, *sinks)
        finally:
            pipeline.set_state(ns.Gst.State.NULL)

    def close(self) -> None:
        """Make `items` end within a fraction of a second."""
        self._closed.set()

    def _read(self, ns: Any, pipeline: Any, video: Any, audio: Any) -> Iterator[MediaItem]:
        maker, bus = MediaNormaliser(*self._normaliser_args), pipeline.get_bus()
        last_ns = self._clock.mono_ns()
        first = video if video is not None else audio
        while not self._closed.is_set():
            sample = first.try_pull_sample(_WAIT_NS)
            maker.arrival_ns = now_ns = self._clock.mono_ns()
            if sample is not None and video is not None:
                yield from self._picture(ns, maker, sample, now_ns)
            elif sample is not None:
                yield from self._sound(ns, maker, sample)
            got = sample is not None
            while audio is not None and (sample := audio.try_pull_sample(0)) is not None:
                yield from self._sound(ns, maker, sample)
                got = True
            if got:
                last_ns = now_ns
                continue
            self._raise_bus_error(ns, bus)
            if first.is_eos() or seconds(now_ns - last_ns) > self._config.read_timeout_s:
                yield from maker.flush()
                what = "the pipeline ended" if first.is_eos() else "the pipeline gives nothing"
                raise SourceError(f"camera {self.name}: {what}; {_ADVICE}")

    def _picture(self, ns: Any, maker: MediaNormaliser, sample: Any, started_ns: int) -> Iterator[MediaItem]:
        pts_ns = sample_pts(sample, ns)
        frame = sample_to_video_frame(sample, ns)
        if pts_ns is None:
            pts_ns = maker.expected_ns(Stream.VIDEO)
        if self._feed is not None:
            self._feed_picture(frame, pts_ns, maker.arrival_ns)
        yield from maker.add_picture(frame, pts_ns, started_ns)

    def _sound(self, ns: Any, maker: MediaNormaliser, sample: Any) -> Iterator[MediaItem]:
        frame = sample_to_audio_frame(sample, ns)
        pts_ns = sample_pts(sample, ns)
        yield from maker.add_sound(frame, maker.expected_ns(Stream.AUDIO) if pts_ns is None else pts_ns)

    def _feed_picture(self, frame: Any, pts_ns: int, arrival_ns: int) -> None:
        """Pass pictures to the packet sink for clips: the encoded packets stay inside the pipeline."""
        assert self._feed is not None
        picture = frame.to_ndarray(format="bgr24")
        self._mask.apply(picture)
        self._feed.push(picture, pts_ns, arrival_ns)

    def _parse(self, ns: Any) -> Any:
        text = self._config.pipeline.get_secret_value()
        try:
            pipeline = ns.Gst.parse_launch(" ".join(text.split()))
        except ns.GLib.Error as error:
            raise SourceError(f"camera {self.name}: pipeline: {_without_urls(error.message)}; {_ADVICE}") from None
        if not isinstance(pipeline, ns.Gst.Bin):
            raise SourceError(f"camera {self.name}: pipeline: it is a single element; {_ADVICE}")
        return pipeline

    def _sinks(self, ns: Any, pipeline: Any) -> tuple[Any | None, Any | None]:
        """The appsinks for picture and sound, set to the formats that are read here, without waiting for the clock."""
        sinks = []
        for name, caps, most in (("video", VIDEO_CAPS, _PICTURES), ("audio", AUDIO_CAPS, 0)):
            sink = pipeline.get_by_name(name)
            if sink is not None and not isinstance(sink, ns.GstApp.AppSink):
                raise SourceError(f"camera {self.name}: pipeline: the element named {name!r} is no appsink")
            if sink is not None:
                sink.set_property("caps", ns.Gst.Caps.from_string(caps))
                sink.set_property("sync", False)
                sink.set_property("max-buffers", most)
            sinks.append(sink)
        if sinks == [None, None]:
            raise SourceError(f"camera {self.name}: pipeline: it has no appsink named video or audio")
        return sinks[0], sinks[1]

    def _raise_bus_error(self, ns: Any, bus: Any) -> None:
        message = bus.pop_filtered(ns.Gst.MessageType.ERROR)
        if message is not None:
            error, _ = message.parse_error()
            raise SourceError(
                f"camera {self.name}: {message.src.get_name()}: {_without_urls(error.message)}; {_ADVICE}"
            )


def _without_urls(text: str) -> str:
    """A message without URLs: they may hold a password."""
    return re.sub(r"\S*://\S*", "(address)", text).rstrip(".")


def load_gstreamer() -> Any:
    """GStreamer's namespaces (``Gst`` and others) as one object, initialised; SourceError says what to install."""
    try:
        gi = _gi()
        for name in _NAMESPACES:
            gi.require_version(name, "1.0" if name != "GLib" else "2.0")
        namespaces = {name: importlib.import_module(f"gi.repository.{name}") for name in _NAMESPACES}
    except (ImportError, ValueError) as error:
        raise SourceError(f"{_MISSING} ({error})") from None
    namespaces["Gst"].init(None)
    return SimpleNamespace(**namespaces)


def _gi() -> Any:
    if "gi" in sys.modules or importlib.util.find_spec("gi") is not None:
        return importlib.import_module("gi")
    folder = _SYSTEM / "gi"
    if not (folder / f"_gi{sysconfig.get_config_var('EXT_SUFFIX')}").is_file():
        raise ImportError(f"no gi for Python {sys.version_info.major}.{sys.version_info.minor}")
    spec = importlib.util.spec_from_file_location(
        "gi", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gi"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules["gi"]
        raise
    return module


def sample_pts(sample: Any, gst: Any) -> int | None:
    """A sample's pipeline running time in ns; None when it has none."""
    pts = sample.get_buffer().pts
    if pts == gst.Gst.CLOCK_TIME_NONE:
        return None
    running = sample.get_segment().to_running_time(gst.Gst.Format.TIME, pts)
    return None if running == gst.Gst.CLOCK_TIME_NONE else int(running)


def sample_to_video_frame(sample: Any, gst: Any) -> Any:
    """A sample of `VIDEO_CAPS` as ``av.VideoFrame``, its pixels copied."""
    import av

    buffer = sample.get_buffer()
    info = gst.GstVideo.VideoInfo.new_from_caps(sample.get_caps())
    frame = av.VideoFrame(info.width, info.height, _PIXELS[info.finfo.name])
    meta = gst.GstVideo.buffer_get_video_meta(buffer)
    where = info if meta is None else meta
    data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
    for i, plane in enumerate(frame.planes):
        rows = info.height if i == 0 else -(-info.height // 2)
        used = -(-info.width // 2) * (2 if len(frame.planes) == 2 else 1) if i else info.width
        start, stride = where.offset[i], where.stride[i]
        source = np.lib.stride_tricks.as_strided(data[start:], (rows, used), (stride, 1), writeable=False)
        memory: Any = plane
        target = np.frombuffer(memory, np.uint8).reshape(-1, plane.line_size)
        target[:rows, :used] = source
    frame.color_range = _FULL.get(int(info.colorimetry.range), 1)
    return frame


def sample_to_audio_frame(sample: Any, gst: Any) -> Any:
    """A sample of `AUDIO_CAPS` as ``av.AudioFrame`` of one channel: the mean of its channels."""
    import av

    info = gst.GstAudio.AudioInfo.new_from_caps(sample.get_caps())
    buffer = sample.get_buffer()
    data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.float32).reshape(-1, info.channels)
    mono = np.ascontiguousarray(data.mean(axis=1, dtype=np.float32)[None])
    frame = av.AudioFrame.from_ndarray(mono, format="fltp", layout="mono")
    frame.sample_rate = info.rate
    return frame
