"""GStreamer's Python binding, found and wrapped: a pipeline in, ``av`` frames out.

The binding (`gi`, PyGObject) belongs to the system's Python; a virtual environment of the same version may use it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edge.errors import SourceError

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


def load_gstreamer() -> Any:
    """GStreamer's namespaces (``Gst`` and its kin) as one object, ready; SourceError says what to install."""
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
    """A sample's time on the pipeline's own running time, ns; None where it has none."""
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
