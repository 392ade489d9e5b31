"""Decimates decoded pictures to the model's rate and scales them to its size. Runs on the capture thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.capture.base import Polygons, PrivacyMask
from edge.engine.manifest import VideoGeometry
from edge.types import U8, Rect

_LUMA_STRIDE = 16
_PLANES = {"yuv420p", "yuv422p", "nv12"}
_FULL_RANGE = 2
_FIRST_PLANE_IS_LUMA = ("yuv4", "yuvj4", "yuva4", "nv12", "nv21", "nv16", "gray")


class FrameDecimator:
    """Decimates to the model's rate: keeps the newest picture before each grid point.

    The grid is fixed per epoch (``origin_ns + k * frame_ns``) and the choice depends on pts alone, so the same media
    always gives the same pictures. Whether a picture is the newest is predicted from the last pts step. When that was
    wrong, the picture that was held back is kept when the next one arrives.
    """

    def __init__(self, frame_ns: int) -> None:
        self._frame_ns = frame_ns
        self._slack_ns = frame_ns // 50
        self.restart(0)

    def restart(self, origin_ns: int) -> None:
        """Begin a new epoch with its grid at ``origin_ns``."""
        self._origin_ns = origin_ns
        self._last_ns: int | None = None
        self._step_ns = self._frame_ns
        self._held: int | None = None
        self._filled: int | None = None

    def choose(self, pts_ns: int) -> tuple[bool, bool]:
        """Whether to keep the picture that was held back, and whether to keep this one now."""
        if self._last_ns is not None:
            self._step_ns = pts_ns - self._last_ns
        self._last_ns = pts_ns
        slot = self._slot(pts_ns)
        take_held = self._held is not None and slot > self._held
        if take_held:
            self._filled = self._held
        take_now = slot != self._filled and self._slot(pts_ns + self._step_ns) > slot
        if take_now:
            self._filled = slot
        self._held = slot if slot != self._filled else None
        return take_held, take_now

    def choose_last(self) -> bool:
        """Whether to keep the picture that was held back, at the end of the media."""
        take, self._held = self._held is not None, None
        return take

    def _slot(self, pts_ns: int) -> int:
        return -((self._origin_ns + self._slack_ns - pts_ns) // self._frame_ns)


class FrameScaler:
    """Scales to the model's size in one pass over the Y, U and V planes, converts there, letterboxes centred; ``masks``
    blacken parts of the camera's own picture."""

    def __init__(self, geometry: VideoGeometry, masks: Polygons = ()) -> None:
        from av.video.reformatter import VideoReformatter

        self._g = geometry
        self._mask = PrivacyMask(masks)
        self._shrinker = VideoReformatter()
        self.reformatter = VideoReformatter()
        self._luma_reformatter = VideoReformatter()
        # Each camera uses one thread; newer PyAV would let libswscale use all cores for each picture.
        can_limit = "threads" in (VideoReformatter.reformat.__doc__ or "")
        self._options: dict[str, Any] = {"threads": 1} if can_limit else {}
        self._canvas: U8 = np.full((geometry.height, geometry.width, 3), geometry.pad, np.uint8)
        self._key: tuple[int, int, int, float] | None = None
        self._size = (0, 0)
        self._corner = (0, 0)
        self._turns = 0
        self._lumas: dict[str, _LumaReader] = {}
        self.content: Rect = (0.0, 0.0, 1.0, 1.0)

    def scale(self, frame: Any, aspect: float = 1.0) -> U8:
        """``av.VideoFrame`` -> u8[H,W,3] RGB, valid until the next call; ``aspect`` is a pixel's width by height."""
        key = (frame.width, frame.height, int(frame.rotation), aspect)
        if key != self._key:
            self._fit(*key)
        width, height = self._size
        small = self._shrink(frame, width, height)
        plane: Any = small.planes[0]
        pixels = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[:, : width * 3]
        upright = np.rot90(pixels.reshape(height, width, 3), self._turns)
        x, y = self._corner
        shown = self._canvas[y : y + upright.shape[0], x : x + upright.shape[1]]
        shown[:] = upright
        self._mask.apply(shown)
        return self._canvas

    def mean_luma(self, frame: Any) -> float:
        """Mean luma of an ``av.VideoFrame``, full range 0..255, from every 16th pixel of every 16th row."""
        name = frame.format.name
        plan = self._lumas.get(name) or self._lumas.setdefault(name, _LumaReader.of(frame.format))
        if plan.kind is None:
            frame = self._luma_reformatter.reformat(
                frame, 64, 36, "gray", interpolation="AREA", dst_color_range="JPEG", **self._options
            )
            return float(_rows(frame, np.uint8, 64).mean())
        mean = plan.mean(frame)
        if plan.is_full or frame.color_range == _FULL_RANGE:
            return mean
        return min(255.0, max(0.0, (mean - 16.0) * 255.0 / 219.0))

    def _shrink(self, frame: Any, width: int, height: int) -> Any:
        """Scale to ``width`` x ``height`` in RGB: planes first if there are any, then colour at the small size."""
        if frame.format.name in _PLANES and frame.color_range != _FULL_RANGE:
            frame = self._shrinker.reformat(frame, width, height, "yuv420p", interpolation="AREA", **self._options)
        return self.reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA", **self._options)

    def _fit(self, width: int, height: int, rotation: int, aspect: float) -> None:
        self._key = (width, height, rotation, aspect)
        self._turns = round(rotation / 90) % 4
        on_its_side = self._turns % 2 == 1
        shown = (float(height), width * aspect) if on_its_side else (width * aspect, float(height))
        x, y, w, h = letterbox(*shown, self._g)
        self._size = (h, w) if on_its_side else (w, h)
        self._corner = (x, y)
        self._canvas[:] = self._g.pad
        self.content = content_rect(x, y, w, h, self._g)


@dataclass(frozen=True, slots=True)
class _LumaReader:
    """How the luma of a pixel format is read; ``kind`` is None when its first plane is not luma."""

    kind: np.dtype[Any] | None
    scale: int
    is_full: bool

    @classmethod
    def of(cls, pixels: Any) -> _LumaReader:
        """The reader for an ``av.VideoFormat``."""
        name = pixels.name
        if not name.startswith(_FIRST_PLANE_IS_LUMA):
            return cls(None, 1, True)
        bits = pixels.components[0].bits
        kind = np.dtype(np.uint8) if bits == 8 else np.dtype(">u2" if name.endswith("be") else "<u2")
        return cls(kind, 1 << (bits - 8), name.startswith(("yuvj", "gray")))

    def mean(self, frame: Any) -> float:
        """Mean of every 16th pixel of every 16th row, 0..255 in the format's own range.

        One view and one call of numpy: decoding has evicted Python from the CPU's caches, so each step here costs many
        times what it costs in a loop.
        """
        assert self.kind is not None
        plane, size = frame.planes[0], self.kind.itemsize
        shape = (-(-frame.height // _LUMA_STRIDE), -(-frame.width // _LUMA_STRIDE))
        strides = (plane.line_size * _LUMA_STRIDE, size * _LUMA_STRIDE)
        grid: Any = np.ndarray(shape, self.kind, plane, 0, strides)
        total = int(np.add.reduce(grid, axis=None, dtype=np.uint64))
        return total / int(grid.size) / self.scale


def pixel_aspect(frame: Any) -> float:
    """Width by height of a pixel of an ``av.VideoFrame``; 1 where the media does not state it."""
    ratio = frame.sample_aspect_ratio if hasattr(frame, "sample_aspect_ratio") else None
    return float(ratio) if ratio else 1.0


def letterbox(width: float, height: float, geometry: VideoGeometry) -> tuple[int, int, int, int]:
    """The place of a picture of this size on the model's canvas, centred: x, y, width, height in pixels."""
    scale = min(geometry.width / width, geometry.height / height)
    w = min(geometry.width, max(1, round(width * scale)))
    h = min(geometry.height, max(1, round(height * scale)))
    return (geometry.width - w) // 2, (geometry.height - h) // 2, w, h


def content_rect(x: int, y: int, w: int, h: int, geometry: VideoGeometry) -> Rect:
    """A place on the canvas as a `Rect`."""
    return (x / geometry.width, y / geometry.height, (x + w) / geometry.width, (y + h) / geometry.height)


def _rows(frame: Any, kind: Any, width: int) -> Any:
    plane = frame.planes[0]
    data = np.frombuffer(plane, kind)
    return data.reshape(-1, plane.line_size // data.itemsize)[: frame.height, :width]
