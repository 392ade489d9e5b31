"""The picture as people see it: each one is encoded once, however many look, and only when somebody does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from edge.types import Box
from edge.web.box import LiveFrame

QUALITY = 82


@dataclass(frozen=True, slots=True)
class JpegPicture:
    """One encoded picture, its number and what was found in it."""

    number: int
    data: bytes
    boxes: tuple[Box, ...] = ()


class JpegCache:
    """``glimpse()`` gives the newest picture. Thread-safe."""

    def __init__(self, newest_frame: Callable[[], LiveFrame | None]) -> None:
        self._glimpse = newest_frame
        self._newest: JpegPicture | None = None
        self._lock = threading.Lock()

    def newest(self) -> JpegPicture | None:
        """The newest picture; the last one where the source has none now, None before the first."""
        with self._lock:
            frame = self._glimpse()
            if frame is None:
                return self._newest
            newest, boxes = self._newest, tuple(frame.boxes)
            if newest is None or (frame.number, boxes) != (newest.number, newest.boxes):
                self._newest = JpegPicture(frame.number, encode_frame(frame), boxes)
            return self._newest


def encode_frame(frame: LiveFrame) -> bytes:
    """A picture as JPEG."""
    import cv2

    ok, data = cv2.imencode(".jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not ok:
        raise RuntimeError("a picture cannot be encoded as JPEG")
    return bytes(data)
