"""The picture as people see it: each one is encoded once, however many look, and only when somebody does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from edge.types import Box
from edge.web.box import Glimpse

QUALITY = 82


@dataclass(frozen=True, slots=True)
class Jpeg:
    """One encoded picture, its number and what was found in it."""

    number: int
    data: bytes
    boxes: tuple[Box, ...] = ()


class Eye:
    """``glimpse()`` gives the newest picture. Thread-safe."""

    def __init__(self, glimpse: Callable[[], Glimpse | None]) -> None:
        self._glimpse = glimpse
        self._newest: Jpeg | None = None
        self._lock = threading.Lock()

    def look(self) -> Jpeg | None:
        """The newest picture; the last one where the source has none now, None before the first."""
        with self._lock:
            glimpse = self._glimpse()
            if glimpse is None:
                return self._newest
            newest, boxes = self._newest, tuple(glimpse.boxes)
            if newest is None or (glimpse.number, boxes) != (newest.number, newest.boxes):
                self._newest = Jpeg(glimpse.number, encode(glimpse), boxes)
            return self._newest


def encode(glimpse: Glimpse) -> bytes:
    """A picture as JPEG."""
    import cv2

    ok, data = cv2.imencode(".jpg", glimpse.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not ok:
        raise RuntimeError("a picture cannot be encoded as JPEG")
    return bytes(data)
