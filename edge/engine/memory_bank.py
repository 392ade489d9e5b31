"""What each camera's last hops left behind: the fused tokens that come back as an input of the next hop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.types import F32, Window


@dataclass(slots=True)
class _CameraMemory:
    tokens: F32
    ok: F32
    seq: int
    epoch: int


class MemoryBank:
    """One memory a camera: the last ``tokens`` hops, oldest first; hops that were not scored are masked holes."""

    def __init__(self, tokens: int, dim: int) -> None:
        self._shape = (tokens, dim)
        self._cameras: dict[str, _CameraMemory] = {}

    def read(self, window: Window, tokens: F32, ok: F32) -> None:
        """Fill ``tokens`` f32[T,D] and ``ok`` f32[T] with what precedes ``window``; nothing after a new epoch."""
        camera = self._cameras.get(window.camera)
        tokens[...] = 0
        ok[...] = 0
        if camera is None or camera.epoch != window.media_end.epoch:
            return
        missed = window.seq - camera.seq - 1
        kept = len(ok) - missed
        if missed < 0 or kept <= 0:
            return
        tokens[:kept] = camera.tokens[missed:]
        ok[:kept] = camera.ok[missed:]

    def append(self, window: Window, tokens: F32, ok: F32, token: F32) -> None:
        """Keep what `read` gave for ``window``, moved one hop on, and its own ``token`` f32[D] as the newest."""
        camera = self._cameras.get(window.camera)
        if camera is None:
            camera = _CameraMemory(np.zeros(self._shape, np.float32), np.zeros(self._shape[0], np.float32), 0, 0)
            self._cameras[window.camera] = camera
        camera.tokens[:-1], camera.ok[:-1] = tokens[1:], ok[1:]
        camera.tokens[-1], camera.ok[-1] = token, 1
        camera.seq, camera.epoch = window.seq, window.media_end.epoch

    def forget(self, camera: str) -> None:
        """Start ``camera`` anew."""
        self._cameras.pop(camera, None)
