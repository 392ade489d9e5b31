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
    stands: bool = False


class MemoryBank:
    """One memory a camera: the last ``tokens`` hops, oldest first; hops that were not scored are masked holes.

    While a camera's answer stands still, so does its memory, also over hops that were not scored. Otherwise each window
    that a busy box leaves out would have the answers of the next eight seconds computed anew, and make it busier.
    """

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
        if not 0 <= missed < len(ok):
            return
        missed = 0 if camera.stands else missed
        kept = len(ok) - missed
        tokens[:kept] = camera.tokens[missed:]
        ok[:kept] = camera.ok[missed:]

    def append(self, window: Window, tokens: F32, ok: F32, token: F32, *, stands: bool = False) -> None:
        """Keep what `read` gave for ``window``, moved one hop on, and its own ``token`` f32[D] as the newest.

        ``stands``: the answer is the last one, because every bit that it rests on is as before, what `read` gave too.
        Then moving on changes nothing.
        """
        camera = self._cameras.get(window.camera)
        if camera is None:
            camera = _CameraMemory(np.zeros(self._shape, np.float32), np.zeros(self._shape[0], np.float32), 0, 0)
            self._cameras[window.camera] = camera
        if stands:
            camera.tokens[...], camera.ok[...] = tokens, ok
        else:
            camera.tokens[:-1], camera.ok[:-1] = tokens[1:], ok[1:]
            camera.tokens[-1], camera.ok[-1] = token, 1
        camera.seq, camera.epoch, camera.stands = window.seq, window.media_end.epoch, stands

    def forget(self, camera: str) -> None:
        """Start ``camera`` anew."""
        self._cameras.pop(camera, None)
