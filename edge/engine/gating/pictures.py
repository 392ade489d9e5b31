"""Whether a camera's pictures differ from those that were last encoded by more than noise does.

A judge looks at a camera's own windows alone, in their order, so a recording is judged as the live camera was. What
cannot be compared (another epoch, other masks, broken numbers) differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import cv2
import numpy as np

from edge.engine.gating.limits import DEFAULT_GATE_LIMITS, GateLimits
from edge.engine.manifest import Geometry
from edge.types import U8, Window

_BLOCK = 8
_WIDE = 4  # blocks
_STILL_SHARE = 0.75  # share of a pair's smallest differences that its noise is taken from
_STILL_MEAN = 0.5147  # mean of those of |N(0, 1)|
_SAMPLED = 11  # every so many values, prime to rows and colours
_NOISE_RATE = 0.1  # of the noise by every pair


@dataclass(slots=True)
class _PictureReference:
    """The pair that was last encoded: ``blocks`` u8[F,h,w,3], and what was true of it."""

    blocks: U8
    ok: tuple[bool, ...]
    seq: int
    epoch: int
    noise: float
    moved: int


class PictureGate:
    """Block means of every picture against those of the same place in the pair that was last encoded."""

    def __init__(self, geometry: Geometry, limits: GateLimits = DEFAULT_GATE_LIMITS) -> None:
        v = geometry.video
        self._limits = limits
        self._max_hops = max(1, round(limits.pictures_s / geometry.hop_s))
        self._linger = round(limits.linger_s / geometry.hop_s)
        shapes = [(max(1, v.height // n), max(1, v.width // n)) for n in (2, 4, _BLOCK, _BLOCK * _WIDE)]
        self._half, self._quarter = (np.empty((*shape, 3), np.uint8) for shape in shapes[:2])
        self._blocks = np.empty((v.frames, *shapes[2], 3), np.uint8)
        self._moved = np.empty((*shapes[2], 3), np.float32)
        self._wide = np.empty((*shapes[3], 3), np.float32)
        self._cameras: dict[str, _PictureReference] = {}

    def has_changed(self, window: Window, frames: U8) -> bool:
        """Whether ``frames`` u8[F,H,W,3] must be encoded; `set_reference` has to be told when they were."""
        for ok, picture, blocks in zip(window.video_ok, frames, self._blocks, strict=True):
            if ok:
                self._reduce(picture, blocks)
        last = self._cameras.get(window.camera)
        if last is None or last.epoch != window.media_end.epoch or last.ok != window.video_ok:
            return True
        if not any(window.video_ok):
            return False
        if all(window.video_ok) and len(self._blocks) > 1:
            last.noise += _NOISE_RATE * (self._noise() - last.noise)
        limit = min(max(self._limits.noise * last.noise, self._limits.low), self._limits.high)
        if any(
            self._block_changed(blocks, before, limit)
            for ok, blocks, before in zip(window.video_ok, self._blocks, last.blocks, strict=True)
            if ok
        ):
            last.moved = window.seq
        age = window.seq - last.seq
        is_old = not 0 < age < self._max_hops - _stagger(window.camera, self._max_hops)
        return is_old or 0 <= window.seq - last.moved <= self._linger

    def set_reference(self, window: Window) -> None:
        """What `has_changed` was last asked about is what later pictures are compared with."""
        last = self._cameras.get(window.camera)
        if last is None:
            last = _PictureReference(
                np.zeros_like(self._blocks), window.video_ok, window.seq, window.media_end.epoch, 0.0, -1 - self._linger
            )
            self._cameras[window.camera] = last
        np.copyto(last.blocks, self._blocks)
        last.ok, last.seq, last.epoch = window.video_ok, window.seq, window.media_end.epoch

    def forget(self, camera: str) -> None:
        """Start ``camera`` anew."""
        self._cameras.pop(camera, None)

    def _reduce(self, picture: U8, blocks: U8) -> None:
        """Halved three times: ten times as fast as at once."""
        for image, out in ((picture, self._half), (self._half, self._quarter), (self._quarter, blocks)):
            cv2.resize(image, out.shape[1::-1], dst=out, interpolation=cv2.INTER_AREA)

    def _block_changed(self, blocks: U8, before: U8, limit: float) -> bool:
        if cv2.norm(blocks, before, cv2.NORM_INF) > limit:
            return True
        cv2.subtract(blocks, before, dst=self._moved, dtype=cv2.CV_32F)
        cv2.resize(self._moved, self._wide.shape[1::-1], dst=self._wide, interpolation=cv2.INTER_AREA)
        return bool(cv2.norm(self._wide, cv2.NORM_INF) > self._limits.wide)

    def _noise(self) -> float:
        """Standard deviation of what differs between the pair's last two pictures, without the quarter that moves."""
        newest, before = (self._blocks[i].reshape(-1)[::_SAMPLED].astype(np.float32) for i in (-1, -2))
        apart = np.sort(np.abs(newest - before))
        return float(apart[: max(1, int(_STILL_SHARE * len(apart)))].mean()) / _STILL_MEAN


def _stagger(camera: str, hops: int) -> int:
    """Up to a quarter less, by the camera's name: cameras that started together do not stay together."""
    return crc32(camera.encode()) % max(1, hops // 4)
